"""A share with its interval, where the bootstrap has nothing to draw from because all or none are hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scipy.stats import norm  # type: ignore[import-untyped]


def wilson(hits: int, n: int, confidence: float = 0.95, of: int | None = None) -> dict[str, float | None]:
    """Wilson's score interval of a share; `{"rate", "low", "high"}`, None where n is 0.

    Args:
        hits: of the n.
        n: how many were looked at.
        confidence: of the interval.
        of: how many there are to draw from, where n were drawn without replacement: n is then divided by the finite
            population correction `1 - n / of`, and the interval is a point where all were looked at.

    Source: E. B. Wilson 1927; the correction as in Cochran, Sampling Techniques, section 2.6.
    """
    if n == 0:
        return {"rate": None, "low": None, "high": None}
    rate = hits / n
    if of is not None and n >= of:
        return {"rate": rate, "low": rate, "high": rate}
    size = n if of is None else n * (of - 1) / (of - n)
    z = _quantile(confidence)
    centre = (rate + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(rate * (1 - rate) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    return {"rate": rate, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


@cache
def _quantile(confidence: float) -> float:
    return float(norm.ppf((1 + confidence) / 2))


@dataclass(frozen=True)
class Stratum:
    """A part of the videos, of which some were drawn at random and looked at."""

    name: str
    size: int
    """Videos in it: what it weighs."""
    looked: int
    """Of them looked at, and kept."""
    hits: int


def stratified(strata: Sequence[Stratum], confidence: float = 0.95) -> dict[str, float | None]:
    """Share of hits over all strata, `sum_h (N_h / N) p_h`, with an interval; `{"rate", "low", "high"}`.

    The ends combine Wilson's intervals of the strata (square-and-add, Zou and Donner 2008): `low = p - sqrt(sum_h
    (W_h (p_h - l_h))^2)`, and likewise above. A stratum looked at whole adds nothing. All None where a stratum that has
    videos was not looked at.
    """
    here = [s for s in strata if s.size]
    total = sum(s.size for s in here)
    if not here or any(s.looked == 0 for s in here):
        return {"rate": None, "low": None, "high": None}
    rate = below = above = 0.0
    for s in here:
        found = wilson(s.hits, s.looked, confidence, s.size)
        weight, p = s.size / total, s.hits / s.looked
        rate += weight * p
        below += (weight * (p - float(found["low"] or 0.0))) ** 2
        above += (weight * (float(found["high"] or 0.0) - p)) ** 2
    return {"rate": rate, "low": max(0.0, rate - math.sqrt(below)), "high": min(1.0, rate + math.sqrt(above))}
