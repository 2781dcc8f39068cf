"""Measure which explanations can be trusted, network by network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress
from secondlook.cli._table import say_table
from secondlook.errors import BadValue, MissingFile

SHOWN: Mapping[str, str] = {
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
    "sensitivity_n": "sensitivity-n",
    "frame_deletion_gain": "frames gain",
    "on_target": "on target",
    "iou_best": "best IoU",
    "on_cue": "on cue",
    "parameters_rank": "random net",
    "class_rank": "other class",
    "brightness": "brightness",
    "border_ratio": "border",
    "time_ratio": "forwards",
}
"""Measures of the printed table, and their headings; the JSON has them all, with intervals."""


def run(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RUN... VIDEOS", help="Run folders of `train`, then a videos table.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; it also keeps what was done.")],
    methods: Annotated[
        str, typer.Option(help="Methods with commas between, or `all`; a cheap set when left out.")
    ] = "",
    measures: Annotated[
        str, typer.Option(help="Groups of measures with commas between.")
    ] = "truth,perturbation,sanity,bias,cost",
    label: Annotated[str, typer.Option(help="Class to explain: predicted, given, a name or an index.")] = "predicted",
    split: Annotated[str, typer.Option(help="Split of the table: train, val, test; or all.")] = "test",
    limit: Annotated[int | None, typer.Option(help="At most so many videos, evenly spread.")] = 24,
    steps: Annotated[int, typer.Option(min=1, help="Shares in which blocks are deleted.")] = 10,
    blocks: Annotated[str, typer.Option(help="Blocks of a clip in time, rows and columns.")] = "4,7,7",
    fill: Annotated[str, typer.Option(help="What stands in for deleted blocks: blur, mean or black.")] = "blur",
    levels: Annotated[int, typer.Option(min=1, help="Steps of the randomisation, from the classifier down.")] = 3,
    sanity_clips: Annotated[int, typer.Option(min=0, help="Clips on which sanity is checked.")] = 6,
    cost_clips: Annotated[int, typer.Option(min=0, help="Clips on which cost is measured.")] = 2,
    root: Annotated[Path | None, typer.Option(help="The videos' folder, if it was moved.")] = None,
    which: Annotated[str, typer.Option(help="Weights of the runs: best or last.")] = "best",
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds after which decoding a video is cut off.")
    ] = 30.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure explanations: does the network need what they show, do they follow what it learned, what do they cost?

    Each method is measured on each run: against the truth where it is known (drawn data), by deleting and inserting
    what it calls important, by randomising the network, for bias (brightness, borders, cuts), and for cost. What was
    measured before with the same settings is not measured again.

    Example: `secondlook evaluate-explanations runs/a runs/b videos.parquet --methods grad_cam,lrp -o scores/`
    """
    from secondlook import tables
    from secondlook.cli._words import numbers
    from secondlook.explain._evaluation import SCORES, choose_methods, evaluate
    from secondlook.explain._faithfulness import Perturbing
    from secondlook.explain._one_clip import Plan
    from secondlook.explain._table import choose_rows
    from secondlook.predict.weights import load_run

    *runs, table = paths
    if not runs or table.suffix != ".parquet":
        cure = "For example: secondlook evaluate-explanations runs/a videos.parquet -o scores/"
        raise BadValue(" ".join(map(str, paths)), "must be one or more run folders, then a videos table", cure)
    if not table.is_file():
        raise MissingFile(table, "Give a videos table (.parquet) after the runs.")
    cut = numbers(blocks)
    if len(cut) != 3 or min(cut) < 1:
        raise BadValue(blocks, "blocks must be three numbers of at least 1", "For example 4,7,7.")
    plan = Plan(
        measures=tuple(name.strip() for name in measures.split(",") if name.strip()),
        label=label,
        perturbing=Perturbing(steps=steps, blocks=(cut[0], cut[1], cut[2]), fill=fill),
        levels=levels,
        sanity_clips=sanity_clips,
        cost_clips=cost_clips,
        seed=seed,
    )
    chosen = choose_methods(methods)
    videos = choose_rows(tables.read(tables.VIDEOS, table), split, limit)
    models = {name: load_run(run, which) for name, run in _names(runs).items()}  # type: ignore[arg-type]  # checked there
    settings = {**plan.to_dict(), "runs": [str(r) for r in runs], "methods": list(chosen), "split": split}
    inputs = [table, *(m.weights for m in models.values()), *(run / "card.json" for run in runs)]
    made = tables.provenance("evaluate-explanations", {**settings, "limit": limit}, inputs, seed)
    with progress("measuring explanations", len(models) * len(chosen) * videos.num_rows) as advance:
        result = evaluate(
            models, videos, chosen, output, plan, root=root, made=made, timeout_s=timeout_s, advance=advance
        )
    if not as_json:
        _say_scores(result)
    bad = [clip for clip in result["clips"] if clip["status"] not in tables.USABLE]
    failed = len(bad) + sum(s["status"] == "failed" and len(bad) < len(result["clips"]) for s in result["scores"])
    shown = {"scores": str(output / SCORES), "trust": result["trust"], "cheating": result["cheating"]}
    finish(shown, "\n".join([*_words(result, bad), f"wrote {output / SCORES}"]), as_json, failed_rows=failed)


def _names(runs: Sequence[Path]) -> dict[str, Path]:
    """Short names of runs: the folder's, or the whole path where two folders are called the same."""
    short = [run.resolve().name for run in runs]
    return {name if short.count(name) == 1 else str(run): run for name, run in zip(short, runs, strict=True)}


def _say_scores(result: Mapping[str, Any]) -> None:
    for model in result["models"]:
        own = [s for s in result["scores"] if s["model"] == model["model"]]
        columns = [name for name in SHOWN if any(name in s["measures"] for s in own)]
        order = [entry["method"] for t in result["trust"] if t["model"] == model["model"] for entry in t["order"]]
        own.sort(key=lambda s: order.index(s["method"]) if s["method"] in order else len(order))
        rows = [
            [s["method"], s["status"] if s["status"] != "ok" else s["clips"], *(_cell(s, name) for name in columns)]
            for s in own
        ]
        title = f"{model['model']} ({model['card']}), best first"
        say_table(title, ["method", "clips", *(SHOWN[name] for name in columns)], rows)


def _cell(score: Mapping[str, Any], name: str) -> str:
    if name not in score["measures"]:
        return "-"
    value = score["measures"][name]
    if name in ("deletion_gain", "insertion_gain"):
        return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value['mean']:.1f}" if name == "time_ratio" else f"{value['mean']:.2f}"


def _words(result: Mapping[str, Any], bad: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for verdict in (*result["trust"], *result["cheating"]):
        lines += [*verdict["sentences"], ""]
    for score in result["scores"]:
        if score["status"] != "ok":
            lines.append(f"  {score['model']}, {score['method']}: {score['status']}: {score['reason']}")
        else:
            lines += [f"  {score['method']}, {f['video_id']}: failed: {f['reason']}" for f in score["failed"][:2]]
    lines += [f"  {clip['video_id']}: {clip['status']}: {clip['reason']}" for clip in bad[:10]]
    lines += [f"  and {len(bad) - 10} more"] if len(bad) > 10 else []
    return lines
