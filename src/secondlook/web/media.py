"""Clips for the browser: which file a task's video is, who may see it, made ready before it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from secondlook.annotate import schema
from secondlook.annotate.accounts import Session
from secondlook.errors import SecondlookError
from secondlook.video.listed_path import leaves_root
from secondlook.video.proxy import refusal
from secondlook.web.context import ServeSettings, context
from secondlook.web.identity import Annotator, Reviewer, may
from secondlook.web.proxies import Playable, Proxies

if TYPE_CHECKING:
    from secondlook.annotate.store import Store
    from secondlook.annotate.tasks import Task
    from secondlook.annotate.workplace import Workplace

LOG = logging.getLogger("secondlook.web")
CANNOT = "This clip cannot be shown. Mark it as unsuitable and go on; nothing is wrong with your device."
NONE = "There is no such clip."


def media_url(campaign: str, media: str) -> str:
    """Address of a clip."""
    return f"/media/{quote(campaign, safe='')}/{quote(media, safe='')}.mp4"


@dataclass(frozen=True)
class Problem:
    """A task whose clip cannot be shown; for reviewers and owners only, the reason may name the file."""

    campaign: str
    task: int
    video_id: str
    status: str
    """One of `tables.STATUSES`."""
    reason: str


def located(root: Path, listed: str) -> tuple[Path | None, str]:
    """The file that a table names, or why it is not opened: it must lie inside the root, links followed.

    Returns:
        The path and an empty text, or None and the reason in words.
    """
    if not listed.strip():
        return None, "the table of tasks names no file for it"
    if leaves_root(listed):
        return None, f"its path {listed!r} leaves the folder of the clips"
    try:
        inside, path = root.resolve(), (root / listed).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"its path {listed!r} cannot be followed ({error})"
    if not path.is_relative_to(inside) or path == inside:
        return None, f"its path {listed!r} leads out of the folder of the clips by a link"
    return path, ""


class Media:
    """The clips of a workplace. Safe to share between threads."""

    def __init__(self, workplace: Workplace, settings: ServeSettings) -> None:
        self._workplace, self._settings = workplace, settings
        folder = Path(workplace.folder) / "media-cache"
        self.proxies = Proxies(folder, settings.short_side, settings.cache_bytes, settings.clip_timeout_s)
        self._problems_file = folder / "problems.json"
        self._lock = threading.Lock()
        self._problems = self._read_problems()
        self._dealt: dict[tuple[int, int, int], None] = {}
        self._warmed: set[tuple[int, int]] = set()
        self._stop = threading.Event()
        self._warmer: threading.Thread | None = None

    # -- one clip --------------------------------------------------------------------------------------------------

    def find(self, store: Store, task: Task) -> tuple[Playable | None, Path | None]:
        """The clip of a task if it is there, or why it cannot be shown; (None, source) if it has yet to be made."""
        source, words = located(self.root(store), task.path)
        if source is None:
            return self._note(store, task, Playable(None, "", "missing", words)), None
        key = self.proxies.key_of(source)
        if not key:
            refused = refusal(source)
            return self._note(store, task, Playable(None, "", refused.status, refused.reason)), None
        found = self.proxies.find(source, key)
        return (None, source) if found is None else (self._note(store, task, found), source)

    def ready(self, store: Store, task: Task, wait_s: float = 0.0) -> Playable | None:
        """The clip of a task, made now if it is not there; None if it is not done within the time."""
        found, source = self.find(store, task)
        if found is not None or source is None:
            return found
        future = self.start(store, task, source)
        with contextlib.suppress(TimeoutError):
            return future.result(wait_s)
        return None

    def warm(self, store: Store, task: Task) -> None:
        """Has a clip made that will soon be asked for; does not wait."""
        found, source = self.find(store, task)
        if found is None and source is not None:
            self.start(store, task, source)

    def root(self, store: Store) -> Path:
        """Folder that the paths of a campaign's tasks are relative to."""
        return self._settings.folder / (store.settings.media_root or "")

    def start(self, store: Store, task: Task, source: Path) -> Future[Playable]:
        """Begins to make a clip that `find` did not find; who asks meanwhile gets the same one."""

        def then(found: Playable) -> None:
            self._note(store, task, found)

        return self.proxies.make(source, self.proxies.key_of(source), then)

    # -- who may see it --------------------------------------------------------------------------------------------

    def may_see(self, session: Session, store: Store, task: Task) -> bool:
        """Reviewers see every clip, annotators those of the tasks that they were dealt."""
        if may(session.account, "reviewer"):
            return True
        key = (session.account.worker_id, store.campaign_id, task.task_id)
        if key in self._dealt:
            return True
        hold = schema.assignments.c
        mine = (hold.worker_id == key[0], hold.campaign_id == key[1], hold.task_id == key[2])
        with store.reading() as connection:
            dealt = connection.scalar(sa.select(hold.assignment_id).where(*mine).limit(1)) is not None
        if dealt:
            with self._lock:
                if len(self._dealt) > 100_000:
                    self._dealt.clear()
                self._dealt[key] = None
        return dealt

    # -- what cannot be shown --------------------------------------------------------------------------------------

    def problems(self, campaign: str = "") -> list[Problem]:
        """Every task whose clip cannot be shown, as far as it was tried."""
        with self._lock:
            return [p for p in self._problems.values() if campaign in ("", p.campaign)]

    def _note(self, store: Store, task: Task, found: Playable) -> Playable:
        """Keeps the problem of a clip, or forgets the one that is over."""
        at = (store.name, task.task_id)
        new = None if found.path else Problem(store.name, task.task_id, task.video_id, found.status, found.reason)
        with self._lock:
            if self._problems.get(at) == new:
                return found
            if new is None:
                del self._problems[at]
            else:
                self._problems[at] = new
                LOG.warning("a clip cannot be shown: campaign %r, task %d: %s", store.name, task.task_id, found.status)
            self._write_problems()
        return found

    def _read_problems(self) -> dict[tuple[str, int], Problem]:
        try:
            rows = [Problem(**row) for row in json.loads(self._problems_file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return {}
        return {(row.campaign, row.task): row for row in rows}

    def _write_problems(self) -> None:
        self._problems_file.parent.mkdir(parents=True, exist_ok=True)
        part = self._problems_file.with_name(f".problems.{os.getpid()}.part")
        part.write_text(json.dumps([asdict(p) for p in self._problems.values()], indent=1) + "\n", encoding="utf-8")
        part.replace(self._problems_file)

    # -- ahead of being asked for ----------------------------------------------------------------------------------

    def start_warming(self) -> None:
        """Starts the thread that makes clips of tasks that still want answers, one after the other."""
        if self._settings.warm_clips > 0 and self._warmer is None:
            self._warmer = threading.Thread(target=self._warm_all, name="warm", daemon=True)
            self._warmer.start()

    def close(self) -> None:
        """Stops making clips."""
        self._stop.set()
        self.proxies.close()
        if self._warmer is not None:
            self._warmer.join(10)

    def _warm_all(self) -> None:
        while not self._stop.is_set():
            try:
                for name in self._workplace.campaign_names():
                    self._warm_campaign(self._workplace.campaign(name))
            except SecondlookError as error:
                LOG.warning("clips are not made ahead: %s", error)
            except Exception:
                if not self._stop.is_set():
                    LOG.exception("clips are not made ahead")
            self._stop.wait(30)

    def _warm_campaign(self, store: Store) -> None:
        """Clips of the tasks that want answers, by their numbers; stops where the cache is nearly full."""
        if store.paused:
            return
        row = schema.rounds.c
        wanting = sa.select(row.task_id).where(row.campaign_id == store.campaign_id, row.taken < row.votes)
        with store.reading() as connection:
            numbers = connection.scalars(wanting.order_by(row.task_id).limit(self._settings.warm_clips)).all()
        for number in numbers:
            if self._stop.is_set() or self.proxies.bytes() > 0.8 * self._settings.cache_bytes:
                return
            if (store.campaign_id, number) in self._warmed:
                continue
            self._warmed.add((store.campaign_id, number))
            task = store.task(number)
            found, source = self.find(store, task)
            if found is None and source is not None:
                while self.proxies.waiting and not self._stop.wait(0.2):
                    pass  # people who wait come first
                if not self._stop.is_set():
                    self.start(store, task, source).result()


router = APIRouter()


@router.api_route("/media/{campaign}/{name}.mp4", methods=["GET", "HEAD"])
async def clip(request: Request, campaign: str, name: str, session: Annotator) -> Response:
    """A clip, whole or the range asked for."""
    here = context(request)
    here.limits.check("media", str(session.account.account_id))
    store, task = await run_in_threadpool(_allowed, request, campaign, name, session)
    return await served(request, store, task)


async def served(request: Request, store: Store, task: Task) -> Response:
    """The clip of a task that the one who asks may see; waits for one that is being made, within a bound."""
    here = context(request)
    found, source = await run_in_threadpool(here.media.find, store, task)
    if found is None and source is not None:
        future = here.media.start(store, task, source)
        with contextlib.suppress(TimeoutError):
            wait_s = here.settings.media_wait_s
            found = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), wait_s)
    if found is None:
        raise HTTPException(503, "This clip is still being made ready.", {"Retry-After": "2"})
    if found.path is None:
        return JSONResponse({"error": CANNOT, "state": "broken"}, 422)
    return _file(request, found.path, found.key)


