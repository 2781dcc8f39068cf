"""A task in a frame of Mechanical Turk: a signed address, no session; an answer only from an accepted assignment."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from secondlook.annotate import mturk, outside
from secondlook.annotate.store import Store

FROM = {"assignmentId": "A1", "workerId": "W1", "turkSubmitTo": "https://workersandbox.mturk.com"}


@pytest.fixture
def where(store: Store) -> str:
    url = urlsplit(mturk.external_url(store, store.tasks()[0], "https://x.org"))
    return f"{url.path}?{url.query}"


@pytest.fixture
def nobody(client: Callable[..., TestClient]) -> TestClient:
    return client("")


def test_a_worker_answers_and_is_sent_on(nobody: TestClient, store: Store, where: str) -> None:
    shown = nobody.get(where, params=None, headers={"accept": "text/html"})
    assert shown.status_code == 200
    assert "disabled" in shown.text, "without an accepted assignment it is a preview"
    shown = nobody.get(where + "&" + "&".join(f"{k}={v}" for k, v in FROM.items()))
    assert "disabled" not in shown.text
    policy = shown.headers["content-security-policy"]
    assert "frame-ancestors https://*.mturk.com" in policy
    assert "form-action 'self' https://www.mturk.com https://workersandbox.mturk.com" in policy
    assert "x-frame-options" not in shown.headers
    task = store.tasks()[0]
    for word in (task.video_id, task.path, "pouring", "juggling"):
        assert word not in shown.text
    done = nobody.post(where, data={**FROM, "label": [str(task.options[0]), str(task.options[2])]})
    assert done.status_code == 200
    assert 'action="https://workersandbox.mturk.com/mturk/externalSubmit"' in done.text
    assert 'name="assignmentId" value="A1"' in done.text
    rows = [r for r in store.answers().to_pylist() if r["worker"]]
    assert {r["worker"] for r in rows} == {store.pseudonym("W1")}
    assert {r["label"] for r in rows} == {task.options[0], task.options[2]}
    blank = nobody.post(where, data={**FROM, "assignmentId": "A2", "workerId": "W2"})
    assert blank.status_code == 200
    assert [d.outside_id for d in outside.undecided(store, mturk.SANDBOX)] == ["A2"], "a blank one is rejected by rule"


def test_sending_it_twice_stores_it_once(nobody: TestClient, store: Store, where: str) -> None:
    for _ in range(2):
        assert nobody.post(where, data={**FROM, "no_match": "1"}).status_code == 200
    assert sum(1 for r in store.answers().to_pylist() if r["worker"]) == 1


def test_the_clip_of_a_signed_task(nobody: TestClient, where: str) -> None:
    path, _, query = where.partition("?")
    clip = nobody.get(f"{path}/clip.mp4?{query}", headers={"range": "bytes=0-9"})
    assert (clip.status_code, len(clip.content)) == (206, 10)
    assert nobody.get(f"{path}/clip.mp4").status_code == 404
    assert nobody.get(f"{path}/clip.mp4?signed=" + "0" * 32).status_code == 404


def test_a_signature_is_for_one_task(nobody: TestClient, store: Store, where: str) -> None:
    other = store.tasks()[1]
    _, _, query = where.partition("?")
    assert nobody.get(f"/external/{store.name}/{other.media}?{query}").status_code == 404
    assert nobody.get(f"/external/nowhere/{other.media}?{query}").status_code == 404
    assert nobody.post(where.replace("signed=", "signed=0"), data=FROM).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"turkSubmitTo": "https://evil.example"},
        {"turkSubmitTo": "https://www.mturk.com.evil.example"},
        {"turkSubmitTo": "http://www.mturk.com"},
        {"turkSubmitTo": "javascript:alert(1)"},
        {"assignmentId": mturk.NOT_ACCEPTED},
        {"assignmentId": ""},
        {"workerId": ""},
        {"workerId": "<script>alert(1)</script>"},
        {"label": "99"},
        {"label": "-1"},
        {"label": "١"},
        {"label": "0", "no_match": "1"},
    ],
)
def test_what_is_not_taken(change: dict[str, str], nobody: TestClient, store: Store, where: str) -> None:
    answer = nobody.post(where, data={**FROM, **change})
    assert answer.status_code == 400
    assert "Traceback" not in answer.text
    assert not [r for r in store.answers().to_pylist() if r["worker"]]
