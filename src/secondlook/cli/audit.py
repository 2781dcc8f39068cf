"""Find the videos whose label or prediction deserves a second look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli import _auditing
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._table import left_out_words, percent, say_table

if TYPE_CHECKING:
    from secondlook.audit import Aligned, Mistakes

_SHOWN = 5
SIGNALS, FAIR = "Signals and what they need", "Controls against selection"


def run(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions tables, one a model; one or more.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Candidates table to write.")],
    videos: Annotated[
        Path | None, typer.Option(help="Videos table: its labels, splits and statuses hold, and paths come from it.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Options taken from each model.")] = 5,
    select: Annotated[
        str,
        typer.Option(
            help="union (wrong for one model at least), intersection (wrong for all), union-topk and intersection-topk "
            "(given label missed among the k best), either-top1-only (the union without intersection-topk)."
        ),
    ] = "union",
    split: Annotated[str, typer.Option(help="Only videos of this split; all when left out.")] = "",
    limit: Annotated[int | None, typer.Option(help="Keep this many candidates, the most suspicious.")] = None,
    confused: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Also print the videos given as the first class and taken for the second, or the reverse."),
    ] = None,
    min_confidence: Annotated[float, typer.Option(help="With --confused: only predictions at least this sure.")] = 0.0,
    write_tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="FOLDER", help="Also write confused_classes.csv and confusions.csv there."),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(help="What is suspicious, default misclassified; again for more.", rich_help_panel=SIGNALS),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Of a signal; again for more; SIGNAL.NAME=VALUE for one of several.",
            rich_help_panel=SIGNALS,
        ),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Vectors of the labels, for label_closeness.", rich_help_panel=SIGNALS)
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Vectors of the videos, for near_duplicates and --folds.", rich_help_panel=SIGNALS),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            help="confident_learning on a logistic regression of --embeddings, in so many folds; groups stay whole.",
            rich_help_panel=SIGNALS,
        ),
    ] = 0,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="Run folder, for training_dynamics.", rich_help_panel=SIGNALS),
    ] = None,
    controls: Annotated[
        int, typer.Option(help="Add so many videos drawn at random from the rest.", rich_help_panel=FAIR)
    ] = 0,
    random_options: Annotated[
        int, typer.Option(help="Add so many labels to each video that no model proposed.", rich_help_panel=FAIR)
    ] = 0,
    held_out_model: Annotated[
        Path | None,
        typer.Option(help="Predictions that are measured, but neither select nor propose.", rich_help_panel=FAIR),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Find suspicious videos, by default those that a model gets wrong, and the labels to ask people about.

    Options of a video are the k best classes of every model and the given label, in an order that tells neither.
    `secondlook list audit` shows the signals; several are ranked together. Tables of one model with disjoint videos are
    folds, and are joined.

    Example: `secondlook audit a.parquet b.parquet --videos videos.parquet -o candidates.parquet`

    Example: `secondlook audit a.parquet -o c.parquet --signal confident_learning --embeddings e.parquet --folds 5`
    """
    from secondlook import tables
    from secondlook.audit import (
        Controls,
        about_candidates,
        align,
        all_confusions,
        confused_classes,
        confusions,
        join_folds,
        mistakes,
        name_models,
        read_video_rows,
        score_signals,
        to_table,
    )

    signals = signal or ["misclassified"]
    wanted = {"vectors": vectors, "embeddings": embeddings, "run": run_folder}
    options = _auditing.options_of(signals, option or [], select, folds, wanted)
    fair = Controls(controls, random_options)
    given, files = _auditing.read_inputs(wanted)
    read = [read_video_rows(path) for path in predictions]
    models, notes = join_folds(dict(zip(name_models(read, predictions), read, strict=True)))
    listed = None if videos is None else tables.read(tables.VIDEOS, videos)
    aligned = align(models, listed, top_k=top_k, split=split)
    pairs = confusions(aligned, *confused, min_confidence=min_confidence, both_ways=True) if confused else []
    found = mistakes(aligned)
    held_out = None
    if held_out_model is not None:
        held_out = _auditing.measure_held_out(held_out_model, predictions, listed, aligned, split)
    scored = score_signals(aligned, options, given, seed)
    rows, about_controls = to_table(aligned, scored, seed=seed, limit=limit, controls=fair)
    sizes, left_out = found.sizes(), [x.to_dict() for x in aligned.left_out]
    settings = {"top_k": aligned.top_k, "select": select, "split": split, "limit": limit}
    if signals != ["misclassified"] or option:
        settings |= {"signals": options}
    inputs = [*predictions, *(path for path in (videos, held_out_model) if path is not None), *files]
    made = tables.provenance("audit", settings, inputs, seed)
    made |= about_candidates(aligned, tables.made(read[0] if listed is None else listed)) | about_controls
    made |= {"held_out_models": [held_out["model"]]} if held_out else {}
    tables.write(tables.CANDIDATES, rows, output, made)
    classes = confused_classes(aligned, found.top1_category)
    written = []
    if write_tables is not None:
        every = pairs if confused else all_confusions(aligned, min_confidence=min_confidence)
        written = _auditing.write_csv(write_tables, classes, every, aligned.labels.names)
    result = {
        "wrote": str(output),
        "candidates": rows.num_rows,
        "selected": int(scored.selected_N.sum()),
        "signals": list(signals),
        "controls": len(about_controls.get("controls", ())),
        "controls_asked": controls,
        "held_out": held_out,
        "tables": written,
        "sizes": sizes,
        "top_k": aligned.top_k,
        "left_out": left_out,
        "notes": [*notes, *aligned.notes, *scored.notes],
        "confused_classes": classes,
        "confusions": [vars(pair) for pair in pairs],
    }
    if not as_json:
        _say_sizes(aligned, found, held_out)
        _say_classes(classes)
        names = aligned.labels.names
        if confused:
            shown = [(p.video_id, p.model, names[p.given], names[p.predicted], percent(p.confidence)) for p in pairs]
            say_table(f"{len(pairs)} confusions", ("video", "model", "given", "predicted", "confidence"), shown, left=4)
    finish(result, words(result), as_json, aligned.failed_rows)


