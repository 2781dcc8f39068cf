"""Work that takes longer than a page may: done in the background, watched by its number."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from secondlook.errors import SecondlookError
from secondlook.web.context import context
from secondlook.web.identity import Reviewer

LOG = logging.getLogger("secondlook.web")
KEPT = 500
"""Jobs that are remembered; those that ended first are forgotten first."""
Progress = Callable[..., None]
"""`progress(done, total=None, words="")`; raises if the server is stopping."""


class Stopped(Exception):  # noqa: N818
    """The server is stopping, so the work is given up."""


@dataclass(frozen=True)
class Job:
    """What is known of a job."""

    job: str
    name: str
    state: str = "waiting"
    """waiting, running, done or failed."""
    done: int = 0
    total: int | None = None
    words: str = ""
    """What it is at, or why it failed."""
    result: Any = None
    """JSON-ready."""


class Jobs:
    """One pool of background threads; safe to share between threads."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._jobs: dict[str, Job] = {}
        self._futures: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._stopping = False

    def submit(self, name: str, function: Callable[[Progress], Any]) -> str:
        """Starts `function(progress)` as soon as a thread is free; what it returns is the job's result.

        Returns:
            The job's id, which nobody can guess.
        """
        job_id = secrets.token_urlsafe(16)
        with self._lock:
            self._jobs[job_id] = Job(job_id, name)
            ended = [j for j, job in self._jobs.items() if job.state in ("done", "failed")]
            for old in ended[: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[old]
                self._futures.pop(old, None)
            self._futures[job_id] = self._pool.submit(self._work, job_id, function)
        return job_id

    def get(self, job_id: str) -> Job | None:
        """A job, or None where there is none of this id."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Every job that is remembered, in the order started."""
        with self._lock:
            return list(self._jobs.values())

    def wait(self, job_id: str, timeout_s: float) -> Job | None:
        """The job, when it has ended or the time is over."""
        future = self._futures.get(job_id)
        if future is not None:
            with contextlib.suppress(TimeoutError):
                future.result(timeout_s)
        return self.get(job_id)

    def close(self) -> None:
        """Takes no more work; what has not begun is dropped, what runs is stopped at its next report of progress."""
        self._stopping = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, job_id: str, function: Callable[[Progress], Any]) -> None:
        def progress(done: int = 0, total: int | None = None, words: str = "") -> None:
            if self._stopping:
                raise Stopped
            self._change(job_id, done=done, total=total, words=words)

        self._change(job_id, state="running")
        try:
            self._change(job_id, state="done", result=function(progress), words="")
        except SecondlookError as error:
            self._change(job_id, state="failed", words=str(error))
        except Stopped:
            self._change(job_id, state="failed", words="The server was stopped.")
        except Exception:
            LOG.exception("a job failed")
            self._change(job_id, state="failed", words="It failed for a reason that stands in the server's log.")

    def _change(self, job_id: str, **change: Any) -> None:
        with self._lock:
            if job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], **change)


router = APIRouter()


@router.get("/api/jobs/{job_id}")
def job(request: Request, job_id: str, session: Reviewer) -> dict[str, Any]:
    """How far a job is."""
    found = context(request).jobs.get(job_id)
    if found is None:
        raise HTTPException(404, "There is no such job; after a restart of the server, older ones are forgotten.")
    return asdict(found)
