"""The annotator's page: one clip beside its options; every choice is saved as it is made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from secondlook.annotate.drafts import Draft
from secondlook.annotate.store import Store
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.web import _annotate_views as views
from secondlook.web.context import context
from secondlook.web.headers import policy
from secondlook.web.home import site
from secondlook.web.identity import Annotator, Needs, guard_of
from secondlook.web.rendering import page

router = APIRouter()
nav = (("Label clips", "/annotate", "annotator"),)
BODY_BYTES = 64 * 1024
TaskId = Annotated[int, Path(ge=1, le=2**31)]
NOT_YOURS = "This clip is not one of yours."
_STATUS = {"video_id": 404, "worker": 409, "round": 409}
"""What stands in the way of an answer (`intake.Refused.about`), as a status; everything else is 422."""


@router.get("/annotate", response_class=HTMLResponse)
def campaigns(request: Request, session: Annotator) -> Response:
    """The campaigns with this person's progress; straight to the only one."""
    here = context(request)
    names = here.workplace.campaign_names()
    if len(names) == 1:
        return RedirectResponse(_address(names[0]), 303)
    rows = [views.progress(_store(request, name), session.account.person, here.clock()) for name in names]
    return page(request, "annotate_list.html", rows=[row | {"url": _address(row["name"])} for row in rows])


@router.get("/annotate/{campaign}", response_class=HTMLResponse)
def annotate(request: Request, campaign: str, session: Annotator) -> Response:
    """The page itself, the same for every task: what is asked comes from `state`."""
    store = _store(request, campaign)
    path, question = _address(store.name), store.settings.question
    return page(request, "annotate.html", address=site(request) + path, base=f"/api{path}", question=question)


@router.get("/api/annotate/{campaign}/state")
def state(request: Request, campaign: str, session: Annotator) -> Response:
    """The batch, the clip to answer now, and the address of the clip after it."""
    store = _store(request, campaign)
    return JSONResponse(views.state(store, session.account.person, context(request).clock()))


@router.post("/api/annotate/{campaign}/batch")
def another_batch(request: Request, campaign: str, session: Annotator) -> Response:
    """The next batch, once the present one is done; else the present one."""
    store, now_s = _store(request, campaign), context(request).clock()
    person = session.account.person
    present = store.batch(person, now_s)
    if present.done >= present.size:
        store.next_batch(person, now_s)
    return JSONResponse({"state": views.state(store, person, now_s)})


@router.get("/api/annotate/{campaign}/at/{position}")
def at(request: Request, campaign: str, position: int, session: Annotator) -> Response:
    """A clip of the present batch that this person was given."""
    store, now_s = _store(request, campaign), context(request).clock()
    person = session.account.person
    for assignment in store.batch(person, now_s).assignments:
        if assignment.position == position and assignment.state != "expired":
            return JSONResponse(views.view(store, person, assignment))
    raise HTTPException(404, "There is no such clip in your present batch.")


@router.get("/api/annotate/{campaign}/times/{task}")
def times(request: Request, campaign: str, task: TaskId, session: Annotator) -> Response:
    """When each frame of a clip is shown, so that a step is exactly one frame; empty where that is not known."""
    store = _store(request, campaign)
    here = context(request)
    if views.given_s(store, session.account.person, task) is None:
        raise HTTPException(404, NOT_YOURS)
    found = views.times_s(here, store, task)
    kept = "private, max-age=3600" if found else "no-store"  # the clip may be made ready yet
    return JSONResponse({"times_s": found}, headers={"Cache-Control": kept})


async def _body(request: Request) -> bytes:
    policy(request).body_bytes = BODY_BYTES
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(400, "The page was left before it had sent everything.") from None


