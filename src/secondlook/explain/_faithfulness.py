"""Does the network need what a heat map calls important? Deletion, insertion, frames, and sensitivity-n.

`layerwise-relevance`, R6 (perturbation analysis: flip the most relevant regions first, measure how fast the class score
falls, compare with random order). The clip is cut into space-time blocks (`_blocks.block_grid`); the blocks are ordered
by their mean heat, and in `steps` equal shares

* **deletion** puts a filler (`_blocks.fill`) in place of the hottest blocks first: a steep fall, a small area is good;
* **insertion** starts from the filler and brings the hottest blocks back first: a large area is good.

The curve is the class's softmax confidence (and its logit) against the share of blocks; its area is by trapezoids. The
order of insertion is that of deletion from the other end: inserting the hottest first passes through the same clips as
deleting the coldest first. So one set of random orders gives the baseline of both. `gain` is how much better than
random: `area(random) - area(method)` for deletion, `area(method) - area(random)` for insertion; above 0 is good.

**Sensitivity-n** (Ancona et al. 2018, section 4): over random subsets of n blocks, the correlation of the heat in the
subset with the fall of the logit when the subset is deleted; here the mean over a few n. 1 for a method that is exact.

**Frames** are deleted whole, by their heat: a curve that methods which speak only about time can be measured by too.

Departs from the sources: Petsiuk et al. 2018 delete single pixels of an image; blocks of a clip take their place.
Shapes: T, h, w of the network's input, N masks, B blocks, S + 1 points of a curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.explain._bias import correlation
from secondlook.explain._blocks import Fill, block_grid, fill, replace
from secondlook.explain._ground_truth import baseline_heat
from secondlook.explain._hooks import as_batch, evaluating, explained_logit, logits_of

MEASURES: Mapping[str, str] = {
    "deletion_area": "area under the confidence while the hottest blocks are deleted first",
    "deletion_gain": "by how much that area is smaller than in random order",
    "deletion_over_centre": "by how much it is smaller than with the blocks nearest to the middle first",
    "insertion_area": "area under the confidence while the hottest blocks are brought back first",
    "insertion_gain": "by how much that area is larger than in random order",
    "insertion_over_centre": "by how much it is larger than with the blocks nearest to the middle first",
    "deletion_logit_gain": "as deletion_gain, of the logit",
    "insertion_logit_gain": "as insertion_gain, of the logit",
    "sensitivity_n": "correlation of the heat in random sets of blocks with the fall of the logit without them",
    "sensitivity_n_centre": "the same of a centre prior",
    "frame_deletion_area": "area under the confidence while the hottest frames are deleted first",
    "frame_deletion_gain": "by how much that area is smaller than in random order",
}
"""Name of each measure, and what it is. High is good for all but the two areas of deletion."""


@dataclass(frozen=True)
class Perturbing:
    """How clips are perturbed."""

    steps: int = 10
    """Points of a curve beyond the first; the blocks go in so many equal shares."""
    blocks: tuple[int, int, int] = (4, 7, 7)
    """Blocks in time, rows and columns."""
    fill: str = "blur"
    """What stands in for deleted blocks: `blur`, `mean` or `black`."""
    draws: int = 4
    """Random orders."""
    subsets: int = 16
    """Random subsets for each n of sensitivity-n."""
    shares: tuple[float, ...] = (0.1, 0.3, 0.5)
    """n, as shares of the number of blocks."""
    batch: int = 16
    """Clips a forward pass."""

    def __post_init__(self) -> None:
        for name in ("steps", "draws", "batch"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{name} of a perturbation must be at least 1")
        if self.fill not in get_args(Fill):
            raise BadValue(self.fill, f"what is put in place must be one of {', '.join(get_args(Fill))}")
        if self.subsets < 3:
            raise BadValue(self.subsets, "a correlation needs at least 3 subsets")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self) | {"blocks": list(self.blocks), "shares": list(self.shares)}


@dataclass(frozen=True)
class Curve:
    """Confidence and logit of the class while blocks are deleted (or brought back)."""

    share_S: npt.NDArray[np.float64]
    """Share of the blocks, from 0 to 1."""
    confidence_S: npt.NDArray[np.float64]
    logit_S: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the confidence, in [0, 1]."""
        return float(np.trapezoid(self.confidence_S, self.share_S))

    @property
    def logit_area(self) -> float:
        """Area under the logit: its mean over the curve."""
        return float(np.trapezoid(self.logit_S, self.share_S))

    def reversed(self) -> Curve:
        """The same clips in the other direction: deletion of the last first is insertion of the first first."""
        return Curve(1 - self.share_S[::-1], self.confidence_S[::-1], self.logit_S[::-1])


