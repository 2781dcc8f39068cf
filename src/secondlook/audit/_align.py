"""Predictions of one or more models brought onto the same videos; whatever is left out is counted by its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from secondlook import tables
from secondlook.audit._inputs import compare_label_spaces, video_index, video_rows
from secondlook.audit._rank import Ranking, rank
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace

_EXAMPLES = 10
_NOT_FAILED = frozenset({"ok", "unchecked", "partial", "excluded"})


@dataclass(frozen=True)
class LeftOut:
    """Videos that were not looked at, and why."""

    status: str
    """A status of the table, or `other split`, `unlabelled`, `logits not finite`, `not predicted by <model>`, ..."""
    count: int
    failed: bool
    """True where something went wrong with the video; False where it was left out on purpose."""
    examples: tuple[str, ...]
    """The first few of their names."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "examples": list(self.examples)}


@dataclass(frozen=True)
class Aligned:
    """One or more models on the same N videos: all usable, with a given label, in the split asked for."""

    labels: LabelSpace
    rankings: tuple[Ranking, ...]
    video_id_N: npt.NDArray[np.object_]
    given_N: npt.NDArray[np.int32]
    split_N: npt.NDArray[np.object_]
    path_N: npt.NDArray[np.object_]
    """As in the videos table; empty without one."""
    group_N: npt.NDArray[np.object_]
    """Source video, person or scene; empty where there is none."""
    true_labels: pa.Array | None
    """Every label that holds (drawn data), one list a video; None where it is not known."""
    top_k: int
    """k, never more than there are classes."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """What a reader of the numbers should know, in sentences."""
    sources: tuple[tuple[pa.Table, npt.NDArray[np.intp]], ...] = ()
    """For each ranking its predictions table and the row of each of the N videos in it, where signals read logits."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(ranking.name for ranking in self.rankings)

    @property
    def failed_rows(self) -> int:
        """Videos that could not be used because something went wrong with them."""
        return sum(x.count for x in self.left_out if x.failed)

    def ranking(self, name: str) -> Ranking:
        """The ranking of one model.

        Raises:
            UnknownName: if no model is called so.
        """
        for ranking in self.rankings:
            if ranking.name == name:
                return ranking
        raise UnknownName("model", name, self.names)


def align(
    predictions: Mapping[str, pa.Table], videos: pa.Table | None = None, *, top_k: int = 5, split: str = ""
) -> Aligned:
    """Brings models onto the videos that all of them predicted, and ranks the classes of each.

    Where a videos table is given its labels, splits, groups and statuses hold; otherwise those in the predictions do.
    A video is left out, and counted with its status, if it is missing from a table, in another split, not usable,
    without a given label, or with logits that are not finite though it was said to be usable. It is left out for
    *every* model, so that all are measured on the same videos.

    Args:
        predictions: model name -> predictions table.
        videos: table of the same videos.
        top_k: how many of the best classes to keep; more than there are classes means all of them (noted).
        split: only videos of this split; all when empty.

    Raises:
        BadValue: if label spaces differ, no video is left, or two tables give one video different labels.
        UnknownName: if no video is in that split.
    """
    if top_k < 1:
        raise BadValue(top_k, "top-k must be at least 1", "Give --top-k 5.")
    if not predictions:
        raise BadValue("predictions", "at least one predictions table is needed")
    rows = {name: video_rows(name, table) for name, table in predictions.items()}
    labels = _same_label_space(rows, videos)
    notes = []
    if top_k > len(labels):
        notes.append(f"k is {len(labels)}, not {top_k}: there are {len(labels)} classes.")
        top_k = len(labels)
    index = {name: video_index(table, name) for name, table in rows.items()}
    first, *others = index.values()
    in_every = np.logical_and.reduce([np.ones(len(first), dtype=bool), *(first.isin(x) for x in others)])
    if not in_every.any():
        raise BadValue(", ".join(index), "have no video in common", "Predict the same videos with each model.")
    ids_N = first[in_every].to_numpy()
    at = {name: x.get_indexer(pd.Index(ids_N, dtype=object)) for name, x in index.items()}
    left_out = _only_in_some(index)
    facts = _facts(rows, at, videos, ids_N)
    finite_N = np.logical_and.reduce([_finite(table)[at[name]] for name, table in rows.items()])
    why_N = _why_left_out(facts, finite_N, split, len(labels))
    left_out += _count(ids_N, why_N) + _not_predicted(index, videos, facts)
    keep_N = why_N == ""
    if not keep_N.any():
        reasons = ", ".join(f"{x.count} {x.status}" for x in left_out)
        raise BadValue(", ".join(index), f"no video is left to look at ({reasons})")
    given_N = facts["label"][keep_N].astype(np.int32)
    # One model's logits at a time: a table in pieces is copied to be one matrix.
    rankings = tuple(
        rank(name, tables.matrix(table, "logits"), given_N, top_k, at[name][keep_N]) for name, table in rows.items()
    )
    text = {name: facts[name][keep_N] for name in ("split", "path", "group")}
    true_labels = None if facts["true"] is None else facts["true"].filter(pa.array(keep_N))
    return Aligned(
        labels, rankings, ids_N[keep_N], given_N, text["split"], text["path"], text["group"], true_labels, top_k,
        tuple(left_out), tuple(notes), tuple((table, at[name][keep_N]) for name, table in rows.items()),
    )  # fmt: skip


