"""A folder of explanations read into foci, and what there is to say about them: clusters, classes, deciding frames."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook import tables
from secondlook.cards import HeatMap
from secondlook.errors import BadValue, MissingFile, SecondlookError
from secondlook.explain._clusters import AT_LEAST, Distance, cluster_foci
from secondlook.explain._deciding import Deciding, Timing, deciding, timing
from secondlook.explain._entries import EXPLANATIONS, LIST, TABLE
from secondlook.explain._focus import GRID, ClassFocus, Foci, class_focus, focus_of
from secondlook.explain._suspicion import Cluster
from secondlook.labels import LabelSpace
from secondlook.video.listed_path import leaves_root

BY = ("all", "class")


@dataclass(frozen=True)
class Seen:
    """One clip whose heat was read."""

    video_id: str
    path: str
    """Of the video, relative to the root; empty where the list does not say."""
    heat: Path


@dataclass(frozen=True)
class Gathered:
    """What a folder of explanations holds: N clips with heat, and why the others are left out."""

    seen: tuple[Seen, ...]
    focus_Nthw: Foci
    label_N: npt.NDArray[np.int64]
    """Class that was explained."""
    timings: tuple[Timing, ...]
    labels: LabelSpace
    method: str
    root: str
    left_out: tuple[tuple[str, str, str], ...]
    """Video, status, reason."""
    temporal: bool = False
    """The method says when, but not where: there is nothing to cluster."""


@dataclass(frozen=True)
class Found:
    """What the foci say."""

    gathered: Gathered
    clusters: tuple[Cluster, ...]
    """The most suspicious first."""
    clusters_status: str
    """`ok`, or why there are none, in words."""
    eigenvalues: Mapping[str, list[float]]
    """Class (`all` for all together) -> the lowest eigenvalues, by which the number of clusters was chosen."""
    classes: tuple[ClassFocus, ...]
    """Where each class looks, whenever that is: foci summed over time."""
    deciding: tuple[Deciding, ...]


def listed(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a folder's table of explanations (or of its list, where there is no table), and how they were made.

    Raises:
        MissingFile: if the folder holds neither.
        BadValue: if it holds explanations by several methods, each in a folder of its own, or a list that is broken.
    """
    if (folder / TABLE).is_file():
        table = tables.read(EXPLANATIONS, folder / TABLE)
        return table.to_pylist(), tables.made(table)
    if (folder / LIST).is_file():
        try:
            data = json.loads((folder / LIST).read_text(encoding="utf-8"))
            rows = [{**e, "heat": e["paths"].get("heat", ""), "path": e.get("path", "")} for e in data["explanations"]]
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            cure = "Make it again with `secondlook explain`."
            raise BadValue(str(folder / LIST), "is not a list of explanations", cure) from None
        return rows, data.get("made", {})
    within = sorted(p.parent.name for p in folder.glob(f"*/{TABLE}"))
    if within:
        rule = f"holds explanations by several methods: {', '.join(within)}"
        raise BadValue(str(folder), rule, f"Give one of them, such as {folder / within[0]}.")
    raise MissingFile(folder / TABLE, f"Make it with `secondlook explain RUN videos.parquet -o {folder}`.")


def gather(
    folder: Path,
    rows: list[dict[str, Any]],
    made: Mapping[str, Any],
    grid: tuple[int, int, int] = GRID,
    advance: Callable[[], object] = lambda: None,
) -> Gathered:
    """Reads the heat maps one after the other; each is brought onto the grid and let go.

    Args:
        folder: of the explanations.
        rows: see `listed`.
        made: see `listed`.
        grid: t, h, w.
        advance: called after each row.

    Raises:
        BadValue: if no clip has any heat.
    """
    seen, foci, labels, timings, left_out = [], [], [], [], []
    temporal = False
    for row in rows:
        advance()
        if row["status"] not in tables.USABLE:
            left_out.append((row["video_id"], row["status"], row["reason"]))
            continue
        try:
            heat = _load(folder, row["heat"])
            focus_thw = focus_of(heat, grid)
        except SecondlookError as error:
            left_out.append((row["video_id"], "unreadable", str(error)))
            continue
        if not focus_thw.any():
            left_out.append((row["video_id"], "no_heat", "nothing speaks for the class here"))
            continue
        foci.append(focus_thw.astype(np.float32))
        labels.append(heat.label)
        timings.append(timing(heat, _interval(row)))
        temporal = temporal or bool(heat.notes.get("temporal"))
        seen.append(Seen(row["video_id"], row.get("path", ""), folder / row["heat"]))
    if not seen:
        raise BadValue(str(folder), f"holds no heat map that can be used, of {len(rows)} videos", _first(left_out))
    method = next((row["method"] for row in rows if row.get("method")), "")
    focus_Nthw = np.stack(foci).astype(np.float64)
    space = LabelSpace.from_dict(made["label_space"]) if "label_space" in made else _names(rows, labels)
    root, label_N = str(made.get("root", "")), np.array(labels, dtype=np.int64)
    return Gathered(tuple(seen), focus_Nthw, label_N, tuple(timings), space, method, root, tuple(left_out), temporal)


