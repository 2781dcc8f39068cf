"""A table of videos explained one by one, with measures where the truth is known; goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook import tables
from secondlook.errors import BadValue, SecondlookError
from secondlook.explain._clips import Wish, check, entry, explain_video, write
from secondlook.explain._entries import LIST, TABLE, Writer
from secondlook.explain._ground_truth import as_json, average, ground_truth
from secondlook.explain._methods import must_suit
from secondlook.labels import LabelSpace
from secondlook.predict.loader import root_of
from secondlook.predict.weights import LoadedModel, write_json
from secondlook.tables import UNLABELLED
from secondlook.video.clip import Clip
from secondlook.video.guard import Guard
from secondlook.video.listed_path import leaves_root

__all__ = ["LIST", "TABLE", "choose_rows", "explain_methods", "explain_table", "folder_name"]


def choose_rows(videos: pa.Table, split: str = "all", limit: int | None = None) -> pa.Table:
    """The rows of a split (or of `all`), at most `limit` of them, evenly spread over the table's order.

    Raises:
        BadValue: if the split has no rows, or the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise BadValue(limit, "at least one video must be explained", "Leave --limit out for all.")
    chosen = videos if split == "all" else videos.filter(pc.equal(videos["split"], split))
    if not chosen.num_rows:
        found = sorted({s or "(none)" for s in videos["split"].to_pylist()})
        cure = f"Its splits: {', '.join(found) or 'none'}; or give all."
        raise BadValue(split, "no video of the table is in this split", cure)
    if limit is None or limit >= chosen.num_rows:
        return chosen
    return chosen.take(np.arange(limit) * chosen.num_rows // limit)


def explain_methods(
    loaded: LoadedModel, videos: pa.Table, wishes: Sequence[Wish], folder: Path, **options: Any
) -> dict[str, dict[str, Any]]:
    """Explains every row with several methods, one after the other, each into `folder/<method>/`.

    Args:
        loaded: a trained network with its card and labels.
        videos: rows of a videos table.
        wishes: one a method; all are checked before the first video is read.
        folder: where.
        **options: as of `explain_table`; `advance` is called once a video and method.

    Returns:
        Method -> what `explain_table` gives.

    Raises:
        BadValue: if a method is there twice, or does not suit the network.
        UnknownName: see `_clips.check`.
    """
    methods = [wish.method for wish in wishes]
    if twice := [method for method in dict.fromkeys(methods) if methods.count(method) > 1]:
        raise BadValue(twice[0], "each method can be asked for once", "Give each a folder of its own for two settings.")
    for wish in wishes:
        _check(loaded, wish)
    return {wish.method: explain_table(loaded, videos, wish, folder / wish.method, **options) for wish in wishes}


def explain_table(
    loaded: LoadedModel,
    videos: pa.Table,
    wish: Wish,
    folder: Path,
    *,
    run: str = "",
    root: str | Path | None = None,
    made: Mapping[str, Any] | None = None,
    seed: int = 0,
    timeout_s: float = 30.0,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Explains every row and writes `explanations.json`, `explanations.parquet` and a folder a video.

    A video that cannot be read or explained is an entry with a status and a reason. A video whose folder already
    holds an explanation by the same weights with the same settings is not explained again, so a run that was stopped
    goes on where it was. Memory does not grow with the videos, but for the measures of those whose truth is known.

    Args:
        loaded: a trained network with its card and labels.
        videos: rows of a videos table.
        wish: what and how.
        folder: where; it is made.
        run: name of the run, kept with each entry.
        root: folder that the paths of the table are relative to; None: as the table says.
        made: how it was made (`tables.provenance`).
        seed: of the bootstrap intervals.
        timeout_s: longest time that decoding one video may take.
        advance: called after each video.

    Returns:
        What was written to `explanations.json`: `explanations`, the entries (`video_id`, `status`, `reason`, `label`,
        `paths` relative to the folder, `measures` or None, ...), read from the disk when they are walked through;
        `averages` (`_ground_truth.average`); `made`.

    Raises:
        UnknownName: see `_clips.check`.
        BadValue: if the method does not suit the network.
        MissingFile: if the videos' folder is not there.
    """
    _check(loaded, wish)
    place = root_of(videos, root)
    to_network = label_map(tables.label_space(videos), loaded.labels) if "label_space" in tables.made(videos) else None
    key = {"settings": wish.to_dict(), "weights": tables.file_sha256(loaded.weights)}
    about = dict(made or {}) | {"root": str(place.resolve()), "label_space": loaded.labels.to_dict()}
    measured: list[dict[str, float]] = []
    with Guard(timeout_s) as guard, Writer(folder, about, measured="truth_path" in videos.column_names) as writer:
        for row in _rows(videos):
            target = folder / folder_name(row["video_id"])
            own_key = key | {"row": row_hash(row)}
            found = _kept(target, own_key)
            if found is None:
                found = _one(loaded, row, place, wish, to_network, guard, target)
                if found["status"] in tables.USABLE:
                    write_json(target / "about.json", {"key": own_key, "entry": found})
            writer.add(found | _of_row(row) | {"run": run, "method": wish.method})
            if found["measures"]:
                measured.append({k: np.nan if v is None else v for k, v in found["measures"].items()})
            advance()
        averages = average(measured, np.random.default_rng(seed))
        entries = writer.finish(averages)
    return {"explanations": entries, "averages": averages, "made": about}


def _check(loaded: LoadedModel, wish: Wish) -> None:
    check(loaded, wish)
    must_suit(wish.method, loaded.model, loaded.card)


def _rows(videos: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in videos.to_batches(max_chunksize=256):
        yield from batch.to_pylist()


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry takes over from the videos table."""
    interval = action_interval(row) or (None, None)
    return {
        "video_id": row["video_id"],
        "path": row["path"],
        "split": row["split"],
        "action_start_s": interval[0],
        "action_end_s": interval[1],
    }


def _one(
    loaded: LoadedModel,
    row: Mapping[str, Any],
    root: Path,
    wish: Wish,
    to_network: Mapping[int, int] | None,
    guard: Guard,
    target: Path,
) -> dict[str, Any]:
    """Everything of an entry but the name of the video and of the run."""
    if row["status"] not in tables.USABLE:
        return _failed(row["status"], row["reason"])
    if leaves_root(row["path"]):
        return _failed("unreadable", f"the path {row['path']!r} leaves the videos' folder")
    last: list[Clip] = []

    def decode(*args: Any, **options: Any) -> Clip:
        last.append(guard.decode(*args, **options))
        return last[-1]

    given = row["label"] if to_network is None else to_network.get(row["label"], UNLABELLED)
    try:
        explained = explain_video(loaded, root / row["path"], wish, given=given, decode=decode)
    except SecondlookError as error:
        if last and not last[0].usable:
            return _failed(last[0].status, last[0].reason)
        return _failed("failed", str(error))
    paths = write(explained, loaded, target, wish, row["video_id"], extras=False)
    measures, reason = None, ""
    if row.get("truth_path"):
        try:
            measures = as_json(ground_truth(explained.heat, masks_of(root, row["truth_path"]), action_interval(row)))
        except SecondlookError as error:
            reason = f"not measured: {error}"
    return {
        "status": last[0].status,
        "reason": reason or last[0].reason,
        **entry(explained, loaded),
        "paths": {kind: path.relative_to(target.parent).as_posix() for kind, path in paths.items()},
        "measures": measures,
    }


def _failed(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason, "label": UNLABELLED, "label_name": "", "paths": {}, "measures": None}


def masks_of(root: Path, truth_path: str) -> Any:
    if leaves_root(truth_path):
        raise BadValue(truth_path, "the path of the masks leaves the videos' folder")
    if not (root / truth_path).is_file():
        raise BadValue(truth_path, "the masks are not there")
    with np.load(root / truth_path, allow_pickle=False) as data:
        if "masks_THW" not in data:
            raise BadValue(truth_path, "holds no masks_THW")
        return data["masks_THW"]


def action_interval(row: Mapping[str, Any]) -> tuple[float, float] | None:
    start_s, end_s = row.get("action_start_s"), row.get("action_end_s")
    if start_s is None or end_s is None or not np.isfinite([start_s, end_s]).all():
        return None
    return float(start_s), float(end_s)


def label_map(of_table: LabelSpace, of_network: LabelSpace) -> dict[int, int]:
    """Class of the table -> class of the network with that name; classes the network does not know are left out."""
    known = {name: k for k, name in enumerate(of_network.names)}
    return {i: known[name] for i, name in enumerate(of_table.names) if name in known}


def folder_name(video_id: str) -> str:
    """A video's name as the name of one folder; names that had to be changed get a short hash, so that none collide."""
    safe = re.sub(r"[^\w.-]", "_", video_id).strip(".")[:80]
    return safe if safe == video_id else f"{safe}-{hashlib.sha256(video_id.encode()).hexdigest()[:8]}"


def row_hash(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _kept(target: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of an explanation that is already there, if it was made in the same way and its files are there."""
    about = target / "about.json"
    if not about.is_file():
        return None
    try:
        data = json.loads(about.read_text(encoding="utf-8"))
        found: dict[str, Any] = data["entry"]
        whole = data["key"] == json.loads(json.dumps(key)) and all(
            (target.parent / path).exists() for path in found["paths"].values()
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    return found if whole else None
