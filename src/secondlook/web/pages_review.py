"""Reviewers' pages: the queues, one task with all its answers side by side, what failed and is posted again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from secondlook.annotate import review_queues, reviewing
from secondlook.annotate.intake import Verdict
from secondlook.annotate.store import Store
from secondlook.errors import BadValue
from secondlook.web import _review_views as views
from secondlook.web._campaign_urls import campaign_url
from secondlook.web.context import context
from secondlook.web.identity import Reviewer
from secondlook.web.media import media_url
from secondlook.web.rendering import page

router = APIRouter()
nav = (("Review", "/review", "reviewer"),)
MOST_FAILED = 200
"""Failed tasks that the list shows; "post all again" takes all of them."""


class Decision(BaseModel):
    """A verdict as the page sends it."""

    answer_id: int
    approved: bool
    second_review: bool = False


class Decisions(BaseModel):
    """Verdicts about answers to one task."""

    verdicts: list[Decision] = Field(min_length=1, max_length=100)


@router.get("/review", response_class=HTMLResponse)
def campaigns(request: Request, session: Reviewer) -> Response:
    """Every campaign with what waits; the only one is opened at once."""
    here = context(request)
    names = here.workplace.campaign_names()
    if len(names) == 1:
        return RedirectResponse(campaign_url("review", names[0]), 303)
    rows = []
    for name in names:
        waiting = review_queues.count(here.workplace.campaign(name), "open")
        rows.append({"name": name, "url": campaign_url("review", name), "waiting": waiting})
    return page(request, "review_campaigns.html", rows=rows)


@router.get("/review/{campaign}", response_class=HTMLResponse)
def queues(request: Request, session: Reviewer, campaign: str, said: str = "") -> Response:
    """The queues of a campaign, what can be approved together, and what failed."""
    store = _store(request, campaign)
    rows = [
        {"queue": queue, "words": review_queues.QUEUES[queue], "count": review_queues.count(store, queue)}
        for queue in ("open", "second", "flagged", "answered")
    ]
    failed = review_queues.failed(store)
    tasks, answers = review_queues.agreed(store)
    return page(
        request,
        "review_queues.html",
        campaign=store.name,
        base=campaign_url("review", store.name),
        rows=rows,
        agreed_tasks=tasks,
        agreed_answers=answers,
        failed=failed[:MOST_FAILED],
        failed_count=len(failed),
        failed_twice=sum(f.rounds > 1 for f in failed),
        votes=store.settings.votes,
        said=SAID.get(said.partition("-")[0], "").format(said.partition("-")[2][:10]),
    )


SAID = {
    "approved": "{} answers were approved. Any of them can be changed: open its task and decide again.",
    "again": "{} tasks were posted again.",
    "done": "Nothing is left in that queue.",
}
"""What the page of queues says after something was done: a fixed list, since it comes by the address."""


@router.get("/review/{campaign}/next", response_class=HTMLResponse)
def go_on(request: Request, session: Reviewer, campaign: str, queue: str = "open", after: int = 0) -> Response:
    """The task after this one in a queue; after the last one the first that is still in it."""
    store = _store(request, campaign)
    task_id = review_queues.following(store, queue, after) if after else None
    if task_id is None:
        first = review_queues.waiting(store, queue, 1)
        task_id = first[0] if first and first[0] != after else None
    base = campaign_url("review", store.name)
    if task_id is None:
        return RedirectResponse(f"{base}?said=done", 303)
    return RedirectResponse(f"{base}/task/{task_id}?queue={queue}", 303)


@router.get("/review/{campaign}/task/{task_id}", response_class=HTMLResponse)
def one_task(
    request: Request, session: Reviewer, campaign: str, task_id: int, queue: str = "open", error: str = ""
) -> Response:
    """A task: its clip, the given label, and every worker's answer."""
    store = _store(request, campaign)
    sheet = reviewing.sheet(store, task_id)
    task = store.task(task_id)
    vectors_KD = views.label_vectors(context(request), store)
    base = campaign_url("review", store.name)
    return page(
        request,
        "review_task.html",
        campaign=store.name,
        base=base,
        queue=queue if queue in review_queues.QUEUES else "open",
        queues=review_queues.QUEUES,
        sheet=sheet,
        given=views.given(sheet, store.labels),
        options=[store.labels.names[label] for label in task.options],
        columns=views.columns(sheet, task, store.labels, vectors_KD),
        notes=views.notes(sheet),
        video=media_url(store.name, task.media),
        longest_note=reviewing.LONGEST_NOTE,
        message="This answer was changed by its worker meanwhile. Look again." if error == "changed" else "",
    )


