"""Owners' pages of a running campaign through HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.web._run_exports import safe_cell
from tests.web.conftest import CAMPAIGN, Site

BASE = f"/run/{CAMPAIGN}"
Clients = Callable[..., TestClient]
PAGES = ("", "/people", "/settings", "/trail", "/export/answers.csv")


@pytest.mark.parametrize("role", ["", "annotator", "reviewer"])
def test_only_owners_may_look(client: Clients, role: str) -> None:
    browser = client(role)
    for page in PAGES:
        assert browser.get(BASE + page).status_code in (401, 403), page
    for place in ("/pause", "/settings", "/people/invite", "/people/revoke", "/people/disable"):
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
    html = browser.post(f"{BASE}/people/invite", data={"role": "reviewer", "uses": 2, "days": 7}).text
    link = html.split('id="link" type="text" value="')[1].split('"')[0]
    assert link.startswith("http://127.0.0.1:8000/join/")
    token = link.rsplit("/", 1)[1]
    assert token not in browser.get(f"{BASE}/people").text
    assert token not in browser.get(f"{BASE}/trail").text
    made = site.workplace.accounts.invitations()[0]
    assert (made.role, made.uses) == ("reviewer", 2)
    browser.post(f"{BASE}/people/revoke", data={"invitation_id": made.invitation_id})
    assert client("").post(f"/join/{token}", data={"nickname": "Eve"}).status_code == 400
    for wrong in ({"role": "king"}, {"role": "owner", "uses": 0}, {"role": "owner", "days": 999}):
        assert browser.post(f"{BASE}/people/invite", data=wrong).status_code in (400, 404)


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
    for column in ("nickname", "role", "blank", "approval_rate", "seconds", "agreement", "gold", "last_s", "nothing"):
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
