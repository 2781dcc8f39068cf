"""The verb `annotate`: each sub-command from files, its words, its exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.annotate.answers import fingerprint
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.cli import build_app, main
from tests.annotate.drawn import draw_tables


def run(*arguments: object, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(build_app(), ["annotate", *map(str, arguments), "--json"])
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr("sys.argv", ["secondlook", "annotate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_simulate(tmp_path: Path) -> None:
    candidates, videos = draw_tables(tmp_path, 30)
    said = run("simulate", candidates, "-o", tmp_path / "a", "--videos", videos, "--workers", 9, "--spam", 0.34)
    assert (said["videos"], said["answers"], said["failed_rows"]) == (30, 90, 0)
    assert sorted(said["kinds"].values()).count("skilled") == 5
    about = json.loads((tmp_path / "a" / "simulated.json").read_text())
    assert about["kinds"] == said["kinds"]
    assert about["settings"]["spam"] == 0.34
    run("simulate", candidates, "-o", tmp_path / "b", "--videos", videos, "--workers", 9, "--spam", 0.34)
    with Store.open(tmp_path / "a") as a, Store.open(tmp_path / "b") as b:
        assert fingerprint(a.answers()) == fingerprint(b.answers()), "the same seed, the same answers"
        assert a.made["inputs"][str(candidates)] == tables.file_sha256(candidates)
        assert set(a.answers()["worker"].unique().to_pylist()) == set(said["kinds"])


def test_people_answer_with_files_alone(tmp_path: Path) -> None:
    candidates, _ = draw_tables(tmp_path, 4)
    said = run("create", candidates, "-o", tmp_path / "answers", "--votes", 2)
    assert (said["videos"], said["answers"], said["cost"]) == (4, 8, pytest.approx(0.24))
    run("questions", tmp_path / "answers", "-o", tmp_path / "questions.csv")
    with (tmp_path / "questions.csv").open(newline="") as file:
        asked = list(csv.DictReader(file))
    rows = [
        f"{q['video_id']},{person},{q['options'].split('|')[0]},approved" for q in asked for person in ("ann", "bob")
    ]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["video_id,worker,labels,verdict", *rows, "v000,cy,,", "v009,ann,,"]) + "\n")
    said = run("import", tmp_path / "answers", path, exit_code=1)
    assert (said["stored"], said["verdicts"], said["failed_rows"]) == (8, 8, 2)
    assert [(p["row"], p["column"]) for p in said["problems"]] == [(10, "video_id"), (11, "video_id")]
    assert run("export", tmp_path / "answers", "-o", tmp_path / "out.csv")["rows"] == 8
    said = run("decisions", tmp_path / "answers", "-o", tmp_path / "decisions.csv")
    assert (said["approved"], said["rejected"], said["undecided"]) == (8, 0, 0)
    (tmp_path / "again.csv").write_text("video_id\nv000\n")
    assert run("repost", tmp_path / "answers", tmp_path / "again.csv")["reposted"] == 1
    assert run("repost", tmp_path / "answers", tmp_path / "again.csv")["still_open"] == 1


def test_words_for_people(tmp_path: Path) -> None:
    candidates, videos = draw_tables(tmp_path, 5)

    def words(*arguments: object) -> str:
        result = CliRunner().invoke(build_app(), ["annotate", *map(str, arguments)])
        return result.stdout

    assert "5 tasks, 15 answers to collect (about 0.45" in words("create", candidates, "-o", tmp_path / "a")
    (tmp_path / "p.csv").write_text("video_id,worker,labels,colour\nv000,ann,Doing thing 99,red\n")
    said = words("import", tmp_path / "a", tmp_path / "p.csv")
    assert "1 rows: 0 stored, 0 there already, 1 refused" in said
    assert "row 2, column labels: label 'Doing thing 99' is not known" in said
    assert "columns left aside: colour" in said
    assert "p.rejected.csv" in said
    assert "secondlook reassess" in words("simulate", candidates, "-o", tmp_path / "b", "--videos", videos)


def test_an_existing_store_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, videos = draw_tables(tmp_path, 5)
    run("create", candidates, "-o", tmp_path / "answers")
    before = (tmp_path / "answers" / "store.sqlite").read_bytes()
    said = fails(monkeypatch, capsys, "simulate", candidates, "--videos", videos, "-o", tmp_path / "answers")
    assert "there is a store here already" in said
    assert "secondlook annotate import" in said
    said = fails(monkeypatch, capsys, "create", candidates, "-o", tmp_path / "answers")
    assert "a campaign of this name is there already. Give a new name with --name." in said
    assert (tmp_path / "answers" / "store.sqlite").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers", "candidates.parquet", "videos.parquet"]


def test_videos_whose_truth_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, videos = draw_tables(tmp_path, 5)
    table = tables.read(tables.VIDEOS, videos)
    tables.write(tables.VIDEOS, table.drop_columns("true_labels"), videos, tables.made(table))
    said = fails(monkeypatch, capsys, "simulate", candidates, "-o", tmp_path / "answers", "--videos", videos)
    assert "secondlook annotate create" in said
    assert "secondlook annotate import" in said
    assert not (tmp_path / "answers").exists()


def test_other_mistakes_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, videos = draw_tables(tmp_path, 5)
    (tmp_path / "other").mkdir()
    other = draw_tables(tmp_path / "other", 5, classes=9)[1]
    simulate = ("simulate", candidates, "-o", tmp_path / "a", "--videos")
    assert "is a table of videos" in fails(monkeypatch, capsys, "create", videos, "-o", tmp_path / "a")
    assert "has other labels" in fails(monkeypatch, capsys, *simulate, other)
    assert "at least 3 workers" in fails(monkeypatch, capsys, *simulate, videos, "--workers", 2)
    assert "skill must be from 0 to 1" in fails(monkeypatch, capsys, *simulate, videos, "--skill", 3)
    assert "from 1 to 100" in fails(monkeypatch, capsys, "create", candidates, "-o", tmp_path / "a", "--votes", 0)
    assert "does not exist" in fails(monkeypatch, capsys, "export", tmp_path / "none", "-o", tmp_path / "x.csv")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "store.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert "broken" in fails(monkeypatch, capsys, "export", tmp_path / "broken", "-o", tmp_path / "x.csv")
    assert not (tmp_path / "a").exists()


def test_who_runs_a_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, videos = draw_tables(tmp_path, 6)
    monkeypatch.chdir(tmp_path)
    run("create", candidates, "--votes", 2, "--batch", 5, "--qualify", 1, "--question", "What?", "--lease", 60)
    said = run("create", candidates, "--name", "second", "--videos", videos, "--pass-rate", 0.5, "--gold-share", 0.1)
    assert (said["store"], said["campaign"]) == ("annotations", "second")
    with Store.open(tmp_path / "annotations", "round1") as store:
        found = store.settings
        assert (found.votes, found.batch, found.qualify, found.question, found.lease_s) == (2, 5, 1, "What?", 60.0)
        assert found.media_root == str(tmp_path), "the candidates say where the videos are"
        assert "password" not in json.dumps(store.made)
    (tmp_path / "gold.csv").write_text("video_id,labels\nv001,Doing thing 1|Doing thing 2\n")
    assert "several campaigns" in fails(monkeypatch, capsys, "gold", "annotations", "gold.csv")
    assert run("gold", "annotations", "gold.csv", "--campaign", "round1")["gold"] == 1
    assert run("pause", "annotations", "--campaign", "second")["paused"]
    one, two = run("status", "annotations")["campaigns"]
    assert one == {
        "campaign": "round1", "paused": False, "tasks": 5, "asked": 10, "answers": 0, "held": 0, "judged": 0, "gold": 1,
    }  # fmt: skip
    assert (two["paused"], two["tasks"], two["asked"]) == (True, 6, 18)
    assert not run("resume", "annotations", "--campaign", "second")["paused"]
    said = run("invite", "annotations", "--role", "reviewer", "--uses", 5)
    with Workplace.open(tmp_path / "annotations") as workplace:
        rita, _ = workplace.accounts.accept(said["path"].removeprefix("/join/"), "rita", 0.0)
        assert rita.role == "reviewer"
        assert [e.action for e in workplace.events()][:2] == ["invited", "campaign resumed"]
        assert said["path"].removeprefix("/join/") not in str(workplace.events())
    run("questions", "annotations", "-o", "q.csv", "--campaign", "second")
    for content, words in (
        ("video_id,labels\nv009,Doing thing 1\n", "row 2, column video_id: is not a video"),
        ("video_id,labels\nv001,\n", "at least one label"),
        ("video_id,labels\nv001,Doing thing 1\nv001,Doing thing 1\n", "stands twice"),
        ("video_id,labels\nv001,Doing thing 77\n", "is not known"),
        ("video,labels\n", "'video_id' is not known"),
    ):
        (tmp_path / "gold.csv").write_text(content)
        assert words in fails(monkeypatch, capsys, "gold", "annotations", "gold.csv", "--campaign", "round1")
    assert "'king' is not known" in fails(monkeypatch, capsys, "invite", "annotations", "--role", "king")
    assert "with another database" in fails(
        monkeypatch, capsys, "create", candidates, "--name", "x", "--database", "postgresql://me:hunter2@h/d"
    )


def test_excluded_videos_are_never_asked_about(tmp_path: Path) -> None:
    candidates, videos = draw_tables(tmp_path, 6)
    table = tables.read(tables.VIDEOS, videos)
    status = ["excluded" if i == 2 else "ok" for i in range(6)]
    at = table.column_names.index("status")
    changed = table.set_column(at, table.schema.field("status"), pa.array(status, table.schema.field("status").type))
    tables.write(tables.VIDEOS, changed, videos, tables.made(table))
    assert run("create", candidates, "-o", tmp_path / "a", "--videos", videos)["videos"] == 5
    with Store.open(tmp_path / "a") as store:
        assert sorted(store.task_ids()) == ["v000", "v001", "v003", "v004", "v005"]
