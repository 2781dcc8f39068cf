"""`annotate import/export --format` and `annotate mturk`: words, exit codes, nothing contacted unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondlook.annotate import mturk
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from tests.annotate.drawn import draw_tables
from tests.cli.test_annotate import fails, run


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    candidates, _ = draw_tables(tmp_path, 3)
    run("create", candidates, "-o", tmp_path / "answers", "--votes", 2)
    with Store.open(tmp_path / "answers") as store:
        task = store.tasks()[0]
        ids = store.submit([Answer(task.task_id, "ann", {task.options[0]: "yes"}), Answer(task.task_id, "bob")])
        store.judge([Verdict(ids[0], True, "rita")])
    return tmp_path / "answers"


def test_a_campaign_goes_out_and_its_answers_come_in(answers: Path, tmp_path: Path) -> None:
    said = run("export", answers, "-o", tmp_path / "ls", "--format", "label-studio", "--media-url", "https://x.org/m")
    assert {Path(f).name for f in said["files"]} == {"tasks.json", "config.xml"}
    back = run("import", answers, tmp_path / "ls" / "tasks.json", "--format", "label_studio", exit_code=1)
    assert (back["rows"], back["stored"]) == (2, 0), (
        "the pseudonyms of ann and bob are new people here; no place is left"
    )
    assert len(back["problems"]) == 2, back


def test_an_unknown_format_is_named(answers: Path, monkeypatch, capsys) -> None:
    said = fails(monkeypatch, capsys, "export", str(answers), "-o", "x", "--format", "labelstudio")
    assert "Did you mean 'label_studio'" in said


def test_mturk_tells_what_it_would_do(answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr(mturk, "connect", nobody)
    said = run("mturk", "export", answers, "-o", tmp_path / "batch", "--media-url", "https://x.org/m")
    assert Path(said["input"]).is_file()
    assert Path(said["page"]).is_file()
    said = run("mturk", "post", answers, "--public-url", "https://x.org")
    assert (said["done"], said["dry_run"], said["platform"]) == (3, True, "mturk-sandbox")
    said = run("mturk", "decide", answers)
    assert (said["done"], said["dry_run"]) == (0, True)


def test_mturk_without_credentials_says_so(answers: Path, monkeypatch, capsys, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    pytest.importorskip("boto3")
    assert "no AWS credentials" in fails(monkeypatch, capsys, "mturk", "decide", str(answers), "--really")
