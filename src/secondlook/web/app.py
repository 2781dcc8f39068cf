"""The web app: every module `pages_*.py` is found and its router included, so that a new page is one new file."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from secondlook import web
from secondlook.errors import BadValue, MissingFile, SecondlookError, UnknownName
from secondlook.web import home, jobs, media, rendering, uploads
from secondlook.web.context import Context, ServeSettings
from secondlook.web.headers import Shell
from secondlook.web.identity import find_session, guard_of, may
from secondlook.web.limits import Limits

if TYPE_CHECKING:
    from secondlook.annotate.workplace import Workplace

LOG = logging.getLogger("secondlook.web")
_OWN = (home, rendering, media, jobs, uploads)


def make_app(workplace: Workplace, settings: ServeSettings, clock: Callable[[], float] = time.time) -> FastAPI:
    """The app on a workplace, which it does not close.

    Args:
        workplace: accounts and campaigns.
        settings: how it is reached, how much it keeps and takes.
        clock: UNIX seconds.
    """
    modules = [*_OWN, *page_modules()]
    pool = jobs.Jobs()
    clips = media.Media(workplace, settings)
    nav = tuple(link for module in modules for link in getattr(module, "nav", ()))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        clips.start_warming()
        try:
            yield
        finally:
            clips.close()
            pool.close()

    app = FastAPI(title="secondlook", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.context = Context(workplace, settings, clips, Limits(settings.rates), pool, clock, nav)
    app.state.pages = rendering.Pages()
    for module in modules:
        for route in module.router.routes:
            assert isinstance(route, APIRoute), f"{module.__name__}: {route} cannot be guarded"
            assert guard_of(route) is not None, f"{module.__name__}: {route.path} says not who may ask"
        app.router.routes.extend(module.router.routes)  # as they are: an included router is searched through anew
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(SecondlookError, _said_in_words)
    app.add_middleware(Shell, settings=settings, failed=_our_mistake)
    return app


def page_modules() -> list[ModuleType]:
    """Every `pages_*.py` of this room, by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(web.__path__) if m.name.startswith("pages_"))
    return [importlib.import_module(f"{web.__name__}.{name}") for name in names]


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = str(error.detail)
    if error.status_code == 404 and words == "Not Found":
        words = "There is no such page."
    if error.status_code == 405:
        words = "This address does not take that kind of request."
    return _answer(request, error.status_code, words, dict(error.headers or {}))


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [".".join(str(part) for part in e["loc"][1:]) + ": " + str(e["msg"]) for e in error.errors()[:3]]
    return _answer(request, 422, "This was not understood. " + "; ".join(places))


def _said_in_words(request: Request, error: Exception) -> Response:
    """The error's own words; who only annotates gets none that may hold the path of a file, which may name a class."""
    words, session = str(error), find_session(request)
    if session is None or not may(session.account, "owner"):
        if isinstance(error, MissingFile):
            words = "A file that this needs is not there. Tell whoever invited you."
        elif isinstance(error, BadValue):
            words = f"{error.rule[:1].upper()}{error.rule[1:]}. {error.cure}".strip()
    return _answer(request, 404 if isinstance(error, (UnknownName, MissingFile)) else 400, words)


def _our_mistake(request: Request) -> Response:
    return _answer(request, 500, "Something went wrong here. It stands in the server's log; nothing you gave was lost.")


def _answer(request: Request, status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    """The refusal as JSON for a program, as a page for a person."""
    path = request.url.path
    wants_page = "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/media/"))
    response: Response
    if not wants_page:
        response = JSONResponse({"error": words}, status)
    elif status == 401:
        response = rendering.page(request, "enter.html", status=401, token="", message="")
    else:
        title = {403: "Not for you", 404: "Not found", 429: "A moment, please", 500: "That went wrong"}
        about = {"title": title.get(status, "That did not work"), "words": words}
        try:
            response = rendering.page(request, "error.html", status=status, **about)
        except Exception:  # the database may be what is broken
            LOG.exception("the page of an error could not be made")
            response = JSONResponse({"error": words}, status)
    response.headers.update(headers or {})
    return response
