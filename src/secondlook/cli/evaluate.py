"""Measure predictions against given and reassessed labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._table import left_out_words, percent, say_table
from secondlook.cli._words import numbers
from secondlook.errors import BadValue


def run(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions tables, one a model; one or more.")],
    labels: Annotated[
        Path | None, typer.Option(help="Reassessed labels; original accuracy only when left out.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write all scores as JSON here.")] = None,
    videos: Annotated[
        Path | None,
        typer.Option(help="Videos table: adds groups (whole groups are resampled) and true label sets (drawn data)."),
    ] = None,
    split: Annotated[str, typer.Option(help="Only videos of this split; all when left out.")] = "",
    top_k: Annotated[int, typer.Option(help="k of the second accuracy.")] = 5,
    top: Annotated[str, typer.Option(help="Every k instead, as 1,3,5.")] = "",
    details: Annotated[
        Path | None,
        typer.Option(help="Folder for tables and pictures by class: accuracy, confusions, precision-recall, ratios."),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Folder of the answers, for --controls and for tables 4.5 and 4.6.")
    ] = None,
    campaign: Annotated[str, typer.Option(help="Campaign of --answers; the only one if left out.")] = "",
    candidates: Annotated[Path | None, typer.Option(help="What people were asked, for --controls.")] = None,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Measure what chance, selection, held-out models and merge rules make of it."),
    ] = False,
    source_tables: Annotated[
        Path | None, typer.Option(help="Folder for tables 4.3 to 5.2 in the layout of the source, CSV and Markdown.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Label vectors: does likeness of labels go with confusion?")
    ] = None,
    unjudged: Annotated[
        str, typer.Option(help="Answers without a verdict: `refuse`, `approve` or `reject`.")
    ] = "refuse",
    over_splits: Annotated[
        bool,
        typer.Option("--over-splits", help="Each table is one of the dataset's splits; tells each and their mean."),
    ] = False,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure models against the given labels and against the reassessed label sets (ReaL), with intervals.

    With --over-splits the tables of one model (by its name) are test sets of published splits: accuracy on each, and
    the mean in which splits count alike. With --details and two or more tables, the accuracy of each class under the
    first is divided by that under each other one: give flow first, then RGB.

    With --controls (and --labels, --candidates, --answers) the gain is held against what equally many random labels
    would give, against models that proposed no options, against every merge rule, and, where correctly classified
    videos were drawn as controls, against an estimate over all videos that can fall.

    Example: `secondlook evaluate a.parquet b.parquet --labels labels.parquet --videos videos.parquet -o scores.json`
    """
    from secondlook import tables
    from secondlook.audit import align, name_models, read_video_rows
    from secondlook.cli._controls import check_inputs, measure_controls, read_answers
    from secondlook.evaluate.scores import score_aligned, write

    check_inputs(controls, labels, candidates, answers, unjudged)
    tops = numbers(top)
    read = [read_video_rows(path) for path in predictions]
    if over_splits:
        if labels is not None or details is not None:
            raise BadValue("--over-splits", "tells accuracy on each split only", "Leave --labels and --details out.")
        _over_splits(predictions, read, tops or (1, top_k), output, as_json)
        return
    models = dict(zip(name_models(read, predictions), read, strict=True))
    reassessed = None if labels is None else tables.read(tables.LABELS, labels)
    listed = None if videos is None else tables.read(tables.VIDEOS, videos)
    options: dict[str, Any] = {
        "top_k": top_k, "top": list(tops), "split": split, "resamples": resamples, "confidence": confidence
    }  # fmt: skip
    if tops and min(tops) < 1:
        raise BadValue(list(tops), "every k must be at least 1", "Give --top 1,3,5.")
    aligned = align(models, listed, top_k=max(tops) if tops else top_k, split=split)
    cards = {name: str(tables.made(table).get("model", "")) for name, table in models.items()}
    scores = score_aligned(
        aligned, reassessed, vectors=None if vectors is None else tables.read(tables.LABEL_VECTORS, vectors),
        cards=cards, top=tops or (top_k,), split=split, resamples=resamples, confidence=confidence, seed=seed,
    )  # fmt: skip
    said, answers_hash = (None, {}) if answers is None else read_answers(answers, campaign, aligned.labels)
    if controls and reassessed is not None and candidates is not None and said is not None:
        scores["controls"] = measure_controls(
            aligned, reassessed, candidates, said, tops or (top_k,), unjudged, resamples, confidence, seed
        )
        options |= {"controls": True, "unjudged": unjudged}
    result = dict(scores)
    if output is not None:
        inputs = [*predictions, *(path for path in (labels, videos, candidates, vectors) if path is not None)]
        made = tables.provenance("evaluate", options, inputs, seed)
        made["inputs"] |= answers_hash
        write(scores, output, made)
        result["wrote"] = str(output)
    if source_tables is not None:
        from secondlook.evaluate import source_tables as of_source

        found = of_source.build(scores, aligned, said, unjudged=unjudged)
        of_source.write(found, source_tables)
        result["source_tables"] = {"folder": str(source_tables), "tables": [table.number for table in found]}
    if details is not None:
        from secondlook.cli._details import write_details

        result["details"] = write_details(models, predictions, tops or (1, top_k), split, details)
    if not as_json:
        say_scores(scores)
    finish(result, words(result), as_json, sum(x["count"] for x in scores["left_out"] if x["failed"]))


