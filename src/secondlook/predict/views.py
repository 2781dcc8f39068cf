"""How many views of a video the network sees, and how their logits become the video's.

Shapes: R videos, V views of a video, K classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.video.sample import count_tiles

Fusion = Literal["probabilities", "logits"]
_MOST_VIEWS = 2**15
"""Views of one video that a predictions table can number."""


@dataclass(frozen=True)
class Views:
    """Temporal clips times spatial crops: `10x3` is the protocol of thirty views a video.

    `allx10` is every clip of a video that does not overlap the one before, `max(1, floor(frames / span))` of them, with
    ten crops each; a span is frames times stride, and its number differs from video to video (late-temporal-bert,
    section 3.4).
    """

    clips: int = 1
    """1 where `every`."""
    crops: int = 1
    every: bool = False
    """All clips that do not overlap, instead of a number."""

    def __post_init__(self) -> None:
        if self.clips < 1 or self.crops < 1:
            raise BadValue(str(self), "a video needs at least one clip and one crop", "Give --views 1x1 or more.")
        if self.every and self.clips != 1:
            raise BadValue(self.clips, "views have a number of clips, or every clip, not both")

    def __str__(self) -> str:
        return f"{'all' if self.every else self.clips}x{self.crops}"

    @property
    def total(self) -> int:
        """V; of one clip where `every`."""
        return self.clips * self.crops

    def clips_of(self, videos: pa.Table, spec: ClipSpec) -> NDArray[np.int64]:
        """Temporal clips of each row of a videos table; 1 of a row that cannot be used.

        Raises:
            BadValue: if every clip is wanted, and the recipe has no clips that follow each other, or the table does not
                say how many frames a usable video has, or one has more views than a table can number.
        """
        clips_R = np.full(len(videos), self.clips, np.int64)
        if not self.every:
            return clips_R
        if spec.sampling == "segments":
            raise BadValue(str(self), "a recipe of segments spans the whole video: its clips do not follow each other",
                           "Give a number of clips, such as 10x3.")  # fmt: skip
        frames = videos["frames"].to_pylist() if "frames" in videos.column_names else [None] * len(videos)
        for row, (count, status) in enumerate(zip(frames, videos["status"].to_pylist(), strict=True)):
            if status not in tables.USABLE:
                continue
            if not count:
                rule = f"the videos table does not say how many frames {videos['video_id'][row].as_py()} has"
                raise BadValue(str(self), rule, "Index the videos again, or give a number of clips.")
            clips_R[row] = count_tiles(spec.frames * spec.stride, count)
        if len(clips_R) and int(clips_R.max()) * self.crops > _MOST_VIEWS:
            longest = videos["video_id"][int(clips_R.argmax())].as_py()
            raise BadValue(str(self), f"{longest} would have {clips_R.max() * self.crops} views",
                           "Give a number of clips, or set videos this long aside.")  # fmt: skip
        return clips_R

    @classmethod
    def parse(cls, text: str) -> Views:
        """Reads `CLIPSxCROPS`; CLIPS may be `all`.

        Raises:
            BadValue: if the text is not of that form.
        """
        match = re.fullmatch(r"(\d+|all)x(\d+)", text.strip().lower())
        if match is None:
            raise BadValue(text, "views are written CLIPSxCROPS", "For example --views 10x3, or allx10.")
        if match[1] == "all":
            return cls(crops=int(match[2]), every=True)
        return cls(int(match[1]), int(match[2]))


def fuse(logits_VK: NDArray[np.floating], how: Fusion = "probabilities") -> NDArray[np.float32]:
    """The logits of a video from those of its views; computed in 64 bits.

    `probabilities`: `log(mean_v softmax(logits_v))`, so that the softmax of the result is the mean of the views'
    probabilities (`srtg-mtnet-classreg-visualisation`, section 4.4.1; the usual 10x3 protocol). `logits`: their mean.
    A single view is given back as it is.

    Raises:
        BadValue: if there is no view, or no such rule.
    """
    if how not in get_args(Fusion):
        raise BadValue(how, f"views are fused by {' or '.join(get_args(Fusion))}")
    if logits_VK.ndim != 2 or not len(logits_VK):
        raise BadValue(logits_VK.shape, "fusing needs the logits of at least one view, V x K")
    wide_VK = logits_VK.astype(np.float64)
    if how == "logits" or len(wide_VK) == 1:
        return np.asarray(wide_VK.mean(0), np.float32)
    peak_V1 = wide_VK.max(1, keepdims=True)
    log_softmax_VK = wide_VK - peak_V1 - np.log(np.exp(wide_VK - peak_V1).sum(1, keepdims=True))
    return np.asarray(np.logaddexp.reduce(log_softmax_VK, 0) - np.log(len(wide_VK)), np.float32)
