"""A campaign goes to another tool and comes back the same, whatever the format; bad files name what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from secondlook.annotate import cvat, exchange, fiftyone, label_studio
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue, MissingFile
from tests.annotate.conftest import SPACE

TOOLS = (label_studio, cvat, fiftyone)
MEDIA = "https://example.org/media/round1"


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[[str], Store]:
    def make(name: str) -> Store:
        tasks = [Task(f"v{i}", f"rolling/v{i}.mp4", 3, (2, 0, 3)) for i in range(3)]
        workplace = Workplace.create(tmp_path / name, key=b"k" * 32)
        return workplace.add(tasks, SPACE, settings=Settings(votes=2, question="Which <fit> & why?"))

    return make


def answer_some(store: Store) -> None:
    number = store.task_ids()
    store.submit(
        [
            Answer(number["v0"], "ann", {0: "yes", 2: "maybe"}),
            Answer(number["v0"], "bob", {}, no_match=True, review=True),
            Answer(number["v1"], "ann", {4: "yes"}, unsuitable=True),
        ]
    )


def what_was_said(store: Store) -> set[tuple[object, ...]]:
    names = ("task", "label", "rating", "no_match", "review", "unsuitable")
    return {tuple(row[n] for n in names) for row in store.answers().to_pylist() if row["worker"]}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_answers_come_back_as_they_went(tool: ModuleType, campaign, tmp_path: Path) -> None:
    first, second = campaign("one"), campaign("two")
    answer_some(first)
    written = tool.write(first, tmp_path / "out", MEDIA)
    files = [p for p in written if p.name in ("tasks.json", "samples.json") or p.parent.name == "answers"]
    done = [tool.read_answers(second, path) for path in files]
    assert [problem for d in done for problem in d.problems] == []
    assert sum(d.stored for d in done) == 3
    assert what_was_said(second) == what_was_said(first)
    again = [tool.read_answers(second, path) for path in files]
    assert sum(d.stored for d in again) == 0
    assert sum(d.already_there for d in again) == 3


@pytest.mark.parametrize("tool", TOOLS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_nothing_that_is_written_tells_the_given_label(tool: ModuleType, campaign, tmp_path: Path) -> None:
    store = campaign("one")
    for path in tool.write(store, tmp_path / "out", MEDIA):
        text = path.read_text(encoding="utf-8")
        assert "rolling/" not in text
        assert "v0.mp4" not in text
        assert '"v0"' not in text


def test_label_studio_as_it_exports(campaign, tmp_path: Path) -> None:
    """The fields of its documentation: a number or an address for a person, skipped tasks, times, aliases or words."""
    store = campaign("one")
    media = {task.video_id: task.media for task in store.tasks()}

    def result(name: str, *choices: str) -> dict[str, object]:
        return {"from_name": name, "to_name": "video", "type": "choices", "value": {"choices": list(choices)}}

    export = [
        {
            "id": 1,
            "data": {"task": media["v0"]},
            "annotations": [
                {
                    "id": 10, "completed_by": 7, "created_at": "2026-03-09T22:16:08.728353Z", "lead_time": 4.5,
                    "was_cancelled": False, "result": [result("labels", "Rolling [something]")],
                },
                {
                    "id": 11, "completed_by": {"email": "ann@example.org"},
                    "result": [result("flags", "None of these fits")],
                },
            ],
        },
        {"id": 2, "data": {"task": media["v1"]}, "annotations": [{"id": 12, "completed_by": 7, "was_cancelled": True}]},
        {"id": 3, "data": {"task": "v-nowhere"}, "annotations": [{"id": 13, "completed_by": 7, "result": []}]},
        {"id": 4, "data": {"task": media["v2"]},
         "annotations": [{"id": 14, "completed_by": 7, "result": [result("labels", "Rolling [someting]")]}]},
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(export))
    done = label_studio.read_answers(store, tmp_path / "export.json")
    assert (done.rows, done.stored, len(done.problems)) == (5, 2, 3)
    assert ("v0", 3, "yes", False, False, False) in what_was_said(store)
    assert ("v0", -1, "", True, False, False) in what_was_said(store)
    words = " ".join(map(str, done.problems))
    assert "skipped" in words
    assert "v-nowhere" in words
    assert "Did you mean 'Rolling [something]'" in words
    kept = done.rejected_file.read_text()
    assert all(name in kept for name in ("12", "v-nowhere", "Rolling [someting]"))


def test_label_studio_gets_a_configuration_that_is_xml(campaign, tmp_path: Path) -> None:
    _, config = label_studio.write(campaign("one"), tmp_path, MEDIA)
    root = ElementTree.fromstring(config.read_text())
    assert root.find("Header").get("value") == "Which <fit> & why?"
    assert [c.get("name") for c in root.iter("Choices")] == ["labels", "maybe", "flags"]
    assert [c.get("alias") for c in root.iter("Choice")] == list(exchange.FLAGS)


def test_cvat_counts_the_tags_of_all_frames_of_a_video_task(campaign, tmp_path: Path) -> None:
    store = campaign("one")
    media = store.tasks()[0].media
    (tmp_path / "video.xml").write_text(
        f"<annotations><version>1.1</version><meta><task><name>{media}.mp4</name><assignee><username>ann</username>"
        '</assignee></task></meta><image id="0" name="frame_0"><tag label="Rolling [something]"/></image>'
        '<image id="1" name="frame_1"><tag label="Pushing [something]"><attribute name="rating">maybe</attribute></tag>'
        '</image><image id="2" name="frame_2"/></annotations>'
    )
    done = cvat.read_answers(store, tmp_path / "video.xml")
    assert (done.rows, done.stored, done.problems) == (1, 1, [])
    assert {(label, rating) for _, label, rating, *_ in what_was_said(store)} == {(3, "yes"), (2, "maybe")}


def test_a_clip_without_a_tag_in_cvat_was_not_answered(campaign, tmp_path: Path) -> None:
    store = campaign("one")
    media = store.tasks()[0].media
    (tmp_path / "a.xml").write_text(
        f'<annotations><meta><task><owner><username>o</username></owner></task></meta><image name="{media}.mp4"/>'
        "</annotations>"
    )
    done = cvat.read_answers(store, tmp_path / "a.xml")
    assert (done.stored, [p.column for p in done.problems]) == (0, ["tag"])


BAD = [
    (label_studio, "x.json", b"{", "is not JSON"),
    (label_studio, "x.json", b'{"a": 1}', "is not a list"),
    (label_studio, "x.json", b"[3]", "entry 1 is not an object"),
    (label_studio, "x.json", "[{'é'}]".encode("latin-1"), "is not UTF-8"),
    (fiftyone, "x.json", b"[]", "holds no samples"),
    (fiftyone, "x.json", b'{"samples": ["a"]}', "entry 1 is not an object"),
    (cvat, "x.xml", b"<annotations>", "is not XML"),
    (cvat, "x.xml", b"<html/>", "holds <html>"),
    (cvat, "x.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "document type"),
]


@pytest.mark.parametrize(("tool", "name", "content", "words"), BAD)
def test_a_bad_file_says_what_is_wrong(tool, name, content, words, campaign, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadValue, match=words):
        tool.read_answers(campaign("one"), tmp_path / name)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_a_missing_and_a_huge_file(tool: ModuleType, campaign, tmp_path: Path, monkeypatch) -> None:
    store = campaign("one")
    with pytest.raises(MissingFile):
        tool.read_answers(store, tmp_path / "none")
    (tmp_path / "big").write_bytes(b" " * 100)
    monkeypatch.setattr(exchange, "MOST_BYTES", 50)
    with pytest.raises(BadValue, match="larger than"):
        tool.read_answers(store, tmp_path / "big")
