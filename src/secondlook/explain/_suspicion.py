"""How suspicious a cluster of foci is, and why in words (no torch).

`suspicion = support * (compact * fixed * evidence)^(1/3)`, all in [0, 1]:

* `compact`: the focus is small; `fixed`: it is at the same place in every clip; both hold of a mark, a border or a
  time stamp in the picture, and seldom of an action.
* `evidence = max(away, spread * off_centre)`. `away`: the other clips of the same classes are looked at elsewhere, so
  the class does not explain the focus. `spread * off_centre`: all classes share it, and it is not the middle of the
  frame, where actions are filmed.
* `support = 1 - 1 / sqrt(n)` for n clips: one clip is no pattern.

A suspicion says "look here"; what a person sees in the example clips decides. Not of the literature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.explain._focus import Foci, distance, place


@dataclass(frozen=True)
class Cluster:
    """Clips that are looked at in the same way."""

    clips_N: npt.NDArray[np.int64]
    """Positions of its clips in what was given, the most typical first."""
    mean_thw: Foci
    shares: dict[int, float]
    """Class -> share of the cluster's clips, the largest first."""
    held: dict[int, float]
    """Class -> share of the class's clips that are in this cluster."""
    compact: float
    """Share of the mean focus in space that lies in the hottest eighth of the cells, from 0 (even) to 1 (all)."""
    fixed: float
    """How much the clips' foci in space overlap with the mean of the other clips of the cluster: 1 is all."""
    away: float
    """Distance in space from how the other clips of the same classes are looked at (`_away`)."""
    spread: float
    """How evenly the cluster draws on all classes, `(exp(entropy of the shares) - 1) / (classes - 1)`."""
    off_centre: float
    """Share of the mean focus outside the middle half of height and width."""
    suspicion: float
    reason: str

    @property
    def purity(self) -> float:
        """Share of the largest class."""
        return next(iter(self.shares.values()))


def describe(
    focus_Nthw: Foci, label_N: npt.NDArray[np.integer], own_N: npt.NDArray[np.int64], names: Sequence[str]
) -> Cluster:
    """A cluster and its suspicion.

    Args:
        focus_Nthw: foci of all clips, each of which sums to 1.
        label_N: class of each clip.
        own_N: positions of the cluster's clips, at least one.
        names: of the classes.
    """
    own_Nthw = focus_Nthw[own_N]
    mean_thw = own_Nthw.mean(axis=0)
    space_hw, spaces_Nhw = mean_thw.sum(axis=0), own_Nthw.sum(axis=1)
    count_K = np.bincount(label_N, minlength=len(names))
    own_K = np.bincount(label_N[own_N], minlength=len(names))
    largest = [int(k) for k in np.lexsort((np.arange(len(names)), -own_K)) if own_K[k]]
    shares, held = (
        {k: float(own_K[k] / len(own_N)) for k in largest},
        {k: float(own_K[k] / count_K[k]) for k in largest},
    )
    fixed = 0.0
    if len(own_N) > 1:
        others_Nhw = (space_hw * len(own_N) - spaces_Nhw) / (len(own_N) - 1)
        fixed = max(0.0, 1 - 0.5 * np.abs(spaces_Nhw - others_Nhw).sum(axis=(1, 2)).mean().item())
    compact = _compact(space_hw)
    away = _away(focus_Nthw.sum(axis=1), label_N, own_N, shares, held)
    classes = int((count_K > 0).sum())
    spread = (_effective(np.array(list(shares.values()))) - 1) / (classes - 1) if classes > 1 else 0.0
    spread, off_centre = float(np.clip(spread, 0, 1)), float(np.clip(1 - _middle(space_hw).sum(), 0, 1))
    support = 1 - 1 / np.sqrt(len(own_N))
    evidence = max(away, spread * off_centre)
    suspicion = float(np.clip(support * np.cbrt(compact * fixed * evidence), 0, 1))
    typical_N = np.argsort(np.abs(own_Nthw - mean_thw).sum(axis=(1, 2, 3)), kind="stable")
    return Cluster(
        clips_N=own_N[typical_N],
        mean_thw=mean_thw,
        shares=shares,
        held=held,
        compact=float(compact),
        fixed=fixed,
        away=away,
        spread=spread,
        off_centre=off_centre,
        suspicion=suspicion,
        reason=_reason(space_hw, len(own_N), shares, held, fixed, away, spread * off_centre, names),
    )


