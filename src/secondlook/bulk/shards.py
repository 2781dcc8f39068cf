"""A table cut into shards: the folder of what is to do and of what is done, on which all machines agree.

`OUTPUT.shards` lies in a folder that every machine sees under the same path. It holds `about.json` (how the output is
made), `rows.parquet` (the rows to do, one row group a shard), and one Parquet file for each shard that is done, named
by its rows and a hash of all it depends on. A shard's file is written under another name and renamed: it is whole or
not there, and two workers that do one shard leave one file. A stopped run goes on with the shards that have none.
Imports no Ray and no torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from secondlook import tables
from secondlook.errors import BadValue

TRIES = 5
"""A shard that has ended its worker this often in one run is given up."""

Work = Callable[[pa.Table], tuple[pa.Table, Mapping[str, int]]]
"""Rows of a shard -> rows of the output, and what was counted on the way. Doing it twice must give the same."""


class Job(Protocol):
    """What a bulk verb does to each shard; it travels to the workers by pickle, so it holds plain values and paths.

    A verb that is to run on a cluster gives such a job, and joins what its shards become (`bulk.prepare` is the
    shortest that there is); that of a room below this one stands in its own room. For `explain`,
    whose rows each leave a file and a line in a table:

        @dataclass(frozen=True)
        class ExplainJob:
            run: Path
            out: Path
            method: str
            cpus: int = 1
            device: str = "auto"

            def start(self) -> Work:
                model = load_run(self.run)      # once a worker

                def work(rows):                 # for every shard
                    done = [explain_row(model, row, self.out, self.method) for row in rows.to_pylist()]
                    return tables.conform(EXPLANATIONS, done), {}

                return work

    with `explain_row` leaving its file whole or not at all (write, then rename), and skipping one that is there.
    """

    @property
    def cpus(self) -> int:
        """Cores a worker needs."""

    @property
    def device(self) -> str:
        """`cpu`; `auto` for an accelerator a worker where the cluster has any; any other name for one a worker."""

    def start(self) -> Work:
        """Called once in each worker: loads what all shards need, and gives the function that does one."""


@dataclass(frozen=True)
class Shards:
    """The shards of one output; plain values, so that workers can have them."""

    schema: tables.Schema
    """Of the output."""
    folder: Path
    ranges: tuple[range, ...]
    """Rows of each shard, in order."""
    key: str
    """Hash of what the shards depend on."""

    @classmethod
    def of(
        cls,
        schema: tables.Schema,
        output: Path,
        rows: pa.Table,
        ranges: Sequence[range],
        made: Mapping[str, Any],
    ) -> Shards:
        """Opens the folder beside an output, or makes it.

        Args:
            schema: of the output.
            output: the table that the shards will become.
            rows: what is to be done.
            ranges: which of them are a shard, in order and without gaps.
            made: how the output is made; JSON-ready.

        Raises:
            BadValue: if there are shards of other rows or settings.
        """
        folder = output.absolute().with_name(output.name + ".shards")
        about = {
            "made": json.loads(json.dumps(dict(made))),
            "rows": _digest(rows),
            "shards": hashlib.sha256(repr([(r.start, r.stop) for r in ranges]).encode()).hexdigest(),
        }
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        shards = cls(schema, folder, tuple(ranges), key)
        kept = _about(folder)
        if kept is not None and kept != about and any(folder.glob("rows-*.parquet")):
            raise BadValue(
                str(folder),
                f"holds finished shards of another output ({', '.join(_differences(kept, about))} changed)",
                "Remove the folder to begin anew, or write to another place.",
            )
        if kept != about:
            folder.mkdir(parents=True, exist_ok=True)
            shards._write_rows(rows)
            part = folder / f".{uuid.uuid4().hex}.part"
            part.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            part.replace(folder / "about.json")
        for tries in folder.glob("*.tries"):
            tries.unlink()
        return shards

    def path(self, number: int) -> Path:
        """The file of a shard that is done."""
        rows = self.ranges[number]
        return self.folder / f"rows-{rows.start:09d}-{rows.stop:09d}-{self.key}.parquet"

    def is_done(self, number: int) -> bool:
        """Whether a shard's file is there."""
        return self.path(number).is_file()

    def done(self) -> list[int]:
        """Shards that are done; a file that cannot be read (a full disk, a loss of power) is removed, and is none."""
        found = []
        for number in range(len(self.ranges)):
            try:
                pq.read_metadata(self.path(number))
                found.append(number)
            except (OSError, pa.ArrowInvalid):
                self.forget(number)
        return found

    def forget(self, number: int) -> None:
        """Takes a shard for one that is still to do."""
        self.path(number).unlink(missing_ok=True)

    def rows(self, number: int) -> pa.Table:
        """The rows to do of a shard, with the metadata of the table they are of."""
        with pq.ParquetFile(self.folder / "rows.parquet") as file:
            return file.read_row_group(number)

    def do(self, number: int, work: Work) -> None:
        """Does a shard, unless it is done; called by a worker.

        Raises:
            BadValue: if the shard has ended `TRIES` workers before.
        """
        if self.is_done(number):
            return
        path = self.path(number)
        tries = path.with_suffix(".tries")
        if tries.is_file() and tries.stat().st_size >= TRIES:
            rows = self.ranges[number]
            raise BadValue(
                f"rows {rows.start} to {rows.stop - 1}",
                f"ended their worker {TRIES} times (too little memory?), or its machine did",
                "The other shards that are done are kept: run the same command again to go on.",
            )
        with tries.open("ab") as file:
            file.write(b".")
        table, counts = work(self.rows(number))
        whole = self.folder / f".{uuid.uuid4().hex}"
        try:
            tables.write(self.schema, table, whole, {"counts": dict(counts)})
            whole.replace(path)
        finally:
            whole.unlink(missing_ok=True)
        tries.unlink(missing_ok=True)

    def read(self, number: int) -> tuple[pa.Table, dict[str, int]]:
        """What a shard became, and what was counted."""
        table = tables.read(self.schema, self.path(number))
        return table.replace_schema_metadata(None), tables.made(table)["counts"]

    def read_all(self) -> Iterator[tuple[pa.Table, dict[str, int]]]:
        """What every shard became, in order."""
        return map(self.read, range(len(self.ranges)))

    def clear(self) -> None:
        """Removes the folder, when its shards are joined."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_rows(self, rows: pa.Table) -> None:
        part = self.folder / f".{uuid.uuid4().hex}.part"
        with pq.ParquetWriter(part, rows.schema, compression="zstd") as writer:
            for taken in self.ranges:
                writer.write_table(rows.slice(taken.start, len(taken)), row_group_size=max(1, len(taken)))
        part.replace(self.folder / "rows.parquet")


def even(rows: int, most: int, at_least: int = 256) -> list[range]:
    """Shards of equal size, of `most` rows; of fewer where there would be less than `at_least` shards.

    The cut depends on the table alone, not on the cluster: a stopped run goes on with another number of machines.
    """
    size = max(1, min(most, rows // at_least))
    return [range(start, min(start + size, rows)) for start in range(0, rows, size)]


def _digest(rows: pa.Table) -> str:
    digest = hashlib.sha256(repr(rows.column_names).encode() + json.dumps(tables.made(rows), sort_keys=True).encode())
    for batch in rows.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            digest.update(repr(list(row.values())).encode())
    return digest.hexdigest()


def _about(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return found
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _differences(kept: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """Names of what is not the same, to the depth of single settings."""
    found: list[str] = []
    for name in sorted({*kept, *about}):
        old, new = kept.get(name), about.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new)
        elif old != new:
            found.append(name)
    return found
