"""ReaL: reassessed label sets laid over the given labels, and what the second look changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from secondlook import tables
from secondlook.audit import Aligned, compare_label_spaces
from secondlook.errors import BadValue
from secondlook.evaluate.label_sets import LabelSets


@dataclass(frozen=True)
class Review:
    """The label sets that N videos are measured against after the second look (label-reassessment 1.9, 1.10)."""

    sets: LabelSets
    """The reassessed set; `{given label}` of a video that nobody looked at; empty for a dropped one."""
    given_N: npt.NDArray[np.int32]
    reviewed_N: npt.NDArray[np.bool_]
    """Videos that the labels table names."""
    elsewhere: int
    """Rows of the labels table that are about other videos."""

    @property
    def kept_N(self) -> npt.NDArray[np.bool_]:
        """Videos with at least one label: those that ReaL is measured on."""
        return np.asarray(self.sets.size_N > 0)

    @property
    def holds_given_N(self) -> npt.NDArray[np.bool_]:
        """Whether the set holds the given label."""
        return self.sets.hold(self.given_N)

    @property
    def sets_with_dropped(self) -> LabelSets:
        """The same sets, but `{given label}` for dropped videos, so that all N can be measured."""
        rows = np.flatnonzero(~self.kept_N)
        return self.sets.replaced(rows, LabelSets.single(self.given_N[rows], self.sets.classes))

    @property
    def keeps_given(self) -> bool:
        """True where every set that is not empty holds the given label."""
        return bool(self.holds_given_N[self.kept_N].all())

    def statement(self) -> str:
        """What may be concluded from a gain, in a sentence."""
        if self.keeps_given:
            return (
                "Every reassessed set keeps the given label, so ReaL cannot be lower than original accuracy on the "
                "same videos: a gain of at least 0 is certain beforehand, only its size says something."
            )
        lost = int((~self.holds_given_N & self.kept_N).sum())
        return f"The given label was taken out of {lost} reassessed sets, so ReaL may be lower than original accuracy."


def review(labels: pa.Table, aligned: Aligned) -> Review:
    """Lays a labels table over the given labels of the evaluated videos.

    Raises:
        BadValue: if the table is about other videos, another label space, or other given labels.
    """
    if tables.made(labels).get("label_space"):
        compare_label_spaces("the predictions", aligned.labels, "the labels table", tables.label_space(labels))
    index: pd.Index[Any] = pd.Index(labels["video_id"].to_numpy(zero_copy_only=False), dtype=object)
    if not index.is_unique:
        raise BadValue(str(index[index.duplicated()][0]), "is in the labels table more than once")
    at_N = index.get_indexer(pd.Index(aligned.video_id_N, dtype=object))
    reviewed_N = at_N >= 0
    if len(index) and not reviewed_N.any():
        raise BadValue(
            str(index[0]),
            f"none of the {len(index)} videos of the labels table is among the {len(at_N)} evaluated",
            "Give the labels made from candidates of these predictions, or another --split.",
        )
    rows, at = np.flatnonzero(reviewed_N), at_N[reviewed_N]
    before = labels["given_label"].to_numpy()[at]
    if (differs := np.flatnonzero(before != aligned.given_N[rows])).size:
        i = differs[0]
        rule = f"has given label {before[i]} in the labels table and {aligned.given_N[rows[i]]} in the predictions"
        raise BadValue(str(aligned.video_id_N[rows[i]]), f"{rule} ({differs.size} such videos)", "Audit again.")
    classes = len(aligned.labels)
    reassessed = LabelSets.of_lists(labels["labels"].take(pa.array(at)), classes)
    sets = LabelSets.single(aligned.given_N, classes).replaced(rows, reassessed)
    return Review(sets, aligned.given_N, reviewed_N, len(index) - len(rows))


def set_sizes(sets: LabelSets) -> dict[str, Any]:
    """Histogram of label-set sizes: `{"histogram": {size: videos}, "mean", "max"}`, empty sets left out of the mean.

    The seed reports a range of 1 to 8 (label-reassessment 1.9).
    """
    size_N = sets.size_N
    size, videos = np.unique(size_N, return_counts=True)
    kept_N = size_N[size_N > 0]
    return {
        "histogram": {str(s): int(n) for s, n in zip(size, videos, strict=True)},
        "mean": float(kept_N.mean()) if kept_N.size else None,
        "max": int(size_N.max(initial=0)),
    }


def approvals(labels: pa.Table) -> list[dict[str, Any]]:
    """Videos by approved answers and by whether the given label was chosen in them (label-reassessment 3.6).

    The source does not say whether one approved answer with the given label is enough; both readings are counted.

    Returns:
        One row for each number of approved answers, most first:
        `{"approved", "videos", "any": {"yes", "no"}, "all": {"yes", "no"}}`. `any`: at least one approved answer chose
        the given label; `all`: every approved answer did. Rows sum to the number of videos.
    """
    approved_N = labels["approved"].to_numpy().astype(np.int64)
    voted, votes = labels["voted"].combine_chunks(), labels["votes"].combine_chunks()
    row = np.repeat(np.arange(len(approved_N)), voted.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    about_given = voted.flatten().to_numpy(zero_copy_only=False) == labels["given_label"].to_numpy()[row]
    chosen_N = np.zeros(len(approved_N), dtype=np.int64)
    chosen_N[row[about_given]] = votes.flatten().to_numpy(zero_copy_only=False)[about_given]
    any_N = chosen_N > 0
    all_N = any_N & (chosen_N == approved_N)
    return [
        {"approved": int(a), "videos": int((approved_N == a).sum())}
        | {
            name: {"yes": int((yes_N & (approved_N == a)).sum()), "no": int((~yes_N & (approved_N == a)).sum())}
            for name, yes_N in (("any", any_N), ("all", all_N))
        }
        for a in sorted(set(approved_N.tolist()), reverse=True)
    ]
