"""Random crops, flips and colour for training: one draw for all frames of a clip; a flip never makes a label wrong.

Legend: T frames, C channels, H x W pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace, normalise
from secondlook.video import transform
from secondlook.video.perturb import Methods, draw, perturb

Crop = Literal["none", "random", "multi_scale", "zoom"]
SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of a multi-scale crop, as parts of the largest one."""
POSITIONS = (
    (2, 2),  # centre
    (0, 0), (0, 4), (4, 0), (4, 4),  # corners
    (0, 2), (2, 0), (2, 4), (4, 2),  # middles of the sides
    (1, 1), (1, 3), (3, 1), (3, 3),  # quarters
)  # fmt: skip
"""Where a multi-scale crop may lie: steps down and across a grid of 0..4 over the room that is left."""
ZOOM, STRETCH, SHIFT = 0.1, 0.05, 0.06
"""`crop="zoom"`: largest change of size, of the ratio of height to width, and of place (as a part of the frame)."""


@dataclass(frozen=True)
class Augment:
    """Settings of the augmentation; plain values, written beside the run.

    Raises:
        BadValue: if a value is out of range, or clips of a directional dataset would be mirrored as they are.
    """

    crop: Crop = "multi_scale"
    """`none`: the centre. `random`: the recipe's size anywhere. `multi_scale`: see `multi_scale_box`. `zoom`: see
    `zoomed`; for recipes that show the whole frame, where a crop would cut the action away."""
    flip: float = 0.0
    """Probability of mirroring a clip left to right."""
    flip_pairs: tuple[tuple[int, int], ...] = ()
    """Labels that a mirror swaps: (left, right). A label that stays itself when mirrored is the pair (k, k)."""
    directional: bool = True
    """True where a mirrored clip may have another label: then only clips with a label in `flip_pairs` are mirrored."""
    jitter: float = 0.0
    """Brightness, contrast and saturation are each scaled by a factor from `[1 - jitter, 1 + jitter]`."""
    perturb: float = 0.0
    """Probability that a clip is blurred, shifted in colour or turned a little (`perturb.perturb`)."""
    perturb_methods: Methods = "srtg"
    """What may then happen to it: a set of `perturb.METHODS`."""

    def __post_init__(self) -> None:
        if self.crop not in get_args(Crop):
            raise BadValue(self.crop, f"crop must be one of {', '.join(get_args(Crop))}")
        if not 0 <= self.flip <= 1:
            raise BadValue(self.flip, "flip is a probability")
        if not 0 <= self.perturb <= 1:
            raise BadValue(self.perturb, "perturb is a probability")
        if self.perturb_methods not in get_args(Methods):
            raise BadValue(self.perturb_methods, f"perturb_methods must be one of {', '.join(get_args(Methods))}")
        if not 0 <= self.jitter <= 1:
            raise BadValue(self.jitter, "jitter must lie in [0, 1]")
        if self.flip and self.directional and not self.flip_pairs:
            raise BadValue(
                self.flip,
                "mirroring would change labels of a directional dataset",
                "Give flip_pairs, or directional=False if no label tells left from right.",
            )
        partner: dict[int, int] = {}
        for one, other in self.flip_pairs:
            for label, twin in ((one, other), (other, one)):
                if partner.setdefault(label, twin) != twin:
                    raise BadValue(label, f"is paired with two labels, {partner[label]} and {twin}")

    @classmethod
    def for_labels(
        cls,
        labels: LabelSpace,
        *,
        crop: Crop = "multi_scale",
        flip: float = 0.0,
        jitter: float = 0.0,
        perturb: float = 0.0,
        perturb_methods: Methods = "srtg",
        swap_left_right: bool = False,
    ) -> Augment:
        """Settings that fit a label space: directional labels are never mirrored, unless their pairs are to be swapped.

        Args:
            labels: the label space.
            crop: see the field.
            flip: probability of mirroring, where it is allowed.
            jitter: see the field.
            perturb: see the field.
            perturb_methods: see the field.
            swap_left_right: mirror clips whose label has a left/right twin (`left_right_pairs`) and swap the label.
        """
        pairs = left_right_pairs(labels) if swap_left_right else ()
        allowed = flip if pairs or not labels.directional else 0.0
        return cls(crop, allowed, pairs, labels.directional, jitter, perturb, perturb_methods)

    def check(self, spec: ClipSpec) -> None:
        """Refuses what a recipe cannot take.

        Raises:
            BadValue: if the colours of flow are to change: they are motion.
        """
        if self.perturb and spec.modality == "flow":
            raise BadValue(self.perturb, "flow is motion, which turns and colour make wrong", "Leave --perturb out.")
        if self.jitter and spec.modality == "flow":
            raise BadValue(self.jitter, "flow has no colour to jitter", "Leave --jitter out.")

    def mirrors_to(self, label: int) -> int | None:
        """The label that a mirrored clip of this label has, None if it must not be mirrored."""
        for one, other in self.flip_pairs:
            if label in (one, other):
                return other if label == one else one
        return None if self.directional else label


