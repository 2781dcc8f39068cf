"""No token, cookie or key is ever logged or printed, nor does one stand in an address that is."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from secondlook.annotate.workplace import Workplace
from secondlook.errors import SecondlookError
from tests.web.conftest import CAMPAIGN, LiveServer
from tests.web.test_shell import PAGE


def test_a_full_run_logs_no_secret(
    live_server: LiveServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything is written down, down to the finest level: an owner comes, invites, works, fails, and leaves."""
    import httpx

    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpx2", "httpcore2"):  # the browser, not the server
        logging.getLogger(name).setLevel(logging.CRITICAL)
    site, url = live_server.site, live_server.url
    secrets = {"invitation": site.workplace.accounts.invite("owner", site.clock())}
    with httpx.Client(base_url=url, headers=PAGE, follow_redirects=True) as browser:
        assert browser.get(f"/join/{secrets['invitation']}").status_code == 200
        joined = browser.post(f"/join/{secrets['invitation']}", data={"nickname": "Ann"})
        secrets["entry"] = re.findall(r"/enter/([\w-]{43})", joined.text)[0]
        secrets["cookie"] = browser.cookies["secondlook"]
        secrets["csrf"] = re.findall(r'csrf-token" content="([\w-]+)"', browser.get("/").text)[0]
        person = site.workplace.accounts.all()[0].person
        secrets["person"] = person
        for path in (f"/annotate/{CAMPAIGN}", f"/api/annotate/{CAMPAIGN}/state", f"/media/{CAMPAIGN}/x.mp4", "/nope"):
            browser.get(path)
        browser.post(f"/api/nothing/{secrets['entry']}?token={secrets['csrf']}")
        browser.get(f"/enter/{secrets['entry']}?x={secrets['cookie']}")
        browser.post("/leave", data={"csrf_token": "wrong"})
        browser.post("/link", data={"csrf_token": secrets["csrf"]})
        browser.post("/leave", data={"csrf_token": secrets["csrf"]})
        browser.post(f"/enter/{secrets['entry']}")

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        site.workplace.campaign_names = broken  # type: ignore[assignment,method-assign]
        browser.get("/annotate")
    secrets["key"] = site.workplace.key().hex()
    printed = capfd.readouterr()
    said = caplog.text + printed.out + printed.err + "".join(repr(record.__dict__) for record in caplog.records)
    assert "/join/{token}" in said  # so the requests were logged
    assert {name: value for name, value in secrets.items() if value in said} == {}


def test_a_database_password_stands_in_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in ("postgresql://ann:hunter22@127.0.0.1:1/x", "mysql://ann:hunter22@h/x", "ann:hunter22"):
        with pytest.raises(SecondlookError) as raised:
            Workplace.open_or_create(tmp_path / "w", database_url=url)
        assert "hunter22" not in str(raised.value)
        assert "hunter22" not in repr(raised.getrepr(style="short"))
    assert "hunter22" not in caplog.text
