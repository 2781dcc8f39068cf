"""What an owner chooses for a new campaign, and what comes of it: candidates, and a campaign that asks about them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook import catalog, tables
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.tasks import estimate, from_candidates
from secondlook.audit import (
    SELECT,
    Controls,
    about_candidates,
    align,
    join_folds,
    name_models,
    read_video_rows,
    score_signals,
    takes,
    to_table,
)
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.web._setup_tables import Found, choose
from secondlook.web.jobs import Progress

LEFT_OUT = ("combined", "training_dynamics")
"""Signals that the page does not offer: the one is what several become together, the other reads a run folder."""
CHECKED = 50
"""Clips that are looked for, to see whether the folder of the videos is right."""
SHOWN = 6


@dataclass(frozen=True)
class Choice:
    """Which videos to ask about, as chosen on the page."""

    predictions: tuple[str, ...] = ()
    videos: str = ""
    candidates: str = ""
    """A candidates table to use as it is; then nothing else is read."""
    split: str = ""
    signal: str = "misclassified"
    select: str = "union"
    top_k: int = 5
    limit: int | None = None
    controls: int = 0
    random_options: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Preview:
    """The candidates, and what a person wants to know before people are asked."""

    choice: Choice
    rows: pa.Table
    made: dict[str, Any]
    root: str
    """Folder of the videos, as far as the tables know it."""
    facts: list[str] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    fewest: int = 0
    most: int = 0
    """Options of a video."""


def signals() -> dict[str, str]:
    """The signals that can be chosen, with what each finds."""
    return {name: words for name, words in catalog.describe("audit").items() if name not in LEFT_OUT}


def find(choice: Choice, at_hand: list[Found], folder: Path, progress: Progress) -> Preview:
    """Finds the candidates, as `secondlook audit` does, or reads those that are there.

    Raises:
        BadValue: if tables do not fit together, or nothing is found.
        UnknownName: if a table, signal, selection or split does not exist.
    """
    if choice.candidates:
        table = choose(at_hand, "candidates", choice.candidates)
        rows = tables.read(tables.CANDIDATES, table.path)
        made = tables.provenance("setup", {"candidates": choice.candidates}, [table.path])
        made |= {"label_space": tables.made(rows)["label_space"], "audit": table.made}
        notes = [f"{rows.num_rows} candidates of {table.name}"]
        root_of = table
    else:
        rows, made, notes, root_of = _audit(choice, at_hand, progress)
    if not rows.num_rows:
        raise BadValue(0, "no video is suspicious by this choice", "Choose another signal, split or selection.")
    labels = LabelSpace.from_dict(made["label_space"])
    from_candidates(rows, labels)  # says what is wrong with them, if something is
    options = tables.lists(rows, "options")
    sizes = [len(some) for some in options]
    categories = Counter(rows["category"].to_pylist())
    words = {"top1": "wrong at top-1 only", "topk": "missed among the best by every model"}
    words |= {"right": "right, but suspicious", "control": "controls drawn at random"}
    facts = [*notes, *(f"{count} {words.get(name, name)}" for name, count in categories.most_common())]
    names, column = (
        labels.names,
        {n: rows[n].to_pylist()[:SHOWN] for n in ("video_id", "path", "given_label", "reason")},
    )
    examples = [
        {
            "video_id": column["video_id"][i],
            "path": column["path"][i],
            "given": names[column["given_label"][i]] if column["given_label"][i] >= 0 else "",
            "reason": column["reason"][i],
            "options": [names[label] for label in options[i]],
        }
        for i in range(min(SHOWN, rows.num_rows))
    ]
    root = _root(root_of, rows, folder)
    return Preview(choice, rows, made, root, facts, examples, min(sizes), max(sizes))


def _audit(
    choice: Choice, at_hand: list[Found], progress: Progress
) -> tuple[pa.Table, dict[str, Any], list[str], Found]:
    """The candidates as `secondlook audit` finds them, how they were made, notes, and the videos table."""
    if not choice.predictions:
        raise BadValue(0, "no predictions are chosen", "Tick two or more predictions tables, or one.")
    if not choice.videos:
        raise BadValue("", "no videos table is chosen", "Choose it: it says where the clips are.")
    chosen = [choose(at_hand, "predictions", name) for name in choice.predictions]
    listed = choose(at_hand, "videos", choice.videos)
    if choice.signal not in signals():
        raise UnknownName("signal", choice.signal, signals())
    if choice.select not in SELECT:
        raise UnknownName("selection", choice.select, SELECT)
    paths = [table.path for table in chosen]
    read = []
    for number, path in enumerate(paths):
        progress(number, len(paths) + 2, f"reading {chosen[number].name}")
        read.append(read_video_rows(path))
    models, notes = join_folds(dict(zip(_names(read, chosen), read, strict=True)))
    progress(len(paths), len(paths) + 2, "comparing models")
    videos = tables.read(tables.VIDEOS, listed.path)
    aligned = align(models, videos, top_k=choice.top_k, split=choice.split)
    beside: dict[str, Any] = {}
    for name, schema in (("vectors", tables.LABEL_VECTORS), ("embeddings", tables.EMBEDDINGS)):
        if name in takes(choice.signal):
            fitting = [t for t in at_hand if t.kind == schema.name and t.classes in (0, len(aligned.labels))]
            if fitting:
                beside[name] = tables.read(schema, fitting[0].path)
                paths.append(fitting[0].path)
    options = {"select": choice.select} if "select" in takes(choice.signal) else {}
    progress(len(paths) + 1, len(paths) + 2, "looking for suspicious videos")
    scored = score_signals(aligned, {choice.signal: options}, beside, choice.seed)
    fair = Controls(choice.controls, choice.random_options)
    rows, about_controls = to_table(aligned, scored, seed=choice.seed, limit=choice.limit, controls=fair)
    made = tables.provenance("setup", asdict(choice), [*paths, listed.path], choice.seed)
    made |= about_candidates(aligned, listed.made) | about_controls
    said = [f"{len(aligned.video_id_N)} videos that every model predicted", *notes, *aligned.notes, *scored.notes]
    said += [f"left out: {x.count} {x.status}" for x in aligned.left_out]
    return rows, made, said, listed


def _names(read: list[pa.Table], chosen: list[Found]) -> list[str]:
    """Names of the models; a file that was sent is called as its owner calls it."""
    names = name_models(read, [table.path for table in chosen])
    sent = [table.name.removeprefix("sent: ").split(".")[0] for table in chosen]
    own = [s if table.name.startswith("sent: ") and not table.model else n
           for s, n, table in zip(sent, names, chosen, strict=True)]  # fmt: skip
    return own if len(set(own)) == len(own) else names


def _root(table: Found, rows: pa.Table, folder: Path) -> str:
    """Folder of the videos: as the table says it, or the nearest place where its clips are."""
    said = str(table.made.get("root") or "")
    tried = [Path(said)] if said else []
    tried += [table.path.parent / said, folder / said, table.path.parent, folder]
    paths = [p for p in rows["path"].to_pylist()[:CHECKED] if p]
    best = max(tried, key=lambda root: sum((root / p).exists() for p in paths))
    return str(best.resolve()) if any((best / p).exists() for p in paths) else said


def clips_there(root: str, rows: pa.Table) -> tuple[int, int]:
    """Of the first clips how many are in this folder, and how many were looked for."""
    paths = [p for p in rows["path"].to_pylist()[:CHECKED] if p]
    return sum((Path(root) / p).exists() for p in paths), min(rows.num_rows, CHECKED)


def estimate_words(videos: int, settings: Settings) -> str:
    """What a campaign will ask of people, and cost."""
    expected = estimate(videos, settings.votes, settings.reward)
    return f"{expected.answers} answers to {videos} videos, about {expected.cost:,.2f} {settings.currency}"


def write_candidates(preview: Preview, folder: Path, name: str) -> Path:
    """Writes the candidates beside the tables, under a name that is not there yet; one that was used stays alone."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "campaign"
    names = ["candidates.parquet", f"candidates-{stem}.parquet"]
    names += [f"candidates-{stem}-{n}.parquet" for n in range(2, 1000)]
    path = next(folder / n for n in names if not (folder / n).exists())
    try:
        return tables.write(tables.CANDIDATES, preview.rows, path, preview.made)
    except OSError as error:
        raise BadValue(str(path), f"cannot be written ({error.strerror})", "Give the server the right to.") from None
