"""Owners' pages that make a campaign: choose tables, look at what would be asked, ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.tasks import from_candidates
from secondlook.audit import SELECT
from secondlook.errors import BadValue, SecondlookError
from secondlook.labels import LabelSpace
from secondlook.web import _setup_choice as choices
from secondlook.web._campaign_urls import campaign_url
from secondlook.web._run_views import plain_number, read_settings
from secondlook.web._setup_choice import Choice, Preview
from secondlook.web._setup_tables import tables_at_hand
from secondlook.web.context import context
from secondlook.web.identity import Owner
from secondlook.web.jobs import Progress
from secondlook.web.media import located
from secondlook.web.rendering import page

router = APIRouter()
nav = (("New campaign", "/setup", "owner"),)
ASKED = ("question", "votes", "batch", "reward", "currency", "media_root")
"""Settings that the second page asks for; the others have their defaults, and may be changed while it runs."""
_KEPT = 30
CLIP_WAIT_S = 20.0


class Drafts:
    """What was chosen and what came of it, by the job that found it; the oldest are forgotten."""

    def __init__(self) -> None:
        self._choices: OrderedDict[str, tuple[Choice, Preview | None]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job: str, choice: Choice, preview: Preview | None = None) -> None:
        """Keeps a choice, and later its preview."""
        with self._lock:
            self._choices[job] = (choice, preview)
            while len(self._choices) > _KEPT:
                self._choices.popitem(last=False)

    def choice(self, job: str) -> Choice | None:
        """What was chosen."""
        return self._choices.get(job, (None, None))[0]

    def preview(self, job: str) -> Preview:
        """What came of it.

        Raises:
            BadValue: if it is not known any more.
        """
        found = self._choices.get(job, (None, None))[1]
        if found is None:
            raise BadValue("preview", "this one is not known any more", "Start again from New campaign.")
        return found


DRAFTS = Drafts()


@router.get("/setup", response_class=HTMLResponse)
def choose(request: Request, session: Owner, job: str = "") -> Response:
    """The tables at hand, and what to look for in them; after a failure with what was chosen and what is wrong."""
    here = context(request)
    known = here.jobs.get(job) if job else None
    wrong = known.words if known is not None and known.state == "failed" else ""
    return _choose_page(request, DRAFTS.choice(job) or None, wrong)


@router.post("/setup")
async def look(request: Request, session: Owner) -> Response:
    """Looks for candidates in the background, and shows how far that is."""
    form = await request.form()
    typed = {name: str(form[name]) for name in form if name != "predictions"}
    chosen = tuple(str(value) for value in form.getlist("predictions"))
    return await run_in_threadpool(_look, request, typed, chosen)


def _look(request: Request, typed: Mapping[str, str], predictions: tuple[str, ...]) -> Response:
    here = context(request)
    try:
        choice = read_choice(typed, predictions)
    except BadValue as error:
        return _choose_page(request, Choice(predictions, typed.get("videos", "")), str(error), 400)
    at_hand = tables_at_hand(here)
    started = threading.Event()
    number: list[str] = []

    def work(progress: Progress) -> None:
        found = choices.find(choice, at_hand, here.settings.folder, progress)
        started.wait()
        DRAFTS.put(number[0], choice, found)

    number.append(here.jobs.submit("looking for candidates", work))
    DRAFTS.put(number[0], choice)
    started.set()
    return RedirectResponse(f"/setup/{number[0]}", 303)


def read_choice(typed: Mapping[str, str], predictions: tuple[str, ...]) -> Choice:
    """What the form says.

    Raises:
        BadValue: if a number is none, or out of range.
    """
    words = {"top_k": "Options of each model", "limit": "Most videos", "controls": "Random controls",
             "random_options": "Random options", "seed": "Seed"}  # fmt: skip
    numbers: dict[str, int] = {}
    for name, called in words.items():
        text = typed.get(name, "").strip()
        if text:
            if not text.lstrip("-").isdecimal():
                raise BadValue(text, f"{called} must be a whole number")
            numbers[name] = int(text)
    least = {"top_k": 1, "limit": 1}
    for name, value in numbers.items():
        if value < least.get(name, 0):
            raise BadValue(value, f"{words[name]} must be at least {least.get(name, 0)}")
    texts = {
        name: typed[name].strip() for name in ("videos", "candidates", "split", "signal", "select") if typed.get(name)
    }
    return Choice(predictions, **texts, **numbers)  # type: ignore[arg-type]


@router.get("/setup/{job}", response_class=HTMLResponse)
def preview(request: Request, session: Owner, job: str) -> Response:
    """How far the search is; then what was found, and how to ask about it."""
    here = context(request)
    known = here.jobs.get(job)
    if known is None:
        return RedirectResponse("/setup", 303)
    if known.state == "failed":
        return RedirectResponse(f"/setup?job={job}", 303)
    if known.state != "done":
        return page(request, "setup_wait.html", job=job, title=known.name, words=known.words)
    found = DRAFTS.preview(job)
    settings = Settings(media_root=found.root)
    values = {name: plain_number(settings.to_dict()[name]) for name in ASKED}
    return _ask_page(request, job, found, values | {"name": _new_name(here.workplace.campaign_names())}, "")


@router.get("/setup/{job}/clip/{number}.mp4")
def clip(request: Request, session: Owner, job: str, number: int, root: str = "") -> Response:
    """One of the clips of a preview."""
    here = context(request)
    here.limits.check("media", str(session.account.account_id))
    found = DRAFTS.preview(job)
    if not 0 <= number < len(found.examples):
        raise HTTPException(404, "There is no such clip.")
    source, _ = located(here.settings.folder / found.root, found.examples[number]["path"])
    key = here.media.proxies.key_of(source) if source is not None else ""
    if source is None or not key:
        raise HTTPException(404, "There is no such clip.")
    made = here.media.proxies.find(source, key) or here.media.proxies.make(source, key).result(CLIP_WAIT_S)
    if made.path is None:
        raise HTTPException(422, "This clip cannot be shown.")
    return FileResponse(made.path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/setup/{job}")
async def make(request: Request, session: Owner, job: str) -> Response:
    """Makes the campaign in the background."""
    form = await request.form()
    typed = {name: str(form.get(name, "")) for name in (*ASKED, "name")}
    return await run_in_threadpool(_make, request, session.account.account_id, job, typed)


def _make(request: Request, account_id: int, job: str, typed: dict[str, str]) -> Response:
    here = context(request)
    found = DRAFTS.preview(job)
    name = typed["name"].strip()
    try:
        settings = Settings(**read_settings({key: typed[key] for key in ASKED}))
        if not name or "/" in name or name in here.workplace.campaign_names():
            raise BadValue(name, "a campaign needs a name of its own, without a slash")
    except SecondlookError as error:
        return _ask_page(request, job, found, typed, str(error), 400)

    def work(progress: Progress) -> dict[str, str]:
        labels = LabelSpace.from_dict(found.made["label_space"])
        progress(0, 2, "writing the candidates")
        made = {key: value for key, value in found.made.items() if key != "label_space"}
        if not found.choice.candidates:
            made["candidates"] = choices.write_candidates(found, here.settings.folder, name).name
        progress(1, 2, f"making {found.rows.num_rows} tasks")
        store = here.workplace.add(from_candidates(found.rows, labels), labels, name=name, settings=settings, made=made)
        about = {
            "tasks": found.rows.num_rows,
            **{k: v for k, v in asdict(settings).items() if k in ("votes", "reward")},
        }
        here.workplace.record("campaign made", here.clock(), account_id=account_id, campaign=store.name, **about)
        return {"url": campaign_url("run", store.name)}

    return RedirectResponse(f"/setup/{job}/made/{here.jobs.submit('making the campaign', work)}", 303)


@router.get("/setup/{job}/made/{making}", response_class=HTMLResponse)
def made(request: Request, session: Owner, job: str, making: str) -> Response:
    """How far the making is; then the campaign's page."""
    known = context(request).jobs.get(making)
    if known is None:
        return RedirectResponse("/run", 303)
    if known.state == "done":
        return RedirectResponse(f"{known.result['url']}/people#invitations", 303)
    if known.state == "failed":
        found = DRAFTS.preview(job)
        values = {name: plain_number(Settings(media_root=found.root).to_dict()[name]) for name in ASKED}
        return _ask_page(request, job, found, values | {"name": ""}, known.words, 400)
    return page(request, "setup_wait.html", job=making, title=known.name, words=known.words)


