"""What a folder of explanations lists: `explanations.json`, and the same as a table, `explanations.parquet` (no torch).

Both are written entry by entry, and the list is read entry by entry, so memory does not grow with the videos.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, overload

from secondlook import tables
from secondlook.explain._ground_truth import BASELINES, MEASURES
from secondlook.tables import UNLABELLED, Column, Schema

LIST = "explanations.json"
"""The file that lists what was explained."""
TABLE = "explanations.parquet"
"""The same as a table."""
_BATCH = 512

MEASURED = tuple(f"{name}{baseline}" for name in MEASURES for baseline in ("", *(f"_{b}" for b in BASELINES)))
"""Every measure, and what the baselines get of it."""


def _meaning(column: str) -> str:
    name = next(m for m in MEASURES if column.startswith(m) and column[len(m) :].lstrip("_") in ("", *BASELINES))
    baseline = column[len(name) :].lstrip("_")
    words = f"{MEASURES[name]} (drawn data only)"
    return f"the same of the baseline {baseline}: {words}" if baseline else words


EXPLANATIONS = Schema(
    "explanations",
    "one row a video and method: which class was explained, when there was most heat, and where the heat map is",
    ("video_id", "method"),
    (
        Column("video_id", "string", "name of the video within its dataset"),
        Column("method", "string", "name of the explainer"),
        Column("status", "string", "one of the statuses of a video; `failed`: it decodes, but was not explained"),
        Column("reason", "string", "why, in words; empty when all is well"),
        Column("path", "string", "the video, relative to `root` (kept in the table's metadata)"),
        Column("split", "string", "split the video falls in"),
        Column("run", "string", "run folder of the network, by name"),
        Column("module", "string", "module the heat was read from; empty for methods that read the input"),
        Column("label", "int32", f"class that was explained; {UNLABELLED} where nothing was"),
        Column("given", "int32", f"given label as a class of the network; {UNLABELLED} where there is none"),
        Column("predicted", "int32", f"class with the highest logit; {UNLABELLED} where nothing was predicted"),
        Column("confidence", "float64", "of the predicted class (softmax)", optional=True),
        Column("no_heat", "int8", "1: nothing speaks for the class here", optional=True),
        Column("peak_s", "float64", "time of the frame with the most heat", "s", optional=True),
        Column("heat", "string", "heat map (.npz), relative to the table's folder; empty where there is none"),
        Column("action_start_s", "float64", "when the action starts (drawn data only)", "s", optional=True),
        Column("action_end_s", "float64", "when it ends (drawn data only)", "s", optional=True),
        *(Column(name, "float64", _meaning(name), optional=True) for name in MEASURED),
    ),
)


class Entries(Sequence[dict[str, Any]]):
    """The entries of a list on the disk, read again each time that they are walked through."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self._count = path, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            next(file)
            for _, line in zip(range(self._count), file, strict=False):
                yield json.loads(line.rstrip(",\n"))

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[at]


class Writer:
    """Writes the list and the table of a folder, entry by entry; both appear when it is closed without an error.

    Args:
        folder: where; it is made.
        made: how it was made; `root` and `label_space` go into the table.
        measured: whether measures and times of the action have columns.
    """

    def __init__(self, folder: Path, made: Mapping[str, Any], *, measured: bool) -> None:
        self.path, self.made, self.count = folder / LIST, dict(made), 0
        self._measured = measured
        self._part = self.path.with_name(LIST + ".part")
        self._waiting: list[dict[str, Any]] = []
        self._table = tables.Writer(EXPLANATIONS, folder / TABLE, self.made)
        self._file: TextIO | None = None

    def __enter__(self) -> Writer:
        self._table.__enter__()
        self._file = self._part.open("w", encoding="utf-8")
        self._file.write('{"explanations": [\n')
        return self

    def add(self, entry: Mapping[str, Any]) -> None:
        """Takes an entry in."""
        assert self._file is not None
        self._file.write((",\n" if self.count else "") + json.dumps(entry, allow_nan=False))
        self.count += 1
        self._waiting.append(_row(entry, self._measured))
        if len(self._waiting) >= _BATCH:
            self._table.write(self._waiting)
            self._waiting.clear()

    def finish(self, averages: Mapping[str, Any]) -> Entries:
        """Writes what comes after the entries; gives them as they can be read again, once the writer is closed."""
        assert self._file is not None
        rest = json.dumps({"averages": averages, "made": self.made}, indent=2, allow_nan=False)
        self._file.write("\n],\n" + rest.removeprefix("{\n") + "\n")
        if self._waiting:
            self._table.write(self._waiting)
            self._waiting.clear()
        return Entries(self.path, self.count)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._file is not None
        self._file.close()
        self._table.__exit__(kind, error, at)
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)


def _row(entry: Mapping[str, Any], measured: bool) -> dict[str, Any]:
    """An entry as a row of the table."""
    predicted = entry.get("predicted") or [{"index": UNLABELLED, "confidence": None}]
    none = {"module": "", "given": UNLABELLED, "no_heat": None, "peak_s": None}
    known = {name: entry.get(name, none[name]) for name in none}
    row = {name: entry[name] for name in ("video_id", "method", "status", "reason", "path", "split", "run", "label")}
    row |= known | {"no_heat": None if known["no_heat"] is None else int(known["no_heat"])}
    row |= {"predicted": predicted[0]["index"], "confidence": predicted[0]["confidence"]}
    row |= {"heat": entry["paths"].get("heat", "")}
    if measured:
        row |= {name: entry.get(name) for name in ("action_start_s", "action_end_s")}
        row |= {name: (entry["measures"] or {}).get(name) for name in MEASURED}
    return row
