"""How many views of a video the network sees, and how their logits become the video's.

Shapes: V views of a video, K classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from secondlook.errors import BadValue

Fusion = Literal["probabilities", "logits"]


@dataclass(frozen=True)
class Views:
    """Temporal clips times spatial crops: `10x3` is the protocol of thirty views a video."""

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if self.clips < 1 or self.crops < 1:
            raise BadValue(str(self), "a video needs at least one clip and one crop", "Give --views 1x1 or more.")

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}"

    @property
    def total(self) -> int:
        """V."""
        return self.clips * self.crops

    @classmethod
    def parse(cls, text: str) -> Views:
        """Reads `CLIPSxCROPS`.

        Raises:
            BadValue: if the text is not of that form.
        """
        match = re.fullmatch(r"(\d+)x(\d+)", text.strip().lower())
        if match is None:
            raise BadValue(text, "views are written CLIPSxCROPS", "For example --views 10x3.")
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