def _draft_in(body: bytes) -> Draft:
    """The draft in a body; everything in it is checked, but for what only the store knows."""
    try:
        return Draft.from_dict(json.loads(body))
    except (BadValue, UnknownName) as error:
        raise HTTPException(422, _words(error)) from None
    except (ValueError, RecursionError):
        raise HTTPException(422, "This is no answer: the body must be JSON.") from None


async def _draft_of(request: Request, session: Annotator) -> Draft:
    return _draft_in(await _body(request))


Given = Annotated[Draft, Depends(_draft_of)]


class _Clicked(APIRoute):
    """A route that is asked for with every click: guard, body and function in one visit to a thread.

    FastAPI's own way, by which every other route goes, visits one for the guard and one for the function, and takes as
    long as they do. It also says what is wrong with an address.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        usual, guard, endpoint = super().get_route_handler(), guard_of(self), self.endpoint
        assert isinstance(guard, Needs)

        def do(request: Request, body: bytes) -> Response:
            session = guard.in_thread(request)
            where = request.path_params
            answer: Response = endpoint(request, where["campaign"], int(where["task"]), session, _draft_in(body))
            return answer

        async def handle(request: Request) -> Response:
            if re.fullmatch(r"[1-9][0-9]{0,8}", request.path_params["task"]) is None:
                return await usual(request)
            return await run_in_threadpool(do, request, await _body(request))

        return handle


clicked = APIRouter(route_class=_Clicked)


@clicked.put("/api/annotate/{campaign}/draft/{task}")
def save_draft(request: Request, campaign: str, task: TaskId, session: Annotator, draft: Given) -> Response:
    """Keeps what stands on the page; it is on disk when this answers."""
    store, now_s = _store(request, campaign), context(request).clock()
    try:
        store.save_draft(session.account.person, task, draft, now_s)
    except BadValue as error:
        raise _refusal(error) from None
    return JSONResponse({"saved": True})


@clicked.post("/api/annotate/{campaign}/answer/{task}")
def answer(request: Request, campaign: str, task: TaskId, session: Annotator, draft: Given) -> Response:
    """Takes the answer (`Store.hand_in`), and gives what comes next."""
    store = _store(request, campaign)
    if not (draft.choices or draft.no_match or draft.review or draft.unsuitable):
        raise HTTPException(422, "Nothing is chosen yet.")
    try:
        turn = store.hand_in(session.account.person, task, draft, context(request).clock())
    except BadValue as error:
        raise _refusal(error) from None
    if turn is None:
        raise HTTPException(404, NOT_YOURS)
    return JSONResponse({"saved": True, "state": views.shown(store, turn)})


router.routes.extend(clicked.routes)


@router.get("/api/annotate/{campaign}/labels")
def labels(request: Request, campaign: str, session: Annotator) -> Response:
    """Every label by coarse group, the same for every task."""
    content, tag = _labels_json(_store(request, campaign).labels)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


@lru_cache(maxsize=32)
def _labels_json(space: LabelSpace) -> tuple[bytes, str]:
    members: dict[str, list[dict[str, Any]]] = {}
    for i, label in enumerate(space.labels):
        members.setdefault(label.group, []).append({"label": i, "text": label.name})
    groups = [{"name": name, "labels": found} for name, found in members.items()]
    content = json.dumps({"groups": groups}, ensure_ascii=False, separators=(",", ":")).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:20]}"'


def _store(request: Request, campaign: str) -> Store:
    return views.campaign(context(request).workplace, campaign)


def _address(campaign: str) -> str:
    return f"/annotate/{quote(campaign, safe='')}"


def _refusal(error: BadValue) -> HTTPException:
    return HTTPException(_STATUS.get(getattr(error, "about", ""), 422), _words(error))


def _words(error: BadValue | UnknownName) -> str:
    """The rule and the cure, without the value: people are told about clips, not about numbers of tasks."""
    rule, cure = getattr(error, "rule", ""), getattr(error, "cure", "")
    return f"{rule[:1].upper()}{rule[1:]}. {cure}".strip() if rule else str(error)
