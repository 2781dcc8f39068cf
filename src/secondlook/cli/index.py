"""Write a dataset's list of videos: labels, splits, groups, sizes; with --check, decode them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress

if TYPE_CHECKING:
    from secondlook.datasets._index import IndexResult


def run(
    root: Annotated[Path, typer.Argument(help="Folder of the dataset, as its publisher ships it.")],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="A reader: see `secondlook list datasets`.")
    ] = "folder",
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write.")] = Path("videos.parquet"),
    split: Annotated[str, typer.Option(help='Which published split to use: "1", "fold0".')] = "",
    splits: Annotated[
        str, typer.Option(help="Shares of train/val/test where none are published; 70/15/15 when left out.")
    ] = "",
    seed: Seed = 0,
    carve_val: Annotated[
        float, typer.Option("--carve-val", help="Share of a published train to make into val; by group.")
    ] = 0.0,
    group_pattern: Annotated[
        str,
        typer.Option(
            "--group-pattern", help=r"Regular expression: its bracket is a clip's group, such as '^(.*)_\d+$'."
        ),
    ] = "",
    directional: Annotated[
        bool | None,
        typer.Option(
            "--directional/--not-directional",
            help="Whether a mirrored clip may have another class. Left out: true if a class name says left, right, up, "
            "down or clockwise.",
        ),
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="List of videos to set aside: an id or path a line, a reason after a tab.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Decode every file; writes OUTPUT.quarantine.csv too.")
    ] = False,
    balance: Annotated[
        Path | None,
        typer.Option("--balance", help="Also draw frames (or clips) a class here, both tails named: .png, .svg, .pdf."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.01, help="With --check: seconds allowed for one file.")] = 30.0,
    workers: Annotated[int, typer.Option(min=0, help="With --check: files decoded at once; 0: one a core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List a dataset's videos in a table, with splits made once and written down.

    Splits of the publisher are used where there are any. Otherwise clips are dealt out by --seed: by group (source
    video, person, scene) where groups are known, and evenly over the classes. No group falls into two splits.
    A --check that was stopped goes on where it was when the same command is given again.

    Example: `secondlook index data/egogestar --dataset folder --split fold0 --check -o videos.parquet`
    """
    from secondlook.datasets._index import IndexSettings, index_videos

    settings = IndexSettings(split, splits, seed, carve_val, group_pattern, directional, str(exclude or ""))
    result = index_videos(
        root,
        dataset,
        output,
        settings,
        check_files=check,
        timeout_s=timeout,
        workers=workers,
        progress=progress,
    )
    facts, words = _facts(result), _words(result)
    if balance is not None:
        facts["balance_picture"] = _draw(result, balance)
        words += f"\nbalance drawn: {balance}"
    finish(facts, words, as_json, result.failed_rows)


def _draw(result: IndexResult, path: Path) -> Path:
    from secondlook import figure_files
    from secondlook.report import score_figures

    of = result.balance
    most, fewest = ([name for name, _ in tail] for tail in of.tails())
    unit = "frames" if of.frames else "clips"
    return figure_files.save(score_figures.class_bars(of.counted, f"{unit} of the class", most, fewest), path)


def _facts(result: IndexResult) -> dict[str, Any]:
    return {
        "output": result.path,
        "root": result.root,
        "videos": result.videos,
        "classes": result.classes,
        "directional": result.directional,
        "statuses": result.statuses,
        "splits": {name or "none": count for name, count in result.splits.items()},
        "splits_from": result.splits_from,
        "groups_in_two_splits": result.groups_in_two_splits,
        "balance": result.balance.to_dict(),
        "fingerprint": result.fingerprint,
        "quarantine": result.quarantine,
        "decoded": result.decoded,
        "notes": list(result.notes),
    }


def _words(result: IndexResult) -> str:
    def counts(of: dict[str, int]) -> str:
        return ", ".join(f"{name or 'none'} {count}" for name, count in of.items())

    source = "as published" if result.splits_from == "publisher" else "by seed"
    lines = [
        f"wrote {result.path}: {result.videos} videos, {result.classes} classes, from {result.root}",
        f"splits ({source}): {counts(result.splits)}",
        f"status: {counts(result.statuses)}",
        f"balance: {result.balance.words()}",
        f"fingerprint: {result.fingerprint[:16]}",
    ]
    if result.directional:
        lines.append("class names say directions: clips will not be mirrored (--not-directional overrides)")
    if result.quarantine:
        lines.append(f"decoded {result.decoded} files; what cannot be used is listed in {result.quarantine}")
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)
