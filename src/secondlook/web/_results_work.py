"""From a campaign's answers to label sets, scores and a report, in one folder: what `reassess`, `evaluate` and
`report` do one after the other."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from secondlook import catalog, tables
from secondlook.annotate.answers import fingerprint
from secondlook.annotate.store import Store
from secondlook.audit import align, join_folds, name_models, read_video_rows
from secondlook.errors import BadValue
from secondlook.reassess import _export, _options, _tables
from secondlook.web._setup_tables import Found, choose
from secondlook.web.context import Context
from secondlook.web.jobs import Progress
from secondlook.whole_files import whole

LABELS, SETS, SHEET, WORKERS, SCORES, REPORT, ABOUT = (
    "labels.parquet", "labels.json", "labels.csv", "workers.csv", "scores.json", "report.html", "results.json",
)  # fmt: skip
FILES = {
    LABELS: "The reassessed labels, for `secondlook train --labels` and `evaluate`",
    SETS: "The label sets as ReaL labels are kept: a list of lists, in the order of the videos table",
    SHEET: "The label sets by name, for a spreadsheet",
    WORKERS: "Every worker's record, by pseudonym",
    SCORES: "All scores",
    REPORT: "The report, one page that needs nothing else",
}
"""Files that can be fetched, and what they are."""
GIVEN = ("keep", "drop-if-unvoted", "vote")
UNJUDGED: tuple[Literal["refuse", "approve", "reject"], ...] = ("refuse", "approve", "reject")


@dataclass(frozen=True)
class Wanted:
    """What an owner asks for."""

    rule: str = "approval_rules"
    given: str = ""
    """What becomes of the given label; empty: as the rule does by default, or has no say in."""
    unjudged: str = "refuse"
    predictions: tuple[str, ...] = ()
    videos: str = ""
    split: str = ""
    top_k: int = 5
    resamples: int = 2000


def folder_of(here: Context, store: Store) -> Path:
    """Where the results of a campaign lie: its name, or as much of it as a folder may be called, and its number."""
    plain = re.sub(r"[^\w.-]+", "-", store.name).strip("-.")
    name = plain if plain == store.name else f"{plain or 'campaign'}-{store.campaign_id}"
    return here.settings.folder / "results" / name


def usual(store: Store, at_hand: list[Found]) -> Wanted:
    """The predictions and videos that the campaign was made from, as far as it says so; else all that fit."""
    asked = store.made.get("settings") or {}
    fitting = [t for t in at_hand if t.classes == len(store.labels)]
    predictions = [t.name for t in fitting if t.kind == "predictions"]
    videos = [t.name for t in fitting if t.kind == "videos"]
    chosen = tuple(p for p in asked.get("predictions") or () if p in predictions)
    split = str(asked.get("split") or _common_split([t for t in fitting if t.kind == "predictions"]))
    listed = asked.get("videos") if asked.get("videos") in videos else (videos[0] if videos else "")
    return Wanted(predictions=chosen or tuple(predictions), videos=str(listed), split=split)


def options_of(rule: str, wanted: Wanted) -> dict[str, str]:
    """The options of a rule that the page asks for and the rule knows."""
    known = set(catalog.find("reassess", rule).Options.__dataclass_fields__)
    asked = {"given": wanted.given, "unjudged": wanted.unjudged}
    return {name: value for name, value in asked.items() if value and name in known}


def make(here: Context, store: Store, wanted: Wanted, at_hand: list[Found], progress: Progress) -> dict[str, Any]:
    """Makes all files of the results, and gives what the page says about them.

    Raises:
        BadValue: if answers have no verdict and `unjudged` is "refuse", tables do not fit, or nothing can be written.
        UnknownName: if a rule, an option, a table or a split does not exist.
    """
    if not wanted.predictions:
        raise BadValue(0, "no predictions are chosen", "Tick the tables of the models to measure.")
    chosen = [choose(at_hand, "predictions", name) for name in wanted.predictions]
    listed = choose(at_hand, "videos", wanted.videos) if wanted.videos else None
    folder = folder_of(here, store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _make(store, wanted, chosen, listed, asked_of(store, at_hand), folder, progress)
    except OSError as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue(str(folder), f"cannot be written ({error.strerror})", "Give the server the right to.") from None


def asked_of(store: Store, at_hand: list[Found]) -> Found | None:
    """The candidates that the campaign was made from, if that table is still there, unchanged."""
    named, hashes = store.made.get("candidates"), set((store.made.get("inputs") or {}).values())
    for table in at_hand:
        if table.kind == "candidates" and (table.name == named or tables.file_sha256(table.path) in hashes):
            return table
    return None


def _make(
    store: Store,
    wanted: Wanted,
    chosen: list[Found],
    listed: Found | None,
    asked: Found | None,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    # Here, so that the server starts without scikit-learn and Matplotlib, which these load.
    from secondlook.evaluate.controls import controls
    from secondlook.evaluate.gain_table import gain_table
    from secondlook.evaluate.real import review
    from secondlook.evaluate.scores import metrics_of, score_aligned, write
    from secondlook.report import page as report_page

    progress(0, 5, "merging answers into label sets")
    answers = store.answers()
    options = options_of(wanted.rule, wanted)
    result = catalog.find("reassess", wanted.rule).fit(answers, **options)
    settings, source = {"rule": wanted.rule, **options}, {str(store.folder): fingerprint(answers)}
    _export.write_labels(result, store.labels, folder / LABELS, settings, source)
    _export.write_workers(result, folder / WORKERS)
    videos = None if listed is None else _export.read_videos(listed.path, result.labels, store.labels)
    for name in (SETS, SHEET):
        _export.write_sets(result.labels, store.labels, folder / name, videos)

    progress(1, 5, "measuring the models")
    paths = [table.path for table in chosen]
    read = [read_video_rows(path) for path in paths]
    models, notes = join_folds(dict(zip(name_models(read, paths), read, strict=True)))
    aligned = align(models, videos, top_k=wanted.top_k, split=wanted.split)
    labels = tables.read(tables.LABELS, folder / LABELS)
    scores = score_aligned(
        aligned, labels, top=(wanted.top_k,), split=wanted.split, resamples=wanted.resamples,
        cards={name: str(tables.made(table).get("model", "")) for name, table in models.items()},
    )  # fmt: skip
    beside = [table for table in (listed, asked) if table is not None]
    if asked is not None:
        progress(2, 5, "holding the gain against chance")
        scores["controls"] = controls(
            aligned, review(labels, aligned), tables.read(tables.CANDIDATES, asked.path), answers,
            metrics_of(aligned, (wanted.top_k,)), unjudged=_unjudged(options), draws=wanted.resamples,
        )  # fmt: skip
    inputs = [*paths, folder / LABELS, *(table.path for table in beside)]
    write(scores, folder / SCORES, tables.provenance("evaluate", asdict(wanted), inputs, 0))

    progress(3, 5, "writing the report")
    _link(folder / "inputs", [*chosen, *beside])
    report_page.write(folder, folder / REPORT, title=f"A second look: {store.name}")
    sizes = _tables.set_sizes(result.labels)
    about = {
        "wanted": asdict(wanted),
        "notes": [*notes, *scores["notes"]],
        "chance": _chance(scores),
        "gains": [sentence(row) for row in gain_table(scores)],
        "rows": [_row(row) for row in gain_table(scores)],
        "review": {k: scores["review"][k] for k in ("reviewed", "changed", "dropped", "statement")},
        "rules": [[rule, videos_of] for rule, videos_of in result.by_rule.items()],
        "sizes": [[size, count] for size, count in sizes.items()],
        "mean_size": round(_tables.mean_size(sizes), 2),
        "failed": len(result.failed),
        "n": scores["n"],
        "train": train_command(folder, listed),
    }
    with whole(folder / ABOUT) as part:
        part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    progress(5, 5, "")
    return {"url": ""}


def _unjudged(options: Mapping[str, str]) -> Literal["refuse", "approve", "reject"]:
    """What the other merge rules make of an answer without a verdict; a rule that needs none goes with approval."""
    asked = options.get("unjudged", "approve")
    return next(word for word in UNJUDGED if word == asked)


def _chance(scores: Mapping[str, Any]) -> list[str]:
    """What equally many random labels would have gained, a model at top-1 in a sentence."""
    found = (scores.get("controls") or {}).get("random", ())
    return [
        f"{row['model']}: as many labels drawn at random from the options shown would give {row['random']:+.1f} points "
        f"at top-1 ({row['low']:+.1f} to {row['high']:+.1f}); people's labels give {row['gain']:+.1f}."
        for row in found
        if row["metric"] == "top1" and row["pool"] == "options shown"
    ]


def known(folder: Path) -> dict[str, Any] | None:
    """What `make` said about its results; None where there are none."""
    try:
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def sentence(row: Mapping[str, Any]) -> str:
    """A row of the gain table in words."""
    metric = row["metric"].replace("top", "top-")
    words = f"{row['model']}, {metric}: {_rate(row['original'])} against the given labels"
    if row["real"] is None:
        return words + "."
    words += f", {_rate(row['real'])} against the reassessed ones"
    gain = row["gain"]
    if gain is None or gain["points"] is None:
        return words + "."
    interval = _gain_interval(gain)
    return words + f": {_points(gain)}{f' ({interval})' if interval else ''}."


def train_command(folder: Path, listed: Found | None) -> str:
    """How to train on the reassessed labels."""
    videos = "videos.parquet" if listed is None else str(listed.path)
    labels = shlex.quote(str(folder / LABELS))
    return f"secondlook train {shlex.quote(videos)} --labels {labels} --model MODEL -o runs/reassessed"


def _rate(score: Mapping[str, Any]) -> str:
    if not score["n"]:
        return "nothing measured"
    interval = f" ({100 * score['low']:.1f} to {100 * score['high']:.1f})" if score.get("low") is not None else ""
    return f"{100 * score['rate']:.1f} %{interval}"


def _points(gain: Mapping[str, Any]) -> str:
    points = f"{gain['points']:+.1f}"
    return "no change" if float(points) == 0 else f"{points} points"


def _gain_interval(gain: Mapping[str, Any]) -> str:
    """Empty where nothing is known of it, or it is 0 to 0."""
    if gain.get("low") is None:
        return ""
    low, high = f"{gain['low']:+.1f}", f"{gain['high']:+.1f}"
    return "" if float(low) == float(high) == 0 else f"{low} to {high}"


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the gain table as cells."""
    gain = row["gain"]

    def count(score: Mapping[str, Any] | None) -> str:
        return "" if score is None else f"{score['count']} of {score['n']}"

    return {
        "model": row["model"],
        "metric": row["metric"].replace("top", "top-"),
        "original": _rate(row["original"]),
        "original_count": count(row["original"]),
        "real": "–" if row["real"] is None else _rate(row["real"]),
        "real_count": count(row["real"]),
        "gain": "–" if gain is None or gain["points"] is None else _points(gain).removesuffix(" points"),
        "interval": "" if gain is None else _gain_interval(gain),
    }


def _link(folder: Path, chosen: list[Found]) -> None:
    """Puts the tables that the report reads where it finds them: by a link, or a copy where there are no links."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, table in enumerate(chosen):
        stem = re.sub(r"[^\w.-]+", "-", Path(table.name.removeprefix("sent: ").split(" (")[0]).stem)
        path = folder / f"{stem}.parquet"
        if path.exists():
            path = folder / f"{stem}-{number}.parquet"
        try:
            path.symlink_to(table.path.resolve())
        except OSError:
            shutil.copyfile(table.path, path)


def _common_split(predictions: list[Found]) -> str:
    """The split that all predictions are of, if there is one."""
    common = set.intersection(*(set(t.splits) for t in predictions)) if predictions else set()
    return next(iter(common)) if len(common) == 1 else ""


def check(wanted: Wanted) -> None:
    """Raises BadValue or UnknownName if the page asks for what there is not."""
    catalog.find("reassess", wanted.rule)
    _options.read(catalog.find("reassess", wanted.rule).Options, options_of(wanted.rule, wanted))
    if wanted.top_k < 1:
        raise BadValue(wanted.top_k, "k must be at least 1")
