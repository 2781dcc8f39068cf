"""Owners' pages of a running campaign through HTTP."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from secondlook.annotate import gold
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from secondlook.web._run_exports import safe_cell
from secondlook.web._run_views import WORKER_COLUMNS, worker_rows
from tests.web.conftest import CAMPAIGN, Site

BASE = f"/run/{CAMPAIGN}"
Clients = Callable[..., TestClient]
PAGES = ("", "/people", "/settings", "/trail", "/export/answers.csv")


@pytest.mark.parametrize("role", ["", "annotator", "reviewer"])
def test_only_owners_may_look(client: Clients, role: str) -> None:
    browser = client(role)
    for page in PAGES:
        assert browser.get(BASE + page).status_code in (401, 403), page
    for place in ("/pause", "/settings", "/people/invite", "/people/revoke", "/people/disable", "/gold"):
        assert browser.post(BASE + place, data={}).status_code in (401, 403), place
    assert browser.get(f"/api{BASE}/agreement").status_code in (401, 403)


def test_the_pages_of_an_empty_campaign(client: Clients) -> None:
    browser = client("owner")
    for page in PAGES:
        assert browser.get(BASE + page).status_code == 200, page
    assert browser.get("/run").headers["location"] == BASE
    assert "nothing can agree" in browser.get(f"/api{BASE}/agreement").json()["words"]


def test_the_overview_counts(client: Clients, store: Store, site: Site) -> None:
    now = site.clock()
    store.submit([Answer(t, who, {2: "yes"}, submitted_s=now - 60) for t in (1, 2) for who in ("ann", "bob")])
    browser = client("owner")
    html = browser.get(BASE).text
    assert "<small>of 16</small>" in html
    assert "4 answers in the last 24 hours" in html
    assert "<rect" in html
    found = browser.get(f"/api{BASE}/agreement").json()
    assert found["tiles"][2]["value"] == "1.00"
    assert found["workers"] == {store.pseudonym(w): 1.0 for w in ("ann", "bob")}
    assert "1.00" in browser.get(f"{BASE}/people").text, "each worker's agreement stands in the table then"


def test_pause_and_settings(client: Clients, store: Store) -> None:
    browser = client("owner")
    browser.post(f"{BASE}/pause", data={"paused": "true"})
    assert store.paused
    assert "paused" in browser.get(BASE).text
    browser.post(f"{BASE}/pause", data={"paused": "false"})
    assert not store.paused
    found = browser.post(f"{BASE}/settings", data={"votes": "3", "reward": "0.5", "question": "Which?"})
    assert found.status_code == 303
    assert (store.settings.votes, store.settings.reward) == (3, 0.5)
    wrong = browser.post(f"{BASE}/settings", data={"votes": "many", "reward": "0.5", "question": "<i>"} | rest(store))
    assert wrong.status_code == 400
    assert "must be a whole number" in wrong.text
    assert "&lt;i&gt;" in wrong.text
    assert store.settings.votes == 3
    assert browser.post(f"{BASE}/settings", data={"votes": "0"} | rest(store)).status_code == 400
    trail = browser.get(f"{BASE}/trail").text
    assert "settings changed" in trail
    assert "paused" in trail
    assert "reward: 0.5" in trail


def rest(store: Store) -> dict[str, str]:
    kept = ("question", "votes", "reward")
    return {name: str(value) for name, value in store.settings.to_dict().items() if name not in kept}


def test_invitations_are_shown_once_and_can_be_revoked(client: Clients, site: Site) -> None:
    browser = client("owner")
    made_it = browser.post(f"{BASE}/people/invite", data={"role": "reviewer", "uses": 2, "days": 7})
    assert (made_it.status_code, made_it.headers["location"]) == (303, f"{BASE}/people")
    other = site.client("owner", "another")
    assert 'id="link"' not in other.get(f"{BASE}/people").text, "it is for the session that made it"
    html = browser.get(made_it.headers["location"]).text
    assert "2 reviewers in" in html
    link = html.split('id="link" type="text" value="')[1].split('"')[0]
    assert link.startswith("http://127.0.0.1:8000/join/")
    token = link.rsplit("/", 1)[1]
    assert token not in browser.get(f"{BASE}/people").text
    assert token not in browser.get(f"{BASE}/trail").text
    (made,) = (i for i in site.workplace.accounts.invitations() if i.role == "reviewer")  # loading again made no other
    assert made.uses == 2
    browser.post(f"{BASE}/people/revoke", data={"invitation_id": made.invitation_id})
    assert client("").post(f"/join/{token}", data={"nickname": "Eve"}).status_code == 400
    for wrong in ({"role": "king"}, {"role": "owner", "uses": 0}, {"role": "owner", "days": 999}):
        assert browser.post(f"{BASE}/people/invite", data=wrong).status_code in (400, 404)


def test_a_new_link_is_not_kept_for_long(client: Clients, site: Site) -> None:
    browser = client("owner")
    browser.post(f"{BASE}/people/invite", data={"role": "reviewer"})
    site.clock.ahead_s = 3600
    assert 'id="link"' not in browser.get(f"{BASE}/people").text


def test_who_did_nothing_here_stands_apart(client: Clients, store: Store, site: Site) -> None:
    ids = store.submit([Answer(t, "ann", {2: "yes"}) for t in (1, 2)])
    rita, idle = site.person("reviewer", "rita")[0], site.person("annotator", "idle")[0]
    store.judge([Verdict(ids[0], True, rita.person), Verdict(ids[1], True, rita.person)])
    store.judge([Verdict(ids[1], False, rita.person)])
    found = {row["pseudonym"]: row for row in worker_rows(store, site.clock(), "judged", True)}
    assert found[rita.pseudonym]["judged"] == 2, "an answer that was judged twice is one"
    assert found[rita.pseudonym]["active"]
    assert not found[idle.pseudonym]["active"]
    working, others = client("owner").get(f"{BASE}/people").text.split("<details", 1)
    assert rita.pseudonym in working
    assert store.pseudonym("ann") in working
    assert idle.pseudonym not in working
    assert idle.pseudonym in others
    assert "Show all: 2 more" in others, "and the owner"


def test_the_trail_says_who_joined_and_who_judged(client: Clients, store: Store, site: Site) -> None:
    token = site.workplace.accounts.invite("reviewer", site.clock())
    client("").post(f"/join/{token}", data={"nickname": "Rita"})
    ids = store.submit([Answer(t, "ann", {2: "yes"}) for t in (1, 2, 3)])
    rita = next(a for a in site.workplace.accounts.all() if a.nickname == "Rita")
    hour_s = 3600.0 * (site.clock() // 3600)
    times = (hour_s - 7000, hour_s - 6900, hour_s - 3000)
    given = zip(ids, (True, False, True), times, strict=True)
    store.judge([Verdict(answer, yes, rita.person, given_s=at_s) for answer, yes, at_s in given])
    html = client("owner").get(f"{BASE}/trail").text
    assert "<td>joined</td>" in html
    assert html.count("<td>judged</td>") == 2
    rows = [row for row in html.split("<tr>") if "<td>judged</td>" in row]
    assert all("<bdi>Rita</bdi>" in row for row in rows)
    assert "1 verdict: 1 approved, 0 rejected" in rows[0]
    assert "2 verdicts: 1 approved, 1 rejected" in rows[1]
    began = datetime.fromtimestamp(hour_s - 7200, UTC)
    assert f'title="{began:%Y-%m-%d %H}:00 to ' in rows[1]
    assert re.search(r'<time title="\d{4}-\d\d-\d\d \d\d:\d\d UTC">just now</time>', html)


def test_gold_comes_from_a_file(client: Clients, store: Store) -> None:
    browser = client("owner")

    def send(text: str | bytes) -> Any:
        return browser.post(f"{BASE}/gold", files={"file": ("known.csv", text, "text/csv")})

    assert "None is gold yet" in browser.get(f"{BASE}/settings").text
    store.submit([Answer(store.task_ids()["p1"], "ann", {2: "yes"})])
    for wrong, words in (
        ("video_id,labels\nnope,Waving\n", "is not a video of this campaign"),
        ("video_id,labels\np0,Waving\np1,Waving\n", "has answers already"),
        ("video_id,labels\n", "no video is named"),
        ("video,labels\n", "is not known"),
        (b"video_id,labels\n\xff\xfe,x\n", "is not a CSV file"),
        ("video_id,labels\np0,<i>nothing</i>\n", "&lt;i&gt;nothing"),
    ):
        found = send(wrong)
        assert found.status_code == 400
        assert words in found.text
        assert gold.number(store) == 0, "all or none"
    assert send("\ufeffvideo_id,labels\np0,Waving|Pouring [water]\nj0,Juggling\n").status_code == 303
    assert gold.number(store) == 2
    html = browser.get(f"{BASE}/settings?said=gold").text
    assert "<strong>2</strong> videos are gold now" in html
    assert "gold set" in browser.get(f"{BASE}/trail").text
    store.submit([Answer(store.task_ids()["p0"], "bob", {2: "yes"})])
    assert store.gold_record("bob").right == 1


def test_nothing_waits_in_one_line(client: Clients, store: Store, site: Site) -> None:
    browser = client("owner")
    assert "incomplete tasks had no answer" in browser.get(BASE).text
    now = site.clock()
    ids = store.submit([Answer(t, who, {2: "yes"}, submitted_s=now) for t in store.task_ids().values() for who in "ab"])
    store.judge([Verdict(answer, True, "rita") for answer in ids])
    html = browser.get(BASE).text
    assert "Nothing waits" in html
    assert "incomplete tasks" not in html


def test_an_account_can_be_shut_out(client: Clients, site: Site) -> None:
    owner, reviewer = client("owner"), client("reviewer")
    account = site.person("reviewer")[0].account_id
    assert reviewer.get(f"/review/{CAMPAIGN}").status_code == 200
    owner.post(f"{BASE}/people/disable", data={"account_id": account, "disabled": "true"})
    assert reviewer.get(f"/review/{CAMPAIGN}").status_code == 401
    own = site.person("owner")[0].account_id
    assert owner.post(f"{BASE}/people/disable", data={"account_id": own, "disabled": "true"}).status_code == 400


def test_people_are_sorted_as_asked(client: Clients, store: Store) -> None:
    store.submit([Answer(1, "ann", {2: "yes"}), Answer(2, "ann", {2: "yes"}), Answer(1, "bob", {2: "yes"})])
    browser = client("owner")
    for down in ("true", "false"):
        html = browser.get(f"{BASE}/people?sort=answers&down={down}").text
        first, second = (html.index(store.pseudonym(who)) for who in ("ann", "bob"))
        assert (first < second) == (down == "true")
    for column in [name for name, *_ in WORKER_COLUMNS] + ["nothing"]:
        assert browser.get(f"{BASE}/people?sort={column}").status_code == 200


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell("a=1") == "a=1"


@pytest.mark.spec("label-reassessment", "R4")
def test_exports_are_streamed_and_the_same_each_time(client: Clients, store: Store) -> None:
    ids = store.submit([Answer(1, "ann", {2: "yes"}), Answer(2, "ann")])
    browser = client("owner")
    found = browser.get(f"{BASE}/export/answers.csv")
    assert found.headers["content-disposition"] == 'attachment; filename="round1-answers.csv"'
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert [row["worker"] for row in rows] == [store.pseudonym("ann")] * 2
    assert len(ids) == 2
    decisions = [browser.get(f"{BASE}/export/decisions.csv").text for _ in range(2)]
    assert decisions[0] == decisions[1]
    assert "blank" in decisions[0]
    assert browser.get(f"{BASE}/export/secrets.csv").status_code == 404
