"""Child processes that run verbs one after the other, so that torch is loaded once and a crash stays theirs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TAIL = 400
"""Characters of a log that are quoted when a child died."""


@dataclass(frozen=True)
class Answer:
    """How a verb ended."""

    code: int
    """0 done, 1 done with failed rows, 2 wrong use, 3 a fault, -n killed by signal n."""
    words: str = ""
    """Why, where it is not done."""
    printed: str = ""
    """What it wrote to stdout."""


class Worker:
    """One child process that runs verbs as they come; started anew when it died.

    Args:
        module: what `python -m` runs: it reads a JSON list of words a line, and answers with one JSON object a line.
        threads: of numerical libraries in the child; 0 leaves it to them.
    """

    def __init__(self, module: str, threads: int = 1) -> None:
        self.module, self.threads = module, threads
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def run(self, words: Sequence[str], log: Path) -> Answer:
        """Runs one verb; what it says on stderr is added to the log.

        Raises:
            RuntimeError: if the worker was closed meanwhile.
        """
        child = self._alive()
        assert child.stdin is not None
        assert child.stdout is not None
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            child.stdin.write(json.dumps({"words": list(words), "log": str(log)}) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError:
            line = ""
        if line:
            return Answer(**json.loads(line))
        code = child.wait()
        with self._lock:
            if self._closed:
                raise RuntimeError("this worker was closed")
            self._child = None
        _close_streams(child)
        said = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip() if log.is_file() else ""
        return Answer(code or 3, f"the process ended with {code} ({said.splitlines()[-1] if said else 'said nothing'})")

    def close(self) -> None:
        """Ends the child, at once."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(OSError):
                child.kill()
            child.wait()
            _close_streams(child)

    def _alive(self) -> subprocess.Popen[str]:
        with self._lock:
            if self._closed:
                raise RuntimeError("this worker was closed")
            if self._child is None or self._child.poll() is not None:
                environment = dict(os.environ)
                if self.threads:
                    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
                    environment |= dict.fromkeys(names, str(self.threads))
                # In a session of its own: ctrl-C reaches the parent, which ends its children.
                self._child = subprocess.Popen(  # noqa: S603 (this interpreter, a module of ours)
                    [sys.executable, "-m", self.module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    text=True, env=environment, start_new_session=True,
                )  # fmt: skip
            return self._child


def _close_streams(child: subprocess.Popen[str]) -> None:
    for stream in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
