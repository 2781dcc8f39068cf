"""Owners' pages of a running campaign: how it does, who works, settings, invitations, what was done, exports."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, UploadFile
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from secondlook.annotate import dashboard, gold
from secondlook.annotate.accounts import ROLES
from secondlook.annotate.store import Store
from secondlook.errors import BadValue, UnknownName
from secondlook.web import _run_views as views
from secondlook.web._campaign_frame import frame
from secondlook.web._campaign_urls import campaign_url
from secondlook.web._run_exports import EXPORTS, safe_lines
from secondlook.web._shown_once import INVITED, Invited
from secondlook.web._trail_views import event_rows
from secondlook.web.context import context
from secondlook.web.home import site
from secondlook.web.identity import Owner
from secondlook.web.rendering import page

router = APIRouter()
nav = (("Run", "/run", "owner"),)
EVENTS = 200
"""Events that the trail shows."""
MOST_USES = 1000


@router.get("/run", response_class=HTMLResponse)
def campaigns(request: Request, session: Owner) -> Response:
    """Every campaign; the only one is opened at once, and where there is none, one can be made."""
    here = context(request)
    names = here.workplace.campaign_names()
    if not names:
        return RedirectResponse("/setup", 303)
    if len(names) == 1:
        return RedirectResponse(campaign_url("run", names[0]), 303)
    rows = []
    for name in names:
        store = here.workplace.campaign(name)
        found = dashboard.progress(store)
        rows.append({"name": name, "url": campaign_url("run", name), "paused": store.paused, "found": found})
    return page(request, "run_campaigns.html", rows=rows)


@router.get("/run/{campaign}", response_class=HTMLResponse)
def overview(request: Request, session: Owner, campaign: str) -> Response:
    """Progress, pace, cost, agreement and what is stuck."""
    here, store = context(request), _store(request, campaign)
    now_s = here.clock()
    found = dashboard.progress(store)
    hours = dashboard.pace(store, now_s)
    stuck = views.stuck_rows(store, dashboard.stuck(store, now_s), now_s)
    return page(
        request,
        "run_overview.html",
        **frame(store, "overview"),
        found=found,
        cost=views.cost_words(dashboard.cost(found, store.settings.reward), store.settings.currency),
        rate=views.share(found.approval_rate),
        bars=views.bars(hours),
        pace=views.pace_words(found, hours),
        most=max(hours),
        stuck=stuck,
        waits=bool(found.waiting or found.second or stuck["held_count"] or stuck["waiting_count"]),
    )


@router.get("/run/{campaign}/people", response_class=HTMLResponse)
def people(request: Request, session: Owner, campaign: str, sort: str = "answers", down: bool = True) -> Response:
    """Every worker's record, sorted as asked, and the invitations."""
    here, store = context(request), _store(request, campaign)
    now_s = here.clock()
    rows = views.worker_rows(store, now_s, sort, down)
    return page(
        request,
        "run_people.html",
        **frame(store, "people"),
        rows=[row for row in rows if row["active"]],
        others=[row for row in rows if not row["active"]],
        columns=views.WORKER_COLUMNS,
        sort=sort,
        down=down,
        invitations=views.invitation_rows(here.workplace.accounts.invitations(), now_s),
        roles=ROLES,
        invited=INVITED.take(session, now_s),
        near=urlsplit(site(request)).hostname in ("127.0.0.1", "localhost", "::1"),
        me=session.account.account_id,
    )


@router.post("/run/{campaign}/people/invite")
def invite(
    request: Request,
    session: Owner,
    campaign: str,
    role: Annotated[str, Form()],
    uses: Annotated[int, Form()] = 1,
    days: Annotated[float, Form()] = 14.0,
) -> Response:
    """Makes an invitation; the page that follows shows its link this once, so that loading it again makes no other."""
    here, store = context(request), _store(request, campaign)
    if role not in ROLES:
        raise UnknownName("role", role, ROLES)
    if not 1 <= uses <= MOST_USES:
        raise BadValue(uses, f"an invitation is for 1 to {MOST_USES} people")
    if not 0 < days <= 365:
        raise BadValue(days, "an invitation is valid for up to 365 days")
    account_id = session.account.account_id
    now_s = here.clock()
    token = here.workplace.accounts.invite(role, now_s, made_by=account_id, uses=uses, valid_s=days * 86_400)
    _record(request, account_id, "invited", "", role=role, uses=uses)
    words = f"{uses} {role}s" if uses > 1 else f"one {role}"
    INVITED.put(session, Invited(f"{site(request)}/join/{token}", words, now_s))
    return RedirectResponse(f"{campaign_url('run', store.name)}/people", 303)


@router.post("/run/{campaign}/people/revoke")
def revoke(request: Request, session: Owner, campaign: str, invitation_id: Annotated[int, Form()]) -> Response:
    """Ends an invitation."""
    here, store = context(request), _store(request, campaign)
    here.workplace.accounts.withdraw(invitation_id)
    _record(request, session.account.account_id, "invitation revoked", "", invitation=invitation_id)
    return RedirectResponse(f"{campaign_url('run', store.name)}/people#invitations", 303)


