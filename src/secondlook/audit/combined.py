"""Several signals in one ranking: the mean (or highest) of the places that a video has in each.

The place of video i in signal s is `r_s(i) = |{j : suspicion_s(j) < suspicion_s(i)}| / (N - 1)`, in [0, 1]: 0 for a
video that is no more suspicious than any other, 1 for the single most suspicious one. Places, unlike suspicions, can be
compared between signals. Suspicion is `mean_s r_s(i)` (Borda's count), or `max_s r_s(i)` with `how=max`. A video is a
candidate where any of the signals selects it (`together=any`), or all of them (`together=all`); the reason holds that
of each signal that selects it, by name. Signals that ask different questions pull against each other in a mean: a video
of which the models are sure has no `low_margin`; `how=max` keeps both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import catalog
from secondlook.audit._align import Aligned, align
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.errors import BadValue

How = Literal["mean", "max"]
Together = Literal["any", "all"]


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    signals: Sequence[str] = ("misclassified", "confident_disagreement"),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    how: How = "mean",
    together: Together = "any",
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds the videos of several signals and ranks them together.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of one model or more.
        signals: names of the signals.
        options: options of each signal by its name.
        how: of a video's places, their `mean` or `max`.
        together: candidates of `any` of the signals, or of `all`.

    Raises:
        UnknownName: for a signal that is not there.
        BadValue: if no signal or one twice is named, or one of them cannot do its work.
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    if "combined" in signals:
        raise BadValue("combined", "is made of other signals, and cannot be one of them", "Name two or more signals.")
    if not signals or len(set(signals)) < len(signals):
        raise BadValue(list(signals), "signals must be named, each once")
    parts = {s: catalog.find("audit", s).score(aligned, **(options or {}).get(s, {})) for s in signals}
    return to_table(aligned, score(aligned, parts=parts, how=how, together=together), seed=seed, limit=limit)[0]


def score(
    aligned: Aligned, *, parts: Mapping[str, Scored] | None = None, how: How = "mean", together: Together = "any"
) -> Scored:
    """The combination of signals that are scored already, by name."""
    if not parts:
        raise BadValue("combined", "needs other signals to combine",
                       "Name them: --signal misclassified --signal low_margin.")  # fmt: skip
    place_SN = np.stack([places(part.suspicion_N) for part in parts.values()])
    selected_SN = np.stack([part.selected_N for part in parts.values()])
    suspicion_N = place_SN.max(axis=0) if how == "max" else place_SN.mean(axis=0)
    also = [part.also_NJ for part in parts.values() if part.also_NJ is not None]

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        said: list[list[str]] = [[] for _ in rows]
        for name, part in parts.items():
            at = np.flatnonzero(part.selected_N[rows])
            for i, reason in zip(at.tolist(), part.reasons(rows[at]), strict=True):
                said[i].append(f"{name}: {reason}")
        return ["; ".join(each) for each in said]

    return Scored(
        suspicion_N.astype(np.float32),
        np.asarray(selected_SN.all(axis=0) if together == "all" else selected_SN.any(axis=0)),
        reasons,
        np.column_stack(also) if also else None,
        tuple(note for part in parts.values() for note in part.notes),
    )


def places(suspicion_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Share of the other videos that are less suspicious."""
    below_N = np.searchsorted(np.sort(suspicion_N), suspicion_N, side="left")
    return np.asarray(below_N / max(len(suspicion_N) - 1, 1))
