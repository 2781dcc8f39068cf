"""Class folders: what becomes a row, with which label, split and group."""

from __future__ import annotations

import os

import pytest

from secondlook.datasets import folder
from secondlook.errors import BadValue, MissingFile, UnknownName
from tests.datasets.trees import listed, put


def test_class_folders_of_videos_and_of_frames(tmp_path):
    put(tmp_path, ["run/b.mp4", "run/a.AVI", "walk/c.webm", "walk/frames_1/0001.jpg", "walk/deep/d.mov", ".git/x.mp4"])
    listing = folder.read(tmp_path)
    rows = listed(listing)
    assert listing.labels.names == ("run", "walk")
    assert {name: (row["path"], row["label"]) for name, row in rows.items()} == {
        "run/a": ("run/a.AVI", 0),
        "run/b": ("run/b.mp4", 0),
        "walk/c": ("walk/c.webm", 1),
        "walk/frames_1": ("walk/frames_1", 1),
        "walk/deep/d": ("walk/deep/d.mov", 1),
    }
    assert all((row["split"], row["status"], row["group"]) == ("", "unchecked", name) for name, row in rows.items())
    assert listing.root == tmp_path.resolve()


def test_what_is_not_a_video_by_name_is_said(tmp_path):
    put(tmp_path, ["run/a.mp4", "run/a.txt", "run/Thumbs.db", "run/.hidden.mp4"])
    listing = folder.read(tmp_path)
    assert set(listed(listing)) == {"run/a"}
    assert listing.notes == ["2 entries that are not a video by name left out, such as run/Thumbs.db"]


def test_a_folder_a_split(tmp_path):
    put(tmp_path, ["train/run/a.mp4", "validation/run/a.mp4", "test/walk/b.mp4"])
    listing = folder.read(tmp_path)
    assert listing.labels.names == ("run", "walk")
    assert {name: row["split"] for name, row in listed(listing).items()} == {
        "train/run/a": "train",
        "validation/run/a": "val",
        "test/walk/b": "test",
    }


def lists(tmp_path, **more):
    files = {
        "videos/run/a.mp4": b"1", "videos/run/b.mp4": b"1", "videos/walk/c.mp4": b"1", "videos/other/d.mp4": b"1",
        "splits/classes.txt": "walk\nrun\n", "splits/one_train.txt": "run/a.mp4 1\n",
        "splits/one_test.txt": "walk/c.mp4 0\n",
        "splits/two_train.txt": "walk/c.mp4 0\n",
        "meta.csv": "file,scene\nrun/a.mp4,park\nrun/b.mp4,hall\nwalk/c.mp4,park\n",
    }  # fmt: skip
    return put(tmp_path, {**files, **more})


def test_lists_give_splits_and_meta_gives_groups(tmp_path):
    listing = folder.read(lists(tmp_path), "one")
    rows = listed(listing)
    assert listing.labels.names == ("walk", "run")
    assert {name: (row["label"], row["split"], row["reason"]) for name, row in rows.items()} == {
        "run/a": (1, "train", ""),
        "run/b": (1, "", "not in splits/one_*.txt"),
        "walk/c": (0, "test", ""),
        "other/d": (-1, "", "'other' is not in classes.txt"),
    }
    assert {row["group"] for row in rows.values()} == {"park", "hall", "other/d"}
    assert [path.name for path in listing.annotations] == ["one_test.txt", "one_train.txt", "meta.csv"]


def test_without_a_name_the_lists_are_only_mentioned(tmp_path):
    listing = folder.read(lists(tmp_path))
    assert {row["split"] for row in listed(listing).values()} == {""}
    assert listing.notes == ["splits/ holds one, two; name one with --split to use it"]
    with pytest.raises(UnknownName, match=r"split 'ona' is not known. Did you mean 'one'"):
        folder.read(tmp_path, "ona")


def test_lists_without_a_name_are_used(tmp_path):
    put(tmp_path, {"videos/run/a.mp4": b"1", "splits/train.txt": "run/a.mp4 0\n"})
    assert listed(folder.read(tmp_path))["run/a"]["split"] == "train"


def test_listed_files_that_are_not_there_are_rows(tmp_path):
    lists(tmp_path, **{"splits/one_val.txt": "run/gone.mp4 1\n"})
    (tmp_path / "videos/run/b.mp4").unlink()
    rows = listed(folder.read(tmp_path, "one"))
    gone, from_meta = rows["run/gone"], rows["run/b"]
    assert (gone["status"], gone["path"], gone["label"], gone["split"]) == ("missing", "videos/run/gone.mp4", 1, "val")
    assert gone["reason"] == "named in splits/one_*.txt, not on the disk"
    assert (from_meta["status"], from_meta["label"], from_meta["reason"]) == (
        "missing", 1, "named in meta.csv, not on the disk",
    )  # fmt: skip