def _same_label_space(rows: Mapping[str, pa.Table], videos: pa.Table | None) -> LabelSpace:
    spaces = {name: tables.label_space(table) for name, table in rows.items()}
    if videos is not None and tables.made(videos).get("label_space"):
        spaces["the videos table"] = tables.label_space(videos)
    (first_name, first), *others = spaces.items()
    for name, space in others:
        compare_label_spaces(first_name, first, name, space)
    return next((s for s in spaces.values() if s.groups), first)


def _finite(table: pa.Table) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(tables.matrix(table, "logits")).all(axis=1))


def _only_in_some(index: Mapping[str, pd.Index[Any]]) -> list[LeftOut]:
    seen = pd.Index(list(dict.fromkeys(i for x in index.values() for i in x)) if len(index) > 1 else [], dtype=object)
    why_N = np.full(len(seen), "", dtype=object)
    for name, x in index.items():
        why_N[~seen.isin(x) & (why_N == "")] = f"not predicted by {name}"
    return _count(seen.to_numpy(), why_N)


def _facts(
    rows: Mapping[str, pa.Table], at: Mapping[str, npt.NDArray[np.intp]], videos: pa.Table | None, ids_N: Any
) -> dict[str, Any]:
    """Label, split, status and the rest of the common videos: of the videos table where there is one."""
    count = len(ids_N)
    status_N = np.full(count, "ok", dtype=object)
    usable = list(tables.USABLE)
    for name, table in rows.items():
        theirs_N = _text(table, "status")[at[name]]
        status_N = np.where(np.isin(status_N, usable), theirs_N, status_N)
    if videos is None:
        first = next(iter(rows))
        label_N = rows[first]["label"].to_numpy()[at[first]]
        for name, table in rows.items():
            other_N = table["label"].to_numpy()[at[name]]
            if (differs := np.flatnonzero(other_N != label_N)).size:
                rule = f"has given label {label_N[differs[0]]} in {first} and {other_N[differs[0]]} in {name}"
                cure = "Give the --videos table that holds, or predict again."
                raise BadValue(str(ids_N[differs[0]]), f"{rule} ({differs.size} such videos)", cure)
        empty = np.full(count, "", dtype=object)
        split_N = _text(rows[first], "split")[at[first]]
        listed_N = np.ones(count, dtype=bool)
        found = {"label": label_N, "split": split_N, "status": status_N, "path": empty, "group": empty, "true": None}
        return {**found, "listed": listed_N}
    where_N = video_index(videos, "videos").get_indexer(pd.Index(ids_N, dtype=object))
    listed_N = where_N >= 0
    if not listed_N.any():
        raise BadValue("videos", "lists none of the predicted videos", "Give the table that `predict` was given.")
    found = {c: _text(videos, c)[where_N] for c in ("split", "status", "path", "group")}
    found["status"] = np.where(np.isin(found["status"], usable), status_N, found["status"])
    found["listed"] = listed_N
    found["label"] = np.where(listed_N, videos["label"].to_numpy()[where_N], tables.UNLABELLED)
    found["true"] = None
    if "true_labels" in videos.column_names:
        found["true"] = videos["true_labels"].take(pa.array(np.where(listed_N, where_N, 0))).combine_chunks()
    return found


def _text(table: pa.Table, column: str) -> npt.NDArray[np.object_]:
    return np.asarray(table[column].to_numpy(zero_copy_only=False), dtype=object)


def _why_left_out(facts: Mapping[str, Any], finite_N: Any, split: str, classes: int) -> npt.NDArray[np.object_]:
    label_N, status_N, split_N = facts["label"], facts["status"], facts["split"]
    why_N = np.where(facts["listed"], "", "not in the videos table").astype(object)
    if split:
        if split not in split_N[facts["listed"]]:
            raise UnknownName("split", split, sorted(set(split_N) - {""}))
        why_N[(split_N != split) & (why_N == "")] = "other split"
    unusable_N = ~np.isin(status_N, list(tables.USABLE)) & (why_N == "")
    why_N[unusable_N] = status_N[unusable_N]
    why_N[(label_N == tables.UNLABELLED) & (why_N == "")] = "unlabelled"
    why_N[~finite_N & (why_N == "")] = "logits not finite"
    outside = label_N[(why_N == "") & ((label_N < 0) | (label_N >= classes))]
    if outside.size:
        raise BadValue(int(outside[0]), f"a given label must be in 0..{classes - 1}, or {tables.UNLABELLED} for none")
    return why_N


def _not_predicted(index: Mapping[str, pd.Index[Any]], videos: pa.Table | None, facts: Mapping[str, Any]) -> Any:
    """Videos of the predicted splits that are listed, but that no model predicted."""
    if videos is None:
        return []
    listed = video_index(videos, "videos")
    lost_N = np.isin(_text(videos, "split"), list(set(facts["split"][facts["listed"]])))
    for x in index.values():
        lost_N &= ~listed.isin(x)
    return _count(listed.to_numpy(), np.where(lost_N, "listed, but not predicted", ""))


def _count(ids_N: Any, why_N: npt.NDArray[np.object_]) -> list[LeftOut]:
    found = []
    for why in dict.fromkeys(w for w in why_N.tolist() if w):
        at = np.flatnonzero(why_N == why)
        failed = (why in tables.STATUSES and why not in _NOT_FAILED) or why == "logits not finite"
        found.append(LeftOut(why, len(at), failed, tuple(str(i) for i in ids_N[at[:_EXAMPLES]])))
    return found
