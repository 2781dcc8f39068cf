"""What every answer says to the browser, which addresses the server answers to, how much it takes, and what it logs."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondlook.web.context import ServeSettings

LOG = logging.getLogger("secondlook.web.access")
ERRORS = logging.getLogger("secondlook.web")
BODY_BYTES = 256 * 1024
"""Largest request body, where a route does not allow more (`policy(request).body_bytes`)."""
SAFE = ("GET", "HEAD", "OPTIONS")
_KEY = "secondlook.policy"


@dataclass
class Policy:
    """What one answer may differ in; a route changes its own (`policy(request)`)."""

    frame_ancestors: str = "'none'"
    """Pages that may show this one in a frame."""
    form_action: str = "'self'"
    """Where forms may be sent."""
    body_bytes: int = BODY_BYTES
    """Largest body that is taken; set before the body is read."""
    own: str = ""
    """A content security policy that a page of ours brings itself, such as a report; it may not be framed either."""

    def content_security(self) -> str:
        """The content security policy: scripts, styles, clips and requests from here only, nothing inline."""
        if self.own:
            return f"{self.own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            "media-src 'self' blob: data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
            f"form-action {self.form_action}; frame-ancestors {self.frame_ancestors}"
        )


def policy(request: HTTPConnection) -> Policy:
    """What the answer to this request may differ in."""
    found = request.scope.setdefault(_KEY, Policy())
    assert isinstance(found, Policy)
    return found


class Shell:
    """Around all routes: host and origin check, headers, body limit, our own mistakes, a line in the log a request.

    Args:
        app: what is inside.
        settings: of the server.
        failed: the answer where a route raised what nobody expected; it shows no traceback.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, failed: Callable[[Request], Response]) -> None:
        self._app, self._hosts, self._secure, self._failed = app, Hosts(settings), settings.secure, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rules = scope[_KEY] = Policy()
        begun, status, taken = time.perf_counter(), 0, 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add(message, rules)
            await send(message)

        async def receive_within_limit() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > rules.body_bytes:
                raise too_large(rules.body_bytes)
            return message

        refusal = self._refusal(Headers(scope=scope), scope["method"])
        try:
            await (refusal or self._app)(scope, receive_within_limit, send_with_headers)
        except Exception as error:
            log_failure(error)
            if not status:
                answer = await run_in_threadpool(self._failed, Request(scope, receive))
                await answer(scope, receive, send_with_headers)
        finally:
            # The route's pattern, not the address: addresses of invitations hold tokens, addresses of clips names.
            pattern = getattr(scope.get("route"), "path", "(no route)")
            LOG.info("%s %s %d %.0f ms", scope["method"], pattern, status, 1e3 * (time.perf_counter() - begun))

    def _refusal(self, headers: Headers, method: str) -> Response | None:
        host = headers.get("host", "")
        if not self._hosts.known(host):
            words = "This server does not answer to that name. Start it with --public-url if it should."
            return JSONResponse({"error": words}, 400)
        if method not in SAFE and not same_origin(headers, host):
            return JSONResponse({"error": "This was sent from another site, so it is not done."}, 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return JSONResponse({"error": "The length of what was sent makes no sense."}, 400)
        return None

    def _add(self, message: Message, rules: Policy) -> None:
        """Puts our headers on an answer; those that the route set itself are dropped, but for `Cache-Control`."""
        own = [pair for pair in message["headers"] if pair[0].lower() not in _OURS]
        kept = any(pair[0].lower() == b"cache-control" for pair in own)
        security = (b"content-security-policy", rules.content_security().encode("latin-1"))
        frames = (_NO_FRAMES,) if rules.frame_ancestors == "'none'" else ()
        secure = (_ONLY_HTTPS,) if self._secure else ()
        message["headers"] = [*own, security, *_ALWAYS, *frames, *secure, *(() if kept else (_NO_STORE,))]


_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex, nofollow"),
)
_NO_FRAMES = (b"x-frame-options", b"DENY")
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE = (b"cache-control", b"no-store")
_OURS = {b"content-security-policy", _NO_FRAMES[0], _ONLY_HTTPS[0], *(name for name, _ in _ALWAYS)}


def log_failure(error: BaseException) -> None:
    """Logs where it happened and what, but not what a database statement was given: that may be secret."""
    lines = []
    link: BaseException | None = error
    while link is not None:
        orig = getattr(link, "orig", None) if isinstance(link, SQLAlchemyError) else link
        lines.append("".join(traceback.format_tb(link.__traceback__)) + f"{type(link).__name__}: {orig}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    ERRORS.error("a request failed\n%s", "\ncaused by\n".join(lines))


def too_large(most: int) -> HTTPException:
    """The refusal of a body that is too large."""
    size = f"{most / 1e6:g} MB" if most >= 10**6 else f"{most // 1024} KB"
    return HTTPException(413, f"That is too large: at most {size} are taken here.")


def same_origin(headers: Headers, host: str) -> bool:
    """Whether a request was sent by one of our own pages, as far as its headers tell.

    Browsers say so in `Sec-Fetch-Site`; older ones name the page's `Origin` ("null" where the page sends no referrer,
    as ours do). A program that is no browser says neither.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin", "null")
    return origin == "null" or urlsplit(origin).netloc.lower() == host.lower()


class Hosts:
    """Names the server answers to: that of `public_url`, of `host`, and its own; a foreign name may be an attack.

    A page of another site can make its name lead to this machine, and then read what is here (DNS rebinding). It
    cannot do so with an address in figures, so these are answered where the server listens on every address.
    """

    def __init__(self, settings: ServeSettings) -> None:
        names = {"localhost", "127.0.0.1", "::1", settings.host.lower()}
        if settings.public_url:
            names.add((urlsplit(settings.public_url).hostname or "").lower())
        self._anywhere = settings.host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
        if self._anywhere:
            own = socket.gethostname().lower()
            names |= {own, f"{own}.local", own.split(".")[0], f"{own.split('.')[0]}.local"}
        self._names = names

    def known(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        try:
            parts = urlsplit(f"//{host}")
            name, _ = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if not name or parts.path or "@" in parts.netloc:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._anywhere
