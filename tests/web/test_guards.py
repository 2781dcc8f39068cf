"""Who may do what: every attack on sessions, roles and forms is tried, on every route there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from secondlook.annotate.accounts import ROLES
from secondlook.annotate.workplace import Workplace
from secondlook.web import app as web_app
from secondlook.web import pages_annotate
from secondlook.web.context import ServeSettings
from secondlook.web.identity import Needs, guard_of
from tests.web.conftest import SITE, Site

OPEN = {
    ("GET", "/"),
    ("GET", "/join/{token}"),
    ("POST", "/join/{token}"),
    ("GET", "/enter"),
    ("POST", "/enter"),
    ("GET", "/enter/{token}"),
    ("POST", "/enter/{token}"),
    ("GET", "/favicon.ico"),
    ("GET", "/static/{version}/{name}"),
    ("GET", "/external/{campaign}/{media}"),
    ("POST", "/external/{campaign}/{media}"),
    ("GET", "/external/{campaign}/{media}/clip.mp4"),
}
"""Everything that is open to people without a session. Think twice before it grows."""
PAGE = {"Accept": "text/html"}


def routes(site: Site) -> Iterator[tuple[str, str, APIRoute]]:
    for found in iter_route_contexts(site.app.routes):
        route = found.original_route
        assert isinstance(route, APIRoute), found.path
        for method in sorted(route.methods):
            yield method, route.path, route


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda m: "1" if m[1] in ("task", "task_id", "position") else "round1", path)


def ask(browser: TestClient, method: str, path: str) -> int:
    return browser.request(method, filled(path)).status_code


def test_every_route_says_who_may_ask(site: Site) -> None:
    seen = list(routes(site))
    assert len(seen) > 15
    for method, path, route in seen:
        guard = guard_of(route)
        assert guard is not None, path
        assert isinstance(guard, Needs) != ((method, path) in OPEN), f"{method} {path}"


def test_nobody_and_people_of_too_low_a_role_are_refused_everywhere(site: Site) -> None:
    nobody = site.client("")
    tried = 0
    for method, path, route in routes(site):
        guard = guard_of(route)
        if not isinstance(guard, Needs):
            continue
        assert ask(nobody, method, path) == 401, f"{method} {path}"
        below = ROLES[: ROLES.index(guard.role)]
        for role in below:
            assert ask(site.client(role), method, path) == 403, f"{role}: {method} {path}"
            tried += 1
        assert ask(site.client(guard.role), method, path) not in (401, 403), f"{guard.role}: {method} {path}"
    assert tried > 5


def test_every_change_needs_the_token_of_its_own_session(site: Site) -> None:
    other = site.client("owner", "somebody else").headers["X-CSRF-Token"]
    for method, path, route in routes(site):
        guard = guard_of(route)
        if method in ("GET", "HEAD") or not isinstance(guard, Needs):
            continue
        for token in (None, "", "wrong", other):
            browser = site.client("owner")
            del browser.headers["X-CSRF-Token"]
            headers = {} if token is None else {"X-CSRF-Token": token}
            assert browser.request(method, filled(path), headers=headers).status_code == 403, f"{method} {path} {token}"
            assert browser.request(method, filled(path), data={"csrf_token": token or ""}).status_code == 403


def test_token_as_a_field_of_a_form(site: Site) -> None:
    browser = site.client("annotator")
    token = browser.headers.pop("X-CSRF-Token")
    assert browser.post("/leave", data={"csrf_token": token[:-1]}).status_code == 403
    assert browser.post("/leave", files={"csrf_token": (None, "x")}).status_code == 403
    assert browser.post("/leave", data={"csrf_token": token}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
    ],
)
def test_a_form_on_another_site_does_nothing(site: Site, headers: dict[str, str]) -> None:
    _, token = site.person("annotator")
    assert site.client("").post(f"/enter/{token}", headers=headers).status_code == 403
    assert site.client("annotator").post("/leave", headers=headers).status_code == 403
    for ours in ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": SITE}, {"Origin": "null"}):
        assert site.client("").post(f"/enter/{token}", headers=ours).status_code == 303


def test_a_router_without_a_guard_does_not_start(
    workplace: Workplace, serve_settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter()
    router.add_api_route("/forgotten", lambda: "secret")
    monkeypatch.setattr(pages_annotate, "router", router)
    with pytest.raises(AssertionError, match="/forgotten says not who may ask"):
        web_app.make_app(workplace, serve_settings)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_cookie_is_kept_from_scripts_and_other_sites(site: Site) -> None:
    _, token = site.person("annotator")
    said = site.client("").post(f"/enter/{token}").headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert "path=/" in said
    assert "secure" not in said  # http on this machine: the browser would not send it back
    assert token.lower() not in said


def test_cookie_over_https_travels_by_nothing_else(workplace: Workplace, serve_settings: ServeSettings) -> None:
    settings = ServeSettings(folder=serve_settings.folder, public_url="https://look.example.org", warm_clips=0)
    app = web_app.make_app(workplace, settings)
    accounts = workplace.accounts
    browser = TestClient(app, base_url="https://look.example.org", follow_redirects=False)
    answer = browser.post(f"/join/{accounts.invite('annotator', 0.0, valid_s=1e7)}")
    assert answer.status_code == 400  # given in 1970, so it is over
    answer = browser.post(f"/join/{accounts.invite('annotator', app.state.context.clock())}")
    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-secondlook=")
    assert "Secure" in said
    assert "Domain" not in said
    assert answer.headers["strict-transport-security"]
    assert "https://look.example.org/enter/" in answer.text
    assert browser.get("/annotate").status_code in (200, 303)


def test_session_is_changed_at_sign_in(site: Site) -> None:
    """A cookie that an attacker planted before the sign-in is worth nothing after it."""
    planted = site.client("annotator", "attacker")
    cookie = planted.cookies["secondlook"]
    victim = site.client("")
    victim.cookies.set("secondlook", cookie)
    _, token = site.person("annotator", "victim")
    answer = victim.post(f"/enter/{token}")
    assert answer.cookies["secondlook"] != cookie
    assert planted.get("/annotate").status_code == 401  # the planted session ended
    made_up = site.client("")
    made_up.cookies.set("secondlook", "A" * 43)
    assert made_up.post(f"/enter/{token}").cookies["secondlook"] != "A" * 43


def test_session_ends_on_leaving_for_a_stolen_cookie_too(site: Site) -> None:
    browser, thief = site.client("annotator"), site.client("")
    thief.cookies.set("secondlook", browser.cookies["secondlook"])
    assert thief.get("/annotate").status_code != 401
    left = browser.post("/leave")
    assert 'secondlook=""' in left.headers["set-cookie"]
    assert thief.get("/annotate").status_code == 401


def test_leaving_everywhere_ends_every_session(site: Site) -> None:
    one, two, other = site.client("annotator"), site.client("annotator"), site.client("annotator", "other")
    one.post("/leave/everywhere")
    assert [b.get("/annotate").status_code == 401 for b in (one, two, other)] == [True, True, False]


def test_disabled_account_is_out_at_once(site: Site) -> None:
    browser = site.client("reviewer")
    account, token = site.person("reviewer")
    assert browser.get("/review").status_code != 401
    site.workplace.accounts.disable(account.account_id)
    assert browser.get("/review").status_code == 401
    assert site.client("").post(f"/enter/{token}").status_code == 401


def test_session_is_over_after_its_time(site: Site) -> None:
    browser = site.client("annotator")
    site.clock.ahead_s = 31 * 86400
    assert browser.get("/annotate").status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "x" * 10_000, "' OR 1=1 --", "\\xff\\x00"])
def test_made_up_cookies_open_nothing(site: Site, cookie: str) -> None:
    browser = site.client("")
    assert browser.get("/annotate", headers={"Cookie": f"secondlook={cookie}"}).status_code == 401


def test_old_sign_in_link_is_dead_after_a_new_one(site: Site) -> None:
    _, token = site.person("annotator")
    answer = site.client("annotator").post("/link")
    found = re.search(r"/enter/([\w-]{20,})", answer.text)
    assert found is not None
    assert site.client("").post(f"/enter/{token}").status_code == 401
    assert site.client("").post(f"/enter/{found[1]}").status_code == 303


def test_pages_send_people_to_sign_in_and_programs_a_sentence(client: Callable[..., TestClient]) -> None:
    page = client("").get("/annotate", headers=PAGE)
    assert page.status_code == 401
    assert "sign-in link" in page.text
    assert client("").get("/api/annotate/round1/state", headers=PAGE).json()["error"]
