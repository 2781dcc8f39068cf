"""The gain that equally many labels drawn at random would give: what of a gain in ReaL is owed to larger sets alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.audit import Ranking
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.real import Review


def random_gain(
    ranking: Ranking,
    looked: Review,
    metrics: Mapping[str, int],
    *,
    options: LabelSets | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Gains of one model, with the labels that people added replaced by random ones.

    A video whose set holds `m` labels beside the given one gets `m` others, drawn without replacement from a pool of
    `M` that leaves the given label out; the given label stays where it was kept. If `h` of the `k` best classes are in
    the pool, one of them is drawn with probability `1 - C(M - h, m) / C(M, m)`; a draw of all videos is one draw from
    each of these chances, which is the same distribution as drawing the labels themselves.

    The pool is every class, or (a harder control) the options that people were shown: the classes that the models
    proposed, from which workers who choose blindly would choose.

    Args:
        ranking: the model.
        looked: what people said.
        metrics: name -> k.
        options: of each video; empty for one without. None: every class is in the pool.
        draws: how often all labels are drawn.
        confidence: of the interval.
        seed: of the draws.

    Returns:
        One row a metric: `{"model", "metric", "pool", "videos", "added", "gain", "random", "low", "high", "p"}`. `gain`
        and `random` (the mean over draws, with its interval) are in percentage points of the videos of ReaL; `p` is the
        share of draws, counting the one that people made, whose gain is at least theirs.
    """
    rng = np.random.default_rng(seed)
    given_N, kept_N = looked.given_N, looked.kept_N
    holds_N = looked.holds_given_N
    added_N = np.where(kept_N, looked.sets.size_N - holds_N, 0)
    given = LabelSets.single(given_N, looked.sets.classes)
    n = int(kept_N.sum())
    rows = []
    for metric, k in metrics.items():
        original_N = hits(ranking.top_NK, given, k)
        real_N = hits(ranking.top_NK, looked.sets, k)
        gain = int(real_N[kept_N].sum()) - int(original_N[kept_N].sum())
        # Hit whatever is drawn, or never; the rest is chance.
        sure_N = original_N & holds_N
        pool_N, good_N = _pool(ranking, given_N, k, options, looked.sets.classes)
        chance_N = np.where(sure_N, 0.0, _chance(pool_N, good_N, added_N))[kept_N & (added_N > 0)]
        fixed = int(sure_N[kept_N].sum()) - int(original_N[kept_N].sum())
        drawn_D = fixed + _draw(chance_N, draws, rng)
        low, high = np.quantile(drawn_D, [(1 - confidence) / 2, (1 + confidence) / 2])
        points = 100 / n if n else 0.0
        rows.append(
            {
                "model": ranking.name,
                "metric": metric,
                "pool": "all labels" if options is None else "options shown",
                "videos": int((added_N > 0).sum()),
                "added": int(added_N.sum()),
                "gain": gain * points,
                "random": float(fixed + chance_N.sum()) * points,
                "low": float(low) * points,
                "high": float(high) * points,
                "p": (1 + int((drawn_D >= gain).sum())) / (1 + draws),
            }
        )
    return rows


def _pool(
    ranking: Ranking, given_N: npt.NDArray[np.int32], k: int, options: LabelSets | None, classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many labels can be drawn for each video, and how many of them are among its k best classes."""
    other_NK = ranking.top_NK[:, :k] != given_N[:, None]
    if options is None:
        return np.full(len(given_N), classes - 1, np.int64), other_NK.sum(axis=1)
    good_N = (other_NK & options.hold(ranking.top_NK[:, :k])).sum(axis=1)
    return options.size_N - options.hold(given_N), good_N


def _chance(
    pool_N: npt.NDArray[np.int64], good_N: npt.NDArray[np.int64], drawn_N: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """`1 - C(M - h, m) / C(M, m)`: that at least one of h good labels is among m drawn of M; m is at most M."""
    miss_N = np.ones(len(pool_N))
    drawn_N = np.minimum(drawn_N, pool_N)
    for step in range(int(drawn_N.max(initial=0))):
        here_N = step < drawn_N
        left_N = np.where(here_N, pool_N - step, 1)
        miss_N *= np.where(here_N, np.maximum(pool_N - good_N - step, 0) / left_N, 1.0)
    return 1 - miss_N


def _draw(chance_N: npt.NDArray[np.float64], draws: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Sums of one draw from each chance; equal chances are drawn together."""
    chance_P, often_P = np.unique(chance_N, return_counts=True)
    return np.asarray(rng.binomial(often_P, np.clip(chance_P, 0, 1), size=(draws, len(chance_P))).sum(axis=1))


def options_of(video_id_N: Sequence[str], candidates: Any, classes: int) -> LabelSets:
    """The options that were shown for each video, as sets in the order of `video_id_N`; empty where nobody was asked.

    Args:
        video_id_N: names of the evaluated videos.
        candidates: a candidates table.
        classes: K.
    """
    place = {video: row for row, video in enumerate(video_id_N)}
    at_C = np.array([place.get(video, -1) for video in candidates["video_id"].to_pylist()], dtype=np.int64)
    offered = LabelSets.of_lists(candidates["options"], classes)
    row, label = offered.pairs
    here = at_C[row] >= 0
    return LabelSets.of_pairs(at_C[row[here]], label[here].astype(np.int32), len(video_id_N), classes)
