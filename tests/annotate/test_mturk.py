"""Mechanical Turk against the client's own stubber: nothing without being told to, nothing twice, nothing lost."""

from __future__ import annotations

import csv
import datetime as dt
import html
import re
from pathlib import Path

import pytest

from secondlook.annotate import mturk, outside
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace

boto3 = pytest.importorskip("boto3")
stub = pytest.importorskip("botocore.stub")

SPACE = LabelSpace.from_names(["Moving up", 'Saying "<b>no</b>"', "Pushing", "Rolling"], "toy")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    tasks = [Task("rolling/a", "rolling/a.mp4", 3, (1, 3)), Task("rolling/b", "rolling/b.mp4", 3, (0, 1, 2))]
    workplace = Workplace.create(tmp_path / "store", key=b"k" * 32)
    return workplace.add(tasks, SPACE, settings=Settings(votes=3, reward=0.03))


@pytest.fixture
def client():
    made = boto3.client("mturk", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    with stub.Stubber(made) as stubber:
        yield made, stubber
        stubber.assert_no_pending_responses()


def refuse(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("the platform was contacted")


class Nobody:
    """A client that must not be asked for anything."""

    create_hit = approve_assignment = reject_assignment = refuse


@pytest.mark.spec("label-reassessment", "M1")
def test_a_batch_as_csv_and_html(store: Store, tmp_path: Path) -> None:
    sheet, page = mturk.write_batch(store, tmp_path / "batch", "https://example.org/media/round1/")
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video_id", "video_url", "question", "option_1", "option_2", "option_3"]
    by_media = {task.media: task for task in store.tasks()}
    assert {row["video_id"] for row in rows} == set(by_media)
    for row in rows:
        names = [SPACE.names[label] for label in by_media[row["video_id"]].options]
        assert [html.unescape(row[f"option_{i + 1}"]) for i in range(3)] == names + [""] * (3 - len(names))
        assert "<" not in "".join(row.values())
        assert row["video_url"] == f"https://example.org/media/round1/{row['video_id']}.mp4"
    text = page.read_text()
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(rows[0])
    assert text.count('class="option"') == 3
    assert not re.findall(r'(?:src|href)="https?://', text), "the page brings all it needs"
    assert "rolling" not in sheet.read_text().casefold().replace("rolling</", "").split("option")[0]
    assert (store.settings.votes, store.settings.reward) == (3, 0.03)


def test_a_dry_run_contacts_nobody(store: Store) -> None:
    done = mturk.post(store, Nobody(), "https://example.org", 1.0)
    assert (done.done, round(done.cost, 2)) == (2, 0.18)
    assert outside.posted(store, mturk.SANDBOX) == {}
    assert mturk.decide(store, Nobody()).done == 0


def expect_hit(stubber, task: Task, hit_id: str) -> None:
    stubber.add_response(
        "create_hit",
        {"HIT": {"HITId": hit_id}},
        {
            "MaxAssignments": 3, "Reward": "0.03", "Title": stub.ANY, "Description": stub.ANY, "Keywords": stub.ANY,
            "AssignmentDurationInSeconds": 600, "LifetimeInSeconds": 604800, "AutoApprovalDelayInSeconds": 604800,
            "Question": stub.ANY, "UniqueRequestToken": stub.ANY, "RequesterAnnotation": task.media,
        },
    )  # fmt: skip


def test_posting_goes_on_where_it_was_stopped(store: Store, client) -> None:
    made, stubber = client
    one, two = store.tasks()
    expect_hit(stubber, one, "H1")
    stubber.add_client_error("create_hit", "RequestError", "no money left")
    first = mturk.post(store, made, "https://example.org", 1.0, dry_run=False)
    assert (first.done, first.problems) == (1, ["no money left"])
    expect_hit(stubber, two, "H2")
    second = mturk.post(store, made, "https://example.org", 2.0, dry_run=False)
    assert (second.done, second.problems) == (1, [])
    assert set(outside.posted(store, mturk.SANDBOX).values()) == {"H1", "H2"}
    assert mturk.post(store, made, "https://example.org", 3.0, dry_run=False).done == 0


def test_a_hit_leads_to_a_signed_address_of_its_task(store: Store) -> None:
    asked = []

    class Recorder:
        def create_hit(self, **values: str) -> dict[str, object]:
            asked.append(values)
            return {"HIT": {"HITId": f"H{len(asked)}"}}

    mturk.post(store, Recorder(), "https://example.org", 1.0, dry_run=False)
    for values, task in zip(asked, store.tasks(), strict=True):
        url = mturk.external_url(store, task, "https://example.org")
        assert f"<ExternalURL>{html.escape(url)}</ExternalURL>" in values["Question"]
        assert "rolling" not in str(values).casefold()
    assert len({values["UniqueRequestToken"] for values in asked}) == 2


def test_only_https_is_posted(store: Store) -> None:
    with pytest.raises(BadValue, match="https"):
        mturk.post(store, Nobody(), "http://example.org", 1.0)


def assignment(number: int, worker: str, **fields: str) -> dict[str, object]:
    answers = "".join(
        f"<Answer><QuestionIdentifier>{name}</QuestionIdentifier><FreeText>{html.escape(text)}</FreeText></Answer>"
        for name, text in fields.items()
    )
    start = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
    xmlns = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd"
    return {
        "AssignmentId": f"A{number}", "WorkerId": worker, "HITId": "H1", "AssignmentStatus": "Submitted",
        "AcceptTime": start, "SubmitTime": start + dt.timedelta(seconds=9),
        "Answer": f'<QuestionFormAnswers xmlns="{xmlns}">{answers}</QuestionFormAnswers>',
    }  # fmt: skip


@pytest.fixture
def collected(store: Store, client, tmp_path: Path):
    """A posted task with three answers, one of them blank, and one that cannot be read."""
    made, stubber = client
    task = store.tasks()[0]
    outside.post(store, mturk.SANDBOX, "H1", task.task_id, 1, 1.0)
    broken = assignment(4, "W4") | {"Answer": '<!DOCTYPE x [<!ENTITY y "z">]><QuestionFormAnswers/>'}
    names = [SPACE.names[label] for label in task.options]
    listed = [assignment(1, "W1", selected="|".join(names)), assignment(2, "W2", selected=""),
              assignment(3, "W3", no_match="1"), broken]  # fmt: skip
    for page in (0, 1):  # fetched twice
        stubber.add_response("list_assignments_for_hit", {"Assignments": listed}, {"HITId": "H1"})
        done = mturk.fetch(store, made, tmp_path / "refused.csv")
        assert (done.stored, done.already_there) == ((3, 0) if page == 0 else (0, 3))
        assert [(p.row, p.column) for p in done.problems] == [(4, "Answer")]
    return task, made, stubber


@pytest.mark.spec("label-reassessment", "M2")
def test_answers_are_fetched_whole_and_once(store: Store, collected, tmp_path: Path) -> None:
    task, _, _ = collected
    rows = [row for row in store.answers().to_pylist() if row["worker"]]
    assert {row["worker"] for row in rows} == {store.pseudonym(f"W{i}") for i in (1, 2, 3)}
    assert {row["label"] for row in rows if row["worker"] == store.pseudonym("W1")} == set(task.options)
    assert "W4" in (tmp_path / "refused.csv").read_text()


@pytest.mark.spec("label-reassessment", "M4", "R4")
def test_decisions_are_pushed_once_and_never_without_being_told_to(store: Store, collected) -> None:
    _, made, stubber = collected
    ids = {r["worker"]: r["answer_id"] for r in store.answers().to_pylist() if r["worker"]}
    store.judge([Verdict(ids[store.pseudonym("W1")], True, "rita"), Verdict(ids[store.pseudonym("W3")], False, "rita")])
    waiting = outside.undecided(store, mturk.SANDBOX)
    assert [(d.outside_id, d.approved, d.because) for d in waiting] == [
        ("A1", True, "reviewer"), ("A2", False, "blank"), ("A3", False, "reviewer"),
    ]  # fmt: skip
    assert mturk.decide(store, Nobody()).done == 3, "a dry run says what would be done"
    assert outside.undecided(store, mturk.SANDBOX) == waiting
    stubber.add_response("approve_assignment", {}, {"AssignmentId": "A1"})
    stubber.add_client_error("reject_assignment", "RequestError", "this assignment was taken back")
    stubber.add_response("reject_assignment", {}, {"AssignmentId": "A3", "RequesterFeedback": "The labels do not fit."})
    done = mturk.decide(store, made, dry_run=False)
    assert (done.done, done.cost) == (2, 0.03)
    assert done.problems == ["A2 this assignment was taken back"]
    assert [d.outside_id for d in outside.undecided(store, mturk.SANDBOX)] == ["A2"], "what failed waits for next time"


def test_results_imported_as_csv_can_be_decided_too(store: Store, tmp_path: Path) -> None:
    from secondlook.annotate.import_csv import read_answers

    media = store.tasks()[0].media
    (tmp_path / "batch.csv").write_text(
        f'"HITId","AssignmentId","WorkerId","Input.video_id","Answer.selected"\n"H","A9","W9","{media}",""\n'
    )
    assert read_answers(store, tmp_path / "batch.csv").stored == 1
    assert [d.outside_id for d in outside.undecided(store, mturk.PRODUCTION)] == ["A9"]


def test_a_name_stands_for_one_answer(store: Store) -> None:
    number = store.tasks()[0].task_id
    ids = store.submit([Answer(number, "a"), Answer(number, "b")])
    outside.name_answers(store, mturk.SANDBOX, {ids[0]: "A1"})
    outside.name_answers(store, mturk.SANDBOX, {ids[0]: "A1"})
    with pytest.raises(BadValue, match="another answer"):
        outside.name_answers(store, mturk.SANDBOX, {ids[1]: "A1"})


@pytest.mark.parametrize("text", ["", "<a", "<!DOCTYPE a []><a/>", '<!ENTITY a "b">'])
def test_answers_that_are_no_answers(text: str) -> None:
    with pytest.raises(BadValue):
        mturk.form_fields(text)


def test_without_credentials_it_says_so(monkeypatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BadValue, match="credentials"):
        mturk.connect()


def test_a_name_on_another_platform_is_another_name(store: Store) -> None:
    number = store.tasks()[0].task_id
    ids = store.submit([Answer(number, "a"), Answer(number, "b")])
    outside.name_answers(store, mturk.PRODUCTION, {ids[0]: "A1"})
    outside.name_answers(store, mturk.SANDBOX, {ids[0]: "A1", ids[1]: "A2"})
    assert [d.outside_id for d in outside.undecided(store, mturk.SANDBOX)] == ["A2"]