def say_scores(scores: Mapping[str, Any]) -> None:
    """The tables of accuracy, of models compared, of what is known to be true, and of controls."""
    from secondlook.cli._controls import say_controls

    _say_accuracy(scores)
    _say_pairs(scores)
    _say_truth(scores)
    say_controls(scores.get("controls"))


def _score(score: Mapping[str, Any] | None) -> tuple[str, str]:
    """Rate with its interval, and count."""
    if score is None:
        return "-", "-"
    interval = f" [{100 * score['low']:.1f}, {100 * score['high']:.1f}]" if score["n"] else ""
    return f"{percent(score['rate'])}{interval}", f"{score['count']}/{score['n']}"


def _points(difference: Mapping[str, Any] | None) -> str:
    if difference is None or difference["points"] is None:
        return "-"
    return f"{difference['points']:+.2f} [{difference['low']:+.1f}, {difference['high']:+.1f}]"


def _say_accuracy(scores: Mapping[str, Any]) -> None:
    from secondlook.evaluate.gain_table import gain_table

    rows, columns = [], ["model", "metric", "original", "count"]
    real, true = scores["review"] is not None, scores["truth"] is not None
    columns += ["ReaL", "count", "gain, points"] * real + ["true", "count"] * true
    for row in gain_table(scores):
        cells = [row["model"], row["metric"], *_score(row["original"])]
        cells += [*_score(row["real"]), _points(row["gain"])] * real + [*_score(row["true"])] * true
        rows.append(cells)
    about = scores["bootstrap"]
    title = f"Accuracy on {scores['n']} videos, with {about['confidence']:.0%} intervals"
    say_table(f"{title} ({about['resamples']} resamples of {about['units']} {about['unit']}s)", columns, rows, left=2)


def _say_pairs(scores: Mapping[str, Any]) -> None:
    rows = [
        (
            f"{p['a']} - {p['b']}", p["metric"], p["against"], _points(p["difference"]), p["only_a"], p["only_b"],
            f"{p['p']:.3g} ({p['test']})",
        )
        for p in scores["pairs"]
    ]  # fmt: skip
    columns = ("models", "metric", "against", "difference, points", "only first right", "only second", "McNemar p")
    if rows:
        say_table("Models compared on the same videos", columns, rows, left=3)


def _say_truth(scores: Mapping[str, Any]) -> None:
    if scores["truth"] is None:
        return
    rows = [
        (name, x["videos"], *(percent(x[key]) for key in ("precision", "recall", "jaccard", "exact")))
        for name in ("given", "reassessed")
        if (x := scores["truth"].get(name))
    ]
    columns = ("label sets", "videos", "precision", "recall", "mean overlap", "exactly right")
    say_table("Label sets against the true ones", columns, rows)
    errors = [
        (m["name"], metric, _points(m[metric]["original_error"]), _points(m[metric].get("real_error")))
        for m in scores["models"]
        for metric in scores["metrics"]
    ]
    say_table("Accuracy minus true accuracy, points", ("model", "metric", "original", "ReaL"), errors, left=2)


