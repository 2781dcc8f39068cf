"""The child process of a `Guard`: reads a request, decodes, writes the clip as raw bytes, until its input closes."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from secondlook.errors import BadValue
from secondlook.video import decode
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.sample import Sampling

_LENGTH = struct.Struct("<I")


def _decode(path: str, sampling: dict[str, Any] | None, size: dict[str, Any] | None, **rest: Any) -> Clip:
    chosen = Sampling.from_dict(sampling) if sampling else None
    return decode.decode(path, chosen, size=Size(**size) if size else None, **rest)


def _prepare(**arguments: Any) -> Clip:
    from secondlook.video.prepare import prepare_file  # the encoder is not needed to decode

    return prepare_file(**arguments)


def _proxy(**arguments: Any) -> Clip:
    from secondlook.video.proxy import make_proxy

    return make_proxy(**arguments)


def _flow(**arguments: Any) -> Clip:
    from secondlook.video.flow_store import flow_file

    return flow_file(**arguments)


def _pose(**arguments: Any) -> Clip:
    from secondlook.video.pose_store import pose_file

    return pose_file(**arguments)


TASKS: dict[str, Callable[..., Clip]] = {
    "decode": _decode,
    "probe": decode.probe,
    "prepare": _prepare,
    "proxy": _proxy,
    "flow": _flow,
    "pose": _pose,
}


def main() -> None:
    """Serves requests on standard input, answers on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the parent; it closes our input
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not get between the bytes of an answer
    _write(answers, b"\n")
    while (head := _read(requests, 4)) is not None:
        body = _read(requests, _LENGTH.unpack(head)[0])
        if body is None:
            return
        request = json.loads(body)
        # The parent kills us when the time is over. Should it be gone by then, the kernel does, a moment later.
        signal.setitimer(signal.ITIMER_REAL, request.pop("timeout_s") + 1.0)
        try:
            _answer(answers, TASKS[request.pop("task")](**request))
        except BadValue as error:
            _write(answers, _packed({"bad_value": [_plain(error.value), error.rule, error.cure]}))
        except BrokenPipeError:
            return
        except Exception as error:
            _answer(answers, failed("unreadable", f"{type(error).__name__}: {error}"))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(answers: int, clip: Clip) -> None:
    about = {
        name: getattr(clip, name)
        for name in ("frame_count", "source_height", "source_width", "fps", "status", "reason")
    }
    head = _packed({**about, "shape": clip.frames_THWC.shape})
    arrays = (clip.frame_index_T, clip.frame_time_s_T, clip.frames_THWC)
    _write(answers, head, *(np.ascontiguousarray(a).view(np.uint8).ravel().data for a in arrays if a.size))


def _packed(about: dict[str, Any]) -> bytes:
    data = json.dumps(about).encode()
    return _LENGTH.pack(len(data)) + data


def _write(pipe: int, *parts: bytes | memoryview) -> None:
    """All bytes, in as few calls as the system allows: the reader is woken once, not once a part."""
    views = [memoryview(part) for part in parts]
    while views:
        written = os.writev(pipe, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views:
            views[0] = views[0][written:]


def _read(pipe: BinaryIO, length: int) -> bytes | None:
    """Exactly so many bytes, or None where the input ends."""
    data = b""
    while len(data) < length:
        more = pipe.read(length - len(data))
        if not more:
            return None
        data += more
    return data


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, type(None))) else repr(value)
