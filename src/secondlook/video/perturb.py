"""Blurs, shifts of colour and light, rotation and perspective for training: drawn once, the same for every frame.

A clip is perturbed at all with probability p, and then each method of its set is applied with probability `EACH`.

Source: srtg-mtnet-classreg-visualisation, sections 4.1 (p = 0.8) and 4.3 (p = 0.7); strengths from section 14, where it
has any. Departs: Gaussian blur has a standard deviation of 0.3 to 1.0 pixels, where section 14 has 0.1 to 0.3 (which
leaves 8-bit pixels all but as they are); brightness grows by up to 15 %, of which no strength is stated; geometry is
read as two methods, rotation and perspective.

Legend: T frames, C channels, H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.errors import BadValue

Method = Literal["gaussian_blur", "mean_blur", "colour_shift", "brightness", "contrast", "rotation", "perspective"]
Methods = Literal["srtg", "mtnet"]
METHODS: dict[str, tuple[Method, ...]] = {
    "srtg": ("gaussian_blur", "mean_blur", "colour_shift", "rotation", "perspective"),
    "mtnet": ("gaussian_blur", "mean_blur", "brightness", "contrast", "rotation", "perspective"),
}
"""Methods by chapter of the source: SRTG (section 4.1) and MTNet (section 4.3)."""
EACH = 0.4
"""Probability of each method in a clip that is perturbed."""
SIGMA = (0.3, 1.0)
"""Standard deviation of the Gaussian blur, pixels."""
MEAN_SIDE = 3
"""Side of the box of the mean blur, pixels."""
SHIFT = 15
"""Largest shift of a colour channel, of 255; the smallest is 1, up or down."""
BRIGHTNESS = (1.0, 1.15)
CONTRAST = (0.85, 1.115)
ANGLE = 10.0
"""Largest rotation, degrees, either way."""
PERSPECTIVE = (0.02, 0.05)
"""How far a corner of the frame may move, as a part of its side: the limit itself is drawn from this range."""
_DRAWS = 16


@dataclass(frozen=True)
class Perturbation:
    """What will be done to all frames of one clip; a strength that is None (or 0 degrees) does nothing."""

    sigma: float | None = None
    mean_blur: bool = False
    shift_C: tuple[int, ...] | None = None
    """Added to red, green, blue, of 255."""
    brightness: float | None = None
    contrast: float | None = None
    angle: float | None = None
    """Degrees, against the clock."""
    corners_42: tuple[tuple[float, float], ...] | None = None
    """Where the corners (top left, top right, bottom right, bottom left) move: across and down, parts of a side."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """Methods that are applied."""
        used = {
            "gaussian_blur": self.sigma is not None, "mean_blur": self.mean_blur,
            "colour_shift": self.shift_C is not None, "brightness": self.brightness is not None,
            "contrast": self.contrast is not None, "rotation": self.angle is not None,
            "perspective": self.corners_42 is not None,
        }  # fmt: skip
        return tuple(method for method in get_args(Method) if used[method])


def draw(probability: float, methods: Methods, generator: torch.Generator) -> Perturbation:
    """Draws what happens to one clip; the number of draws is the same whatever their outcome.

    Args:
        probability: p, that the clip is perturbed at all.
        methods: a set of `METHODS`.
        generator: source of all randomness.

    Raises:
        BadValue: if p is not in [0, 1], or there is no such set.
    """
    if not 0 <= probability <= 1:
        raise BadValue(probability, "perturb is a probability")
    if methods not in METHODS:
        raise BadValue(methods, f"methods of a perturbation must be one of {', '.join(METHODS)}")
    whether, *each = torch.rand(1 + len(get_args(Method)), generator=generator).tolist()
    on = {m: whether < probability and m in METHODS[methods] and e < EACH for m, e in zip(get_args(Method), each,
          strict=True)}  # fmt: skip
    u = torch.rand(_DRAWS, generator=generator).tolist()

    def between(low: float, high: float, at: int) -> float:
        return low + (high - low) * float(u[at])

    shifts = [min(int(u[i] * 2 * SHIFT), 2 * SHIFT - 1) for i in (1, 2, 3)]  # 0 is left out: -15..-1, 1..15
    limit = between(*PERSPECTIVE, 7)
    moves = [limit * (2 * value - 1) for value in u[8:16]]
    return Perturbation(
        sigma=between(*SIGMA, 0) if on["gaussian_blur"] else None,
        mean_blur=on["mean_blur"],
        shift_C=tuple(s - SHIFT if s < SHIFT else s - SHIFT + 1 for s in shifts) if on["colour_shift"] else None,
        brightness=between(*BRIGHTNESS, 4) if on["brightness"] else None,
        contrast=between(*CONTRAST, 5) if on["contrast"] else None,
        angle=between(-ANGLE, ANGLE, 6) if on["rotation"] else None,
        corners_42=tuple(zip(moves[::2], moves[1::2], strict=True)) if on["perspective"] else None,
    )


def perturb(frames_TCHW: Tensor, what: Perturbation) -> Tensor:
    """The frames, every one perturbed alike: geometry, then blurs, then colour `c + shift`, `b x`, `m + c (x - m)`.

    m is the mean of the whole clip. Pixels from outside a frame are those of its border.

    Args:
        frames_TCHW: RGB, uint8.
        what: of `draw`.

    Returns:
        uint8, of the same shape.
    """
    if not what.methods:
        return frames_TCHW
    x_TCHW = frames_TCHW.float()
    if what.angle is not None or what.corners_42 is not None:
        x_TCHW = _warped(x_TCHW, what)
    if what.sigma is not None:
        reach = max(1, math.ceil(3 * what.sigma))
        steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
        x_TCHW = _blurred(x_TCHW, torch.softmax(-(steps**2) / (2 * what.sigma**2), 0))
    if what.mean_blur:
        x_TCHW = _blurred(x_TCHW, torch.full((MEAN_SIDE,), 1 / MEAN_SIDE))
    if what.shift_C is not None:
        x_TCHW = (x_TCHW + x_TCHW.new_tensor(what.shift_C)[:, None, None]).clamp(0, 255)
    if what.brightness is not None:
        x_TCHW = (x_TCHW * what.brightness).clamp(0, 255)
    if what.contrast is not None:
        x_TCHW = x_TCHW.mean().lerp(x_TCHW, what.contrast)
    return x_TCHW.round().clamp(0, 255).to(frames_TCHW.dtype)


def _blurred(x_TCHW: Tensor, kernel_K: Tensor) -> Tensor:
    """One kernel down and across, each channel for itself; the border is repeated."""
    channels, reach = x_TCHW.shape[1], len(kernel_K) // 2
    weight_C1K = kernel_K.expand(channels, 1, -1)
    padded = functional.pad(x_TCHW, (reach,) * 4, mode="replicate")
    down = functional.conv2d(padded, weight_C1K[..., None], groups=channels)
    return functional.conv2d(down, weight_C1K[:, :, None], groups=channels)


def _warped(x_TCHW: Tensor, what: Perturbation) -> Tensor:
    """Every pixel of the result is read where its place, in pixels from the middle, comes from."""
    height, width = x_TCHW.shape[-2:]
    down_H = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    across_W = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    place_HW3 = torch.stack([across_W.expand(height, width), down_H[:, None].expand(height, width),
                             torch.ones(height, width, dtype=torch.float64)], -1)  # fmt: skip
    from_HW3 = place_HW3 @ source_of(what, height, width).T
    from_HW2 = from_HW3[..., :2] / from_HW3[..., 2:] / torch.tensor([width / 2, height / 2], dtype=torch.float64)
    grid_THW2 = from_HW2.to(x_TCHW.dtype).expand(len(x_TCHW), -1, -1, -1)
    return functional.grid_sample(x_TCHW, grid_THW2, padding_mode="border", align_corners=False)


def source_of(what: Perturbation, height: int, width: int) -> Tensor:
    """The 3 x 3 homography from places of the result to places of the frame, in pixels across and down of the middle.

    Where both are drawn, the frame is bent first and turned then.
    """
    turn_33 = bend_33 = torch.eye(3, dtype=torch.float64)
    if what.angle is not None:
        cos, sin = math.cos(math.radians(what.angle)), math.sin(math.radians(what.angle))
        turn_33 = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
    if what.corners_42 is not None:
        half_2 = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        corners_42 = half_2 * torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
        moved_42 = corners_42 + 2 * half_2 * torch.tensor(what.corners_42, dtype=torch.float64)
        rows, right = [], []
        for (x, y), (u, v) in zip(moved_42.tolist(), corners_42.tolist(), strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
            right += [u, v]
        solved_8 = torch.linalg.solve(torch.tensor(rows, dtype=torch.float64), torch.tensor(right, dtype=torch.float64))
        bend_33 = torch.cat([solved_8, solved_8.new_ones(1)]).reshape(3, 3)
    return bend_33 @ turn_33