def test_a_re_encoded_file_is_found_by_its_listed_name(tmp_path):
    lists(tmp_path)
    (tmp_path / "videos/run/a.mp4").rename(tmp_path / "videos/run/a.webm")
    row = listed(folder.read(tmp_path, "one"))["run/a"]
    assert (row["path"], row["split"], row["group"]) == ("videos/run/a.webm", "train", "park")


def test_the_list_wins_over_the_folder(tmp_path):
    lists(tmp_path, **{"splits/one_train.txt": "run/a.mp4 0\n"})
    assert listed(folder.read(tmp_path, "one"))["run/a"]["label"] == 0


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"splits/one_train.txt": "run/a.mp4\n"}, "one_train.txt, line 1 must be 'class/file.mp4 index'"),
        ({"splits/one_train.txt": "run/a.mp4 1\n\nrun/b.mp4 one\n"}, "column 'index' of one_train.txt, line 3"),
        ({"splits/one_train.txt": "run/a.mp4 2\n"}, "a whole number from 0 to 1"),
        ({"splits/one_train.txt": "run/a.mp4 1\nrun/a.mp4 1\n"}, "line 2 lists a file a second time"),
        ({"splits/one_val.txt": "walk/c.mp4 0\n"}, "lists a file a second time"),
        ({"splits/one_train.txt": "run/é.mp4 1\n".encode("latin-1")}, "line 1 is not UTF-8"),
        ({"splits/classes.txt": "run\nwalk\nRun\n"}, "reads the same as label 'run'"),
        ({"meta.csv": "name,scene\na,b\n"}, "'file': this column is missing"),
        ({"meta.csv": "file,scene\nrun/a.mp4\n"}, "line 2': has 1 fields where the header has 2"),
        ({"videos/run/a.avi": b"1"}, "two files of run/ would share this id, a.avi and a.mp4"),
    ],
)
def test_bad_lists_are_named_with_their_line(tmp_path, files, match):
    with pytest.raises(BadValue, match=match):
        list(folder.read(lists(tmp_path, **files), "one").rows)


def test_no_folder_a_file_and_nothing_in_it(tmp_path):
    with pytest.raises(MissingFile, match="Give the folder"):
        folder.read(tmp_path / "none")
    put(tmp_path, ["a.mp4"])
    with pytest.raises(BadValue, match="is a file, not a folder"):
        folder.read(tmp_path / "a.mp4")
    with pytest.raises(BadValue, match="holds no class folders"):
        folder.read(tmp_path)
    put(tmp_path, ["Run/a.mp4", "run/a.mp4"])
    with pytest.raises(BadValue, match="reads the same as label 'Run'"):
        folder.read(tmp_path)


def test_a_file_name_that_is_no_text_becomes_a_row(tmp_path):
    put(tmp_path, ["run/a.mp4"])
    (tmp_path / "run" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"1")
    rows = listed(folder.read(tmp_path))
    assert len(rows) == 2
    bad = next(row for name, row in rows.items() if name != "run/a")
    assert (bad["status"], bad["path"]) == ("unreadable", "")
    assert "not UTF-8" in bad["reason"]
    bad["video_id"].encode()


def test_a_linked_folder_is_not_walked_in_circles(tmp_path):
    put(tmp_path, ["run/a.mp4"])
    (tmp_path / "run" / "again").symlink_to(tmp_path / "run")
    listing = folder.read(tmp_path)
    assert set(listed(listing)) == {"run/a"}
    assert "run/again" in listing.notes[0]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "split"),
    [("egogestar", "fold0"), ("egogestar", "split1"), ("tennis7", "scenefold0"), ("tennis7", "block")],
)
def test_real_lists_give_exactly_the_counts_of_their_files(shared_data, name, split):
    root = shared_data / name
    listing = folder.read(root, split)
    rows = listed(listing).values()
    assert listing.labels.names == tuple((root / "splits/classes.txt").read_text().split())
    for part in ("train", "val", "test"):
        path = root / "splits" / f"{split}_{part}.txt"
        wanted = dict(line.split() for line in path.read_text().splitlines()) if path.is_file() else {}
        got = {row["path"].removeprefix("videos/"): str(row["label"]) for row in rows if row["split"] == part}
        assert got == wanted
    assert len(rows) == sum(1 for _ in root.glob("videos/*/*.mp4"))
    assert {row["status"] for row in rows} == {"unchecked"}
    for row in rows:
        if row["label"] < 0:
            assert row["path"].startswith("videos/unclassified/")
            assert row["reason"] == "'unclassified' is not in classes.txt"
    assert len([row for row in rows if row["label"] < 0]) == (20 if name == "egogestar" else 0)
    if split in ("fold0", "scenefold0"):
        train, test = ({row["group"] for row in rows if row["split"] == part} for part in ("train", "test"))
        assert not train & test