def left_right_pairs(labels: LabelSpace) -> tuple[tuple[int, int], ...]:
    """Pairs of labels whose names differ only by swapping the words left and right (`push left`, `PushRight`).

    Labels without either word are in no pair, for nothing says what their mirror image is.
    """
    index = {_swapped(name, {}): i for i, name in enumerate(labels.names)}
    twins = {"left": "right", "right": "left"}
    pairs = {(i, index.get(_swapped(name, twins), i)) for i, name in enumerate(labels.names)}
    return tuple(sorted((one, other) for one, other in pairs if one < other))


def _swapped(name: str, twins: dict[str, str]) -> str:
    words = normalise(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("-", " ")).split()
    return " ".join(twins.get(word, word) for word in words)


def augment(
    frames_THWC: npt.NDArray[np.uint8] | Tensor,
    label: int,
    spec: ClipSpec,
    settings: Augment,
    generator: torch.Generator,
) -> tuple[Tensor, int]:
    """The network's input for one training clip, and its label (another one if the clip was mirrored and swapped).

    Every draw is made once a clip, so all frames get the same crop, flip and colour. The same number of draws is made
    whatever their outcome, so that the clips of one generator do not depend on each other's settings.

    Args:
        frames_THWC: `spec.frames` frames, RGB, uint8, at working size (`transform.working_size`) or any other.
        label: class index.
        spec: the model's recipe.
        settings: what to do.
        generator: source of all randomness.

    Returns:
        `x_CTHW`, float32, normalised, and the label.

    Raises:
        BadValue: if the number of frames is not the recipe's, or the colours of flow are to change.
    """
    if len(frames_THWC) != spec.frames:
        raise BadValue(len(frames_THWC), f"this recipe takes {spec.frames} frames")
    settings.check(spec)
    height, width = frames_THWC.shape[1:3]
    if settings.crop == "multi_scale":
        top, left, tall, wide = multi_scale_box(height, width, spec, generator)
        part_TCHW = transform.to_tensor(frames_THWC[:, top : top + tall, left : left + wide])
        x_TCHW = transform.resize(part_TCHW, spec.height, spec.width)
    elif settings.crop == "random":
        x_TCHW = _random_crop(frames_THWC, spec, generator)
    elif settings.crop == "zoom":
        x_TCHW = zoomed(transform.cut(frames_THWC, spec), *(2 * torch.rand(4, generator=generator) - 1).tolist())
    else:
        x_TCHW = transform.cut(frames_THWC, spec)
    mirror, *factors = torch.rand(4, generator=generator).tolist()
    twin = settings.mirrors_to(label)
    if mirror < settings.flip and twin is not None:
        x_TCHW, label = transform.mirror(x_TCHW, spec.modality), twin
    if settings.perturb:
        x_TCHW = perturb(x_TCHW, draw(settings.perturb, settings.perturb_methods, generator))
    if settings.jitter:
        x_TCHW = colour_jitter(x_TCHW, *(1 + settings.jitter * (2 * f - 1) for f in factors))
    return transform.normalise(x_TCHW, spec), label


