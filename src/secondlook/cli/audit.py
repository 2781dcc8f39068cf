"""Find the videos whose label or prediction deserves a second look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._table import left_out_words, percent, say_table

if TYPE_CHECKING:
    from secondlook.audit import Aligned, Mistakes

_SHOWN = 5


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
            help="union (wrong for one model at least), intersection (wrong for all), both-topk (given label missed "
            "among the k best by all), either-top1-only (the union without both-topk)."
        ),
    ] = "union",
    split: Annotated[str, typer.Option(help="Only videos of this split; all when left out.")] = "",
    limit: Annotated[int | None, typer.Option(help="Keep this many candidates, the most suspicious.")] = None,
    confused: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Also print the videos given as the first class and taken for the second, or the reverse."),
    ] = None,
    min_confidence: Annotated[float, typer.Option(help="With --confused: only predictions at least this sure.")] = 0.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Find the misclassified videos of one or more models and the labels to ask people about.

    Options of a video are the k best classes of every model and the given label, in an order that tells neither.

    Example: `secondlook audit a.parquet b.parquet --videos videos.parquet -o candidates.parquet`
    """
    from secondlook import tables
    from secondlook.audit import align, confused_classes, confusions, mistakes, name_models, read_video_rows
    from secondlook.audit.misclassified import candidates

    read = [read_video_rows(path) for path in predictions]
    models = dict(zip(name_models(read, predictions), read, strict=True))
    listed = None if videos is None else tables.read(tables.VIDEOS, videos)
    aligned = align(models, listed, top_k=top_k, split=split)
    pairs = confusions(aligned, *confused, min_confidence=min_confidence, both_ways=True) if confused else []
    found = mistakes(aligned)
    rows = candidates(aligned, select=select, seed=seed, limit=limit)
    sizes, left_out = found.sizes(), [x.to_dict() for x in aligned.left_out]
    settings = {"top_k": aligned.top_k, "select": select, "split": split, "limit": limit}
    inputs = [*predictions, *([] if videos is None else [videos])]
    made = tables.provenance("audit", settings, inputs, seed)
    about = tables.made(read[0] if listed is None else listed)
    made |= {key: about[key] for key in ("root", "dataset", "fingerprint") if key in about}
    made |= {"label_space": aligned.labels.to_dict(), "models": list(models), "sizes": sizes, "left_out": left_out}
    tables.write(tables.CANDIDATES, rows, output, made)
    result = {
        "wrote": str(output),
        "candidates": rows.num_rows,
        "selected": int(found.select(select).sum()),
        "sizes": sizes,
        "top_k": aligned.top_k,
        "left_out": left_out,
        "notes": list(aligned.notes),
        "confused_classes": confused_classes(aligned, found.top1_category),
        "confusions": [vars(pair) for pair in pairs],
    }
    if not as_json:
        _say_sizes(aligned, found)
        _say_classes(result["confused_classes"])
        names = aligned.labels.names
        if confused:
            shown = [(p.video_id, p.model, names[p.given], names[p.predicted], percent(p.confidence)) for p in pairs]
            say_table(f"{len(pairs)} confusions", ("video", "model", "given", "predicted", "confidence"), shown, left=4)
    finish(result, words(result), as_json, aligned.failed_rows)


def _say_sizes(aligned: Aligned, found: Mistakes) -> None:
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
    kept = result["candidates"]
    cut = f" of {result['selected']}, the most suspicious" if kept < result["selected"] else ""
    lines.append(f"wrote {result['wrote']}: {kept} candidates{cut}")
    return "\n".join(lines)
