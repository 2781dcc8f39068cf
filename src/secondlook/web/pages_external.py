"""A task inside a frame of Mechanical Turk (ExternalQuestion): who comes has no session, but an address that we signed.

A browser drops the cookies of a page in a foreign frame, so nothing here needs one. The address of a task carries a
keyed hash (`mturk.signature`): without it there is no task. What the platform adds to the address (worker, assignment,
where to send the answer on) is taken as a claim: an answer is kept under the worker's pseudonym, and money moves only
for assignments that the platform itself lists (`mturk.decide`).
"""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from secondlook.annotate import mturk, outside
from secondlook.annotate.intake import Answer, Rating
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task, public_view
from secondlook.web.context import context
from secondlook.web.headers import policy
from secondlook.web.identity import Everyone, address
from secondlook.web.media import NONE, served, task_of
from secondlook.web.rendering import page

router = APIRouter()
Signed = Annotated[str, Query(max_length=100)]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_FRAMES = "https://*.mturk.com https://www.mturkcontent.com"


@router.get("/external/{campaign}/{media}")
def ask(request: Request, campaign: str, media: str, session: Everyone, signed: Signed = "") -> HTMLResponse:
    """The task as a form; without an accepted assignment it is only shown."""
    store, task = _task(request, campaign, media, signed)
    _framed(request)
    query = request.query_params
    assignment = query.get("assignmentId", mturk.NOT_ACCEPTED)
    view = public_view(task, store.labels)
    return page(
        request,
        "external.html",
        question=store.settings.question,
        options=view["options"],
        video=f"/external/{campaign}/{media}/clip.mp4?signed={signed}",
        signed=signed,
        accepted=assignment != mturk.NOT_ACCEPTED,
        hidden={
            "assignmentId": assignment,
            "workerId": query.get("workerId", ""),
            "turkSubmitTo": query.get("turkSubmitTo", ""),
        },
    )


@router.post("/external/{campaign}/{media}")
async def answer(request: Request, campaign: str, media: str, session: Everyone, signed: Signed = "") -> HTMLResponse:
    """Stores the answer, then has the browser send it on to the platform, which counts the assignment as submitted."""
    store, task = await run_in_threadpool(_task, request, campaign, media, signed)
    _framed(request)
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=400)

    def one(name: str) -> str:
        return fields.get(name, [""])[0]

    to = one("turkSubmitTo").rstrip("/")
    platform = mturk.SUBMIT_TO.get(to)
    assignment, worker = one("assignmentId"), one("workerId")
    if (
        platform is None
        or assignment == mturk.NOT_ACCEPTED
        or not (_NAME.fullmatch(assignment) and _NAME.fullmatch(worker))
    ):
        raise HTTPException(400, "This answer does not come from an accepted assignment. Accept the HIT first.")
    given = Answer(
        task.task_id,
        worker,
        _choices(fields),
        no_match="no_match" in fields,
        review="review" in fields,
        unsuitable="unsuitable" in fields,
        submitted_s=context(request).clock(),
    )
    await run_in_threadpool(_store, store, given, platform, assignment)
    chosen = "|".join(store.labels.names[label] for label in given.choices)
    return page(
        request,
        "external_done.html",
        action=f"{to}/mturk/externalSubmit",
        hidden={"assignmentId": assignment, "selected": chosen, "no_match": "1" if given.no_match else ""},
    )


@router.get("/external/{campaign}/{media}/clip.mp4")
async def clip(request: Request, campaign: str, media: str, session: Everyone, signed: Signed = "") -> Response:
    """The clip of a signed task."""
    store, task = await run_in_threadpool(_task, request, campaign, media, signed)
    return await served(request, store, task)


def _task(request: Request, campaign: str, media: str, signed: str) -> tuple[Store, Task]:
    """The task of a signed address; 404 whether there is none or the signature is wrong."""
    context(request).limits.check("media", address(request))
    store, task = task_of(request, campaign, media)
    if not hmac.compare_digest(mturk.signature(store, task).encode(), signed.encode()):
        raise HTTPException(404, NONE)
    return store, task


def _framed(request: Request) -> None:
    rules = policy(request)
    rules.frame_ancestors = _FRAMES
    rules.form_action = " ".join(("'self'", *mturk.SUBMIT_TO))


def _choices(fields: dict[str, list[str]]) -> dict[int, Rating]:
    found: dict[int, Rating] = {}
    for text in fields.get("label", []):
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise HTTPException(400, "A label is a number of the list.")
        found[int(text)] = "yes"
    return found


def _store(store: Store, given: Answer, platform: str, assignment: str) -> Any:
    receipt = store.offer([given])[0]
    if receipt.problem is not None:
        raise HTTPException(400, f"{receipt.problem.rule.capitalize()}. {receipt.problem.cure}".strip())
    outside.name_answers(store, platform, {receipt.answer_id: assignment})
    return receipt
