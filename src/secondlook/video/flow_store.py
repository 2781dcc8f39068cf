"""Flow of a video as a file that the readers of this room read as pictures: x, y and 128 as red, green and blue.

Inside it is H.264 without loss, one gray picture `2H x W` a frame, x above y, in mp4 with a key frame every 8. Every
value comes out as it went in. On real clips of 128 pixels (three of them) this takes 3 to 9 % of the raw bytes; FFV1
takes a quarter less at its best setting, but decodes at a third of the speed and cannot be read sparsely.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from secondlook.errors import BadValue, UnknownName
from secondlook.video import _mark, _pictures, decode, flow
from secondlook.video._read import UNKNOWN_RATE
from secondlook.video._stacked import MARK
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.encode import TICKS, Film
from secondlook.video.walk import Shown, Walk

PICTURES = "pictures"
"""Method that computes nothing: it takes the flow_x and flow_y pictures of a folder as they are."""
GOP = 8


@dataclass(frozen=True)
class FlowMaking:
    """How the flow of each video is made; plain values, kept in the table and, as a hash, in every file.

    Raises:
        UnknownName: if there is no such method.
        BadValue: if a number is out of range.
    """

    method: str = "dis"
    """One of `flow.methods`, or `pictures`."""
    short_side: int | None = None
    """Flow is computed on pictures of this short side, and is in their pixels; None: at the size of the video."""
    bound: float = flow.BOUND
    """Displacements beyond so many pixels are clipped."""

    task: ClassVar[str] = "flow"

    def __post_init__(self) -> None:
        if self.method not in (*flow.methods(), PICTURES):
            raise UnknownName("flow method", self.method, (*flow.methods(), PICTURES))
        if self.short_side is not None and not 2 <= self.short_side <= 8192:
            raise BadValue(self.short_side, "short_side must lie in 2..8192")
        if self.short_side is not None and self.method == PICTURES:
            raise BadValue(self.short_side, "pictures of flow keep their size", "Leave --short-side out.")
        if not 0 < self.bound <= 1000:
            raise BadValue(self.bound, "bound must lie in (0, 1000] pixels")

    def about(self) -> dict[str, Any]:
        """What the new table says: that it holds flow, how it was made, and what the values mean."""
        return {"modality": "flow", "flow_method": self.method, "flow_bound": self.bound}

    def arguments(self, video_id: str, listed: str) -> dict[str, Any]:
        """The settings; they are the same for every video."""
        return asdict(self)

    def is_made(self, source: Path, target: Path, arguments: Mapping[str, Any]) -> bool:
        """Whether `target` is the flow of this very source (name, bytes, time of change) by this very method."""
        key = self.key(source)
        return bool(key) and _mark.read(target, MARK).get("key") == key

    def key(self, source: Path) -> str:
        """Hash of the settings and of the source's stamps."""
        return _mark.key_of(asdict(self), _mark.stamps(source, "flow" if self.method == PICTURES else None))


def flow_file(source: str | Path, target: str | Path, **settings: Any) -> Clip:
    """Computes the flow of one video and writes it; does nothing where that was done.

    Frame t of the new file is the motion from frame t to frame t + 1, shown at the time of frame t. The last one is
    repeated, so that the file has as many frames as its video, with the same indices and times; of a single frame the
    flow is zero.

    Args:
        source: video file or folder of frames.
        target: mp4 file to write; it appears only when it is whole.
        **settings: fields of `FlowMaking`.

    Returns:
        A clip without frames, with facts of the new file and the status and reason of the source; of a source that
        cannot be used, only the latter.
    """
    source, target, wish = Path(source), Path(target), FlowMaking(**settings)
    key = wish.key(source)
    kept = _mark.read(target, MARK)
    if key and kept.get("key") == key:
        return _mark.facts(target, kept["status"], kept["reason"])
    if wish.method == PICTURES:
        refused = _pictures.refusal(source, "flow") if source.is_dir() else failed("no_frames", "is no folder")
        if refused is not None:
            return refused
        status, reason, count, fps = "ok", "", len(_mark.stamps(source, "flow")) // 2, UNKNOWN_RATE
        shown = _of_pictures(source)
    else:
        before = decode.probe(source)
        if not before.usable:
            return before
        status, reason, count, fps = before.status, before.reason, before.frame_count, before.fps
        shown = _computed(source, wish)
    about = {"key": key, "status": status, "reason": reason, **wish.about()}
    with StackedWriter(target, fps, MARK + json.dumps(about)) as writer:
        for frame in shown:
            writer.write(frame.frame_HWC, frame.time_s)
    after = _mark.facts(target, status, reason)
    if after.frame_count != count:
        target.unlink()
        return failed("unreadable", f"flow came out for {after.frame_count} of {count} frames")
    return after


def _computed(source: Path, wish: FlowMaking) -> Iterator[Shown]:
    """The flow of each frame to the next, as x and y in 8 bit."""
    cv2.setNumThreads(1)  # processes share the cores
    estimate = flow.estimator(wish.method)
    before: Shown | None = None
    before_HW = picture_HW2 = None
    with Walk(source, Size(short_side=wish.short_side)) as walk:
        for shown in walk.frames():
            gray_HW = np.asarray(cv2.cvtColor(shown.frame_HWC, cv2.COLOR_RGB2GRAY), np.uint8)
            if before is not None and before_HW is not None:
                picture_HW2 = flow.encode(estimate(before_HW, gray_HW), wish.bound)
                yield Shown(before.index, before.time_s, picture_HW2)
            before, before_HW = shown, gray_HW
    if before is not None and before_HW is not None:
        still = flow.encode(np.zeros((*before_HW.shape, 2)), wish.bound)
        yield Shown(before.index, before.time_s, still if picture_HW2 is None else picture_HW2)


def _of_pictures(source: Path) -> Iterator[Shown]:
    for index, picture_HWC in enumerate(_pictures.pixels(source, Size(), "flow")):
        yield Shown(index, index / UNKNOWN_RATE, picture_HWC[..., :2])


class StackedWriter(Film):
    """Writes maps of x and y without loss, one above the other; the file appears when closed, and not after an
    exception.

    Args:
        path: an mp4 file.
        fps: mean frame rate, frames a second.
        comment: kept in the file; it starts with `_stacked.MARK`, by which readers know what it is.
    """

    def __init__(self, path: str | Path, fps: float, comment: str) -> None:
        self.path, self.fps = Path(path), fps
        self._comment = comment
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._container: Any = None
        self._stream: Any = None

    def write(self, picture_HW2: npt.NDArray[np.uint8], time_s: float) -> None:
        """Adds a frame.

        Args:
            picture_HW2: x and y, 8 bit.
            time_s: when it is shown.

        Raises:
            BadValue: if it has another size than the first one.
        """
        stacked_HW = np.concatenate([picture_HW2[..., 0], picture_HW2[..., 1]])
        if self._container is None:
            self._open(*stacked_HW.shape)
        context = self._stream.codec_context
        if stacked_HW.shape != (context.height, context.width):
            raise BadValue(picture_HW2.shape, f"all frames of a video have one size, here {context.height // 2} high")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(stacked_HW), format="gray")
        frame.pts, frame.time_base = round(time_s * TICKS), Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def _open(self, height: int, width: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata["comment"] = self._comment
        options = {"qp": "0", "preset": "veryfast", "threads": "1"}
        options |= {"g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0"}
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(self.fps).limit_denominator(1001), options=options
        )
        self._stream.time_base = Fraction(1, TICKS)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "gray"
        context.time_base = Fraction(1, TICKS)
