"""Headers, host names, sizes, rates and error pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.web.app import make_app
from secondlook.web.context import ServeSettings
from secondlook.web.headers import Hosts, Shell, policy
from secondlook.web.limits import Limits, Rate
from tests.web.conftest import SITE, Clock, Site

PAGE = {"Accept": "text/html"}


def directives(policy_text: str) -> dict[str, str]:
    return dict(part.strip().partition(" ")[::2] for part in policy_text.split(";"))


@pytest.mark.parametrize("path", ["/", "/enter/abc", "/nowhere", "/annotate", "/static/x/nothing.js", "/api/jobs/x"])
def test_every_answer_carries_the_headers(client: Callable[..., TestClient], path: str) -> None:
    headers = client("").get(path, headers=PAGE).headers
    rules = directives(headers["content-security-policy"])
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == rules["form-action"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_route_may_allow_to_be_framed() -> None:
    app = FastAPI()
    app.add_middleware(Shell, settings=ServeSettings(), failed=lambda request: Response(status_code=500))

    @app.get("/framed")
    def framed(request: Request) -> str:
        policy(request).frame_ancestors = "https://www.example.com"
        policy(request).form_action = "https://www.example.com"
        return ""

    @app.get("/plain")
    def plain() -> str:
        return ""

    browser = TestClient(app, base_url=SITE)
    rules = directives(browser.get("/framed").headers["content-security-policy"])
    assert rules["frame-ancestors"] == rules["form-action"] == "https://www.example.com"
    assert "x-frame-options" not in browser.get("/framed").headers
    assert directives(browser.get("/plain").headers["content-security-policy"])["frame-ancestors"] == "'none'"


def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(site: Site) -> None:
    for role, path in (("", "/"), ("", "/join/x"), ("", "/enter/x"), ("owner", "/"), ("owner", "/nope")):
        text = site.client(role).get(path, headers=PAGE).text
        assert re.search(r"<script(?![^>]*\ssrc=)", text) is None, path
        assert re.search(r"<style|\sstyle=|\son\w+=|javascript:", text) is None, path
        assert re.findall(r'(?:src|href|action)="(?!/|#)([^"]*)"', text) == [], path


def test_static_files_last_and_nothing_else_is_served(site: Site) -> None:
    browser, static = site.client(""), site.app.state.pages.static
    for name in static.files:
        answer = browser.get(static.url(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert browser.get("/static/old/base.css").headers["cache-control"] == "no-cache"
    for name in ("..%2Fapp.py", "%2e%2e%2fapp.py", "../app.py", "base.css%00", "/etc/passwd", ".", "nothing"):
        assert browser.get(f"/static/{static.hash}/{name}").status_code == 404, name


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "a@127.0.0.1", "x:y"]
)
def test_foreign_host_names_are_refused(client: Callable[..., TestClient], host: str) -> None:
    assert client("").get("/", headers={"Host": host}).status_code == 400


def test_host_names_that_are_known() -> None:
    near = Hosts(ServeSettings())
    assert all(near.known(host) for host in ("127.0.0.1:8000", "localhost", "[::1]:8000", "LOCALHOST:1"))
    assert not near.known("192.168.0.7:8000")
    everywhere = Hosts(ServeSettings(host="0.0.0.0"))
    assert everywhere.known("192.168.0.7:8000")
    assert everywhere.known("[fe80::1]")
    assert not everywhere.known("rebound.example:8000")
    named = Hosts(ServeSettings(public_url="https://look.example.org"))
    assert named.known("look.example.org")
    assert not named.known("example.org")


@pytest.mark.parametrize(
    "url", ["look.example.org", "ftp://x", "https://", "https://x/below", "https://x?y", "javascript:x"]
)
def test_public_address_must_be_one(url: str) -> None:
    with pytest.raises(BadValue):
        ServeSettings(public_url=url)


# -- sizes and rates ---------------------------------------------------------------------------------------------------


def test_large_bodies_are_refused_while_they_come_in(site: Site) -> None:
    browser = site.client("annotator")
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(1000):
            sent += 64 * 1024
            yield b"x" * 64 * 1024

    answer = browser.post("/leave", content=endless(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (303, 403, 413)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.client("").post("/enter", content=b"link=" + b"x" * 300_000, headers=form)
    assert answer.status_code == 413
    assert "at most 256 KB" in answer.json()["error"]
    assert site.client("").post("/enter", headers={"Content-Length": "-5"}).status_code == 400


def test_bucket_against_its_slow_twin() -> None:
    """A bucket of 3 that gains 2 a second, asked at uneven times; the twin counts in steps of a millisecond."""
    now = 0.0
    limits = Limits({"write": Rate(3, 2.0)}, clock=lambda: now)
    times = [0, 0, 0, 0, 0.2, 0.5, 0.5, 0.6, 1.0, 1.4, 5.0, 5.0, 5.0, 5.0, 5.3]
    level, last, wanted = 3.0, 0.0, []
    for at in times:
        for _ in range(round((at - last) * 1000)):
            level = min(3.0, level + 0.002)
        last = at
        allowed = level >= 1 - 1e-9
        level -= allowed
        wanted.append(allowed)
    given = []
    for at in times:
        now = at
        given.append(limits.wait_s("write", "anna") == 0)
    assert given == wanted
    assert limits.wait_s("write", "ben") == 0  # everyone has a bucket of their own


def test_buckets_do_not_fill_the_memory() -> None:
    limits = Limits({"entry": Rate(2, 1e-9)}, clock=lambda: 0.0, most=100)
    for number in range(1000):
        limits.wait_s("entry", str(number))
        assert limits.wait_s("entry", str(number)) == 0
        assert limits.wait_s("entry", str(number)) > 0
        assert len(limits._buckets) <= 101


@pytest.mark.parametrize(
    ("kind", "role", "method", "path", "usual"),
    [
        ("entry", "", "POST", "/enter/wrong", 401),
        ("entry", "", "POST", "/join/wrong", 400),
        ("write", "annotator", "POST", "/link", 200),
        ("read", "annotator", "GET", "/annotate/round1", 200),
        ("media", "annotator", "GET", "/media/round1/wrong.mp4", 404),
        ("upload", "owner", "POST", "/api/uploads?name=x.exe", 415),
    ],
)
def test_too_often_is_said_with_when_to_come_again(
    workplace: Workplace,
    serve_settings: ServeSettings,
    clock: Clock,
    kind: str,
    role: str,
    method: str,
    path: str,
    usual: int,
) -> None:
    settings = ServeSettings(folder=serve_settings.folder, warm_clips=0, rates={kind: Rate(3, 0.01)})
    site = Site(make_app(workplace, settings, clock), workplace, clock)
    browser = site.client(role)
    said = [browser.request(method, path) for _ in range(4)]
    assert [answer.status_code for answer in said] == [usual] * 3 + [429]
    assert 90 <= int(said[-1].headers["retry-after"]) <= 100
    assert said[-1].json()["error"]
    site.context.media.close()


# -- what is said when something is wrong ------------------------------------------------------------------------------


def failing(site: Site, error: Exception, role: str = "annotator", page: bool = True) -> tuple[int, str]:
    def fail(name: str = "") -> list[str]:
        raise error

    browser = site.client(role)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.workplace, "campaign_names", fail)
        answer = browser.get("/annotate", headers=PAGE if page else {})
    return answer.status_code, answer.text


def test_errors_become_sentences_with_the_right_status(site: Site) -> None:
    assert failing(site, BadValue(3, "must be even", "Give 4."), page=False)[0] == 400
    assert failing(site, MissingFile("/data/pouring/x.mp4"), page=False)[0] == 404
    status, text = failing(site, UnknownName("campaign", "x", ["round1"]), page=False)
    assert status == 404
    assert "round1" in text


def test_annotators_read_no_path_of_a_file(site: Site) -> None:
    for error in (MissingFile("/data/pouring/x.mp4"), BadValue("/data/pouring/x.mp4", "is locked", "Wait.")):
        status, text = failing(site, error, page=False)
        assert status in (400, 404)
        assert "pouring" not in text
        assert "pouring" in failing(site, error, "owner", page=False)[1]


@pytest.mark.parametrize("page", [True, False])
def test_no_traceback_leaves_the_server(site: Site, page: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status, text = failing(site, ZeroDivisionError("secret detail"), page=page)
    assert status == 500
    assert "Traceback" not in text
    assert "secret detail" not in text
    assert "ZeroDivisionError" in caplog.text  # whoever runs the server can find out


def test_a_page_that_is_not_there(client: Callable[..., TestClient]) -> None:
    assert "There is no such page" in client("annotator").get("/wp-admin", headers=PAGE).text
    assert client("").get("/api/nothing").json() == {"error": "There is no such page."}
    assert client("annotator").put("/").status_code == 405
    refused = client("annotator").put("/api/annotate/round1/draft/none", json={})
    assert refused.status_code == 422
    assert "not understood" in refused.json()["error"]