class Perturbed:
    """One clip under perturbation, for one network and class; what does not depend on a method is computed once.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`; left as it was.
        spec: its input recipe.
        x_CTHW: the clip.
        label: the class.
        how: blocks, filler, steps.
        seed: of random orders, subsets, and of the order of equally hot blocks.

    Raises:
        BadValue: if the label is not a class of the network.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: ClipSpec,
        x_CTHW: Tensor,
        label: int,
        how: Perturbing | None = None,
        seed: int = 0,
    ) -> None:
        self.how = how or Perturbing()
        self._model, self._label, self._seed = model, label, seed
        self._x_1CTHW = as_batch(model, x_CTHW)
        self._filler_1CTHW = fill(self._x_1CTHW, spec, self.how.fill)
        frames, height, width = x_CTHW.shape[1:]
        self._shape = (frames, height, width)
        self._blocks_Thw = block_grid(frames, height, width, self.how.blocks).numpy()
        self._frames_Thw = block_grid(frames, height, width, (frames, 1, 1)).numpy()

    @cached_property
    def ends(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Confidence and logit of the whole clip, and of the filler alone (two values each)."""
        return self.scores(np.array([[True], [False]]), np.zeros(self._shape, np.int64))

    def scores(
        self, keep_NB: npt.NDArray[np.bool_], index_Thw: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Confidence and logit of the class where only some blocks are kept.

        Args:
            keep_NB: which blocks stay, one row a clip.
            index_Thw: the block of each place.

        Returns:
            `confidence_N`, `logit_N`.
        """
        device, index = self._x_1CTHW.device, torch.from_numpy(index_Thw)
        confidences, logits = [], []
        with evaluating(self._model), torch.no_grad():
            for start in range(0, len(keep_NB), self.how.batch):
                keep_NTHW = torch.from_numpy(keep_NB[start : start + self.how.batch])[:, index].to(device)
                logits_NK = logits_of(self._model, replace(self._x_1CTHW, self._filler_1CTHW, keep_NTHW)).double()
                explained_logit(logits_NK, self._label)
                confidences.append(logits_NK.softmax(1)[:, self._label].cpu().numpy())
                logits.append(logits_NK[:, self._label].cpu().numpy())
        return np.concatenate(confidences), np.concatenate(logits)

    def deletion(self, order_B: npt.NDArray[np.int64], index_Thw: npt.NDArray[np.int64] | None = None) -> Curve:
        """The curve while blocks are deleted in an order.

        Args:
            order_B: every block's number, the first to go first.
            index_Thw: the block of each place; the space-time blocks when left out.
        """
        index_Thw = self._blocks_Thw if index_Thw is None else index_Thw
        count = len(order_B)
        gone_S = np.unique(np.round(np.linspace(0, count, min(self.how.steps, count) + 1)).astype(np.int64))
        place_B = np.empty(count, dtype=np.int64)
        place_B[order_B] = np.arange(count)
        (full, none), (full_logit, none_logit) = self.ends
        between, between_logit = np.empty(0), np.empty(0)
        if len(gone_S) > 2:
            between, between_logit = self.scores(place_B[None] >= gone_S[1:-1, None], index_Thw)
        return Curve(
            gone_S / count,
            np.concatenate([[full], between, [none]]),
            np.concatenate([[full_logit], between_logit, [none_logit]]),
        )

    def heat_of_blocks(
        self, heat_Thw: npt.NDArray[Any], index_Thw: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Mean heat of each block.

        Raises:
            BadValue: if the heat does not lie on the network's input.
        """
        if heat_Thw.shape != self._shape:
            raise BadValue(heat_Thw.shape, f"heat must lie on the network's input, {self._shape}")
        places = (self._blocks_Thw if index_Thw is None else index_Thw).ravel()
        sums_B = np.bincount(places, weights=heat_Thw.astype(np.float64).ravel())
        return np.asarray(sums_B / np.bincount(places))

    def hottest_first(self, heat_B: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Blocks from hot to cold; equally hot ones in a seeded random order, so that ties favour no place."""
        jitter_B = np.random.default_rng([self._seed, 1]).random(len(heat_B))
        return np.lexsort((jitter_B, -heat_B))

    @cached_property
    def random(self) -> list[Curve]:
        """Deletion in random orders; insertion in random order has the same mean (see the top of this file)."""
        rng, count = np.random.default_rng([self._seed, 2]), int(self._blocks_Thw.max()) + 1
        return [self.deletion(rng.permutation(count)) for _ in range(self.how.draws)]

    @cached_property
    def random_frames(self) -> list[Curve]:
        """Deletion of whole frames in random orders."""
        rng = np.random.default_rng([self._seed, 3])
        return [self.deletion(rng.permutation(self._shape[0]), self._frames_Thw) for _ in range(self.how.draws)]

    @cached_property
    def centre(self) -> tuple[Curve, Curve]:
        """Deletion and insertion by a centre prior (`_ground_truth.baseline_heat`)."""
        return self.curves(baseline_heat("centre", self._shape))

    def curves(self, heat_Thw: npt.NDArray[Any]) -> tuple[Curve, Curve]:
        """Deletion and insertion by a heat map."""
        order_B = self.hottest_first(self.heat_of_blocks(heat_Thw))
        return self.deletion(order_B), self.deletion(order_B[::-1]).reversed()

    @cached_property
    def _subsets(self) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
        """For each n: which blocks are deleted, one row a subset, and the fall of the logit."""
        rng, count = np.random.default_rng([self._seed, 4]), int(self._blocks_Thw.max()) + 1
        sizes = sorted({min(max(round(share * count), 1), count - 1) for share in self.how.shares if count > 1})
        found = []
        for n in sizes:
            gone_NB = np.zeros((self.how.subsets, count), dtype=np.bool_)
            for row in gone_NB:
                row[rng.choice(count, size=n, replace=False)] = True
            found.append((gone_NB, self.ends[1][0] - self.scores(~gone_NB, self._blocks_Thw)[1]))
        return found

    def sensitivity_n(self, heat_Thw: npt.NDArray[Any]) -> float:
        """Mean over n of the correlation between heat in a subset and fall of the logit; NaN for heat without shape."""
        heat_B = self.heat_of_blocks(heat_Thw) * np.bincount(self._blocks_Thw.ravel())
        found = [correlation(gone_NB @ heat_B, fall_N) for gone_NB, fall_N in self._subsets]
        known = [value for value in found if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    def fall_without(self, mask_Thw: npt.NDArray[Any]) -> tuple[float, float]:
        """By how much confidence and logit fall when the places of a mask are replaced by the filler."""
        inside_Thw = (mask_Thw > 0.5).astype(np.int64)
        confidence_N, logit_N = self.scores(np.array([[True, False]]), inside_Thw)
        return float(self.ends[0][0] - confidence_N[0]), float(self.ends[1][0] - logit_N[0])

    def measure(self, heat_Thw: npt.NDArray[Any]) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Every measure of a heat map on the network's input, and its curves (of the confidence) for a picture.

        Raises:
            BadValue: if the heat does not lie on the network's input.
        """
        deletion, insertion = self.curves(heat_Thw)
        frame_order = self.hottest_first(self.heat_of_blocks(heat_Thw, self._frames_Thw))
        frames = self.deletion(frame_order, self._frames_Thw)
        random, random_logit = (float(np.mean([getattr(c, a) for c in self.random])) for a in ("area", "logit_area"))
        centre = baseline_heat("centre", self._shape)
        measures = {
            "deletion_area": deletion.area,
            "deletion_gain": random - deletion.area,
            "deletion_over_centre": self.centre[0].area - deletion.area,
            "insertion_area": insertion.area,
            "insertion_gain": insertion.area - random,
            "insertion_over_centre": insertion.area - self.centre[1].area,
            "deletion_logit_gain": random_logit - deletion.logit_area,
            "insertion_logit_gain": insertion.logit_area - random_logit,
            "sensitivity_n": self.sensitivity_n(heat_Thw),
            "sensitivity_n_centre": self.sensitivity_n(centre),
            "frame_deletion_area": frames.area,
            "frame_deletion_gain": float(np.mean([c.area for c in self.random_frames])) - frames.area,
        }
        curves = {"deletion": deletion, "insertion": insertion, "frames": frames}
        return measures, {name: curve.confidence_S.tolist() for name, curve in curves.items()}

    def baseline_curves(self) -> dict[str, list[float]]:
        """Curves of the confidence that do not depend on a method: random orders (their mean), the centre prior."""
        random_S = np.mean([c.confidence_S for c in self.random], axis=0)
        return {
            "share": self.random[0].share_S.tolist(),
            "share_frames": self.random_frames[0].share_S.tolist(),
            "random_deletion": random_S.tolist(),
            "random_insertion": random_S[::-1].tolist(),
            "random_frames": np.mean([c.confidence_S for c in self.random_frames], axis=0).tolist(),
            "centre_deletion": self.centre[0].confidence_S.tolist(),
            "centre_insertion": self.centre[1].confidence_S.tolist(),
        }
