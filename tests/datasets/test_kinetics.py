"""Kinetics and manifests like it: names of files, folders, labels, splits, missing files."""

from __future__ import annotations

import pytest

from secondlook.datasets import kinetics
from secondlook.errors import BadValue, MissingFile, UnknownName
from tests.datasets.trees import listed, put

HEAD = "label,youtube_id,time_start,time_end,split\n"
CSV = {
    "train.csv": HEAD + "push up,-aB_1,7,17,train\n\"archery, field\",xyz,0,10,train\npush up,xyz,110,120,train\n",
    "annotations/validate.csv": HEAD + "push up,val1,3,13,validate\n",
    "test.csv": "youtube_id,time_start,time_end,split\nt1,1,11,test\n",
    "notes.csv": "a,b\n1,2\n",
}  # fmt: skip


@pytest.mark.parametrize(
    "place", ["{id}.mp4", "push up/{id}.mp4", "push_up/{id}.webm", "videos/push up/{id}.mp4", "train/push_up/{id}.mkv"]
)
def test_files_are_found_in_class_folders_and_flat(tmp_path, place):
    path = place.format(id="-aB_1_000007_000017")
    put(tmp_path, {**CSV, path: b"1"})
    listing = kinetics.read(tmp_path)
    rows = listed(listing)
    assert listing.labels.names == ("archery, field", "push up")
    assert rows["-aB_1_000007_000017"] == {
        "video_id": "-aB_1_000007_000017",
        "path": path,
        "label": 1,
        "split": "train",
        "group": "-aB_1",
        "status": "unchecked",
        "reason": "",
    }
    others = {name: (r["label"], r["split"], r["group"], r["status"]) for name, r in rows.items() if name[0] != "-"}
    assert others == {
        "xyz_000000_000010": (0, "train", "xyz", "missing"),
        "xyz_000110_000120": (1, "train", "xyz", "missing"),
        "val1_000003_000013": (1, "val", "val1", "missing"),
        "t1_000001_000011": (-1, "test", "t1", "missing"),
    }
    assert {path.name for path in listing.annotations} == {"train.csv", "validate.csv", "test.csv"}


def test_a_file_of_classes_gives_the_order(tmp_path):
    put(tmp_path, {**CSV, "classes.txt": "push up\nzumba\narchery, field\n"})
    listing = kinetics.read(tmp_path)
    assert listing.labels.names == ("push up", "zumba", "archery, field")
    assert listed(listing)["xyz_000000_000010"]["label"] == 2
    put(tmp_path, {"classes.txt": "push-ups\narchery, field\n"})
    with pytest.raises(UnknownName, match=r"Did you mean 'push-ups'.* column 'label' of train.csv, line 2"):
        list(kinetics.read(tmp_path).rows)


@pytest.mark.parametrize(
    ("line", "error", "match"),
    [
        (
            "push up,a,zero,10,train\n",
            BadValue,
            "'zero': column 'time_start' of train.csv, line 3 must be a number of seconds",
        ),
        ("push up,a,0,-1,train\n", BadValue, "column 'time_end' of train.csv, line 3"),
        ("push up,a,0,inf,train\n", BadValue, "column 'time_end' of train.csv, line 3"),
        ("push up,a,0,10\n", BadValue, "train.csv, line 3': has 4 fields where the header has 5"),
        ("push up,a,0,10,trian\n", UnknownName, "Did you mean 'train'.*column 'split' of train.csv, line 3"),
        ('push up,"a,0,10,train\n', BadValue, "train.csv"),
        (b"push \xff,a,0,10,train\n", BadValue, "line 3 is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path, line, error, match):
    good = (HEAD + "push up,ok,0.0,10.0,train\n").encode()
    put(tmp_path, {"train.csv": good + (line if isinstance(line, bytes) else line.encode())})
    with pytest.raises(error, match=match):
        list(kinetics.read(tmp_path).rows)


def test_no_file_no_column_and_no_other_split(tmp_path):
    with pytest.raises(MissingFile, match="columns label, youtube_id"):
        kinetics.read(tmp_path)
    put(tmp_path, {"train.csv": "label,youtube_id,start\n"})
    with pytest.raises(BadValue, match="'time_start': this column is missing"):
        kinetics.read(tmp_path)
    with pytest.raises(BadValue, match="one official split"):
        kinetics.read(tmp_path, "2")


def test_a_label_or_id_cannot_lead_out_of_the_root(tmp_path):
    put(tmp_path / "out", ["a_000000_000010.mp4"])
    root = put(tmp_path / "root", {"train.csv": HEAD + "../out,a,0,10,train\nrun,../../out/a,0,10,train\n"})
    for row in kinetics.read(root).rows:
        assert ".." in row["path"]  # which the index refuses: see test_index
        assert ".." not in row["video_id"]
