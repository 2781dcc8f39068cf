"""What the annotator's page is sent and what it may send; that nothing of it tells which label was given."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from secondlook.annotate.intake import Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.video.proxy import frame_times_s
from secondlook.web.app import make_app
from secondlook.web.context import ServeSettings
from tests.web import annotate_site
from tests.web.annotate_site import LABELS, NAME, OPTIONS
from tests.web.conftest import SECRET_WORDS, Clock, Site

API = f"/api/annotate/{NAME}"
PAGE = {"Accept": "text/html"}
Client = Callable[..., TestClient]


@pytest.fixture
def store(workplace: Workplace, clips: Path) -> Store:
    """Four clips a batch, six in all, two votes each."""
    return annotate_site.add(workplace, clips)


def state(browser: TestClient) -> dict[str, Any]:
    answer = browser.get(f"{API}/state")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def give(browser: TestClient, **said: Any) -> dict[str, Any]:
    """Answers the present clip."""
    task = state(browser)["current"]["task"]
    answer = browser.post(f"{API}/answer/{task}", json=said or {"no_match": True})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["state"]
    return found


class Still(Clock):
    """A clock that stands."""

    def __call__(self) -> float:
        return 1.8e9 + self.ahead_s


def seen_by_annotator(folder: Path, clips: Path, given: int, backwards: bool = False) -> bytes:
    """All that an annotator receives on the way through a campaign: bodies and headers of pages, JSON, and clips."""
    clock, received = Still(), []
    with Workplace.create(folder, key=b"k" * 32) as workplace:
        annotate_site.add(workplace, clips, given, videos=3, batch=2, backwards=backwards)
        app = make_app(workplace, ServeSettings(folder=folder, warm_clips=0, short_side=48), clock)
        site = Site(app, workplace, clock)
        browser = site.client("annotator")

        def take(method: str, address: str, **about: Any) -> Any:
            clock.ahead_s += 1
            answer = browser.request(method, address, **about)
            assert answer.status_code in (200, 206, 303), (address, answer.text)
            received.append(f"{method} {address} {answer.status_code} {sorted(answer.headers.items())}\n".encode())
            received.append(answer.content)
            return answer

        for address in ("/", "/annotate", f"/annotate/{NAME}", f"{API}/labels"):
            take("GET", address, headers=PAGE)
        for name in ("annotate.js", "annotate.css"):
            take("GET", f"/static/x/{name}")
        now = take("GET", f"{API}/state").json()
        while now["current"] is not None:
            view = now["current"]
            take("GET", view["video"])
            take("GET", view["video"], headers={"Range": "bytes=0-99"})
            take("GET", f"{API}/times/{view['task']}")
            take("PUT", f"{API}/draft/{view['task']}", json={"choices": {str(OPTIONS[0]): "yes"}, "seconds": 0.5})
            take("GET", f"{API}/at/{view['position']}")
            now = take("POST", f"{API}/answer/{view['task']}", json={"choices": {str(OPTIONS[1]): "maybe"}}).json()[
                "state"
            ]
            if now["reason"] == "batch_done":
                now = take("POST", f"{API}/batch", json={}).json()["state"]
        assert now["reason"] == "nothing_left"
        app.state.context.media.close()
        app.state.context.jobs.close()
    # A person's tokens and pseudonym are random, whoever asks.
    everything = b"".join(received).replace(browser.headers["X-CSRF-Token"].encode(), b"CSRF")
    return everything.replace(site.person("annotator")[0].pseudonym.encode(), b"PSEUDONYM")


@pytest.mark.spec("label-reassessment", "C4")
def test_nothing_tells_which_label_was_given(tmp_path: Path, clips: Path) -> None:
    """The same bytes wherever the given label stands, or if it is none of the options, in whatever order they came."""
    first = seen_by_annotator(tmp_path / "first", clips, OPTIONS[0])
    assert len(first) > 50_000
    for i, given in enumerate((*OPTIONS[1:], 1)):
        assert seen_by_annotator(tmp_path / str(i), clips, given, backwards=i % 2 == 0) == first
    for word in (*SECRET_WORDS, "given_label", "suspicion", "confidence", "gold", "candidates", "audit"):
        assert word.encode() not in first, word


@pytest.mark.spec("label-reassessment", "C4")
def test_a_view_holds_what_it_must_and_no_more(client: Client, store: Store) -> None:
    now = state(client("annotator"))
    assert set(now) == {"campaign", "question", "batch", "current", "next_media", "reason"}
    view = now["current"]
    assert set(view) == {"task", "position", "video", "options", "draft", "given", "answered", "locked"}
    assert view["options"] == [{"label": i, "text": LABELS.names[i]} for i in OPTIONS]
    assert re.fullmatch(rf"/media/{NAME}/v-[0-9a-z]+\.mp4", view["video"])
    assert now["next_media"] not in (None, view["video"])
    assert (now["batch"]["size"], now["batch"]["done"], now["reason"]) == (4, 0, "")


@pytest.mark.spec("label-reassessment", "A6")
def test_what_is_acknowledged_is_there_after_a_new_start(
    client: Client, site: Site, store: Store, serve_settings: ServeSettings
) -> None:
    browser = client("annotator")
    task = state(browser)["current"]["task"]
    for said in ({"choices": {"4": "yes"}}, {"choices": {"4": "maybe", "1": "yes"}, "review": True, "seconds": 7.5}):
        assert browser.put(f"{API}/draft/{task}", json=said).json() == {"saved": True}
    with Workplace.open(site.workplace.folder) as again:
        app = make_app(again, serve_settings)
        other = TestClient(app, base_url="http://127.0.0.1:8000", cookies=dict(browser.cookies))
        view = other.get(f"{API}/state").json()["current"]
        assert view["task"] == task
        assert view["draft"]["review"]
        assert view["draft"]["seconds"] == 7.5
        assert view["draft"]["choices"] == {"4": "maybe", "1": "yes"}
        app.state.context.media.close()
        app.state.context.jobs.close()


@pytest.mark.spec("label-reassessment", "A3")
@pytest.mark.spec("label-reassessment", "A4")
def test_batches_to_the_end(client: Client, store: Store, site: Site) -> None:
    browser = client("annotator")
    for done in range(4):
        now = state(browser)
        assert (now["current"]["position"], now["batch"]["done"], now["batch"]["size"]) == (done + 1, done, 4)
        now = give(browser, no_match=done % 2 == 0, review=done % 2 == 1)
    assert (now["current"], now["reason"], now["batch"]["done"]) == (None, "batch_done", 4)
    view = browser.get(f"{API}/at/2").json()
    assert view["answered"]
    assert not view["locked"]
    assert view["given"]["review"]
    assert view["draft"] is None
    assert browser.get(f"{API}/at/5").status_code == 404
    for _ in range(2):  # pressed twice: one batch
        now = browser.post(f"{API}/batch", json={}).json()["state"]
        assert (now["batch"]["number"], now["batch"]["size"], now["current"]["position"]) == (2, 2, 1)
    give(browser)
    assert (give(browser)["reason"], browser.get(f"{API}/at/1").status_code) == ("nothing_left", 200)
    person = site.person("annotator")[0].person
    given = [store.answer_of(person, task.task_id) for task in store.tasks()]
    assert sorted((a.no_match, a.review) for a in given if a) == [(False, True)] * 2 + [(True, False)] * 4


def test_pause_and_disqualification_are_said(client: Client, store: Store) -> None:
    browser = client("annotator")
    store.pause()
    assert (state(browser)["current"], state(browser)["reason"]) == (None, "paused")
    assert "Paused" in browser.get("/annotate", headers=PAGE).text
    store.resume()
    store.change(qualify=1)
    store.set_gold(store.tasks()[0].task_id, [OPTIONS[0]])
    assert give(browser, choices={str(OPTIONS[1]): "yes"})["reason"] == "not_qualified"


def test_the_page_has_words_for_every_reason(client: Client, store: Store) -> None:
    page = client("annotator").get(f"/annotate/{NAME}", headers=PAGE).text
    for reason in ("batch_done", "nothing_left", "paused", "not_qualified", "goodbye", "signed_out"):
        assert f'data-section="{reason}"' in page
    assert "<noscript>" in page
    assert "needs JavaScript" in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son[a-z]+=|\sstyle=", page), "the policy forbids what is inline"
    scripts = Path(__file__).parents[2].glob("src/secondlook/web/static/annotate*.js")
    assert not any(re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", s.read_text()) for s in scripts)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"choices": {"9": "yes"}}, "label"),
        ({"choices": {"999999999999999999999": "yes"}}, "label"),
        ({"choices": {"-1": "yes"}}, "label"),
        ({"choices": {"4": "surely"}}, "yes or maybe"),
        ({"choices": {"4": "yes"}, "no_match": True}, "Keep one of the two"),
        ({"choices": ["4"]}, "object"),
        ({"review": "yes"}, "true or false"),
        ({"seconds": -1}, "number"),
        ({"seconds": float("nan")}, "number"),
        ({"worker": "somebody else"}, "not known"),
        ([], "object"),
        ("{", "JSON"),
        ("[" * 20_000, "JSON"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(client: Client, store: Store, said: Any, words: str) -> None:
    browser = client("annotator")
    task = state(browser)["current"]["task"]
    content = said if isinstance(said, str) else json.dumps(said)
    for method, address in (("PUT", f"{API}/draft/{task}"), ("POST", f"{API}/answer/{task}")):
        answer = browser.request(method, address, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["error"]
    assert state(browser)["current"]["draft"] is None


def test_an_empty_answer_is_none(client: Client, store: Store) -> None:
    browser = client("annotator")
    task = state(browser)["current"]["task"]
    assert browser.post(f"{API}/answer/{task}", json={"seconds": 3}).status_code == 422


def test_a_body_may_not_be_huge(client: Client, store: Store) -> None:
    browser = client("annotator")
    task = state(browser)["current"]["task"]
    assert browser.put(f"{API}/draft/{task}", content=b" " * 70_000).status_code == 413


def test_only_ones_own_clips(client: Client, store: Store) -> None:
    browser, other = client("annotator", "Ada"), client("annotator", "Bob")
    dealt = {item["position"] for item in state(browser)["batch"]["items"]}
    mine = {browser.get(f"{API}/at/{position}").json()["task"] for position in dealt}
    foreign = next(task.task_id for task in store.tasks() if task.task_id not in mine)
    for task in (foreign, 4711):
        for method, place in (("PUT", "draft"), ("POST", "answer"), ("GET", "times")):
            body = None if method == "GET" else {"no_match": True}
            answer = browser.request(method, f"{API}/{place}/{task}", json=body)
            assert answer.status_code == 404
            assert str(task) not in answer.json()["error"]
    task = state(browser)["current"]["task"]
    browser.put(f"{API}/draft/{task}", json={"review": True})
    state(other)
    assert other.get(f"{API}/at/1").json()["draft"] is None
    assert browser.get("/api/annotate/nowhere/state").status_code == 404
    assert client("").get(f"{API}/state").status_code == 401
    del browser.headers["X-CSRF-Token"]
    assert browser.put(f"{API}/draft/{task}", json={}).status_code == 403


def test_a_reviewed_answer_stays(client: Client, store: Store, site: Site) -> None:
    browser, account = client("annotator"), site.person("annotator")[0]
    task = state(browser)["current"]["task"]
    give(browser, choices={"4": "yes"})
    assert browser.post(f"{API}/answer/{task}", json={"choices": {"4": "maybe"}}).status_code == 200
    given = store.answers().to_pylist()
    answer_id = next(row["answer_id"] for row in given if row["answer_id"])
    store.judge([Verdict(answer_id, True, "reviewer")])
    answer = browser.post(f"{API}/answer/{task}", json={"choices": {"4": "yes"}})
    assert answer.status_code == 409
    assert "reviewed already" in answer.json()["error"]
    view = browser.get(f"{API}/at/1").json()
    assert view["locked"]
    assert view["given"]["choices"] == {"4": "maybe"}
    kept = store.answer_of(account.person, task)
    assert kept is not None
    assert dict(kept.choices) == {4: "maybe"}


@pytest.mark.parametrize(("seconds", "active_s"), [(3.0, 3.0), (1e9, 60.0), (0.0, 0.0)])
def test_time_is_the_servers(
    client: Client, store: Store, site: Site, clock: Clock, seconds: float, active_s: float
) -> None:
    browser = client("annotator")
    task = state(browser)["current"]["task"]
    clock.ahead_s = 60.0
    browser.post(f"{API}/answer/{task}", json={"no_match": True, "seconds": seconds, "started_s": 5.0})
    answer = store.answer_of(site.person("annotator")[0].person, task)
    assert answer is not None
    assert answer.started_s is not None
    assert answer.submitted_s is not None
    assert answer.submitted_s == pytest.approx(time.time() + 60, abs=10)
    assert answer.submitted_s - answer.started_s == pytest.approx(active_s, abs=5 if seconds > 60 else 1e-3)


def test_an_expired_clip_that_another_has_is_said(
    client: Client, store: Store, clock: Clock, workplace: Workplace
) -> None:
    store.change(votes=1)
    browser = client("annotator", "Ada")
    task = state(browser)["current"]["task"]
    clock.ahead_s = 2 * store.settings.lease_s
    others = client("annotator", "Bob")
    taken = {state(others)["current"]["task"]}
    while task not in taken:
        give(others)
        if state(others)["reason"] == "batch_done":
            others.post(f"{API}/batch", json={})
        taken.add(state(others)["current"]["task"])
    answer = browser.put(f"{API}/draft/{task}", json={"no_match": True})
    assert answer.status_code == 404
    assert "another person has it now" in answer.json()["error"]
    assert state(browser)["current"] is None or state(browser)["current"]["task"] != task


def test_frame_times_are_those_of_the_clip(client: Client, store: Store, clips: Path) -> None:
    browser = client("annotator")
    view = state(browser)["current"]
    assert browser.get(view["video"]).status_code == 200  # waits until it is made ready
    found = browser.get(f"{API}/times/{view['task']}").json()["times_s"]
    task: Task = store.task(view["task"])
    assert found == pytest.approx(frame_times_s(clips / task.path), abs=1e-3)


@pytest.mark.spec("label-reassessment", "A2")
def test_labels_by_group_are_asked_for_once(client: Client, store: Store) -> None:
    browser = client("annotator")
    answer = browser.get(f"{API}/labels")
    groups = {group["name"]: [label["text"] for label in group["labels"]] for group in answer.json()["groups"]}
    assert groups == {name: list(texts) for name, texts in annotate_site.GROUPS.items()}
    assert all(LABELS.names[x["label"]] == x["text"] for g in answer.json()["groups"] for x in g["labels"])
    again = browser.get(f"{API}/labels", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_one_campaign_needs_no_list(client: Client, store: Store, workplace: Workplace, clips: Path) -> None:
    page = client("annotator").get("/annotate", headers=PAGE)
    assert page.status_code == 200
    assert f'href="/annotate/{NAME}"' in page.text
    assert "Not begun yet" in page.text
    annotate_site.add(workplace, clips, name="a & b?")
    browser = client("annotator")
    assert 'href="/annotate/a%20%26%20b%3F"' in browser.get("/annotate", headers=PAGE).text
    assert 'data-base="/api/annotate/a%20%26%20b%3F"' in browser.get("/annotate/a%20%26%20b%3F", headers=PAGE).text
    assert browser.get("/api/annotate/a%20%26%20b%3F/state").json()["campaign"] == "a & b?"
