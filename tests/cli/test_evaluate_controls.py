"""`evaluate --controls` and `--source-tables` from files; audit, reassess and evaluate repeat bit for bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.cli import build_app
from tests.audit import build

CLASSES = 7


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(build_app(), [str(w) for w in words])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Two models on 60 videos, and what three people say of those that either gets wrong."""
    work = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    logits, given_N = build.random_models(rng, 60, CLASSES, 2)
    space = build.space(CLASSES, groups=3)
    for name, values in logits.items():
        build.save(build.predictions(values, given_N, labels=space, model=f"toy:{name}"), work / f"{name}.parquet")
    group = [f"s{i // 3}" for i in range(60)]
    build.save(build.videos(given_N, CLASSES, labels=space, group=group), work / "videos.parquet")
    return work


def look(inputs: Path, folder: Path) -> Path:
    """Audits, answers, reassesses and evaluates into a folder."""
    folder.mkdir()
    models = (inputs / "a.parquet", inputs / "b.parquet")
    about = ("--videos", inputs / "videos.parquet")
    candidates, answers = folder / "candidates.parquet", folder / "answers"
    run("audit", *models, *about, "--top-k", 3, "--seed", 3, "-o", candidates)
    asked = tables.read(tables.CANDIDATES, candidates)
    names, rng = tables.label_space(asked).names, np.random.default_rng(7)
    with (folder / "answers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "worker", "labels", "verdict", "reviewer"])
        for video, options in zip(asked["video_id"].to_pylist(), tables.lists(asked, "options"), strict=True):
            for worker in "xyz":
                picked = [names[k] for k in options if rng.random() < 0.4] or [names[options[0]]]
                writer.writerow(
                    [video, worker, "|".join(picked), "approved" if rng.random() < 0.8 else "rejected", "r"]
                )
    run("annotate", "create", candidates, "-o", answers)
    run("annotate", "import", answers, folder / "answers.csv")
    run("reassess", answers, "--given", "vote", "-o", folder / "labels.parquet")
    evaluate(inputs, folder, folder)
    return folder


def evaluate(inputs: Path, looked: Path, folder: Path) -> None:
    run(
        "evaluate", inputs / "a.parquet", inputs / "b.parquet", "--videos", inputs / "videos.parquet", "--labels",
        looked / "labels.parquet", "--top-k", 3, "--candidates", looked / "candidates.parquet", "--answers",
        looked / "answers", "--controls", "--source-tables", folder / "tables", "--resamples", 200, "--seed", 5,
        "-o", folder / "scores.json",
    )  # fmt: skip


@pytest.fixture(scope="module")
def looked(inputs, tmp_path_factory) -> Path:
    return look(inputs, tmp_path_factory.mktemp("looked") / "work")


@pytest.mark.spec("label-reassessment", "G12")
def test_controls_stand_in_the_scores(looked) -> None:
    scores = json.loads((looked / "scores.json").read_text())
    found = scores["controls"]
    assert {r["pool"] for r in found["random"]} == {"all labels", "options shown"}
    assert {r["model"] for r in found["held_out"]} == {m["name"] for m in scores["models"]}
    assert any(r["rule"] == "given=vote" for r in found["rules"])
    assert scores["made"]["settings"]["controls"] is True
    scored = {(m["name"], k): m[k]["real"]["rate"] for m in scores["models"] for k in scores["metrics"]}
    by_vote = next(r["scores"] for r in found["rules"] if r["rule"] == "given=vote")
    for (model, metric), rate in scored.items():
        assert by_vote[model][metric]["real"] == pytest.approx(rate), "the rule that the labels were made by"


@pytest.mark.spec("label-reassessment", "P1")
def test_tables_of_the_source_are_written(looked) -> None:
    numbers = ("4.3", "4.4", "4.5", "4.6", "5.1", "5.2")
    names = {f"table-{n}.{e}" for n in numbers for e in ("csv", "md")} | {"tables.md"}
    assert {p.name for p in (looked / "tables").iterdir()} == names
    with (looked / "tables" / "table-4.6.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = tables.read(tables.CANDIDATES, looked / "candidates.parquet").num_rows
    assert sum(int(r["Count"]) for r in rows[:-1]) == int(rows[-1]["Count"]) == asked


@pytest.mark.spec("label-reassessment", "P5")
def test_the_same_steps_give_the_same_bytes_with_their_settings_inside(inputs, looked, tmp_path) -> None:
    models, about = (inputs / "a.parquet", inputs / "b.parquet"), ("--videos", inputs / "videos.parquet")
    run("audit", *models, *about, "--top-k", 3, "--seed", 3, "-o", tmp_path / "candidates.parquet")
    run("reassess", looked / "answers", "--given", "vote", "-o", tmp_path / "labels.parquet")
    evaluate(inputs, looked, tmp_path)
    names = ("candidates.parquet", "labels.parquet", "workers.csv", "scores.json", "tables/tables.md")
    for name in names:
        assert (looked / name).read_bytes() == (tmp_path / name).read_bytes(), name
    for table, seed in ((tables.CANDIDATES, 3), (tables.LABELS, None)):
        made = tables.made(tables.read(table, tmp_path / f"{table.name}.parquet"))
        assert made["settings"], table.name
        assert made["inputs"], table.name
        assert made["seed"] == seed
    made = json.loads((tmp_path / "scores.json").read_text())["made"]
    assert made["seed"] == 5
    assert made["settings"]["resamples"] == 200
    assert len(made["inputs"]) == 6, "two models, videos, labels, candidates, answers"


def test_what_is_missing_is_said_before_anything_is_read(inputs) -> None:
    done = CliRunner().invoke(build_app(), ["evaluate", str(inputs / "a.parquet"), "--controls"])
    assert "needs --labels, --candidates, --answers" in str(done.exception)
    done = CliRunner().invoke(build_app(), ["evaluate", str(inputs / "a.parquet"), "--unjudged", "aprove"])
    assert "approve" in str(done.exception)


def test_words_say_what_chance_gives(inputs, looked) -> None:
    said = run(
        "evaluate", inputs / "a.parquet", inputs / "b.parquet", "--labels", looked / "labels.parquet", "--top-k", 3,
        "--candidates", looked / "candidates.parquet", "--answers", looked / "answers", "--controls", "--resamples", 50,
    )  # fmt: skip
    for words in ("equally many random labels", "under each merge rule", "merge rules the gain at top-1"):
        assert words in said
