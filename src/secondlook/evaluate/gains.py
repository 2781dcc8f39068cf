"""What the second look gave each class and coarse group: gains on the same videos, normalised by size, with tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.evaluate.accuracy import Hits
from secondlook.evaluate.paired import McNemar


def gains(
    code_N: npt.NDArray[np.int64],
    names: Sequence[str],
    original_N: Hits,
    real_N: Hits,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Original against ReaL in each class (or group), on the same videos.

    `points = 100 (won - lost) / n`, the gain normalised by the size of the class (the source prints raw counts, in
    which large classes lead: label-reassessment 3.3b, 6.3); `resolved = (won - lost) / (n - original)`, the share of
    what was scored wrong that is not wrong after all. The interval is that of the paired bootstrap of the videos of the
    class; as a video wins, loses or stays, a resample is one multinomial draw. `p` is McNemar's exact test of won
    against lost: with many classes a few are below 0.05 by chance.

    Args:
        code_N: class of each video, an index of `names`; -1: of none.
        names: of the classes.
        original_N: hits against the given label.
        real_N: hits against the reassessed set.
        resamples: of the bootstrap.
        confidence: of the interval.
        seed: of the draws.

    Returns:
        One row for each class that has videos: `{"name", "n", "original", "real", "won", "lost", "points", "low",
        "high", "resolved", "p"}`; `resolved` is None where nothing was wrong.
    """
    rng = np.random.default_rng(seed)
    tail = (1 - confidence) / 2
    counted_N = code_N >= 0

    def count(of_N: Hits) -> npt.NDArray[np.int64]:
        return np.bincount(code_N[counted_N & of_N], minlength=len(names))

    total_K = count(np.ones(len(code_N), dtype=bool))
    original_K, won_K, lost_K = count(original_N), count(real_N & ~original_N), count(original_N & ~real_N)
    rows = []
    for k in np.flatnonzero(total_K).tolist():
        n, original, won, lost = (int(x[k]) for x in (total_K, original_K, won_K, lost_K))
        low = high = 0.0
        if won or lost:
            drawn_R3 = rng.multinomial(n, [won / n, lost / n, (n - won - lost) / n], size=resamples)
            low, high = np.quantile(100 * (drawn_R3[:, 0] - drawn_R3[:, 1]) / n, [tail, 1 - tail]).tolist()
        rows.append(
            {
                "name": names[k],
                "n": n,
                "original": original,
                "real": original + won - lost,
                "won": won,
                "lost": lost,
                "points": 100 * (won - lost) / n,
                "low": low,
                "high": high,
                "resolved": (won - lost) / (n - original) if n > original else None,
                "p": McNemar(0, won, lost, 0).p_exact,
            }
        )
    return rows
