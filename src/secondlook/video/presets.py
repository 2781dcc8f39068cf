"""Sizes that frames are brought to before a crop, by the crop that the network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue

FRAME_SIZES: Mapping[int, tuple[int, int]] = {224: (256, 340), 112: (128, 170)}
"""Side of the square crop -> height and width of the frame it is cut from. Of 112 the source states none: half of 224's
(late-temporal-bert, section 3.1)."""


def with_frame_size(spec: ClipSpec) -> ClipSpec:
    """The recipe with the frame size that belongs to its crop: 256 x 340 before 224, 128 x 170 before 112.

    Source: late-temporal-bert, section 3.1, where every frame is brought to this size whatever its shape. The cards
    keep to the short side and the shape of a frame, as the published weights had it; this is for a run as in the
    source (`secondlook train --frame-size 256x340`).

    Raises:
        BadValue: if the recipe squashes the whole frame, or its crop is of another size.
    """
    if spec.fit != "crop":
        raise BadValue(spec.fit, "a recipe that shows the whole frame has no crop", "Give --fit crop.")
    if spec.height != spec.width or spec.height not in FRAME_SIZES:
        known = " or ".join(f"{side}x{side}" for side in FRAME_SIZES)
        raise BadValue(f"{spec.height}x{spec.width}", f"frame sizes are known for crops of {known}",
                       "Give ClipSpec.frame_size yourself.")  # fmt: skip
    size = FRAME_SIZES[spec.height]
    return replace(spec, frame_size=size, short_side=min(size))
