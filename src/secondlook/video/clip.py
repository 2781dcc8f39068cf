"""A clip: frames of one video with their times, or the reason in words why there are none.

Legend: T frames, H height, W width, C channels (red, green, blue).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.tables import STATUSES, USABLE


@dataclass(frozen=True)
class Size:
    """Working size of decoded frames: a short side, or a height and a width; all None leaves frames as they are.

    Raises:
        BadValue: if a side is below 1, or both forms are mixed.
    """

    short_side: int | None = None
    """The shorter side becomes this many pixels, the other follows (aspect ratio kept; small videos are enlarged)."""
    height: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        for side in (self.short_side, self.height, self.width):
            if side is not None and side < 1:
                raise BadValue(side, "a side of a frame must be at least 1 pixel")
        if (self.height is None) != (self.width is None):
            raise BadValue((self.height, self.width), "height and width of a working size come together")
        if self.short_side is not None and self.height is not None:
            raise BadValue(self.short_side, "a working size is a short side or a height and a width, not both")

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the resized frame for a source of this height and width.

        The long side is `round(long * short_side / short)`, halves to even.
        """
        if self.height is not None and self.width is not None:
            return self.height, self.width
        if self.short_side is None:
            return height, width
        scale = self.short_side / min(height, width)
        return (
            (self.short_side, max(round(width * scale), self.short_side))
            if height <= width
            else (max(round(height * scale), self.short_side), self.short_side)
        )


@dataclass(frozen=True)
class Clip:
    """What came out of a video: chosen frames, or none and a status that says why."""

    frames_THWC: npt.NDArray[np.uint8]
    """RGB, upright (rotation metadata applied)."""
    frame_index_T: npt.NDArray[np.int64]
    """Index of each frame in the video; 0 is the first that comes out of the decoder."""
    frame_time_s_T: npt.NDArray[np.float64]
    """When each frame is shown, in seconds after the first frame of the video."""
    frame_count: int
    """Frames that come out of the whole video."""
    source_height: int
    """Of the video as shown, before any resize. Pixels that are not square are not made so."""
    source_width: int
    fps: float
    """Mean frame rate in frames a second."""
    status: str = "ok"
    """One of `tables.STATUSES`."""
    reason: str = ""
    """Why, in words; empty when all is well."""

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self.status
        assert len(self.frames_THWC) == len(self.frame_index_T) == len(self.frame_time_s_T)

    @property
    def usable(self) -> bool:
        """True where frames can be had from this video."""
        return self.status in USABLE

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last, in seconds: `frame_count / fps`."""
        return self.frame_count / self.fps if self.fps > 0 else 0.0

    def pick(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Clip:
        """The clip with only the frames at these positions of it; only they are copied (out of a memory map, say)."""
        keep = np.asarray(positions, dtype=np.int64)
        return replace(
            self,
            frames_THWC=self.frames_THWC[keep],
            frame_index_T=self.frame_index_T[keep],
            frame_time_s_T=self.frame_time_s_T[keep],
        )


def failed(status: str, reason: str) -> Clip:
    """A clip without frames that says why."""
    assert status in STATUSES, status
    assert status not in USABLE, status
    return Clip(
        np.zeros((0, 0, 0, 3), np.uint8),
        np.zeros(0, np.int64),
        np.zeros(0, np.float64),
        frame_count=0,
        source_height=0,
        source_width=0,
        fps=0.0,
        status=status,
        reason=reason,
    )
