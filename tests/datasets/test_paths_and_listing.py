"""Paths stay inside their root; ids are tame; directions are read off class names."""

from __future__ import annotations

import os

import pytest

from secondlook.datasets import _annotations
from secondlook.datasets._listing import directional, row
from secondlook.datasets._paths import Files, Measured, dataset_root, tame, without_suffix
from secondlook.errors import BadValue, MissingFile
from secondlook.video.listed_path import leaves_root
from tests.datasets.trees import put


@pytest.mark.parametrize(
    "listed",
    ["../a.mp4", "/a.mp4", "a/../../b", "..", "", " ", "C:/a.mp4", r"\\host\a", r"a\..\b", "a" + chr(0) + "b"],
    ids=repr,
)
def test_a_path_that_leaves_the_root_is_refused_unopened(tmp_path, listed):
    put(tmp_path, ["a.mp4"])
    root = put(tmp_path / "root", ["b.mp4"])
    assert leaves_root(listed)
    measured = Files(root).measure(listed)
    assert (measured.path, measured.bytes, measured.status) == ("", None, "unreadable")
    assert "leaves the dataset's folder" in measured.reason
    assert ".." not in tame(listed).split("/")
    assert not tame(listed).startswith("/")


@pytest.mark.parametrize("listed", ["a.mp4", "a/b.mp4", "a..b/c.mp4", "...", "a b/c", "run/x:1.mp4"])
def test_ordinary_paths_are_not_refused(listed):
    assert not leaves_root(listed)
    assert tame(listed) == listed


def test_links_may_point_inside_but_not_outside(tmp_path):
    put(tmp_path / "out", ["secret.mp4", "frames/1.jpg"])
    root = put(tmp_path / "root", ["real/a.mp4"])
    (root / "inside.mp4").symlink_to(root / "real" / "a.mp4")
    (root / "linked").symlink_to(root / "real")
    (root / "file.mp4").symlink_to(tmp_path / "out" / "secret.mp4")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "frames").symlink_to(tmp_path / "out" / "frames")
    (root / "dangling.mp4").symlink_to(root / "nothing")
    files = Files(root)
    for listed in ("inside.mp4", "linked/a.mp4", "real/a.mp4"):
        assert files.measure(listed) == Measured(listed, 11)
    for listed in ("file.mp4", "folder/secret.mp4", "folder/frames", "frames"):
        measured = files.measure(listed)
        assert (measured.path, measured.status) == ("", "unreadable")
        assert "link that leaves" in measured.reason
    assert files.measure("dangling.mp4").status == "missing"


def test_a_root_that_is_itself_a_link_is_followed(tmp_path):
    put(tmp_path / "real", ["a.mp4"])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = dataset_root(tmp_path / "link")
    assert Files(root).measure("a.mp4").bytes == 11


def test_what_is_no_file_is_said(tmp_path):
    files = {"empty.mp4": b"", "frames/1.jpg": b"12", "frames/2.PNG": b"345", "frames/x.txt": b"1", "none/x.txt": b"1"}
    root = put(tmp_path, files)
    os.mkfifo(root / "pipe.mp4")
    disk = Files(root)
    assert disk.measure("frames") == Measured("frames", 5)
    assert {name: disk.measure(name).status for name in ("empty.mp4", "none", "pipe.mp4", "gone.mp4")} == {
        "empty.mp4": "empty",
        "none": "no_frames",
        "pipe.mp4": "not_a_video",
        "gone.mp4": "missing",
    }
    assert disk.measure("a/" * 3000 + "b.mp4").status == "unreadable"  # longer than the system allows


def test_files_are_found_under_any_suffix_in_the_first_folder(tmp_path):
    root = put(tmp_path, ["videos/a.webm", "a.avi", "b/1.jpg", "c.mkv"])
    disk = Files(root, ("videos", "nowhere", ""))
    assert disk.locate("a.avi") == "videos/a.webm"
    assert disk.locate("b.avi") == "b"
    assert disk.locate("gone.avi", "c.avi") == "c.mkv"
    assert disk.locate("gone.avi") is None
    assert disk.locate("../a.avi") == "../a.avi"  # for `measure` to refuse


def test_suffixes_of_videos_only_are_cut():
    names = {"a.mp4": "a", "a.b.AVI": "a.b", "a.b": "a.b", "clip.7": "clip.7", "a": "a"}
    assert {name: without_suffix(name) for name in names} == names


def test_the_root_must_be_a_folder(tmp_path):
    with pytest.raises(MissingFile):
        dataset_root(tmp_path / "none")
    with pytest.raises(BadValue, match="is a file"):
        dataset_root(put(tmp_path, ["a"]) / "a")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Moving [something] from left to right", True),
        ("move_up", True),
        ("SwipeLeft", True),
        ("DOWN", True),
        ("circle counterclockwise", True),
        ("PushUps", False),
        ("upright", False),
        ("leftover_food", False),
        ("throw", False),
    ],
)
def test_directions_are_read_off_class_names(name, expected):
    assert directional(["run", name]) is expected


def test_a_row_is_a_group_of_its_own_unless_told():
    assert row("a", "a.mp4", 3)["group"] == "a"
    assert row("a", "a.mp4", 3, group="film")["group"] == "film"


def test_csv_with_quotes_blank_lines_and_a_byte_order_mark(tmp_path):
    put(tmp_path, {"a.csv": '\ufefflabel,id\n"a, b",1\n\n"two\nlines",2\n'})
    rows = list(_annotations.table(tmp_path / "a.csv", ("id", "label")))
    assert [fields for _, fields in rows] == [{"label": "a, b", "id": "1"}, {"label": "two\nlines", "id": "2"}]
    assert rows[0][0] == "a.csv, line 2"
    with pytest.raises(MissingFile, match="columns id, label"):
        list(_annotations.table(tmp_path / "b.csv", ("id", "label")))
    with pytest.raises(BadValue, match=r"'colour': this column is missing.*It has: label, id"):
        list(_annotations.table(tmp_path / "a.csv", ("colour",)))
