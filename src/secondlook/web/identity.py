"""Who asks: the session behind a cookie, the role a route needs, and proof that a page of ours sent a change."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from secondlook.annotate.accounts import ROLES, Account, Session
from secondlook.web.context import Context, context
from secondlook.web.headers import SAFE

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf_token"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_LONGEST_COOKIE = 200


class Needs:
    """Dependency: a session whose account has this role or a higher one, and the session's CSRF token on a change."""

    def __init__(self, role: str) -> None:
        self.role = role

    async def __call__(self, request: Request) -> Session:
        """The session.

        Raises:
            HTTPException: 401 if there is none, 403 if its role is too low or the token is missing or wrong, 429 if
                it asks too often.
        """
        session = self._admitted(request, await _session(request))
        if request.method not in SAFE:
            await check_csrf(request, session)
        return session

    def in_thread(self, request: Request) -> Session:
        """The same from within a thread, for a request that carries its token in a header and not in a form."""
        session = self._admitted(request, find_session(request))
        if request.method not in SAFE:
            _check_token(request.headers.get(CSRF_HEADER), session)
        return session

    def _admitted(self, request: Request, session: Session | None) -> Session:
        if session is None:
            raise HTTPException(401, "Open your personal sign-in link first.")
        if not may(session.account, self.role):
            raise HTTPException(403, f"This page is for people with the role {self.role}.")
        kind = "read" if request.method in SAFE else "write"
        context(request).limits.check(kind, str(session.account.account_id))
        return session


class Open:
    """Dependency that marks a route as open to everyone; gives the session where there is one."""

    async def __call__(self, request: Request) -> Session | None:
        """The session or None."""
        return await _session(request)


class Free(Open):
    """Marks a route as open to everyone, and does not ask who comes."""

    async def __call__(self, request: Request) -> None:
        """Nothing."""


Annotator = Annotated[Session, Depends(Needs("annotator"))]
Reviewer = Annotated[Session, Depends(Needs("reviewer"))]
Owner = Annotated[Session, Depends(Needs("owner"))]
Everyone = Annotated[Session | None, Depends(Open())]
Anybody = Annotated[None, Depends(Free())]


def may(account: Account, role: str) -> bool:
    """Whether an account may do what a role may: each may do what those before it may."""
    return not account.disabled and ROLES.index(account.role) >= ROLES.index(role)


def guard_of(route: APIRoute) -> Needs | Open | None:
    """What stands before a route; None means that it was forgotten."""
    found = [d.call for d in route.dependant.dependencies if isinstance(d.call, (Needs, Open))]
    needs = [guard for guard in found if isinstance(guard, Needs)]
    return needs[0] if needs else (found[0] if found else None)


async def _session(request: Request) -> Session | None:
    """`find_session`; only what is not in memory is looked up in a thread."""
    here = context(request)
    found = here.workplace.accounts.remembered(request.cookies.get(cookie_name(here), ""), here.clock())
    if found is None:
        return await run_in_threadpool(find_session, request)
    request.state.session = found
    return found


def find_session(request: Request) -> Session | None:
    """The session behind the request's cookie, looked up once a request."""
    if not hasattr(request.state, "session"):
        here = context(request)
        cookie = request.cookies.get(cookie_name(here), "")
        found = here.workplace.accounts.session(cookie, here.clock()) if 0 < len(cookie) <= _LONGEST_COOKIE else None
        request.state.session = None if found is None or found.account.disabled else found
    session: Session | None = request.state.session
    return session


async def check_csrf(request: Request, session: Session) -> None:
    """Raises 403 unless the request carries the session's token, in a header or in a form's field."""
    given: Any = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").split(";")[0].strip().lower() in _FORMS:
        given = (await request.form()).get(CSRF_FIELD)
    _check_token(given, session)


def _check_token(given: object, session: Session) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise HTTPException(403, "This page is out of date. Load it again and repeat the last step.")


def cookie_name(here: Context) -> str:
    """Over https the name binds the cookie to this host and to https."""
    return "__Host-secondlook" if here.settings.secure else "secondlook"


def sign_in(request: Request, response: Response, account: Account) -> None:
    """Opens a session and puts its cookie on the response; the one that this browser had ends."""
    here = context(request)
    end_session(request)
    cookie, _ = here.workplace.accounts.open_session(account.account_id, here.clock(), here.settings.session_s)
    response.set_cookie(
        cookie_name(here),
        cookie,
        max_age=int(here.settings.session_s),
        path="/",
        httponly=True,
        secure=here.settings.secure,
        samesite="lax",
    )


def end_session(request: Request) -> None:
    """Ends the session of this browser, if it has one."""
    here = context(request)
    cookie = request.cookies.get(cookie_name(here), "")
    if 0 < len(cookie) <= _LONGEST_COOKIE:
        here.workplace.accounts.end_session(cookie)


def forget_cookie(request: Request, response: Response) -> None:
    """Has the browser drop its cookie."""
    here = context(request)
    response.delete_cookie(cookie_name(here), path="/", httponly=True, secure=here.settings.secure, samesite="lax")


def address(request: Request) -> str:
    """The address a request comes from; IPv6 by its network of 64 bits, which one person has for himself."""
    host = request.client.host if request.client else ""
    return ":".join(host.split(":")[:4]) if host.count(":") > 1 else host
