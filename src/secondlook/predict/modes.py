"""The four ways in which a recogniser is tested: several clips or one, ten crops or one."""

from __future__ import annotations

from collections.abc import Mapping

from secondlook.cards import ClipSpec
from secondlook.predict.views import Views

MODES: Mapping[str, str] = {
    "multi_ten": "MultiClip TenCrop",
    "multi_one": "MultiClip 1Crop",
    "one_ten": "1Clip TenCrop",
    "one_one": "1Clip 1Crop",
}
"""Title of each mode, in the order of the source (late-temporal-bert, tables C.1 and C.2)."""
SEGMENT_CLIPS = 10
"""Clips of the modes of several clips where the recipe is one of segments, whose clips do not follow each other."""


def four_modes(spec: ClipSpec) -> dict[str, Views]:
    """Views of each of `MODES`: several clips are all those of a video that do not overlap.

    Source: late-temporal-bert, section 3.4. It has no several clips of segments; there they are `SEGMENT_CLIPS`.
    """
    segments = spec.sampling == "segments"
    return {
        "multi_ten": Views(SEGMENT_CLIPS, 10) if segments else Views(crops=10, every=True),
        "multi_one": Views(SEGMENT_CLIPS, 1) if segments else Views(crops=1, every=True),
        "one_ten": Views(1, 10),
        "one_one": Views(1, 1),
    }
