"""Run the whole loop: on videos drawn by code, or on a folder of real clips."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish
from secondlook.errors import BadValue

MODELS = {"resnet3d": "resnet3d:tiny", "r2plus1d": "r2plus1d:tiny"}
"""Names of the two recognisers' runs, and the models."""
METHODS = ("grad_cam", "lrp")
"""Shown of each clip, the coarse picture and the one whose parts add up; their truth is measured on a few clips."""
MEASURED = 6
CONTROLS = 20
"""Videos drawn at random beside the disputed ones, so that the gain can be held against chance."""
RECIPE = ("--lr", "0.004", "--label-smoothing", "0.1", "--weight-decay", "0.02", "--jitter", "0.2")
FAST_INPUT = ("--frames", "12", "--size", "48x48")
"""For drawn videos: they are square and small, and the demo must end within minutes on two cores."""


def run(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for everything that is made.")] = Path(
        "secondlook-demo"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Folder of real clips, one folder a class; drawn videos when left out.")
    ] = None,
    split: Annotated[str, typer.Option(help="Published split of the real clips; the first one there is.")] = "",
    clips: Annotated[int, typer.Option(help="Videos to draw.", min=40)] = 990,
    epochs: Annotated[int, typer.Option(help="Epochs of each recogniser; 0: 12 on drawn, 30 on real clips.")] = 0,
    explained: Annotated[int, typer.Option(help="Test videos to explain.", min=1)] = 12,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Run train, predict, explain, audit, ask, reassess, evaluate and report in one go, and show each command.

    On drawn videos the truth is known: simulated people answer, and the last table tells whether reassessed accuracy
    came nearer to the truth. On real clips (--data) it stops at the candidates and says how to have people annotate
    them. Run it again to go on where it was stopped.

    Example: `secondlook demo` or `secondlook demo --data clips/`
    """
    if data is not None and not data.is_dir():
        raise BadValue(str(data), "is not a folder of clips", "Give a folder that holds one folder of videos a class.")
    began_s = time.perf_counter()
    story = _Story(output, seed, quiet=as_json)
    if data is None:
        story.draw(clips)
    else:
        story.index_real(data, split or _first_split(data))
    story.learn(epochs or (12 if data is None else 30), FAST_INPUT if data is None else ())
    story.look(explained)
    story.doubt(simulated=data is None)
    seconds = time.perf_counter() - began_s
    result = story.result() | {"seconds": round(seconds, 1), "failed_rows": story.failed}
    finish(result, story.words(seconds), as_json, story.failed)


def _first_split(data: Path) -> str:
    """The first published split of a folder that brings some: `fold0` of `splits/fold0_train.txt`."""
    found = sorted(p.name.removesuffix("_train.txt") for p in (data / "splits").glob("*_train.txt"))
    folds = [name for name in found if "fold" in name]
    return (folds or found or [""])[0]


class _Story:
    """The verbs in order, each run as a user would type it; `failed` counts rows that could not be used."""

    def __init__(self, output: Path, seed: int, quiet: bool) -> None:
        self.output, self.seed, self.quiet = output, seed, quiet
        self.failed = 0
        self.videos = output / "videos.parquet"
        self.predictions = [output / f"{name}.parquet" for name in MODELS]
        self.report = output / "report.html"

    def draw(self, clips: int) -> None:
        """Step 1 on drawn videos: the clips, and their table with scene-disjoint splits."""
        folder = self.output / "clips"
        self._verb("draw", folder, "--clips", clips, "--seed", self.seed)
        self._verb("index", folder, "--dataset", "drawn", "--splits", "64/6/30", "--seed", self.seed, "-o", self.videos)

    def index_real(self, data: Path, split: str) -> None:
        """Step 1 on real clips: their table, every file decoded once."""
        published = ("--split", split) if split else ("--splits", "70/0/30", "--seed", self.seed)
        self._verb("index", data, "--dataset", "folder", *published, "--check", "-o", self.videos)

    def learn(self, epochs: int, recipe: tuple[str, ...]) -> None:
        """Steps 2 and 3: two recognisers, and their logits on the test split."""
        for (name, model), table in zip(MODELS.items(), self.predictions, strict=True):
            run_folder = self.output / "runs" / name
            options = ("--epochs", epochs, *recipe, *RECIPE, "--seed", self.seed)
            self._verb("train", self.videos, "--model", model, "-o", run_folder, *options)
            self._verb("predict", run_folder, self.videos, "--split", "test", "-o", table)

    def look(self, explained: int) -> None:
        """Step 4: what each recogniser looks at, measured against the drawn truth where there is one."""
        for name in MODELS:
            folder = self.output / "explained" / name
            options = ("--method", ",".join(METHODS), "--no-video", "--limit", explained, "-o", folder)
            self._verb("explain", self.output / "runs" / name, self.videos, *options)
        runs = [self.output / "runs" / name for name in MODELS]
        few = ("--limit", min(explained, MEASURED), "--sanity-clips", 2, "--cost-clips", 1)
        self._verb(
            "evaluate-explanations", *runs, self.videos, "--methods", ",".join((*METHODS, "input_x_gradient")),
            *few, "--seed", self.seed, "-o", self.output / "trust",
        )  # fmt: skip

    def doubt(self, simulated: bool) -> None:
        """Steps 5 to 10: candidates, answers, label sets, scores, page."""
        candidates, answers = self.output / "candidates.parquet", self.output / "answers"
        labels, scores = self.output / "labels.parquet", self.output / "scores.json"
        self._verb("language", "embed", self.videos, "-o", self.output / "label_vectors.parquet")
        honest = ("--controls", CONTROLS, "--random-options", 1) if simulated else ()
        self._verb(
            "audit", *self.predictions, "--videos", self.videos, "--split", "test", *honest, "--seed", self.seed,
            "-o", candidates,
        )  # fmt: skip
        reviewed: tuple[Any, ...] = ()
        if simulated:
            shutil.rmtree(answers, ignore_errors=True)
            self._verb("annotate", "simulate", candidates, "--videos", self.videos, "--seed", self.seed, "-o", answers)
            few = ("--seeds", 4, "--votes", "1,3,5", "--spam", "0,0.2,0.4")
            self._verb("annotate", "recovery", self.videos, candidates, *few, "-o", self.output / "recovery.json")
            self._verb("reassess", answers, "--videos", self.videos, "-o", labels)
            reviewed = ("--labels", labels, "--controls", "--candidates", candidates, "--answers", answers)
        self._verb("evaluate", *self.predictions, *reviewed, "--videos", self.videos, "--split", "test", "-o", scores)
        self._verb("report", self.output, "-o", self.report)
        self.candidates, self.answers = candidates, answers

    def _verb(self, *arguments: object) -> None:
        """Runs one verb in this process, after saying it; a step that fails stops the story."""
        from rich.console import Console

        from secondlook.cli import build_app

        words = [str(a) for a in arguments]
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"\n$ secondlook {shlex.join(words)}", style="bold")
        with contextlib.redirect_stdout(sys.stderr) if self.quiet else contextlib.nullcontext():
            code = build_app()(words, standalone_mode=False)
        if code == 1:
            self.failed += 1
        elif code:
            raise typer.Exit(int(code))

    def result(self) -> dict[str, Any]:
        """What the story led to, for machines."""
        scores = json.loads((self.output / "scores.json").read_text(encoding="utf-8"))
        rows = [
            {"model": model["name"], "metric": metric}
            | {against: (model[metric].get(against) or {}).get("rate") for against in ("original", "real", "true")}
            | {"closer": model[metric].get("closer")}
            for model in scores["models"]
            for metric in scores["metrics"]
        ]
        return {"report": self.report, "videos": scores["n"], "accuracy": rows, "explanations": self._explanations()}

    def _explanations(self) -> dict[str, dict[str, float]]:
        """Model and method -> measure -> mean over clips, the two baselines included; empty where no truth is known."""
        found = {}
        for name, method in itertools.product(MODELS, METHODS):
            path = self.output / "explained" / name / method / "explanations.json"
            averages = json.loads(path.read_text(encoding="utf-8"))["averages"]
            found[f"{name}, {method}"] = {measure: a["mean"] for measure, a in averages.items()}
        return {name: averages for name, averages in found.items() if averages}

    def words(self, seconds: float) -> str:
        """The tables and where to look next."""
        from secondlook.cli._table import percent, say_table

        result = self.result()
        rows = [
            (
                r["model"],
                r["metric"],
                *(percent(r[a]) if r[a] is not None else "-" for a in ("original", "real", "true")),
            )
            for r in result["accuracy"]
        ]
        if not self.quiet:
            columns = ("model", "metric", "original", "reassessed", "truth")
            say_table(f"Accuracy on {result['videos']} test videos", columns, rows, left=2)
            self._say_explanations(result["explanations"])
        lines = []
        if any(r["real"] is None for r in result["accuracy"]):
            lines += [
                f"Next, ask people about the disputed videos in {self.candidates}:",
                f"  secondlook annotate create {self.candidates} --votes 3 -o {self.answers}",
                f"  secondlook serve {self.answers}    (they answer in a browser; the results page does the rest)",
            ]
        return "\n".join([*lines, f"Done in {seconds / 60:.1f} minutes. Open {self.report.resolve()}"])

    def _say_explanations(self, explanations: dict[str, dict[str, float]]) -> None:
        from secondlook.cli._table import say_table
        from secondlook.explain._ground_truth import BASELINES, MEASURES

        rows = []
        for measure, meaning in MEASURES.items():
            own = [averages.get(measure) for averages in explanations.values()]
            if any(value is not None for value in own):
                first = next(iter(explanations.values()))
                cells = [*own, *(first.get(f"{measure}_{b}") for b in BASELINES)]
                rows.append((meaning, *("-" if v is None else f"{v:.2f}" for v in cells)))
        if rows:
            say_table("Explanations against the drawn truth", ("", *explanations, *BASELINES), rows)