def words(result: Mapping[str, Any]) -> str:
    """What was looked at, what may be concluded and what was left out, in sentences."""
    lines = list(result["notes"])
    looked = result["review"]
    if looked is not None:
        sizes = looked["set_sizes"]
        lines.append(
            f"reviewed videos: {looked['reviewed']}, of which with another label set than the given label: "
            f"{looked['changed']}, dropped (left out of ReaL): {looked['dropped']}; largest set: {sizes['max']} labels."
        )
        if looked["elsewhere"]:
            lines.append(f"rows of the labels table about videos not evaluated here: {looked['elsewhere']}")
        if looked["dropped"]:
            told = ", ".join(
                f"{m['name']} {metric} {percent(m[metric]['real_with_dropped']['rate'])}"
                for m in result["models"]
                for metric in result["metrics"]
            )
            lines.append(f"ReaL with dropped videos counted by their given label: {told}.")
        lines.append(looked["statement"])
    lines += left_out_words(result["left_out"])
    lines += result.get("controls", {}).get("said", [])
    lines += _likeness_words(result["likeness"])
    if "wrote" in result:
        lines.append(f"wrote {result['wrote']}")
    if "source_tables" in result:
        about = result["source_tables"]
        lines.append(f"wrote tables {', '.join(about['tables'])} of the source to {about['folder']}")
    if "details" in result:
        lines.append(f"wrote {len(result['details']['files'])} files by class to {result['details']['folder']}")
        lines += [
            f"{name}: mean average precision {found['mean_average_precision']:.3f}; most confused: "
            + ("; ".join(found["confused"]) or "nothing")
            + (f"; by view top-1 {percent(found['per_view']['top1'])} of {found['per_view']['n']} views"
               if found["per_view"]["n"] else "")
            for name, found in result["details"]["models"].items()
        ]  # fmt: skip
    return "\n".join(lines)


def _likeness_words(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    named = [(f"confusions of {name}", value) for name, value in found["confusion"].items()]
    named += [("co-occurrence", found["co_occurrence"])] if found["co_occurrence"] else []
    return [
        f"cosine of labels and {name}: Spearman's rho {value['rho']:+.3f} [{value['low']:+.3f}, {value['high']:+.3f}] "
        f"over {value['pairs']} pairs"
        for name, value in named
        if value["rho"] is not None
    ]


def _over_splits(
    paths: Sequence[Path], read: Sequence[Any], top: Sequence[int], output: Path | None, as_json: bool
) -> None:
    """Says accuracy on each split and the mean over them, one block a model."""
    import json

    from secondlook import tables
    from secondlook.evaluate.over_splits import over_splits

    models: dict[str, dict[str, Any]] = {}
    for path, table in zip(paths, read, strict=True):
        of = models.setdefault(str(tables.made(table).get("model") or "model"), {})
        of[path.stem if path.stem not in of else str(path)] = table
    found = over_splits(models, top=top)
    result: dict[str, Any] = {"models": found}
    words = ""
    if output is not None:
        made = tables.provenance("evaluate", {"over_splits": True, "top": list(top)}, paths)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({**result, "made": made}), encoding="utf-8")
        result["wrote"], words = str(output), f"wrote {output}"
    if not as_json:
        for model in found:
            rows = [(r["name"], r["n"], *(percent(r[m]) for m in model["metrics"])) for r in model["splits"]]
            rows.append(("mean over splits", "", *(percent(model["mean"][m]) for m in model["metrics"])))
            rows.append(("standard deviation", "", *(percent(model["sd"][m]) for m in model["metrics"])))
            say_table(f"{model['name']} on {len(rows) - 2} splits", ("split", "videos", *model["metrics"]), rows)
    finish(result, words, as_json, sum(r["left_out"] for model in found for r in model["splits"]))