@router.post("/api/review/{campaign}/task/{task_id}/verdicts")
def decide(request: Request, session: Reviewer, campaign: str, task_id: int, given: Decisions) -> dict[str, Any]:
    """Stores verdicts, and gives what the page then shows of every answer."""
    store = _store(request, campaign)
    sheet = reviewing.decide(store, task_id, _verdicts(request, session.account.person, given.verdicts))
    return {"answers": [views.state(answer) for answer in sheet.answers], "words": views.left_words(sheet)}


@router.post("/review/{campaign}/task/{task_id}/verdict")
def decide_by_form(
    request: Request,
    session: Reviewer,
    campaign: str,
    task_id: int,
    answer_id: Annotated[int, Form()],
    approved: Annotated[bool, Form()],
    second_review: Annotated[bool, Form()] = False,
    queue: Annotated[str, Form()] = "open",
) -> Response:
    """The same for a browser without scripts: one verdict, and the page again."""
    store = _store(request, campaign)
    given = [Decision(answer_id=answer_id, approved=approved, second_review=second_review)]
    query = f"queue={queue if queue in review_queues.QUEUES else 'open'}"
    try:
        reviewing.decide(store, task_id, _verdicts(request, session.account.person, given))
    except BadValue:
        query += "&error=changed"
    return RedirectResponse(f"{campaign_url('review', store.name)}/task/{task_id}?{query}", 303)


@router.post("/review/{campaign}/task/{task_id}/note")
def note(
    request: Request,
    session: Reviewer,
    campaign: str,
    task_id: int,
    text: Annotated[str, Form()] = "",
    queue: Annotated[str, Form()] = "open",
) -> Response:
    """Adds a note, and the page again."""
    store = _store(request, campaign)
    reviewing.write_note(store, task_id, session.account.person, text, context(request).clock())
    query = f"queue={queue if queue in review_queues.QUEUES else 'open'}"
    return RedirectResponse(f"{campaign_url('review', store.name)}/task/{task_id}?{query}#notes", 303)


@router.post("/review/{campaign}/agreed")
def approve_agreed(request: Request, session: Reviewer, campaign: str, expected: Annotated[int, Form()]) -> Response:
    """Approves the open answers of every task whose answers are all the same."""
    here, store = context(request), _store(request, campaign)
    tasks = review_queues.approve_agreed(store, session.account.person, expected, here.clock())
    _record(request, session.account.account_id, "approved together", store.name, answers=expected, tasks=len(tasks))
    return RedirectResponse(f"{campaign_url('review', store.name)}?said=approved-{expected}", 303)


@router.post("/review/{campaign}/again")
def post_again(
    request: Request,
    session: Reviewer,
    campaign: str,
    votes: Annotated[int, Form()],
    task: Annotated[list[int] | None, Form()] = None,
    everything: Annotated[bool, Form()] = False,
) -> Response:
    """Posts failed tasks again: the chosen ones, or all; a task that has not failed is left alone."""
    store = _store(request, campaign)
    failed = {f.task_id for f in review_queues.failed(store)}
    wanted = failed if everything else failed & set(task or [])
    if not wanted:
        raise BadValue(0, "no task was chosen that failed", "Tick one or more tasks of the list.")
    done = store.repost(sorted(wanted), votes)
    _record(request, session.account.account_id, "posted again", store.name, tasks=len(done), votes=votes)
    return RedirectResponse(f"{campaign_url('review', store.name)}?said=again-{len(done)}", 303)


def _store(request: Request, campaign: str) -> Store:
    return context(request).store(campaign)


def _verdicts(request: Request, person: str, given: list[Decision]) -> list[Verdict]:
    now_s = context(request).clock()
    return [Verdict(d.answer_id, d.approved, person, d.second_review, now_s) for d in given]


def _record(request: Request, account_id: int, action: str, campaign: str, **about: Any) -> None:
    here = context(request)
    here.workplace.record(action, here.clock(), account_id=account_id, campaign=campaign, **about)