def _random_crop(frames_THWC: npt.NDArray[np.uint8] | Tensor, spec: ClipSpec, generator: torch.Generator) -> Tensor:
    whole_TCHW = transform.resize(
        transform.to_tensor(frames_THWC), *transform.fitting(spec, frames_THWC.shape[1], frames_THWC.shape[2])
    )
    room = whole_TCHW.shape[2] - spec.height, whole_TCHW.shape[3] - spec.width
    top, left = (_draw(r + 1, generator) for r in room)
    return whole_TCHW[:, :, top : top + spec.height, left : left + spec.width]


def multi_scale_box(height: int, width: int, spec: ClipSpec, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a multi-scale crop, to be resized to the recipe's size; always inside the frame.

    One of `SCALES` is drawn for the height and one for the width, again until they are the same or neighbours; then one
    of 13 `POSITIONS`: centre, corners, middles of the sides, quarters.

    Source: late-temporal-bert, section 3.1 (from [TSN]), where scales apply to the short side, as they do here for a
    square input. Departs for others: they apply to the largest box of the input's shape that fits in the frame (to the
    whole frame where the recipe squashes). Sides are rounded down: 256 gives 256, 224, 192, 168.
    """
    pairs = [(i, j) for i in range(len(SCALES)) for j in range(len(SCALES)) if abs(i - j) <= 1]
    i, j = pairs[_draw(len(pairs), generator)]  # drawing again until accepted is a uniform draw of the accepted
    down, across = POSITIONS[_draw(len(POSITIONS), generator)]
    if spec.fit == "squash":
        largest_tall, largest_wide = float(height), float(width)
    else:
        scale = min(height / spec.height, width / spec.width)
        largest_tall, largest_wide = spec.height * scale, spec.width * scale
    tall = max(1, int(largest_tall * SCALES[i] + 1e-9))
    wide = max(1, int(largest_wide * SCALES[j] + 1e-9))
    return down * (height - tall) // 4, across * (width - wide) // 4, tall, wide


def zoomed(frames_TCHW: Tensor, size: float, stretch: float, down: float, across: float) -> Tensor:
    """The frames a little larger or smaller, stretched and moved, the same for all of a clip; borders are repeated.

    The pixel at `u` of the result, `u` in [-1, 1] from the middle, is read at `u / s + 2 d` along each axis, with
    `s = 1 + ZOOM size` (for the height times `1 + STRETCH stretch`) and `d = SHIFT down` or `SHIFT across`.

    Args:
        frames_TCHW: RGB, uint8.
        size: in [-1, 1], as are the others.
        stretch: of the height.
        down: shift down the frame.
        across: shift across it.
    """
    wide = 1 + ZOOM * size
    tall = wide * (1 + STRETCH * stretch)
    affine_23 = torch.tensor([[1 / wide, 0.0, 2 * SHIFT * across], [0.0, 1 / tall, 2 * SHIFT * down]])
    x_TCHW = frames_TCHW.float()
    grid_THW2 = functional.affine_grid(affine_23.expand(len(x_TCHW), 2, 3), list(x_TCHW.shape), align_corners=False)
    moved_TCHW = functional.grid_sample(x_TCHW, grid_THW2, padding_mode="border", align_corners=False)
    return moved_TCHW.round().to(frames_TCHW.dtype)


def colour_jitter(frames_TCHW: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Colours scaled, one after the other, in [0, 1]: `b x`, then `m + c (x - m)`, then `Y + s (x - Y)`.

    m is the mean brightness of the whole clip, Y that of the pixel (ITU-R BT.601). Values are clipped after each step.

    Args:
        frames_TCHW: RGB, uint8.
        brightness: factor b.
        contrast: factor c.
        saturation: factor s.

    Returns:
        Floating point in [0, 1].
    """
    x_TCHW = (frames_TCHW.float() * (brightness / 255.0)).clamp_(0, 1)
    mean = transform.luma(x_TCHW).mean()
    x_TCHW = mean.lerp(x_TCHW, contrast).clamp_(0, 1)
    return torch.lerp(transform.luma(x_TCHW)[:, None].expand_as(x_TCHW), x_TCHW, saturation).clamp_(0, 1)


def _draw(choices: int, generator: torch.Generator) -> int:
    return int(torch.randint(choices, (1,), generator=generator))
