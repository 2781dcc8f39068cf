"""Flow as it lies in a file: one gray picture `2H x W`, x above y; read as a picture `H x W` with x, y, 128 as colours.

A file says of itself that it holds flow, in its container's comment; so every reader of this room takes it as it is.
"""

from __future__ import annotations

from typing import Any

import av.video.frame
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from secondlook.video import _read
from secondlook.video.clip import Size

MARK = "secondlook flow "
BLUE = 128
"""Third channel of a flow picture; it says nothing."""


def converter_of(container: Any, first: av.video.frame.VideoFrame, size: Size | None) -> _read.Converter:
    """What turns the frames of this container into pictures."""
    return (StackedConverter if _read.comment_of(container).startswith(MARK) else _read.Converter)(first, size)


class StackedConverter(_read.Converter):
    """Turns decoded gray frames `2H x W` into `H x W x 3`: x, y and 128; each map is resized alone.

    Without a resize every value is the one that was stored. Values are not scaled with the size: they stay
    displacements in pixels of the pictures that the flow was computed on.
    """

    def __init__(self, first: av.video.frame.VideoFrame, size: Size | None) -> None:
        super().__init__(first, None)
        self.source_height, self.source_width = first.height // 2, first.width
        self.height, self.width = (size or Size()).of(self.source_height, self.source_width)
        self._resize = _read.reformatter().reformat

    def __call__(self, frame: av.video.frame.VideoFrame) -> npt.NDArray[np.uint8]:
        """`H x W x 3`."""
        plane = frame.planes[0]
        stored = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            : 2 * self.source_height, : frame.width
        ]
        picture_HWC = np.full((self.height, self.width, 3), BLUE, np.uint8)
        for channel, map_HW in enumerate((stored[: self.source_height], stored[self.source_height :])):
            picture_HWC[..., channel] = self._sized(map_HW)
        return picture_HWC

    def _sized(self, map_HW: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if map_HW.shape == (self.height, self.width):
            return map_HW
        small: Any = self._resize(
            VideoFrame.from_ndarray(np.ascontiguousarray(map_HW), format="gray"),
            width=self.width,
            height=self.height,
            format="gray",
            interpolation=av.video.reformatter.Interpolation.BILINEAR,
            threads=1,
        ).to_ndarray()
        return np.asarray(small, np.uint8)