def _say_sizes(aligned: Aligned, found: Mistakes, held_out: dict[str, Any] | None) -> None:
    k, sizes = aligned.top_k, found.sizes()
    count = sizes["videos"]
    rows = [(f"{name}: wrong at top-1", n) for name, n in sizes["wrong"].items()]
    rows += [(f"{name}: given label not among the {k} best", n) for name, n in sizes["missed"].items()]
    rows += [
        ("union: wrong for at least one model", sizes["union"]),
        ("intersection: wrong for every model", sizes["intersection"]),
        (f"  of the union, Top-{k} category: missed among the {k} best by every model", sizes["topk_category"]),
        ("  of the union, Top-1 category: the rest", sizes["top1_category"]),
    ]
    shown = [(name, n, percent(n / count)) for name, n in rows]
    if held_out:
        wrong = held_out["wrong"]
        shown.append((f"held out, {held_out['model']}: wrong at top-1", wrong, percent(wrong / held_out["videos"])))
    say_table(f"Misclassified among {count} videos", ("set", "videos", "share"), shown)


def _say_classes(classes: list[dict[str, Any]]) -> None:
    """The most and least confused given labels, by count and by share of their class."""
    shown = min(_SHOWN, len(classes))
    for by in ("count", "share"):
        ordered = sorted(classes, key=lambda c: -c[by])
        rows = [
            (end, c["name"], c["count"], c["videos"], percent(c["share"]))
            for end, some in (("most", ordered[:shown]), ("least", ordered[len(ordered) - shown :]))
            for c in some
        ]
        title = f"Given labels most and least confused (Top-1 category), by {by}"
        say_table(title, ("", "given label", "confused", "videos", "of the class"), rows, left=2)


def words(result: dict[str, Any]) -> str:
    """What was written and what was left out, in sentences."""
    lines = list(result["notes"])
    lines += left_out_words(result["left_out"])
    kept = result["candidates"] - result["controls"]
    cut = f" of {result['selected']}, the most suspicious" if kept < result["selected"] else ""
    drawn = f", and {result['controls']} videos drawn at random as controls" if result["controls_asked"] else ""
    if result["controls"] < result["controls_asked"]:
        drawn += f" ({result['controls_asked']} were asked for; no others are left)"
    lines += [f"wrote {path}" for path in result["tables"]]
    lines.append(f"wrote {result['wrote']}: {kept} candidates{cut}{drawn}")
    return "\n".join(lines)