def _away(
    spaces_Nhw: Foci,
    label_N: npt.NDArray[np.integer],
    own_N: npt.NDArray[np.int64],
    shares: dict[int, float],
    held: dict[int, float],
) -> float:
    """Mean over the cluster's clips of `(1 - g) d(own, rest of the class) + g/2 d(own, all other clips)`.

    Here g is the share of a clip's class that the cluster holds. A class that is wholly in it has no rest to compare
    with; then it says half as much that other classes are looked at elsewhere.
    """
    outside_N = np.ones(len(label_N), dtype=bool)
    outside_N[own_N] = False
    if not outside_N.any():
        return 0.0
    others_hw = spaces_Nhw[outside_N].mean(axis=0)
    total = 0.0
    for k, share in shares.items():
        own_hw = spaces_Nhw[own_N[label_N[own_N] == k]].mean(axis=0)
        rest_N = outside_N & (label_N == k)
        from_rest = distance(own_hw, spaces_Nhw[rest_N].mean(axis=0)) if rest_N.any() else 0.0
        total += share * ((1 - held[k]) * from_rest + held[k] / 2 * distance(own_hw, others_hw))
    return min(1.0, total)


def _compact(space_hw: Foci) -> float:
    most = max(1, space_hw.size // 8)
    if most == space_hw.size:
        return 0.0
    share, even = float(np.sort(space_hw.ravel())[-most:].sum()), most / space_hw.size
    return float(np.clip((share - even) / (1 - even), 0, 1))


def _effective(shares: npt.NDArray[np.float64]) -> float:
    """How many parts a distribution is spread over: `exp(entropy)`; 1 where all is in one."""
    parts = shares[shares > 0]
    return float(np.exp(-(parts * np.log(parts)).sum()))


def _middle(space_hw: Foci) -> Foci:
    """The cells whose centre is in the middle half of height and width."""
    inside = [np.abs((np.arange(n) + 0.5) / n - 0.5) < 0.25 for n in space_hw.shape]
    return space_hw[np.ix_(*inside)]


def _reason(
    space_hw: Foci,
    clips: int,
    shares: dict[int, float],
    held: dict[int, float],
    fixed: float,
    away: float,
    everywhere: float,
    names: Sequence[str],
) -> str:
    cells = int(np.searchsorted(np.cumsum(np.sort(space_hw.ravel())[::-1]), 0.8 - 1e-9)) + 1
    size = "small" if cells <= space_hw.size / 8 else "broad" if cells > space_hw.size / 3 else "limited"
    steady = "the same in all clips" if fixed > 0.8 else "much the same in the clips" if fixed > 0.5 else "that moves"
    best = next(iter(shares))
    words = [
        f"{clips} clips look at a {size} place ({place(space_hw)}, 80 % of the heat in {cells} of {space_hw.size} "
        f"parts of the frame), {steady}"
    ]
    if len(shares) == 1 or shares[best] >= 0.8:
        words.append(f"{shares[best]:.0%} are {names[best]!r}, {held[best]:.0%} of that class")
    else:
        words.append(f"they are of {len(shares)} classes, most of {names[best]!r} ({shares[best]:.0%})")
    if max(away, everywhere) < 0.25:
        words.append("this is how the classes are looked at anyway")
    elif away >= everywhere:
        whole = max(held.values()) > 0.9
        words.append(
            "no other class is looked at so" if whole else "other clips of the same classes are looked at elsewhere"
        )
    else:
        outside = 1 - _middle(space_hw).sum()
        words.append(f"the classes share it, with {outside:.0%} of its heat outside the middle half")
    return "; ".join(words)
