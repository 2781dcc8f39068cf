"""The first page, and how people come in and leave: invitation, personal sign-in link, session."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from secondlook.annotate import dashboard
from secondlook.annotate.store import Store
from secondlook.errors import BadValue
from secondlook.web.context import context
from secondlook.web.identity import (
    Annotator,
    Anybody,
    Everyone,
    address,
    end_session,
    forget_cookie,
    may,
    sign_in,
)
from secondlook.web.rendering import links, page

router = APIRouter()
NICKNAME_LENGTH = 60
TOKEN_LENGTH = 200


@dataclass(frozen=True)
class Card:
    """One thing to do, on the first page."""

    title: str
    campaign: str
    lines: tuple[str, ...]
    links: tuple[tuple[str, str, str], ...]
    """Label, address and kind of button."""
    done: int = 0
    total: int = 0


@router.get("/", response_class=HTMLResponse)
def home(request: Request, session: Everyone) -> Response:
    """What there is to do, by role."""
    if session is None:
        return page(request, "enter.html", token="", message="")
    here, account = context(request), session.account
    stores = [here.store(name) for name in here.workplace.campaign_names()]
    groups = [("To annotate", [_to_annotate(store, account.person, here.clock()) for store in stores])]
    if may(account, "reviewer"):
        counted = [(store, dashboard.progress(store)) for store in stores]
        groups.append(("To review", [_to_review(*both) for both in counted]))
        if may(account, "owner"):
            groups.append(("Campaigns", [_to_run(*both) for both in counted]))
    more = [(label, url) for label, url, role in links(here, account) if role == "owner"]
    return page(request, "home.html", groups=groups[::-1] if stores else [], more=more)


def _to_annotate(store: Store, person: str, now_s: float) -> Card:
    batch = store.batch(person, now_s)
    link = _below("annotate", store.name)
    if store.paused:
        return Card("Label clips", store.name, ("Paused for now; come back later.",), ())
    if not batch.size:
        return Card("Label clips", store.name, ("There is nothing left for you here. Thank you!",), ())
    if batch.done >= batch.size:
        words = f"Batch {batch.number} is done: {batch.done} clips. Thank you!"
        return Card("Label clips", store.name, (words,), (("Go on", link, ""),), batch.done, batch.size)
    begun = any(place.state == "answered" for place in batch.assignments)
    words = f"Batch {batch.number}: {batch.done} of {batch.size} clips done."
    return Card(
        *("Label clips", store.name, (words,)),
        links=(("Go on" if begun else "Start", link, "primary"),),
        done=batch.done,
        total=batch.size,
    )


def _to_review(store: Store, found: dashboard.Progress) -> Card:
    words = f"{_count(found.open, 'answer')} of {_count(found.waiting, 'clip')} to judge."
    lines = [words if found.open else "Nothing to judge just now."]
    if found.second:
        lines.append(f"{_count(found.second, 'clip')} marked for a second look.")
    judged = found.approved + found.rejected
    link = ("Review", _below("review", store.name), "primary" if found.open else "")
    return Card("Review", store.name, tuple(lines), (link,), judged, found.given)


def _to_run(store: Store, found: dashboard.Progress) -> Card:
    lines = (
        f"{_count(found.complete, 'clip')} of {found.tasks} complete.",
        f"{_count(found.given, 'answer')} of {found.asked} given." + (" Paused." if store.paused else ""),
    )
    at = _below("run", store.name)
    links = (("Open", at, ""), ("Results", _below("results", store.name), ""), ("Invite people", f"{at}/people", ""))
    return Card("Campaign", store.name, lines, links, found.given, found.asked)


def _below(place: str, campaign: str) -> str:
    return f"/{place}/{quote(campaign, safe='')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@router.get("/join/{token}", response_class=HTMLResponse)
def join(request: Request, token: str, session: Everyone) -> Response:
    """Says what is kept; opening it uses nothing up, so that a preview of the link does no harm."""
    return page(request, "join.html", token=token, message="", entry="", longest=NICKNAME_LENGTH)


@router.post("/join/{token}", response_class=HTMLResponse)
def accept(request: Request, token: str, session: Everyone, nickname: Annotated[str, Form()] = "") -> Response:
    """Takes the invitation, signs in, and shows the personal sign-in link this once."""
    here = context(request)
    here.limits.check("entry", address(request))
    known_by = _plain(nickname) or f"guest {secrets.token_hex(2)}"
    try:
        account, entry = here.workplace.accounts.accept(token[:TOKEN_LENGTH], known_by, here.clock())
    except BadValue as error:
        message = f"{error.rule[:1].upper()}{error.rule[1:]}. {error.cure}"
        return page(request, "join.html", status=400, token=token, message=message, entry="", longest=NICKNAME_LENGTH)
    here.workplace.record("joined", here.clock(), account_id=account.account_id, role=account.role)
    link = f"{site(request)}/enter/{entry}"
    response = page(request, "join.html", token="", message="", entry=link, longest=NICKNAME_LENGTH)
    sign_in(request, response, account)
    return response


@router.get("/enter", response_class=HTMLResponse)
@router.get("/enter/{token}", response_class=HTMLResponse)
def enter(request: Request, session: Everyone, token: str = "") -> Response:
    """A button, so that a preview of the link does not sign in."""
    return page(request, "enter.html", token=token, message="")


@router.post("/enter", response_class=HTMLResponse)
@router.post("/enter/{token}", response_class=HTMLResponse)
def come_in(request: Request, session: Everyone, token: str = "", link: Annotated[str, Form()] = "") -> Response:
    """Signs in with the token of the address, or with a link that was pasted."""
    here = context(request)
    here.limits.check("entry", address(request))
    given = (token or link.strip().rstrip("/").rsplit("/", 1)[-1])[:TOKEN_LENGTH]
    account = here.workplace.accounts.sign_in(given) if given else None
    if account is None or account.disabled:
        words = "This link does not open anything. It may be an older one, or a part of it is missing."
        return page(request, "enter.html", status=401, token="", message=words)
    response = RedirectResponse("/", 303)
    sign_in(request, response, account)
    return response


@router.post("/link", response_class=HTMLResponse)
def new_link(request: Request, session: Annotator) -> Response:
    """A new personal sign-in link, shown this once; the old one opens nothing any more."""
    entry = context(request).workplace.accounts.renew_entry(session.account.account_id)
    link = f"{site(request)}/enter/{entry}"
    return page(request, "join.html", token="", message="", entry=link, longest=NICKNAME_LENGTH)


@router.post("/leave")
def leave(request: Request, session: Annotator) -> Response:
    """Ends the session of this browser."""
    end_session(request)
    response = RedirectResponse("/", 303)
    forget_cookie(request, response)
    return response


@router.post("/leave/everywhere")
def leave_everywhere(request: Request, session: Annotator) -> Response:
    """Ends every session of this account."""
    context(request).workplace.accounts.end_all(session.account.account_id)
    response = RedirectResponse("/", 303)
    forget_cookie(request, response)
    return response


@router.get("/favicon.ico")
def favicon(request: Request, session: Anybody) -> Response:
    """The picture on the tab."""
    return RedirectResponse(request.app.state.pages.static.url("mark.svg"), 307)


def site(request: Request) -> str:
    """The address that links to here begin with."""
    return context(request).settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")


def _plain(nickname: str) -> str:
    """A nickname without line breaks, controls and marks that turn the direction of text."""
    kept = "".join(c for c in nickname if c.isprintable())
    if len(kept.strip()) > NICKNAME_LENGTH:
        raise HTTPException(422, f"A nickname has at most {NICKNAME_LENGTH} characters.")
    return kept.strip()
