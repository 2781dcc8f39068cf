"""Reassessed labels in the data set's own JSON file, as Parquet, and how probable they are."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from secondlook import tables
from secondlook.annotate.simulate import Crowd
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.reassess import approval_rules, dawid_skene
from secondlook.reassess._export import write_probabilities, write_sets
from secondlook.reassess._export_into import write_into
from tests.reassess.campaigns import campaign

SPACE = LabelSpace.from_names(["Moving [it] up", "Moving [it] down", "Café"], "toy")


def labels() -> pa.Table:
    usual = {"given_label": 0, "rule": "R1", "approved": 3, "answers": 3, "voted": [], "votes": []}
    sets = {"11": [0, 2], "12.webm": [], "99": [1]}
    return tables.conform(tables.LABELS, [usual | {"video_id": v, "labels": found} for v, found in sets.items()])


@pytest.mark.spec("label-reassessment", "G10")
def test_into_the_data_sets_own_file(tmp_path: Path) -> None:
    entries = [
        {"id": "10", "label": "moving a pen up", "template": "Moving [it] up", "placeholders": ["a pen"]},
        {"id": "12", "label": "moving down", "template": "Moving [it] down", "placeholders": [], "more": {"x": 1}},
        {"id": 11, "label": "naïve", "template": "Moving [it] up", "placeholders": []},
    ]
    original = tmp_path / "validation.json"
    original.write_text(json.dumps(entries))
    before = original.read_bytes()
    done = write_into(labels(), SPACE, original, tmp_path / "new" / "out.json")
    made = json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8"))
    assert [e.get("reassessed_labels") for e in made] == [None, [], ["Moving [it] up", "Café"]]
    assert [{k: v for k, v in e.items() if k != "reassessed_labels"} for e in made] == entries, "nothing is lost"
    assert (done.entries, done.reassessed, done.unknown) == (3, 2, ("99",))
    assert "not in the file: 99" in done.words
    assert original.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not a JSON file"), ("{}", "list of objects"), ('[{"id": 1}, {"id": "1"}]', "named twice"),
     ('[{"id": "other"}]', "are not in")],
)  # fmt: skip
def test_files_that_cannot_be(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(BadValue, match=words):
        write_into(labels(), SPACE, tmp_path / "v.json", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(MissingFile):
        write_into(labels(), SPACE, tmp_path / "none.json", tmp_path / "out.json")


@pytest.mark.spec("label-reassessment", "G10")
def test_parquet(tmp_path: Path) -> None:
    assert write_sets(labels(), SPACE, tmp_path / "sets.parquet") == 3
    rows = pyarrow.parquet.read_table(tmp_path / "sets.parquet").to_pylist()
    assert rows[0] == {
        "video_id": "11", "given_label": "Moving [it] up", "labels": ["Moving [it] up", "Café"], "indices": [0, 2],
        "rule": "R1",
    }  # fmt: skip
    assert write_sets(labels().slice(0, 0), SPACE, tmp_path / "none.parquet") == 0


def test_probabilities(tmp_path: Path) -> None:
    answers, _ = campaign(Crowd(workers=6), videos=10)
    space = LabelSpace.from_names([f"thing {k}" for k in range(10)], "toy")
    result = dawid_skene.fit(answers)
    count = write_probabilities(result, space, tmp_path / "p.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert table.num_rows == count == 60
    row = table.to_pylist()[0]
    assert row["label_name"] == f"thing {row['label']}"
    assert write_probabilities(result, space, tmp_path / "p.csv") == 60
    with pytest.raises(BadValue, match=r"csv or \.parquet"):
        write_probabilities(result, space, tmp_path / "p.json")
    with pytest.raises(BadValue, match="no probabilities"):
        write_probabilities(approval_rules.fit(answers, unjudged="approve"), space, tmp_path / "p.csv")
