"""Something-Something v2: the publisher's JSON and the plain lists, labels and coarse groups."""

from __future__ import annotations

import json

import pytest

from secondlook.datasets import IndexSettings, index_videos, something_something
from secondlook.errors import BadValue, MissingFile, UnknownName
from tests.datasets.trees import listed, put

LABELS = {"Holding something": "1", "Dropping something onto something": "0"}
TRAIN = [
    {"id": "78687", "label": "holding potato", "template": "Holding [something]", "placeholders": ["potato"]},
    {"id": "9", "label": "dropping a [x] onto {y}", "template": "Dropping [something] onto [something]"},
]  # fmt: skip
VALIDATION = [{"id": "5", "label": 'holding "it"', "template": "Holding [something]", "placeholders": ["ö", "]"]}]
JSON = {
    "labels.json": json.dumps(LABELS),
    "train.json": json.dumps(TRAIN, indent=1),
    "validation.json": json.dumps(VALIDATION),
    "test.json": json.dumps([{"id": "7"}]),
}
TEXT = {
    "fine_grained_classes.csv": "class_index,class_name\n0,Dropping [something] onto [something]\n"
    "1,Holding [something]\n",
    "v2-train-processed.txt": "78687 0 50 1\n9 0 47 0\n",
    "v2-validation-processed.txt": "5 0 31 1\n",
}


def said(listing):
    return {name: (r["label"], r["split"], r["group"], r["status"]) for name, r in listed(listing).items()}


EXPECTED = {
    "78687": (1, "train", "78687", "unchecked"),
    "9": (0, "train", "9", "unchecked"),
    "5": (1, "val", "5", "missing"),
}


@pytest.mark.parametrize("prefix", ["", "labels/", "labels/something-something-v2-"])
@pytest.mark.parametrize("videos", ["", "videos/", "20bn-something-something-v2/"])
def test_the_publishers_json(tmp_path, prefix, videos):
    put(tmp_path, {prefix + name: text for name, text in JSON.items()})
    put(tmp_path, [f"{videos}78687.webm", f"{videos}9/000001.jpg"])
    listing = something_something.read(tmp_path)
    assert listing.labels.names == ("Dropping something onto something", "Holding something")
    assert said(listing) == {**EXPECTED, "7": (-1, "test", "7", "missing")}


def test_plain_lists_say_the_same(tmp_path):
    put(tmp_path, TEXT)
    put(tmp_path, ["78687.webm", "9/000001.jpg"])
    listing = something_something.read(tmp_path)
    assert listing.labels.names == ("Dropping [something] onto [something]", "Holding [something]")
    assert said(listing) == EXPECTED


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_json_is_read_entry_by_entry_wherever_a_chunk_ends(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("secondlook.datasets._annotations._CHUNK", chunk)
    put(tmp_path, JSON)
    assert set(listed(something_something.read(tmp_path))) == {"78687", "9", "5", "7"}


@pytest.mark.parametrize(
    ("files", "error", "match"),
    [
        ({"train.json": json.dumps(TRAIN)[:-5]}, BadValue, "train.json.*is not JSON after entry 1"),
        ({"train.json": json.dumps(TRAIN).replace("}, {", "} {")}, BadValue, "not JSON after entry 1.*comma"),
        ({"train.json": "{}"}, BadValue, "must be a JSON array"),
        ({"train.json": ""}, BadValue, "must be a JSON array"),
        ({"train.json": "[1]"}, BadValue, "train.json, entry 1': must be an object"),
        ({"train.json": '[{"label": "x"}]'}, BadValue, "entry 1': has no 'id'"),
        (
            {"train.json": '[{"id": 1, "template": "Holdin [something]"}]'},
            UnknownName,
            "Did you mean 'Holding something'",
        ),
        ({"train.json": b'[{"id": "\xff"}]'}, BadValue, "not UTF-8"),
        ({"labels.json": '{"a": "0", "b": "0"}'}, BadValue, "has the index of 'a'"),
        ({"labels.json": '{"a": "0", "b": "2"}'}, BadValue, "no label of labels.json has this index"),
        ({"labels.json": '{"a": "0", "a": "1"}'}, BadValue, "reads the same"),
        ({"labels.json": '{"a": "zero"}'}, BadValue, "column 'class_index' of labels.json, label 'a'"),
        ({"labels.json": "["}, BadValue, "is not JSON"),
        ({"labels.json": "[1]"}, BadValue, "must be a JSON object"),
    ],
)
def test_malformed_json_is_named_with_its_entry(tmp_path, files, error, match):
    put(tmp_path, {**JSON, **files})
    with pytest.raises(error, match=match):
        list(something_something.read(tmp_path).rows)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"v2-train-processed.txt": "78687 0 50\n"}, "line 1 must be 'id first_frame frames class'"),
        ({"v2-train-processed.txt": "78687 0 50 2\n"}, "'2': column 'class' of v2-train-processed.txt, line 1"),
        (
            {"fine_to_coarse.csv": "fine_grained_class,coarse_grained_class\nHolding [something],a\n"},
            "has no coarse group",
        ),
    ],
)
def test_malformed_lists_are_named_with_their_line(tmp_path, files, match):
    put(tmp_path, {**TEXT, **files})
    with pytest.raises(BadValue, match=match):
        list(something_something.read(tmp_path).rows)


def test_nothing_there_and_no_other_split(tmp_path):
    with pytest.raises(MissingFile, match="labels"):
        something_something.read(tmp_path)
    put(tmp_path, {"labels.json": JSON["labels.json"]})
    with pytest.raises(MissingFile, match="no list of videos"):
        something_something.read(tmp_path)
    with pytest.raises(BadValue, match="one official split"):
        something_something.read(tmp_path, "1")


@pytest.mark.real_data
def test_the_real_lists(shared_data, tmp_path):
    listing = something_something.read(shared_data / "annotations" / "something_something")
    labels = listing.labels
    assert (len(labels), len(labels.groups)) == (174, 50)
    assert len(labels.members("Camera motions")) == 8
    assert sum(len(labels.members(group)) for group in labels.groups) == 174
    assert labels.directional
    rows = iter(listing.rows)
    first = next(rows)
    assert (first["video_id"], first["label"], first["split"]) == ("78687", 19, "train")
    # 193,690 rows pass through in test_index_memory's manner; here the counts of both lists are enough
    splits = {"train": 1, "val": 0}
    for row in rows:
        splits[row["split"]] += 1
    assert splits == {"train": 168_913, "val": 24_777}


def test_an_index_of_it(tmp_path):
    put(tmp_path, {**JSON, "20bn-something-something-v2/9.webm": b"1"})
    result = index_videos(tmp_path, "something_something", tmp_path / "v.parquet", IndexSettings())
    assert result.splits_from == "publisher"
    assert result.statuses == {"missing": 3, "unchecked": 1}
