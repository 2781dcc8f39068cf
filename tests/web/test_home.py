"""How people come in and leave, and what the first page shows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from secondlook.web.app import make_app
from secondlook.web.context import ServeSettings
from tests.web.conftest import Clock, LiveServer, Site

PAGE = {"Accept": "text/html"}
NASTY = "<script>alert(1)</script>\"'></script><img src=x onerror=alert(1)>\u202egnitroba\u2066"


def test_first_page_of_nobody_asks_for_the_link(client: Callable[..., TestClient]) -> None:
    answer = client("").get("/", headers=PAGE)
    assert answer.status_code == 200
    assert "sign-in link" in answer.text


def test_invitation_is_used_by_its_button_only(site: Site) -> None:
    accounts = site.workplace.accounts
    token = accounts.invite("reviewer", site.clock())
    browser = site.client("")
    for _ in range(3):  # a preview of the link
        page = browser.get(f"/join/{token}", headers=PAGE)
        assert "pseudonym" in page.text
        assert "set-cookie" not in page.headers
    joined = browser.post(f"/join/{token}", data={"nickname": "Ann"})
    found = re.search(r'value="http://127\.0\.0\.1:8000/enter/([\w-]{43})"', joined.text)
    assert found is not None
    assert "Hello, <bdi>Ann</bdi>" in browser.get("/", headers=PAGE).text
    assert [a.role for a in accounts.all()] == ["reviewer"]
    assert site.client("").post(f"/join/{token}").status_code == 400  # it works once

    other = site.client("")
    assert other.get(f"/enter/{found[1]}").status_code == 200
    assert other.get("/annotate").status_code == 401  # looking is not signing in
    assert other.post(f"/enter/{found[1]}").status_code == 303
    assert other.get("/", headers=PAGE).status_code == 200
    pasted = site.client("")
    assert pasted.post("/enter", data={"link": f" http://127.0.0.1:8000/enter/{found[1]}/ "}).status_code == 303


def test_nickname_may_be_left_out(site: Site) -> None:
    site.client("").post(f"/join/{site.workplace.accounts.invite('annotator', site.clock())}")
    assert site.workplace.accounts.all()[0].nickname.startswith("guest ")
    site.client("").post(
        f"/join/{site.workplace.accounts.invite('annotator', site.clock())}", data={"nickname": "x" * 61}
    )
    assert len(site.workplace.accounts.all()) == 1


@pytest.mark.parametrize("token", ["wrong", "x" * 5000, "%00", "..%2f..", "<script>"])
def test_invitations_that_are_none(client: Callable[..., TestClient], token: str) -> None:
    answer = client("").post(f"/join/{token}", data={"nickname": "Ann"})
    assert answer.status_code in (400, 404)
    assert "set-cookie" not in answer.headers
    assert client("").post(f"/enter/{token}").status_code in (401, 404)


def test_names_and_labels_never_run(site: Site) -> None:
    """A nickname, a campaign and its labels that hold markup are shown as text."""
    space = LabelSpace.from_names([NASTY, "other"], "x")
    site.workplace.add([Task("v", "v.mp4", 0, (0, 1))], space, name=NASTY.replace("/", "|"), settings=Settings(votes=1))
    browser = site.client("")
    browser.post(f"/join/{site.workplace.accounts.invite('owner', site.clock())}", data={"nickname": NASTY[:59]})
    text = browser.get("/", headers=PAGE).text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    hello = re.search(r"Hello, <bdi>(.*)</bdi>", text)
    assert hello is not None
    assert "\u202e" not in hello[1]  # marks that turn the text around are dropped from nicknames
    assert all("\u202e" not in line or "<bdi>" in line or "href" in line for line in text.splitlines())


def test_first_page_by_role(site: Site) -> None:
    shown = {role: site.client(role).get("/", headers=PAGE).text for role in ("annotator", "reviewer", "owner")}
    assert all("/annotate/round1" in text for text in shown.values())
    assert ["/review/round1" in shown[role] for role in shown] == [False, True, True]
    assert ["/run/round1/people" in shown[role] for role in shown] == [False, False, True]
    assert "0 of 5 clips done" in shown["annotator"]


def test_where_there_is_no_campaign_an_owner_is_led_to_make_one(tmp_path: Path) -> None:
    with Workplace.create(tmp_path / "empty") as workplace:
        app = make_app(workplace, ServeSettings(folder=tmp_path, warm_clips=0))
        site = Site(app, workplace, Clock())
        owner = site.client("owner")
        html = owner.get("/", headers=PAGE).text
        assert 'href="/setup"' in html
        assert 'href="/run"' not in html
        assert 'href="/review"' not in html
        assert owner.get("/run").headers["location"] == "/setup"
        app.state.context.media.close()
        app.state.context.jobs.close()


def test_navigation_is_what_modules_declare(site: Site) -> None:
    site.context.nav = (("One", "/one", "annotator"), ("Two", "/two", "owner"))
    assert 'href="/two"' not in site.client("annotator").get("/", headers=PAGE).text
    assert 'href="/two"' in site.client("owner").get("/", headers=PAGE).text


def test_live_server_answers(live_server: LiveServer) -> None:
    assert httpx.get(live_server.url).status_code == 200
    assert httpx.post(live_server.entry("annotator")).status_code == 303