@router.get("/api/media/{campaign}/{name}")
def state(request: Request, campaign: str, name: str, session: Annotator) -> dict[str, str]:
    """Whether a clip can be shown: ready, making or broken; has it made if nobody has asked yet."""
    here = context(request)
    here.limits.check("media", str(session.account.account_id))
    store, task = _allowed(request, campaign, name, session)
    found = here.media.ready(store, task)
    if found is None:
        return {"state": "making", "words": "This clip is still being made ready."}
    return {"state": "ready", "words": ""} if found.path else {"state": "broken", "words": CANNOT}


@router.get("/api/media-problems/{campaign}")
def problems(request: Request, campaign: str, session: Reviewer) -> list[dict[str, Any]]:
    """The tasks whose clips cannot be shown, with the reasons."""
    here = context(request)
    return [asdict(problem) for problem in here.media.problems(here.store(campaign).name)]


def _allowed(request: Request, campaign: str, name: str, session: Session) -> tuple[Store, Task]:
    """The task of a clip; 404 whether there is none or it is not for this person."""
    store, task = task_of(request, campaign, name)
    if not context(request).media.may_see(session, store, task):
        raise HTTPException(404, NONE)
    return store, task


def task_of(request: Request, campaign: str, name: str) -> tuple[Store, Task]:
    """The campaign and the task behind the names in an address; 404 if there is none."""
    try:
        store = context(request).store(campaign)
        task = store.task_of_media(name) if len(name) < 100 else None
    except SecondlookError:
        raise HTTPException(404, NONE) from None
    if task is None:
        raise HTTPException(404, NONE)
    return store, task


def _file(request: Request, path: Path, key: str) -> Response:
    etag = f'"{key}"'
    # When a source was last changed could tell its class (archives unpack class by class), so one time stands for all.
    headers = {"ETag": etag, "Cache-Control": "private, max-age=3600", "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    asked = request.headers.get("if-none-match", "")
    if etag in (tag.strip().removeprefix("W/") for tag in asked.split(",")):
        return Response(status_code=304, headers=headers)
    try:
        return FileResponse(path, headers=headers, media_type="video/mp4", stat_result=path.stat())
    except OSError:
        raise HTTPException(503, "This clip is being made anew.", {"Retry-After": "2"}) from None
