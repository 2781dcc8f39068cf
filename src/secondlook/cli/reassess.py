"""Turn answers and verdicts into reassessed label sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._say import AsJson, finish

if TYPE_CHECKING:
    from secondlook.reassess._recovered import Recovered

SHOWN = 30
"""Workers that are printed, busiest first; all of them stand in the file."""


def run(
    answers: Annotated[Path, typer.Argument(help="Folder of the store that `secondlook annotate` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Labels table to write.")],
    rule: Annotated[
        str,
        typer.Option(
            help="approval_rules (reads a reviewer's verdicts); majority, worker_weighted, dawid_skene, glad or mace "
            "(need none). `secondlook list reassess` says what each does."
        ),
    ] = "approval_rules",
    campaign: Annotated[str, typer.Option(help="Name of the campaign; the only one if left out.")] = "",
    agreement: Annotated[str, typer.Option(help="Answers agree by `intersection` or only if `identical`.")] = "",
    r1_mode: Annotated[str, typer.Option(help="What R1 gives: `votes`, `common` or `union`.")] = "",
    given: Annotated[str, typer.Option(help="The given label: `keep`, `drop-if-unvoted` or `vote`.")] = "",
    unjudged: Annotated[str, typer.Option(help="Answers without a verdict: `refuse`, `approve`, `reject`.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("-O", "--option", help="Any other option of the rule, as name=value; repeat.")
    ] = None,
    workers: Annotated[
        Path | None, typer.Option(help="Worker table to write; by default workers.csv beside the output.")
    ] = None,
    repost: Annotated[Path | None, typer.Option(help="CSV file to write of the videos to post again.")] = None,
    export: Annotated[
        list[Path] | None,
        typer.Option(help="Also write the sets: .json (lists), .csv, .parquet or .npy; repeat."),
    ] = None,
    export_into: Annotated[
        Path | None, typer.Option(help="Write a copy of --dataset-json with `reassessed_labels` in its entries.")
    ] = None,
    dataset_json: Annotated[
        Path | None, typer.Option(help="The data set's own JSON file: a list of entries with an id.")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file to write of how probable each label is (not all rules).")
    ] = None,
    agreement_report: Annotated[
        Path | None, typer.Option(help="JSON file to write of how much people agree; in brief it is always printed.")
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(help="Videos table: exports then hold all its videos; drawn ones are compared with the truth."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge the answers of a store into one label set a video, with the rule that made each.

    Example: `secondlook reassess answers -o labels.parquet --given drop-if-unvoted --repost repost.csv`

    Example: `secondlook reassess answers -o labels.parquet --rule dawid_skene --probabilities probable.csv`

    Example: `secondlook reassess answers -o labels.parquet --export real.json --agreement-report agreement.json`
    """
    import json
    from dataclasses import asdict

    from secondlook import catalog
    from secondlook.annotate.answers import fingerprint
    from secondlook.annotate.store import Store
    from secondlook.errors import BadValue
    from secondlook.reassess import _agreement, _export, _export_into, _options, _tables

    named = {"agreement": agreement, "r1_mode": r1_mode, "given": given, "unjudged": unjudged}
    options = {name: value for name, value in named.items() if value} | _options.parse(option or [])
    plugin = catalog.find("reassess", rule)
    _export.check_formats(export or [])
    if (export_into is None) != (dataset_json is None):
        raise BadValue(str(export_into or dataset_json), "--export-into and --dataset-json go together", "Give both.")
    if dataset_json:
        _export_into.read_dataset(dataset_json)
    with Store.open(answers, campaign) as store:
        table, labels = store.answers(), store.labels
    result = plugin.fit(table, **options)
    if probabilities:
        _export.write_probabilities(result, labels, probabilities)
    listed = _export.read_videos(videos, result.labels, labels) if videos else None
    _export.write_labels(result, labels, output, {"rule": rule, **options}, {str(answers): fingerprint(table)})
    workers = workers or output.with_name("workers.csv")
    _export.write_workers(result, workers)
    if repost:
        _export.write_repost(result, repost)
    for path in export or []:
        _export.write_sets(result.labels, labels, path, listed)
    into = None
    if export_into and dataset_json:
        into = _export_into.write_into(result.labels, labels, dataset_json, export_into)
    try:
        agreed = _agreement.report(table)
    except BadValue as error:
        agreed = {"undefined": str(error)}
    if agreement_report:
        agreement_report.parent.mkdir(parents=True, exist_ok=True)
        agreement_report.write_text(json.dumps(agreed, indent=2) + "\n", encoding="utf-8")
    sizes = _tables.set_sizes(result.labels)
    facts = {
        "labels": output,
        "videos": result.labels.num_rows,
        "rules": result.by_rule,
        "sizes": sizes,
        "mean_size": _tables.mean_size(sizes),
        "failed": len(result.failed),
        "settings": dict(result.settings),
        "workers": result.workers.to_pylist(),
        "written": [
            str(p)
            for p in (output, workers, repost, *(export or []), export_into, probabilities, agreement_report)
            if p
        ],
        "agreement": {k: v for k, v in agreed.items() if k not in ("labels", "workers")},
    }
    if into:
        facts["into"] = asdict(into)
    found = _truth(result.labels, listed)
    if found:
        facts["against_truth"] = asdict(found)
    finish(facts, _words(facts), as_json)


def _truth(labels: Any, videos: Any) -> Recovered | None:
    """The sets against the truth, where the videos table knows it."""
    if videos is None or "true_labels" not in videos.column_names:
        return None
    from secondlook.annotate.simulate import true_sets
    from secondlook.reassess._recovered import recovered

    return recovered(labels, true_sets(videos))


def _words(facts: Mapping[str, Any]) -> str:
    from secondlook.reassess._agreement import words as agreement_words

    lines = [f"reassessed {facts['videos']} videos; {facts['failed']} failed and should be posted again"]
    lines.append("rules: " + ", ".join(f"{rule} {videos}" for rule, videos in facts["rules"].items()))
    sizes = ", ".join(f"{size}: {videos}" for size, videos in facts["sizes"].items())
    lines.append(f"labels a video (mean {facts['mean_size']:.2f}): {sizes}")
    if "against_truth" in facts:
        truth = facts["against_truth"]
        for name in ("given", "reassessed"):
            near = truth[name]
            lines.append(
                f"{name:<10} precision {near['precision']:.3f}  recall {near['recall']:.3f}  F1 {near['f1']:.3f}"
            )
    if "into" in facts:
        from secondlook.reassess._export_into import Written

        lines.append(Written(**facts["into"]).words)
    agreed = facts["agreement"]
    lines += [f"agreement: {agreed['undefined']}"] if "undefined" in agreed else agreement_words(agreed)
    quality = any(w.get("quality") is not None for w in facts["workers"])
    head = f"{'worker':<20}completed  blank  approved  rejected  approval rate" + ("  quality" if quality else "")
    lines += ["", head]
    workers = sorted(facts["workers"], key=lambda w: (-w["completed"], w["worker"]))
    for w in workers[:SHOWN]:
        rate = "-" if w["approval_rate"] is None else f"{w['approval_rate']:.2f}"
        counts = f"{w['completed']:>9}{w['blank']:>7}{w['approved']:>10}{w['rejected']:>10}"
        good = "" if not quality else f"{'-' if w['quality'] is None else format(w['quality'], '.2f'):>9}"
        lines.append(f"{w['worker']:<20}{counts}{rate:>15}{good}")
    if len(workers) > SHOWN:
        lines.append(f"and {len(workers) - SHOWN} more workers")
    return "\n".join([*lines, "", f"wrote {', '.join(facts['written'])}"])
