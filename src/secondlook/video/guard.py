"""Decoding in a child process that is killed when it takes too long: a hang becomes a clip with status `timeout`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.sample import Sampling

START_S = 60.0
"""Time allowed for the child to start, on top of the time allowed for decoding."""
_LENGTH = struct.Struct("<I")
_PIPE_BYTES = 2**20
_CHILD = (sys.executable, "-c", "from secondlook.video._guard_child import main; main()")


class _EndedEarlyError(EOFError):
    """A signal ended the child before it was ready: somebody cancelled."""

    def __init__(self, code: int) -> None:
        self.code = code


class Guard:
    """Decodes in a child process with a time-out; the child is started when first needed and again after it was killed.

    Works in any process, data loader workers included: the child is a plain subprocess that imports no torch, and a
    copy of a guard in a forked or spawned worker starts a child of its own. Requests go out as JSON, frames come back
    as raw bytes over a pipe (no pickle). No child outlives its guard: it ends when its input closes, and while it
    decodes the kernel's timer ends it soon after its time is over, even if this process was killed. One guard serves
    one thread.

    Args:
        timeout_s: time allowed for one video.

    Raises:
        BadValue: if the time is not positive.
    """

    def __init__(self, timeout_s: float = 30.0) -> None:
        if not timeout_s > 0:
            raise BadValue(timeout_s, "the time allowed for decoding must be positive", "Give it in seconds.")
        self.timeout_s = timeout_s
        self._command: Sequence[str] = _CHILD
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(
        self,
        path: str | Path,
        sampling: Sampling | None = None,
        *,
        size: Size | None = None,
        seed: int | None = None,
        frame_count: int | None = None,
    ) -> Clip:
        """As `decode.decode`; status `timeout` if it takes longer than allowed, `unreadable` if the decoder dies."""
        return self.ask(
            "decode",
            path=os.fspath(path),
            sampling=sampling and sampling.to_dict(),
            size=size and asdict(size),
            seed=None if seed is None else int(seed),
            frame_count=None if frame_count is None else int(frame_count),
        )

    def probe(self, path: str | Path) -> Clip:
        """As `decode.probe`, with the same time-out."""
        return self.ask("probe", path=os.fspath(path))

    def ask(self, task: str, **arguments: Any) -> Clip:
        """Has the child do one of its tasks (`_guard_child.TASKS`) with JSON arguments; gives the clip it answers."""
        try:
            child = self._ready_child()
            deadline = time.monotonic() + self.timeout_s
            assert child.stdin is not None
            _send(child.stdin, {"task": task, "timeout_s": self.timeout_s, **arguments})
            (length,) = _LENGTH.unpack(self._receive(4, deadline).tobytes())
            about = json.loads(self._receive(length, deadline).tobytes())
            return self._clip(about, deadline)
        except TimeoutError:
            self._kill()
            return failed("timeout", f"decoding did not end within {self.timeout_s:g} s")
        except (EOFError, BrokenPipeError) as error:
            code = error.code if isinstance(error, _EndedEarlyError) else self._kill()
            how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
            return failed("unreadable", f"the decoder's process ended {how}")

    def _clip(self, about: dict[str, Any], deadline: float) -> Clip:
        if "bad_value" in about:
            raise BadValue(*about["bad_value"])
        shape = about.pop("shape")
        index_T = self._receive(8 * shape[0], deadline).view(np.int64)
        time_s_T = self._receive(8 * shape[0], deadline).view(np.float64)
        return Clip(self._receive(math.prod(shape), deadline).reshape(shape), index_T, time_s_T, **about)

    def _receive(self, length: int, deadline: float) -> npt.NDArray[np.uint8]:
        """Exactly so many bytes, or TimeoutError, or EOFError."""
        assert self._child is not None
        assert self._child.stdout is not None
        data = np.empty(length, np.uint8)
        view, at = data.data, 0
        poll = select.poll()
        poll.register(self._child.stdout, select.POLLIN)
        while at < length:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise TimeoutError
            count: int = self._child.stdout.readinto(view[at:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            at += count
        return data

    def _ready_child(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._owner == os.getpid() and self._child.poll() is None:
            return self._child
        self.close()
        self._child = subprocess.Popen(  # noqa: S603 - our own code
            list(self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self._owner = os.getpid()
        assert self._child.stdout is not None
        with contextlib.suppress(OSError, AttributeError):  # a larger pipe is quicker where the system has one
            fcntl.fcntl(self._child.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._receive(1, time.monotonic() + START_S)
        except (TimeoutError, EOFError) as error:
            code = self._kill()
            if isinstance(error, EOFError) and code is not None and code < 0:
                raise _EndedEarlyError(code) from None
            raise RuntimeError("the decoder's process could not be started") from None
        return self._child

    def _kill(self) -> int | None:
        """Ends the child at once; gives its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        code = child.poll()
        if code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(0.2) if self._closed_by_itself(child) else None
            child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        # A process that hangs inside the kernel (a dead network drive) cannot be waited for: it is left behind.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
        return code if code is not None else child.returncode

    @staticmethod
    def _closed_by_itself(child: subprocess.Popen[bytes]) -> bool:
        """True if the child has closed its side of the pipe, so that it is about to end."""
        poll = select.poll()
        assert child.stdout is not None
        poll.register(child.stdout, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def cancel(self) -> None:
        """Ends what the child is doing, from another thread: the request under way answers `unreadable`."""
        child = self._child
        if child is not None and self._owner == os.getpid():
            child.kill()

    def close(self) -> None:
        """Ends the child; the next request starts another."""
        if self._child is not None and self._owner != os.getpid():
            # A forked copy: the child belongs to the other process. Only our copies of its pipes are closed.
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child.returncode = 0
            self._child = None
        self._kill()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_child": None, "_owner": 0}


def _send(pipe: Any, message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode()
    pipe.write(_LENGTH.pack(len(data)) + data)