def _choose_page(request: Request, choice: Choice | None, wrong: str, status: int = 200) -> Response:
    here = context(request)
    found = tables_at_hand(here)
    kinds = {kind: [table for table in found if table.kind == kind] for kind in ("predictions", "videos", "candidates")}
    if choice is None:
        largest = max((t.classes for t in kinds["predictions"]), default=0)
        fitting = tuple(t.name for t in kinds["predictions"] if t.classes == largest)[:2]
        common = [set(t.splits) for t in kinds["predictions"] if t.name in fitting]
        both = set.intersection(*common) if common else set()
        split = next((name for name in ("test", "val") if name in both), "")  # else all; hardly ever what was learnt
        choice = Choice(fitting, kinds["videos"][0].name if kinds["videos"] else "", split=split)
    splits = sorted({split for table in found for split in table.splits} | ({choice.split} if choice.split else set()))
    return page(
        request,
        "setup.html",
        status=status,
        kinds=kinds,
        choice=choice,
        splits=splits,
        signals=choices.signals(),
        selections=SELECT,
        wrong=wrong,
        folder=here.settings.folder.resolve(),
    )


def _ask_page(
    request: Request, job: str, found: Preview, values: Mapping[str, Any], wrong: str, status: int = 200
) -> Response:
    there, looked = choices.clips_there(str(values["media_root"]), found.rows)
    try:
        cost = choices.estimate_words(
            found.rows.num_rows, Settings(**read_settings({k: str(values[k]) for k in ASKED}))
        )
    except SecondlookError:
        cost = ""
    return page(
        request,
        "setup_ask.html",
        status=status,
        job=job,
        found=found,
        videos=found.rows.num_rows,
        values=values,
        wrong=wrong,
        there=there,
        looked=looked,
        cost=cost,
    )


def _new_name(taken: list[str]) -> str:
    return next(f"round{n}" for n in range(1, len(taken) + 2) if f"round{n}" not in taken)