def find(
    gathered: Gathered,
    *,
    by: str = "all",
    space_only: bool = True,
    metric: Distance = "hellinger",
    neighbours: int = 0,
    clusters: int = 0,
    seed: int = 0,
) -> Found:
    """Clusters, class-mean foci and deciding frames.

    Args:
        gathered: see `gather`.
        by: `all` clusters the clips of all classes together, `class` those of each class apart.
        space_only: see `cluster_foci`; so are the others.
        metric: distance.
        neighbours: of the graph.
        clusters: how many; of each class, where `by` is `class`.
        seed: of everything random.

    Raises:
        BadValue: if `by` is neither word, or `cluster_foci` refuses a number.
    """
    if by not in BY:
        raise BadValue(by, f"clips are clustered by {' or by '.join(BY)}")
    names, label_N = gathered.labels.names, gathered.label_N
    parts = {"all": np.arange(len(label_N))}
    if by == "class":
        parts = {names[k]: np.flatnonzero(label_N == k) for k in np.unique(label_N)}
    found: list[Cluster] = []
    eigenvalues = {}
    for name, own_N in parts.items():
        if len(own_N) < AT_LEAST or gathered.temporal:
            continue
        ids = [gathered.seen[i].video_id for i in own_N]
        made = cluster_foci(
            gathered.focus_Nthw[own_N], label_N[own_N], names, ids=ids, space_only=space_only, metric=metric,
            neighbours=neighbours, clusters=clusters, seed=seed,
        )  # fmt: skip
        found += [replace(c, clips_N=own_N[c.clips_N]) for c in made.clusters]
        eigenvalues[name] = [round(float(v), 6) for v in made.eigenvalues]
    status = "ok"
    if not eigenvalues:
        most = max(len(own_N) for own_N in parts.values())
        of = "there are" if by == "all" else "the largest class has"
        status = f"too few clips: clusters need at least {AT_LEAST}, {of} {most}"
        if gathered.temporal:
            status = f"no places: {gathered.method} says when a network looks, not where"
    spaces_N1hw = gathered.focus_Nthw.sum(axis=1, keepdims=True)
    classes = class_focus(spaces_N1hw, label_N, np.random.default_rng(seed))
    found.sort(key=lambda c: -c.suspicion)
    return Found(
        gathered, tuple(found), status, eigenvalues, tuple(classes), tuple(deciding(gathered.timings, label_N))
    )


def as_json(found: Found, examples: int = 8) -> dict[str, Any]:
    """What was found, JSON-ready; None where a number has no meaning."""
    gathered, names = found.gathered, found.gathered.labels.names
    return {
        "method": gathered.method,
        "clips": len(gathered.seen),
        "grid": list(gathered.focus_Nthw.shape[1:]),
        "left_out": [dict(zip(("video_id", "status", "reason"), row, strict=True)) for row in gathered.left_out],
        "clusters_status": found.clusters_status,
        "eigenvalues": dict(found.eigenvalues),
        "clusters": [_cluster(c, gathered, examples) for c in found.clusters],
        "classes": [
            {
                "label": c.label,
                "name": names[c.label],
                "clips": c.clips,
                "distance": round(c.distance, 6),
                "chance": round(c.chance, 6),
                "looks_elsewhere": c.looks_elsewhere,
                "mean_focus": _rounded(c.mean_thw),
            }
            for c in found.classes
        ],
        "deciding": [
            {
                "label": d.label,
                "name": "all" if d.label < 0 else names[d.label],
                "clips": d.clips,
                "share_by_tenth": _rounded(d.share_D),
                "peaks_by_tenth": _rounded(d.peaks_D),
                "median_peak": round(d.median_peak, 6),
                "action_known": d.known,
                "outside": None if np.isnan(d.outside) else round(d.outside, 6),
                "outside_by_chance": None if np.isnan(d.outside_by_chance) else round(d.outside_by_chance, 6),
            }
            for d in found.deciding
        ],
    }


def _cluster(cluster: Cluster, gathered: Gathered, examples: int) -> dict[str, Any]:
    names, ids = gathered.labels.names, [gathered.seen[i].video_id for i in cluster.clips_N]
    numbers = ("suspicion", "compact", "fixed", "away", "spread", "off_centre", "purity")
    return {
        "size": len(ids),
        **{name: round(float(getattr(cluster, name)), 6) for name in numbers},
        "reason": cluster.reason,
        "shares": {names[k]: round(v, 6) for k, v in cluster.shares.items()},
        "held": {names[k]: round(v, 6) for k, v in cluster.held.items()},
        "mean_focus": _rounded(cluster.mean_thw),
        "examples": ids[:examples],
        "clips": sorted(ids),
    }


def _rounded(values: npt.NDArray[np.float64]) -> Any:
    return np.round(values, 6).tolist()


def _load(folder: Path, listed_path: str) -> HeatMap:
    if leaves_root(listed_path):
        raise BadValue(listed_path, "the path of the heat map leaves its folder")
    try:
        return HeatMap.load(folder / listed_path)
    except (zipfile.BadZipFile, KeyError, OSError, TypeError, EOFError, ValueError) as error:
        if isinstance(error, SecondlookError):
            raise
        raise BadValue(listed_path, f"is not a heat map ({error})") from None


def _interval(row: Mapping[str, Any]) -> tuple[float, float] | None:
    start_s, end_s = row.get("action_start_s"), row.get("action_end_s")
    return None if start_s is None or end_s is None else (float(start_s), float(end_s))


def _first(left_out: list[tuple[str, str, str]]) -> str:
    return f"First: {': '.join(left_out[0])}" if left_out else ""


def _names(rows: list[dict[str, Any]], labels: list[int]) -> LabelSpace:
    """Class names as far as an older list gives them."""
    known = {row["label"]: row.get("label_name") for row in rows}
    return LabelSpace.from_names([known.get(k) or f"class {k}" for k in range(max(labels) + 1)])
