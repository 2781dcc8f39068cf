"""From a dataset's folder to its videos table: list, exclude, measure, check, split, fingerprint, write."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from secondlook import catalog, tables
from secondlook.datasets import _annotations, _splits
from secondlook.datasets._balance import Balance, from_counts
from secondlook.datasets._check import check
from secondlook.datasets._fingerprint import COLUMNS as FINGERPRINTED
from secondlook.datasets._fingerprint import fingerprint
from secondlook.datasets._listing import Listing
from secondlook.datasets._paths import Files, dataset_root
from secondlook.datasets._worktable import FACTS, WorkTable
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.whole_files import whole

DEFAULT_SPLITS = "70/15/15"
_BATCH = 2048
_REQUIRED = tuple(c.name for c in tables.VIDEOS.columns if not c.optional)

Progress = Callable[[str, int | None], AbstractContextManager[Callable[..., object]]]


@dataclass(frozen=True)
class IndexSettings:
    """What shapes a videos table, besides the folder and the dataset's name."""

    split: str = ""
    """Which of the publisher's splits to use ("1", "fold0"); empty: the reader's own choice."""
    splits: str = ""
    """Shares of train/val/test where the publisher gives no splits; empty: `DEFAULT_SPLITS`."""
    seed: int = 0
    carve_val: float = 0.0
    """Share of the publisher's training clips to make into a validation set."""
    group_pattern: str = ""
    """Regular expression searched in a clip's id; its first bracket is the group, where the reader knows of none."""
    directional: bool | None = None
    """Whether mirrored clips may have another class; None: read off the class names."""
    exclude: str = ""
    """File with an id or path a line; a reason may follow after a tab."""

    def __post_init__(self) -> None:
        _splits.parse_shares(self.splits or DEFAULT_SPLITS)
        if not 0 <= self.carve_val < 1:
            raise BadValue(self.carve_val, "the carved-out share must be at least 0 and below 1", "Give 0.1, say.")
        try:
            brackets = re.compile(self.group_pattern).groups
        except re.error as error:
            raise BadValue(self.group_pattern, f"is not a regular expression ({error})") from None
        if self.group_pattern and brackets < 1:
            raise BadValue(self.group_pattern, "needs a bracket around the part that names the group", r"^(.*)_\d+$")


@dataclass(frozen=True)
class IndexResult:
    """What an index holds."""

    path: Path
    root: Path
    videos: int
    classes: int
    directional: bool
    statuses: dict[str, int]
    splits: dict[str, int]
    """Split -> clips; "" counts those in none."""
    splits_from: str
    """publisher, or seed."""
    groups_in_two_splits: int
    """More than 0 only where the publisher's own splits cut a group."""
    balance: Balance
    fingerprint: str
    notes: tuple[str, ...]
    quarantine: Path | None = None
    decoded: int = 0
    """Files that were decoded; the others of a check were known from before."""

    @property
    def failed_rows(self) -> int:
        """Rows that cannot be used, apart from those set aside on purpose."""
        return sum(n for status, n in self.statuses.items() if status not in tables.USABLE | {"excluded"})


def index_videos(
    root: str | Path,
    dataset: str,
    output: str | Path,
    settings: IndexSettings | None = None,
    *,
    check_files: bool = False,
    timeout_s: float = 30.0,
    workers: int = 0,
    progress: Progress | None = None,
) -> IndexResult:
    """Writes the videos table of a dataset.

    Rows stream through a work file beside the output, so memory does not grow with the number of videos (but for a few
    bytes a group while seeded splits are dealt out, and 8-byte keys while the table is written). Splits of the
    publisher win over seeded ones. A check that was interrupted, or made before, is taken up again: files whose size
    and hash did not change are not decoded a second time.

    Args:
        root: the dataset's folder, as its publisher ships it.
        dataset: name of a reader in this room.
        output: Parquet file to write.
        settings: what shapes the table.
        check_files: decode every file; also writes `<output>.quarantine.csv` (path, status, reason).
        timeout_s: time allowed for decoding one file.
        workers: files decoded at the same time; 0: as many as there are cores.
        progress: gives a context with a function that is called after each step (`cli._say.progress`).

    Raises:
        MissingFile: if the folder or a list is not there.
        BadValue: if nothing is found, a list is malformed, an id is there twice, or a setting breaks a rule.
        UnknownName: if there is no such reader, split or label.
    """
    settings, output, progress = settings or IndexSettings(), Path(output), progress or _quiet
    reader = catalog.find("datasets", dataset)
    root = dataset_root(root)
    if output.is_dir():
        raise BadValue(str(output), "is a folder; the table needs a file name", f"Give -o {output}/videos.parquet.")
    excluded = _exclusions(settings.exclude)
    listing: Listing = reader.read(root, settings.split)
    labels = listing.labels
    if settings.directional is not None:
        labels = LabelSpace(labels.labels, labels.name, settings.directional)
    with WorkTable(output.with_name(output.name + ".work")) as work:
        with progress("listing", None) as advance:
            count = work.add_rows(_measured(listing, settings.group_pattern, excluded, advance))
        if not count:
            cure = "`secondlook list datasets` says what each reader looks for."
            raise BadValue(str(root), f"holds no videos that the reader {dataset} can see", cure)
        splits_from, notes = _split(work, settings)
        decoded = 0
        if check_files:
            work.add_facts_of(output)
            with progress("decoding", work.count_to_check()) as advance:
                decoded = check(work, listing.root, timeout_s, workers or os.cpu_count() or 1, advance)
            work.apply_facts()
        if unused := [text for text, entry in excluded.items() if not entry.used]:
            notes.append(f"{len(unused)} entries of {settings.exclude} name no video here, such as {unused[0]!r}")
        dataset_fingerprint = fingerprint(work.all_rows(FINGERPRINTED))
        inputs: list[str | Path] = [*listing.annotations, *([settings.exclude] if settings.exclude else [])]
        made = tables.provenance("index", {**asdict(settings), "check": check_files}, inputs, settings.seed)
        made |= {"label_space": labels.to_dict(), "root": str(listing.root), "dataset": dataset}
        made |= {"fingerprint": dataset_fingerprint}
        _write(work, output, made, check_files)
        return IndexResult(
            path=output,
            root=listing.root,
            videos=count,
            classes=len(labels),
            directional=labels.directional,
            statuses=work.counted("status"),
            splits=work.counted("split"),
            splits_from=splits_from,
            groups_in_two_splits=work.groups_in_two_splits(),
            balance=from_counts(labels.names, work.class_counts()),
            fingerprint=dataset_fingerprint,
            notes=(*listing.notes, *notes),
            quarantine=_quarantine(work, output) if check_files else None,
            decoded=decoded,
        )


