"""Owners' page of results: reassess, evaluate and report in one go; what came out, and its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse

from secondlook import catalog
from secondlook.annotate import dashboard
from secondlook.annotate.store import Store
from secondlook.errors import SecondlookError
from secondlook.web import _results_work as work
from secondlook.web._campaign_frame import frame
from secondlook.web._campaign_urls import campaign_url
from secondlook.web._results_work import Wanted
from secondlook.web._run_exports import safe_rows
from secondlook.web._setup_tables import tables_at_hand
from secondlook.web.context import context
from secondlook.web.headers import policy
from secondlook.web.identity import Owner
from secondlook.web.jobs import Progress
from secondlook.web.rendering import page

router = APIRouter()
_META = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"<>]+)">')


@router.get("/results/{campaign}", response_class=HTMLResponse)
def results(request: Request, session: Owner, campaign: str, job: str = "") -> Response:
    """What came out last, and the form to make it anew."""
    here, store = context(request), _store(request, campaign)
    known = here.jobs.get(job) if job else None
    if known is not None and known.state not in ("done", "failed"):
        return page(request, "setup_wait.html", job=job, title=known.name, words=known.words)
    wrong = known.words if known is not None and known.state == "failed" else ""
    return _results_page(request, store, None, wrong)


@router.post("/results/{campaign}")
def make(
    request: Request,
    session: Owner,
    campaign: str,
    rule: Annotated[str, Form()] = "approval_rules",
    given: Annotated[str, Form()] = "",
    unjudged: Annotated[str, Form()] = "refuse",
    predictions: Annotated[list[str] | None, Form()] = None,
    videos: Annotated[str, Form()] = "",
    split: Annotated[str, Form()] = "",
    top_k: Annotated[int, Form()] = 5,
) -> Response:
    """Makes the results in the background."""
    here, store = context(request), _store(request, campaign)
    wanted = Wanted(rule, given, unjudged, tuple(predictions or ()), videos, split, top_k)
    try:
        work.check(wanted)
    except SecondlookError as error:
        return _results_page(request, store, wanted, str(error), 400)
    at_hand, account_id = tables_at_hand(here), session.account.account_id

    def do(progress: Progress) -> dict[str, Any]:
        found = work.make(here, store, wanted, at_hand, progress)
        about = {"rule": rule, "models": len(wanted.predictions)}
        here.workplace.record("results made", here.clock(), account_id=account_id, campaign=store.name, **about)
        return found

    job = here.jobs.submit("reassessing, evaluating, reporting", do)
    return RedirectResponse(f"{campaign_url('results', store.name)}?job={job}", 303)


@router.get("/results/{campaign}/report", response_class=HTMLResponse)
def report(request: Request, session: Owner, campaign: str) -> Response:
    """The report, under the policy that it brings itself: its one script is named by its hash."""
    path = _file(request, campaign, work.REPORT)
    text = path.read_text(encoding="utf-8")
    brought = _META.search(text[:4096])
    if brought is None:
        raise HTTPException(404, "There is no such report. Make the results again.")
    policy(request).own = brought[1].replace("&#39;", "'")
    return HTMLResponse(text)


@router.get("/results/{campaign}/file/{name}")
def file(request: Request, session: Owner, campaign: str, name: str) -> Response:
    """One of the files; a CSV file without cells that a spreadsheet would run."""
    path = _file(request, campaign, name)
    if path.suffix == ".csv":
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(safe_rows(path), media_type="text/csv; charset=utf-8", headers=headers)
    return FileResponse(path, filename=name, media_type="application/octet-stream")


def _store(request: Request, campaign: str) -> Store:
    return context(request).store(campaign)


def _file(request: Request, campaign: str, name: str) -> Path:
    """A file of the results: the names are a fixed list, so no path can lead elsewhere."""
    path = work.folder_of(context(request), _store(request, campaign)) / name
    if name not in work.FILES or not path.is_file():
        raise HTTPException(404, "There is no such file. Make the results first.")
    return path


def _results_page(request: Request, store: Store, wanted: Wanted | None, wrong: str, status: int = 200) -> Response:
    here = context(request)
    at_hand = tables_at_hand(here)
    folder = work.folder_of(here, store)
    found = work.known(folder)
    if wanted is None and found is not None:
        wanted = Wanted(**{**found["wanted"], "predictions": tuple(found["wanted"]["predictions"])})
    fitting = [table for table in at_hand if table.classes == len(store.labels)]
    progress = dashboard.progress(store)
    return page(
        request,
        "results.html",
        status=status,
        **frame(store, "results") | {"base": campaign_url("results", store.name)},
        here=campaign_url("run", store.name),  # for the link of the page head that is marked
        review=campaign_url("review", store.name),
        wanted=wanted or work.usual(store, at_hand),
        rules=catalog.describe("reassess"),
        given=work.GIVEN,
        unjudged=work.UNJUDGED,
        predictions=[table for table in fitting if table.kind == "predictions"],
        videos=[table for table in fitting if table.kind == "videos"],
        splits=sorted({split for table in fitting for split in table.splits}),
        progress=progress,
        found=found,
        files=[(name, words) for name, words in work.FILES.items() if (folder / name).is_file()],
        folder=folder,
        wrong=wrong,
    )
