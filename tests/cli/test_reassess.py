"""The verb `reassess`: from a store to label sets, and how near these come to the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.cli import build_app, main
from secondlook.errors import BadValue
from tests.annotate.drawn import draw_tables


def invoke(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments])
    assert result.exit_code == exit_code, result.output
    return result.stdout


def simulated(folder: Path, *settings: object, videos: int = 60) -> Path:
    candidates, known = draw_tables(folder, videos)
    invoke("annotate", "simulate", candidates, "-o", folder / "answers", "--videos", known, *settings)
    return folder / "answers"


def reassess(answers: Path, *settings: object) -> Any:
    output = answers.parent / "labels.parquet"
    return json.loads(invoke("reassess", answers, "-o", output, "--json", *settings))


def test_from_answers_to_label_sets(tmp_path: Path) -> None:
    answers = simulated(tmp_path)
    said = reassess(answers, "--repost", tmp_path / "repost.csv", "--export", tmp_path / "sets.npy")
    table = tables.read(tables.LABELS, tmp_path / "labels.parquet")
    assert table.num_rows == said["videos"] == sum(said["rules"].values()) == 60
    assert set(table["rule"].to_pylist()) == set(said["rules"])
    assert tables.label_space(table).names[3] == "Doing thing 3"
    made = tables.made(table)
    assert made["rules"] == said["settings"]
    assert made["rules"]["given"] == "keep"
    assert len(made["inputs"][str(answers)]) == 64
    assert len(said["workers"]) == 12
    assert (tmp_path / "workers.csv").read_text().count("\n") == 13
    assert (tmp_path / "repost.csv").read_text().count("\n") == 1 + said["failed"]
    assert np.load(tmp_path / "sets.npy").shape == (60, 12)
    before = (tmp_path / "labels.parquet").read_bytes()
    reassess(answers)
    assert (tmp_path / "labels.parquet").read_bytes() == before, "the same answers give the same file"


def test_options_reach_the_rule(tmp_path: Path) -> None:
    answers = simulated(tmp_path, "--spam", 0.3)
    wide = reassess(answers, "--r1-mode", "union", "-O", "partial=union", "-O", "two-disagree=union")
    narrow = reassess(answers, "--agreement", "identical", "--r1-mode", "common", "-O", "partial=given")
    assert wide["mean_size"] > narrow["mean_size"]
    assert wide["settings"]["two_disagree"] == "union"
    fallen = reassess(answers, "--given", "drop-if-unvoted")
    assert any(rule.endswith("/-given") for rule in fallen["rules"])
    assert not any(rule.endswith("/-given") for rule in narrow["rules"])
    assert "majority" in reassess(answers, "--rule", "majority")["rules"]


def test_words_for_people(tmp_path: Path) -> None:
    answers = simulated(tmp_path, videos=20)
    said = invoke("reassess", answers, "-o", tmp_path / "labels.parquet", "--videos", tmp_path / "videos.parquet")
    assert "reassessed 20 videos" in said
    assert "approval rate" in said
    assert said.count("w-") == 12
    assert "recall" in said
    assert "labels.parquet" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "majorty"], "Did you mean 'majority'"),
        (["--given", "maybe"], "given must be one of keep, drop-if-unvoted, vote"),
        (["-O", "colour=red"], "option 'colour' is not known"),
        (["-O", "colour"], "name=value"),
        (["--rule", "majority", "--agreement", "identical"], "option 'agreement' is not known"),
        (["--export", "sets.xlsx"], "must end in .json"),
    ],
)
def test_mistakes_are_sentences(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    answers = simulated(tmp_path, videos=5)
    output = tmp_path / "labels.parquet"
    monkeypatch.setattr("sys.argv", ["secondlook", "reassess", str(answers), "-o", str(output), *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert not output.exists()


def test_answers_nobody_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, _ = draw_tables(tmp_path, 5)
    invoke("annotate", "create", candidates, "-o", tmp_path / "answers")
    rows = [f"v00{v},{person},Doing thing {v}" for v in range(5) for person in ("ann", "bob", "cy")]
    (tmp_path / "people.csv").write_text("\n".join(["video_id,worker,labels", *rows]) + "\n")
    invoke("annotate", "import", tmp_path / "answers", tmp_path / "people.csv")
    monkeypatch.setattr(
        "sys.argv", ["secondlook", "reassess", str(tmp_path / "answers"), "-o", str(tmp_path / "l.parquet")]
    )
    with pytest.raises(SystemExit):
        main()
    assert "'15 answers': have no verdict yet" in capsys.readouterr().err
    assert reassess(tmp_path / "answers", "--unjudged", "approve")["rules"] == {"R1": 5}
    assert reassess(tmp_path / "answers", "--rule", "majority")["videos"] == 5


def test_recovered_sets_beat_the_given_labels(tmp_path: Path) -> None:
    """At default skill, on videos of which one in five is labelled wrongly."""
    answers = simulated(tmp_path, videos=200)
    videos = ("--videos", tmp_path / "videos.parquet")
    kept = reassess(answers, *videos)["against_truth"]
    fallen = reassess(answers, *videos, "--given", "drop-if-unvoted")["against_truth"]
    assert kept["given"]["recall"] < 0.5
    assert kept["reassessed"]["recall"] > 0.85
    assert kept["reassessed"]["precision"] > kept["given"]["precision"]
    assert kept["reassessed"]["f1"] > kept["given"]["f1"] + 0.2
    assert fallen["reassessed"]["precision"] > kept["reassessed"]["precision"] + 0.03
    assert fallen["reassessed"]["f1"] > 0.9


def test_one_of_several_campaigns(tmp_path: Path) -> None:
    candidates, _ = draw_tables(tmp_path, 3)
    for name in ("first", "second"):
        made = CliRunner().invoke(
            build_app(), ["annotate", "create", str(candidates), "-o", str(tmp_path / "a"), "--name", name]
        )
        assert made.exit_code == 0, made.output
    with Store.open(tmp_path / "a", "second") as store:
        store.submit([Answer(store.tasks()[0].task_id, "ann", no_match=True)])
    words = ["reassess", str(tmp_path / "a"), "-o", str(tmp_path / "labels.parquet"), "--unjudged", "approve", "--json"]
    several = CliRunner().invoke(build_app(), words)
    assert isinstance(several.exception, BadValue)
    assert "second" in str(several.exception)
    one = CliRunner().invoke(build_app(), [*words, "--campaign", "second"])
    assert one.exit_code == 0, one.output
    assert sum(row["answers"] for row in tables.read(tables.LABELS, tmp_path / "labels.parquet").to_pylist()) == 1
