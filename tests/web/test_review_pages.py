"""Reviewers' pages through HTTP: roles, the sheet, verdicts, notes, approval together, posting again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from tests.web.conftest import CAMPAIGN

BASE = f"/review/{CAMPAIGN}"
Clients = Callable[..., TestClient]


@pytest.mark.parametrize("role", ["", "annotator"])
def test_only_reviewers_may_look(client: Clients, store: Store, role: str) -> None:
    store.submit([Answer(1, "ann", {0: "yes"})])
    browser = client(role)
    for url in ("/review", BASE, f"{BASE}/task/1", f"{BASE}/next"):
        assert browser.get(url).status_code in (401, 403)
    verdict = {"verdicts": [{"answer_id": 1, "approved": True}]}
    assert browser.post(f"/api{BASE}/task/1/verdicts", json=verdict).status_code in (401, 403)
    for url in (f"{BASE}/agreed", f"{BASE}/again", f"{BASE}/task/1/note", f"{BASE}/task/1/verdict"):
        assert browser.post(url, data={}).status_code in (401, 403)


@pytest.mark.spec("label-reassessment", "R1")
def test_the_page_shows_every_answer_with_its_workers_record_and_no_name(client: Clients, store: Store) -> None:
    store.submit([Answer(1, "ann", {2: "yes", 4: "maybe"}), Answer(1, "bob", {0: "yes"}), Answer(2, "bob")])
    html = client("reviewer").get(f"{BASE}/task/1").text
    for words in ("Worker 1", "Worker 2", "Waving", "Opening [a jar]", "not an option", "Maybe", "Given label"):
        assert words in html
    assert html.count("<dt>Approval rate</dt>") == html.count("<dt>Done</dt>") == html.count("<dt>Blank</dt>") == 2
    for secret in ("ann", "bob"):
        assert store.pseudonym(secret) not in html
    assert 'src="/media/round1/v-' in html


@pytest.mark.spec("label-reassessment", "R2")
@pytest.mark.spec("label-reassessment", "R3")
def test_verdicts_come_back_with_new_rates(client: Clients, store: Store) -> None:
    first, second, blank = store.submit([Answer(1, "ann", {2: "yes"}), Answer(2, "ann", {2: "yes"}), Answer(1, "bob")])
    browser = client("reviewer")
    assert 'value="false" checked' in browser.get(f"{BASE}/task/1").text.replace('"false" required', '"false"'), (
        "a blank answer is pre-set to Reject"
    )

    def decide(task: int, answer: int, approved: bool, again: bool = False) -> dict[int, dict[str, object]]:
        verdict = {"answer_id": answer, "approved": approved, "second_review": again}
        found = browser.post(f"/api{BASE}/task/{task}/verdicts", json={"verdicts": [verdict]})
        assert found.status_code == 200, found.text
        return {row["answer_id"]: row for row in found.json()["answers"]}

    rows = decide(1, first, True)
    assert rows[first]["state"] == "approved"
    assert rows[first]["rate"] == "100% (1 of 1)"
    assert rows[blank]["state"] == "blank"
    assert rows[blank]["rejected"] is True
    assert decide(2, second, False)[second]["rate"] == "50% (1 of 2)"
    assert decide(1, first, True, again=True)[first]["second"] is True
    assert "marked for a second review" in browser.get(BASE).text
    assert browser.get(f"{BASE}/next?queue=second").headers["location"].endswith("/task/1?queue=second")
    assert client("reviewer").post(f"/api{BASE}/task/2/verdicts", json={"verdicts": []}).status_code == 422
    wrong = {"verdicts": [{"answer_id": first, "approved": True}]}
    assert browser.post(f"/api{BASE}/task/2/verdicts", json=wrong).status_code == 400, "of another task"


def test_a_verdict_needs_the_token_of_the_page(client: Clients, store: Store) -> None:
    (answer,) = store.submit([Answer(1, "ann", {2: "yes"})])
    browser = client("reviewer")
    del browser.headers["X-CSRF-Token"]
    found = browser.post(f"/api{BASE}/task/1/verdicts", json={"verdicts": [{"answer_id": answer, "approved": True}]})
    assert found.status_code == 403
    assert store.answers()["verdict"].to_pylist()[0] == ""


def test_the_form_works_without_scripts(client: Clients, store: Store) -> None:
    (answer,) = store.submit([Answer(1, "ann", {2: "yes"})])
    browser = client("reviewer")
    form = {"answer_id": answer, "approved": "true", "second_review": "true", "queue": "open"}
    found = browser.post(f"{BASE}/task/1/verdict", data=form)
    assert found.status_code == 303
    assert found.headers["location"] == f"{BASE}/task/1?queue=open"
    assert "Approved" in browser.get(found.headers["location"]).text
    stale = browser.post(f"{BASE}/task/2/verdict", data=form)
    assert stale.headers["location"].endswith("error=changed")


def test_notes_are_text(client: Clients, store: Store) -> None:
    browser = client("reviewer")
    browser.post(f"{BASE}/task/1/note", data={"text": "<script>alert(1)</script>"})
    html = browser.get(f"{BASE}/task/1").text
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html
    assert ">reviewer</span>" in html
    assert browser.post(f"{BASE}/task/1/note", data={"text": "  "}).status_code == 400


def test_approved_together_after_being_told_how_many(client: Clients, store: Store) -> None:
    store.submit([Answer(1, who, {2: "yes"}) for who in ("ann", "bob")])
    browser = client("reviewer")
    assert "Approve all 2" in browser.get(BASE).text
    assert browser.post(f"{BASE}/agreed", data={"expected": 3}).status_code == 400
    found = browser.post(f"{BASE}/agreed", data={"expected": 2})
    assert "2 answers were approved" in browser.get(found.headers["location"]).text
    assert "<script>" not in browser.get(f"{BASE}?said=approved-<script>").text


@pytest.mark.spec("label-reassessment", "R5")
def test_what_failed_can_be_posted_again(client: Clients, store: Store) -> None:
    task = store.task(1)
    wrong = next(label for label in task.options if label != task.given_label)
    ids = store.submit([Answer(1, who, {wrong: "yes"}) for who in ("ann", "bob")])
    store.judge([Verdict(ids[0], True, "rita"), Verdict(ids[1], False, "rita")])
    browser = client("reviewer")
    assert "Task 1</a>" in browser.get(BASE).text
    assert browser.post(f"{BASE}/again", data={"task": [2], "votes": 2}).status_code == 400, "task 2 has not failed"
    found = browser.post(f"{BASE}/again", data={"task": [1], "votes": 4})
    assert "1 tasks were posted again" in browser.get(found.headers["location"]).text
    assert "No task has failed" in browser.get(BASE).text
    assert len(store.submit([Answer(1, f"w{i}", {wrong: "yes"}) for i in range(4)])) == 4