@router.post("/run/{campaign}/people/disable")
def disable(
    request: Request,
    session: Owner,
    campaign: str,
    account_id: Annotated[int, Form()],
    disabled: Annotated[bool, Form()],
) -> Response:
    """Shuts an account out, or lets it in again; what it gave stays."""
    here, store = context(request), _store(request, campaign)
    if account_id == session.account.account_id:
        raise BadValue(account_id, "is your own account", "Have another owner disable it.")
    here.workplace.accounts.disable(account_id, disabled)
    action = "account disabled" if disabled else "account enabled"
    _record(request, session.account.account_id, action, "", account=account_id)
    return RedirectResponse(f"{campaign_url('run', store.name)}/people", 303)


@router.get("/run/{campaign}/settings", response_class=HTMLResponse)
def settings(request: Request, session: Owner, campaign: str, said: str = "") -> Response:
    """The campaign's settings in a form."""
    store = _store(request, campaign)
    values = {name: views.plain_number(value) for name, value in store.settings.to_dict().items()}
    return _settings_page(request, store, values, "", SAID.get(said, ""))


SAID = {"changed": "The settings were changed.", "gold": "The gold videos were set."}
"""What the settings say after something was done: a fixed list, since it comes by the address."""


@router.post("/run/{campaign}/settings", response_class=HTMLResponse)
async def change(request: Request, session: Owner, campaign: str) -> Response:
    """Changes settings, or says what is wrong with them beside what was typed."""
    form = await request.form()
    typed = {name: str(form[name]) for name in views.SETTINGS if isinstance(form.get(name), str)}
    return await views.in_thread(_change, request, session.account.account_id, campaign, typed)


def _change(request: Request, account_id: int, campaign: str, typed: dict[str, str]) -> Response:
    store = _store(request, campaign)
    try:
        changes = views.read_settings(typed)
        old = store.settings.to_dict()
        changes = {name: value for name, value in changes.items() if value != old[name]}
        if changes:
            store.change(**changes)
    except (BadValue, UnknownName) as error:
        return _settings_page(request, store, store.settings.to_dict() | typed, str(error), "", status=400)
    if changes:
        _record(request, account_id, "settings changed", store.name, **changes)
    return RedirectResponse(f"{campaign_url('run', store.name)}/settings?said=changed", 303)


@router.post("/run/{campaign}/gold")
def set_gold(request: Request, session: Owner, campaign: str, file: UploadFile) -> Response:
    """Makes the videos of a CSV file gold, all or none."""
    store = _store(request, campaign)
    try:
        known = gold.read_sheet(file.file, file.filename or "the file", store.task_ids(), store.labels)
        gold.set_all(store, known)
    except (BadValue, UnknownName) as error:
        values = {name: views.plain_number(value) for name, value in store.settings.to_dict().items()}
        return _settings_page(request, store, values, str(error), "", status=400)
    _record(request, session.account.account_id, "gold set", store.name, tasks=len(known))
    return RedirectResponse(f"{campaign_url('run', store.name)}/settings?said=gold", 303)


@router.post("/run/{campaign}/pause")
def pause(request: Request, session: Owner, campaign: str, paused: Annotated[bool, Form()]) -> Response:
    """Stops dealing tasks, or goes on; answers to tasks that people hold are still taken."""
    store = _store(request, campaign)
    if paused:
        store.pause()
    else:
        store.resume()
    _record(request, session.account.account_id, "paused" if paused else "resumed", store.name)
    return RedirectResponse(campaign_url("run", store.name), 303)


@router.get("/run/{campaign}/trail", response_class=HTMLResponse)
def trail(request: Request, session: Owner, campaign: str) -> Response:
    """What was done, by whom and when: the last events of the workplace."""
    here, store = context(request), _store(request, campaign)
    events = event_rows(here.workplace, EVENTS, here.clock())
    return page(request, "run_trail.html", **frame(store, "trail"), events=events)


@router.get("/run/{campaign}/export/{name}.csv")
def export(request: Request, session: Owner, campaign: str, name: str) -> Response:
    """A CSV file of the campaign, sent as it is read."""
    store = _store(request, campaign)
    if name not in EXPORTS:
        raise UnknownName("export", name, EXPORTS)
    _record(request, session.account.account_id, "exported", store.name, file=name)
    file_name = "".join(c if c.isascii() and c.isalnum() else "-" for c in store.name)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}-{name}.csv"'}
    return StreamingResponse(safe_lines(store, name), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/api/run/{campaign}/agreement")
def agreement(request: Request, session: Owner, campaign: str) -> dict[str, Any]:
    """How much people agree, in numbers and in words: over all, and each worker with the others."""
    return views.agreement(_store(request, campaign))


def _store(request: Request, campaign: str) -> Store:
    return context(request).store(campaign)


def _settings_page(
    request: Request, store: Store, values: dict[str, Any], wrong: str, said: str, status: int = 200
) -> Response:
    return page(
        request,
        "run_settings.html",
        status=status,
        **frame(store, "settings"),
        gold=gold.number(store),
        fields=views.SETTINGS,
        values=values,
        wrong=wrong,
        said=said,
    )


def _record(request: Request, account_id: int, action: str, campaign: str, **about: Any) -> None:
    here = context(request)
    here.workplace.record(action, here.clock(), account_id=account_id, campaign=campaign, **about)
