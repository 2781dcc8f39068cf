"""Soft nearest neighbours between two sequences, and whether the sequences are cycle-consistent.

Stergiou and Poppe, "Learn to cycle: Time-consistent feature discovery for action recognition", Pattern Recognition
Letters 2021; `srtg-mtnet-classreg-visualisation`, section 2.3 (equations 4.6 and 4.7, whose misprints E2 and E3 are
mended). Two readings of the criterion are there: `index`, as the text runs (frame t of A finds frame t of B), and
`cycle`, as Dwibedi et al. (CVPR 2019) have it (frame t of A, by way of B, comes back to itself).

Shapes: B clips, C channels, T frames of a, U frames of b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.errors import BadValue, UnknownName
from secondlook.layers._full_precision import full_precision, wide

Criterion = Literal["index", "cycle"]
CRITERIA: Sequence[str] = get_args(Criterion)


class SoftNeighbour(NamedTuple):
    """What `soft_nearest_neighbour` finds."""

    soft_BCT: Tensor
    """The soft nearest neighbour of each frame of a: within the convex hull of b's frames."""
    weights_BTU: Tensor
    """Weights of b's frames; those of one frame of a sum to 1."""


class Consistency(NamedTuple):
    """What `consistency` finds, for analysis and for drawing."""

    per_frame_A: Tensor
    """Frames of a that find themselves, B x T, true or false."""
    per_frame_B: Tensor
    """Frames of b that find themselves, B x U."""
    consistent: Tensor
    """All frames of a clip do, in both directions; B."""
    indices: tuple[Tensor, Tensor]
    """The frame that each frame of a, and of b, finds (B x T, B x U): of the other sequence, or, with `cycle`, of its
    own. Where it is not the frame itself there is a temporal cyclic error."""


def soft_nearest_neighbour(
    a_BCT: Tensor, b_BCU: Tensor, *, temperature: float = 1.0, normalise: bool = False
) -> SoftNeighbour:
    """`w_u = softmax_u(-|a_t - b_u|^2 / temperature)` and `sum_u w_u b_u`, for every frame of a.

    Differentiable; in float32 or wider, also under autocast.

    Args:
        a_BCT: frames that look for a neighbour.
        b_BCU: frames among which they look.
        temperature: above 0; the lower, the harder the choice.
        normalise: scale every frame of either sequence to length 1 first.

    Raises:
        BadValue: for a temperature of 0 or less, or sequences that cannot be compared.
    """
    check(temperature=temperature)
    a_BTC, b_BUC = _frames(a_BCT, b_BCU, normalise)
    with full_precision(a_BTC):
        soft_BTC, weights_BTU = _soft(_squared(a_BTC, b_BUC), b_BUC, temperature)
    return SoftNeighbour(soft_BTC.transpose(1, 2), weights_BTU)


@torch.no_grad()
def consistency(
    a_BCT: Tensor,
    b_BCU: Tensor,
    *,
    criterion: str = "index",
    temperature: float = 1.0,
    normalise: bool = False,
) -> Consistency:
    """Which frames find themselves, and which clips are cycle-consistent. One frame always is; no gradient passes.

    `index`: the frame of b nearest to the soft nearest neighbour of `a_t` must be frame t of b, and the other way
    round. `cycle`: the frame of a nearest to it must be frame t of a, and the other way round. The first of equally
    near frames counts.

    Args:
        a_BCT: such as pooled activations.
        b_BCU: such as hidden states; as many frames as a, unless the criterion is `cycle`.
        criterion: `index` or `cycle`.
        temperature: see `soft_nearest_neighbour`.
        normalise: see `soft_nearest_neighbour`.

    Raises:
        UnknownName: for another criterion.
        BadValue: for a temperature of 0 or less, or sequences that cannot be compared.
    """
    check(criterion, temperature)
    a_BTC, b_BUC = _frames(a_BCT, b_BCU, normalise)
    frames_a, frames_b = a_BTC.shape[1], b_BUC.shape[1]
    if criterion == "index" and frames_a != frames_b:
        rule = "frames are compared by their index, so that both sequences need as many"
        raise BadValue((frames_a, frames_b), rule, "Take the criterion 'cycle', or cut one of them.")
    with full_precision(a_BTC):
        squared_BTU = _squared(a_BTC, b_BUC)
        of_a_BTC, _ = _soft(squared_BTU, b_BUC, temperature)
        of_b_BUC, _ = _soft(squared_BTU.transpose(1, 2), a_BTC, temperature)
        index = criterion == "index"
        found_BT = _distances(of_a_BTC, b_BUC if index else a_BTC).argmin(2)
        found_BU = _distances(of_b_BUC, a_BTC if index else b_BUC).argmin(2)
    good_BT = found_BT == torch.arange(frames_a, device=a_BTC.device)
    good_BU = found_BU == torch.arange(frames_b, device=a_BTC.device)
    return Consistency(good_BT, good_BU, good_BT.all(1) & good_BU.all(1), (found_BT, found_BU))


def check(criterion: str = "index", temperature: float = 1.0) -> None:
    """Refuses what `consistency` cannot reckon with.

    Raises:
        UnknownName: for another criterion.
        BadValue: for a temperature of 0 or less.
    """
    if criterion not in CRITERIA:
        raise UnknownName("criterion of a gate", str(criterion), CRITERIA)
    if not (isinstance(temperature, int | float) and temperature > 0 and math.isfinite(temperature)):
        raise BadValue(temperature, "the temperature of a soft nearest neighbour must be above 0", "The usual is 1.")


def _frames(a_BCT: Tensor, b_BCU: Tensor, normalise: bool) -> tuple[Tensor, Tensor]:
    alike = a_BCT.ndim == b_BCU.ndim == 3 and a_BCT.shape[:2] == b_BCU.shape[:2]
    if not alike or 0 in (a_BCT.shape[2], b_BCU.shape[2]):
        raise BadValue((tuple(a_BCT.shape), tuple(b_BCU.shape)), "two sequences must be B x C x T, with one B and C")
    a_BTC, b_BUC = wide(a_BCT.transpose(1, 2)), wide(b_BCU.transpose(1, 2))
    if normalise:
        return functional.normalize(a_BTC, dim=2), functional.normalize(b_BUC, dim=2)
    return a_BTC, b_BUC


def _distances(a_BTC: Tensor, b_BUC: Tensor) -> Tensor:
    """Exact: the product form loses all digits where frames are far from 0 and near to one another."""
    return torch.cdist(a_BTC, b_BUC, compute_mode="donot_use_mm_for_euclid_dist")


def _squared(a_BTC: Tensor, b_BUC: Tensor) -> Tensor:
    return _distances(a_BTC, b_BUC).square()


def _soft(squared_BTU: Tensor, b_BUC: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    weights_BTU = torch.softmax(-squared_BTU / temperature, 2)
    return weights_BTU @ b_BUC, weights_BTU