@contextmanager
def _quiet(what: str, total: int | None) -> Iterator[Callable[..., object]]:
    yield lambda *steps: None


@dataclass
class _Exclusion:
    reason: str
    used: bool = False


def _exclusions(file: str) -> dict[str, _Exclusion]:
    if not file:
        return {}
    if not Path(file).is_file():
        raise MissingFile(file, "It should be a text file with a video's id or path a line.")
    found = {}
    for _, text in _annotations.lines(Path(file)):
        name, _, reason = text.partition("\t")
        if not name.lstrip().startswith("#"):
            found[name.strip()] = _Exclusion(reason.strip() or f"named in {Path(file).name}")
    return found


def _measured(
    listing: Listing, group_pattern: str, excluded: dict[str, _Exclusion], advance: Callable[..., object]
) -> Iterator[dict[str, Any]]:
    """The reader's rows with sizes, refused paths, groups by pattern, and exclusions."""
    files, pattern = Files(listing.root), re.compile(group_pattern) if group_pattern else None
    number = 0
    for number, listed in enumerate(listing.rows, start=1):
        row = dict(listed)
        names = (row["video_id"], row["path"])
        if row["path"]:
            measured = files.measure(row["path"])
            row["bytes"] = measured.bytes
            if not measured.path or (measured.status and row["status"] in tables.USABLE):
                row |= {"path": measured.path, "status": measured.status, "reason": measured.reason}
        if pattern is not None and row["group"] == row["video_id"] and (found := pattern.search(row["video_id"])):
            row["group"] = found[1] or row["group"]
        for name in names:
            if name in excluded:
                excluded[name].used = True
                row |= {"status": "excluded", "reason": excluded[name].reason}
        yield row
        if number % _BATCH == 0:
            advance(_BATCH)
    advance(number % _BATCH)


def _split(work: WorkTable, settings: IndexSettings) -> tuple[str, list[str]]:
    """Fills the splits in; gives where they come from, and what there is to say about them."""
    seed = settings.seed
    notes: list[str] = []
    published = set(work.counted("split")) - {""}
    if not published:
        if settings.carve_val:
            cure = "Leave it out and give --splits, such as 80/10/10."
            raise BadValue(settings.carve_val, "there is no published training split to carve from", cure)
        shares = _splits.parse_shares(settings.splits or DEFAULT_SPLITS)
        _deal(work, work.group_counts(), shares, _splits.NAMES, seed, "label >= 0")
        return "seed", notes
    if settings.splits:
        notes.append(f"the dataset's own splits are used; --splits {settings.splits} is not")
    if cut := work.groups_in_two_splits():
        notes.append(f"{cut} groups have clips in two splits, as published: scores there flatter the model")
    if settings.carve_val:
        if "val" in published:
            cure = "Leave --carve-val out."
            raise BadValue(settings.carve_val, "the dataset has a validation split of its own", cure)
        kept = (1 - settings.carve_val, settings.carve_val)
        _deal(work, work.whole_group_counts("train"), kept, ("train", "val"), seed, "split = 'train'")
        notes.append(f"val is carved out of the published train: {settings.carve_val:.0%} of its clips, by group")
    return "publisher", notes


def _deal(
    work: WorkTable,
    counts: Iterable[tuple[str, int, int]],
    shares: tuple[float, ...],
    names: tuple[str, ...],
    seed: int,
    where: str,
) -> None:
    dealt = _splits.assign(((_splits.group_key(seed, g), label, n) for g, label, n in counts), shares, seed)

    def split_of(group: str) -> str | None:
        number = dealt.split_of(_splits.group_key(seed, group))
        return None if number is None else names[number]

    work.set_split(split_of, where)


def _write(work: WorkTable, output: Path, made: dict[str, Any], checked: bool) -> None:
    wanted = {*_REQUIRED, "bytes", *(FACTS if checked else ()), *work.other_columns()}
    columns = [c.name for c in tables.VIDEOS.columns if c.name in wanted]
    rows = work.all_rows(columns)
    with tables.Writer(tables.VIDEOS, output, made) as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write(batch)


def _quarantine(work: WorkTable, output: Path) -> Path:
    """Writes which rows cannot be used and why; rows set aside on purpose are not among them."""
    path = output.with_name(output.name + ".quarantine.csv")
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "status", "reason"))
        for row in work.all_rows(("video_id", "path", "status", "reason")):
            if row["status"] not in tables.USABLE | {"excluded"}:
                writer.writerow((row["path"] or row["video_id"], row["status"], row["reason"]))
    return path
