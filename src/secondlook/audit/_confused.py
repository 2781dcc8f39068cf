"""Which given labels are confused most, as counts and as shares of their class; and who confuses A with B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from secondlook.audit._align import Aligned
from secondlook.audit._mistakes import Videos
from secondlook.audit._rank import Ranking
from secondlook.errors import BadValue


def confused_classes(aligned: Aligned, videos: Videos, by: Literal["count", "share"] = "count") -> list[dict[str, Any]]:
    """Counts a set of misclassified videos by their given label, most confused first.

    The seed prints counts only (label-reassessment 3.3b), which mostly says how large a class is; `share` is the count
    over the videos of the class, `count / videos`.

    Args:
        aligned: the videos.
        videos: which of them to count, for example `mistakes(aligned).top1_category`.
        by: what to sort by; ties go to the lower class index. Classes without a video are left out.

    Returns:
        One `{"label", "name", "count", "videos", "share"}` a class.
    """
    classes = len(aligned.labels)
    total_K = np.bincount(aligned.given_N, minlength=classes)
    count_K = np.bincount(aligned.given_N[videos], minlength=classes)
    share_K = count_K / np.maximum(total_K, 1)
    order = np.argsort(-(count_K if by == "count" else share_K), kind="stable")
    return [
        {
            "label": int(k),
            "name": aligned.labels.names[k],
            "count": int(count_K[k]),
            "videos": int(total_K[k]),
            "share": float(share_K[k]),
        }
        for k in order
        if total_K[k]
    ]


@dataclass(frozen=True)
class Confusion:
    """A video that a model took for another class."""

    video_id: str
    model: str
    given: int
    predicted: int
    confidence: float
    """Softmax of the predicted class."""


def confusions(
    aligned: Aligned,
    given: str,
    predicted: str,
    *,
    model: str = "",
    min_confidence: float = 0.0,
    both_ways: bool = False,
    sort: Literal["confidence", "video_id"] = "confidence",
) -> list[Confusion]:
    """Videos given as class A whose best class is B (label-reassessment 1.3, pairwise confusion filter).

    Args:
        aligned: the videos.
        given: class A, by name.
        predicted: class B, by name.
        model: only this model; every model when empty.
        min_confidence: leave out predictions with a lower softmax.
        both_ways: also videos given as B that were taken for A.
        sort: most confident first, or by name of the video.

    Raises:
        UnknownName: if there is no such class or model.
        BadValue: if A and B are one class, or the threshold is not in [0, 1].
    """
    a, b = aligned.labels.index_of(given), aligned.labels.index_of(predicted)
    if a == b:
        raise BadValue(given, "is one class with the other", "Name two classes.")
    if not 0 <= min_confidence <= 1:
        raise BadValue(min_confidence, "a confidence is in [0, 1]")
    pairs = ((a, b), (b, a)) if both_ways else ((a, b),)
    found = []
    for ranking in (aligned.ranking(model),) if model else aligned.rankings:
        for from_class, to_class in pairs:
            here_N = (aligned.given_N == from_class) & (ranking.predicted_N == to_class)
            found += _of(aligned, ranking, here_N & (ranking.confidence_N >= min_confidence))
    if sort == "confidence":
        return sorted(found, key=lambda c: (-c.confidence, c.video_id, c.model))
    return sorted(found, key=lambda c: (c.video_id, c.model))


def all_confusions(aligned: Aligned, *, min_confidence: float = 0.0) -> list[Confusion]:
    """Every video that a model took for another class: by given label, by predicted class, most confident first."""
    found = []
    for ranking in aligned.rankings:
        wrong_N = ranking.predicted_N != aligned.given_N
        found += _of(aligned, ranking, wrong_N & (ranking.confidence_N >= min_confidence))
    return sorted(found, key=lambda c: (c.given, c.predicted, -c.confidence, c.video_id, c.model))


def _of(aligned: Aligned, ranking: Ranking, here_N: Videos) -> list[Confusion]:
    return [
        Confusion(str(video), ranking.name, given, predicted, confidence)
        for video, given, predicted, confidence in zip(
            aligned.video_id_N[here_N], aligned.given_N[here_N].tolist(), ranking.predicted_N[here_N].tolist(),
            ranking.confidence_N[here_N].tolist(), strict=True,
        )
    ]  # fmt: skip
