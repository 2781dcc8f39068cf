"""Answers and verdicts from CSV files: every bad row named, nothing lost, nothing twice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from secondlook.annotate.answers import fingerprint
from secondlook.annotate.export_csv import write_answers, write_decisions, write_questions
from secondlook.annotate.import_csv import read_answers, read_video_ids
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace


@pytest.fixture
def sheet(tmp_path: Path):
    def write(text: str, name: str = "people.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def rows(store: Store) -> list[dict[str, object]]:
    return [row for row in store.answers().to_pylist() if row["worker"]]


@pytest.mark.spec("label-reassessment", "M2")
def test_import_of_a_result_file(store: Store, sheet) -> None:
    path = sheet(
        "video_id,worker,labels,rating,verdict,review\n"
        "v0,ann,moving something UP | Pushing [something],yes|maybe,approved,1\n"
        'v0,bob,"Rolling [something]",,rejected,\n'
        "v1,ann,,,,\n"
    )
    done = read_answers(store, path)
    assert (done.rows, done.stored, done.already_there, done.blank, done.verdicts) == (3, 3, 0, 1, 2)
    assert done.problems == []
    assert [(r["task"], r["label"], r["rating"], r["verdict"], r["review"]) for r in rows(store)] == [
        ("v0", 0, "yes", "approved", True),
        ("v0", 2, "maybe", "approved", True),
        ("v0", 3, "yes", "rejected", False),
        ("v1", -1, "", "", False),
    ]
    assert not path.with_suffix(".rejected.csv").exists()


def test_mechanical_turk_results_are_understood(store: Store, sheet) -> None:
    done = read_answers(
        store,
        sheet(
            '"HITId","AssignmentId","WorkerId","AssignmentStatus","Input.video_id","Answer.selected"\n'
            '"H1","A1","A2QX","Approved","v0","Rolling [something]|Pushing [something]"\n'
            '"H1","A2","A3ZZ","Submitted","v0",""\n'
        ),
    )
    assert (done.stored, done.blank, done.verdicts) == (2, 1, 1)
    assert done.ignored_columns == ["HITId"]


def test_importing_again_stores_nothing_twice(store: Store, sheet) -> None:
    path = sheet("video_id,worker,labels,note\nv0,ann,Rolling [something],dark\nv1,ann,,\n")
    read_answers(store, path)
    before = fingerprint(store.answers())
    done = read_answers(store, path)
    assert (done.stored, done.already_there) == (0, 2)
    assert fingerprint(store.answers()) == before
    assert len(store.notes()) == 1
    later = sheet("video_id,worker,labels,verdict,reviewer\nv0,ann,Rolling [something],approved,rita\n", "verdicts.csv")
    assert read_answers(store, later).verdicts == 1
    assert read_answers(store, later).verdicts == 0
    assert [r["verdict"] for r in rows(store)] == ["approved", ""]


def test_every_bad_row_is_named_and_kept(store: Store, sheet) -> None:
    path = sheet(
        "video_id,worker,labels,rating,verdict,no_match,started_s,submitted_s,round\n"
        "v9,ann,,,,,,,\n"
        "v0,,Rolling [something],,,,,,\n"
        "v0,ann,Roling something,,,,,,\n"
        "v0,ann,Rolling [something],certain,,,,,\n"
        "v0,ann,Rolling [something],yes|maybe,,,,,\n"
        "v0,ann,Rolling [something]|rolling something,,,,,,\n"
        "v0,ann,Rolling [something],,fine,,,,\n"
        "v0,ann,Rolling [something],,,1,,,\n"
        "v0,ann,Rolling [something],,,perhaps,,,\n"
        "v0,ann,Rolling [something],,,,soon,,\n"
        "v0,ann,Rolling [something],,,,5,4,\n"
        "v0,ann,Rolling [something],,,,,,1.5\n"
        "v0,ann,Rolling [something]\n"
        "\n"
        "v0,ann,Rolling [something],,,,,,\n"
        "v0,ann,Pushing [something],,,,,,\n"
    )
    done = read_answers(store, path)
    assert [(p.row, p.column) for p in done.problems] == [
        (2, "video_id"), (3, "worker"), (4, "labels"), (5, "rating"), (6, "rating"), (7, "labels"), (8, "verdict"),
        (9, "no_match"), (10, "no_match"), (11, "started_s"), (12, "submitted_s"), (13, "round"), (14, "4"),
        (17, "worker"),
    ]  # fmt: skip
    assert "Did you mean 'Rolling [something]'" in str(done.problems[2])
    assert done.stored == 1
    assert done.rows == done.stored + done.already_there + len(done.problems) == 15
    assert done.rejected_file == path.with_suffix(".rejected.csv")
    with done.rejected_file.open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert [int(row["rejected_row"]) for row in kept] == [p.row for p in done.problems]
    assert kept[0]["video_id"] == "v9"
    assert "row 4, column labels" in kept[2]["rejected_why"]
    mended = sheet("video_id,worker,labels\nv0,bob,Rolling [something]\n")
    assert read_answers(store, mended).stored == 1


def test_too_many_votes_and_a_worker_answering_twice(store: Store, sheet) -> None:
    done = read_answers(store, sheet("video_id,worker,labels\nv0,a,\nv0,b,\nv0,c,\nv1,a,\nv1,a,Pushing [something]\n"))
    assert [(p.row, p.column) for p in done.problems] == [(4, "video_id"), (6, "worker")]
    assert "already has the 2 answers" in str(done.problems[0])
    assert "secondlook annotate repost" in str(done.problems[0])


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        ("video_id,worker\nv0,ann\n", "utf-8", "column 'labels' is not known"),
        ("video_id,worker,label\nv0,ann,x\n", "utf-8", "Did you mean 'label'"),
        ("video_id;worker;labels\nv0;ann;x\n", "utf-8", "separated by commas"),
        ("video_id,worker,labels,labels\n", "utf-8", "stands twice"),
        ("", "utf-8", "is empty"),
        ("video_id,worker,labels\nv0,ann,caf\xe9\n", "latin-1", "is not UTF-8 text"),
        ('video_id,worker,labels\nv0,ann,"open\n', "utf-8", "is not proper CSV"),
    ],
)
def test_files_that_cannot_be_read_change_nothing(store: Store, sheet, text: str, encoding: str, words: str) -> None:
    with pytest.raises((BadValue, UnknownName), match=words):
        read_answers(store, sheet(text, encoding=encoding))
    assert rows(store) == []


def test_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="video_id, worker, labels"):
        read_answers(store, tmp_path / "none.csv")
    with pytest.raises(MissingFile, match="--repost"):
        read_video_ids(store, tmp_path / "none.csv")


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_name(store: Store, sheet) -> None:
    assert read_answers(store, sheet("video_id,worker,labels\nv0,ann,\n", encoding="utf-8-sig")).stored == 1


def test_labels_that_hold_the_separator_are_refused(tmp_path: Path, sheet) -> None:
    space = LabelSpace.from_names(["up | down", "left"])
    with (
        Store.create(tmp_path / "answers", [Task("v0", "", 0, (0, 1))], space) as store,
        pytest.raises(BadValue, match="cannot be told from two labels"),
    ):
        read_answers(store, sheet("video_id,worker,labels\nv0,ann,left\n"))


@pytest.mark.spec("label-reassessment", "M5")
def test_ids_of_workers_are_kept_nowhere(store: Store, sheet, tmp_path: Path) -> None:
    secret = "A1B2C3D4E5-worker@example.org"
    path = sheet(
        "video_id,worker,labels,reviewer,verdict,note\n"
        f"v0,{secret},Rolling [something],{secret},approved,hello\n"
        f"v0,{secret},Pushing [something],,,\n"
        f"v7,{secret},,,,\n"
    )
    done = read_answers(store, path, rejected=tmp_path / "elsewhere.csv")
    assert done.stored == 1
    assert not any(secret in str(problem) for problem in done.problems)
    write_answers(store, tmp_path / "answers.csv")
    write_decisions(store, tmp_path / "decisions.csv")
    write_questions(store, tmp_path / "questions.csv")
    assert "w-" in (tmp_path / "answers.csv").read_text()
    assert store.notes()[0][1].startswith("w-")
    store.close()
    shown = [tmp_path / f"{name}.csv" for name in ("answers", "decisions", "questions")]
    for file in [*store.folder.iterdir(), *shown]:
        assert secret.encode() not in file.read_bytes(), file.name


def test_exported_answers(store: Store, tmp_path: Path) -> None:
    ids = store.submit([Answer(1, "ann", {0: "yes", 1: "maybe"}), Answer(2, "ann", unsuitable=True)])
    store.judge([Verdict(ids[0], True, "rita")])
    assert write_answers(store, tmp_path / "answers.csv") == 3
    with (tmp_path / "answers.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(r["task"], r["label"], r["rating"], r["verdict"], r["unsuitable"]) for r in found] == [
        ("1", "Moving [something] up", "yes", "approved", "0"),
        ("1", "Moving [something] down", "maybe", "approved", "0"),
        ("2", "", "", "", "1"),
    ]


def test_questions_for_another_tool(store: Store, tmp_path: Path) -> None:
    assert write_questions(store, tmp_path / "q.csv") == 3
    with (tmp_path / "q.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert {r["options"] for r in found} == {"Pushing [something]|Moving [something] up|Moving [something] down"}
    assert all(r["video"].startswith("v-") for r in found)


@pytest.mark.spec("label-reassessment", "R4")
def test_decisions_can_be_compiled_again_and_again(store: Store, tmp_path: Path) -> None:
    ids = store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob"), Answer(2, "ann", {1: "yes"})])
    store.judge([Verdict(ids[0], False, "rita")])
    first = write_decisions(store, tmp_path / "a.csv")
    assert (first.approved, first.rejected, first.rejected_as_blank, first.undecided) == (0, 2, 1, 1)
    write_decisions(store, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    store.judge([Verdict(ids[0], True, "rita"), Verdict(ids[2], True, "rita")])
    last = write_decisions(store, tmp_path / "a.csv")
    assert (last.approved, last.rejected, last.undecided) == (2, 1, 0)
    with (tmp_path / "a.csv").open(newline="") as file:
        found = {(r["task"], r["worker"]): (r["decision"], r["because"]) for r in csv.DictReader(file)}
    ann, bob = store.pseudonym("ann"), store.pseudonym("bob")
    assert found == {
        ("1", ann): ("approved", "reviewer"),
        ("1", bob): ("rejected", "blank"),
        ("2", ann): ("approved", "reviewer"),
    }


def test_a_list_of_videos_to_post_again(store: Store, sheet) -> None:
    assert read_video_ids(store, sheet("video_id,rule\nv2,failed\n\nv0,none-1\n")) == [
        store.task_ids()["v2"],
        store.task_ids()["v0"],
    ]
    with pytest.raises(BadValue, match="row 3, column video_id"):
        read_video_ids(store, sheet("video_id\nv0\nv9\n"))
    with pytest.raises(UnknownName, match="'video_id' is not known"):
        read_video_ids(store, sheet("video\nv0\n"))
