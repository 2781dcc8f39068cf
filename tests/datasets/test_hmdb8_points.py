"""Data points of 16 grey frames: their names, their frames, and that no video is in two splits."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from secondlook import tables
from secondlook.datasets import IndexSettings, hmdb8_points, index_videos
from secondlook.datasets.hmdb8_points import indices, make, offsets_of, read, step_of
from secondlook.errors import BadValue, MissingFile
from secondlook.video.clip import Size
from secondlook.video.decode import decode
from tests.datasets.trees import listed, put, rows_by_id


@pytest.fixture
def hmdb(tmp_path, draw_video):
    """Class folders as of HMDB51: videos of several lengths, one too short, one broken, one of another class."""
    root = tmp_path / "hmdb51"
    for name, frames in (("fall/b", 46), ("fall/a", 47), ("wave/a", 100), ("wave/short", 45), ("walk/a", 60)):
        draw_video(root / f"{name}.avi", frames=frames, codec="mpeg4")
    put(root, {"wave/broken.avi": b"not a video", "fall/notes.txt": b"x"})
    return root


@pytest.mark.spec("layerwise-relevance", "R1")
def test_the_step_is_the_largest_of_3_to_6_that_fits():
    for frames in range(1, 200):
        steps = [s for s in (3, 4, 5, 6) if 15 * s + 1 <= frames]
        assert step_of(frames) == (max(steps) if steps else 0)
        for offset in offsets_of(frames, 5):
            chosen = indices(offset, step_of(frames))
            assert len(chosen) == 16
            assert set(np.diff(chosen)) == {step_of(frames)}
            assert chosen[-1] < frames
    assert list(offsets_of(45)) == []
    assert [list(offsets_of(n)) for n in (46, 47, 48, 61, 300)] == [[0], [0, 1], [0, 1, 2], [0], [0, 1, 2]]


@pytest.mark.spec("layerwise-relevance", "R1")
@pytest.mark.parametrize("side", [50, 100])
def test_points_hold_16_grey_frames_of_their_video_under_their_name(hmdb, tmp_path, side):
    steps = []
    made = make(hmdb, tmp_path / "points", side=side, advance=lambda: steps.append(1))
    assert len(steps) == 5
    names = {p.name for p in (tmp_path / "points").glob("*/*")}
    assert names == {"vcF1000_0", "vcF1000_1", "vcF1001_0", "vcW1000_0", "vcW1000_1", "vcW1000_2"}
    for name, file, first, step in (("fall/vcF1000_1", "fall/a.avi", 1, 3), ("wave/vcW1000_2", "wave/a.avi", 2, 6)):
        files = sorted((tmp_path / "points" / name).iterdir())
        assert [f.name for f in files] == [f"{t:02d}.png" for t in range(16)]
        whole = decode(hmdb / file, size=Size(height=side, width=side))
        for t, path in enumerate(files):
            with Image.open(path) as picture:
                assert (picture.mode, picture.size) == ("L", (side, side))
                grey_HW = np.asarray(picture).astype(float)
            np.testing.assert_allclose(grey_HW, whole.frames_THWC[first + t * step] @ [0.299, 0.587, 0.114], atol=1)
    with made.open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert (rows["vcW1000_2"]["video"], rows["vcW1000_2"]["offset"], rows["vcW1000_2"]["step"]) == (
        "wave/a.avi",
        "2",
        "6",
    )
    assert (rows["vcW1002"]["status"], rows["vcW1002"]["reason"]) == ("excluded", "45 frames, 46 are needed")
    assert rows["vcW1001"]["status"] == "unreadable"


@pytest.mark.spec("layerwise-relevance", "R1")
def test_no_two_points_of_one_video_are_in_two_splits(tmp_path):
    """96 videos of two or three points each, all classes; the twin counts by name alone."""
    rng = np.random.default_rng(0)
    points = [
        f"{name}/vc{letter}{1000 + n}_{offset}/{t:02d}.png"
        for name, letter in hmdb8_points.CLASSES.items()
        for n in range(12)
        for offset in range(int(rng.integers(2, 4)))
        for t in range(16)
    ]
    root = put(tmp_path / "points", points)
    result = index_videos(root, "hmdb8_points", tmp_path / "videos.parquet", IndexSettings(splits=hmdb8_points.SPLITS))
    assert result.groups_in_two_splits == 0
    rows = rows_by_id(result.path)
    splits: dict[str, set[str]] = {}
    for name, row in rows.items():
        splits.setdefault(name.split("_")[0], set()).add(row["split"])
        assert row["group"] == name.split("_")[0]
        assert tables.label_space(tables.read(tables.VIDEOS, result.path)).names[row["label"]][0].upper() == name[2]
    assert len(splits) == 96
    assert all(len(found) == 1 for found in splits.values())
    shares = np.array([result.splits[s] for s in ("train", "val", "test")]) / len(rows)
    np.testing.assert_allclose(shares, [0.69, 0.16, 0.15], atol=0.04)


def test_points_made_are_read_by_the_decoder_and_not_made_twice(hmdb, tmp_path):
    make(hmdb, tmp_path / "points", side=50)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "points").rglob("*.png")}
    (tmp_path / "points/wave/vcW1000_1/07.png").unlink()
    make(hmdb, tmp_path / "points", side=50)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "points").rglob("*.png")}
    assert after.keys() == before.keys()
    assert all(after[p] == before[p] for p in before if "vcF" in p.as_posix())
    listing = read(tmp_path / "points")
    rows = listed(listing)
    assert {r["status"] for r in rows.values()} == {"unchecked"}
    assert listing.notes == ["2 videos gave no data point; points.csv says why"]
    clip = decode(listing.root / rows["vcW1000_1"]["path"])
    assert clip.frames_THWC.shape == (16, 50, 50, 3)
    assert (clip.frames_THWC[..., 0] == clip.frames_THWC[..., 2]).all()
    make(hmdb, tmp_path / "points", side=100)
    assert decode(listing.root / rows["vcW1000_1"]["path"]).frames_THWC.shape == (16, 100, 100, 3)


def test_names_that_break_the_rule_are_no_points(tmp_path):
    names = ["vcF1012_2", "vcX1012_2", "vcF0999_1", "vcF10000_1", "vcF1012", "F1012_2", "walk/vcF1013_0"]
    root = put(tmp_path / "points", [f"{name}/{t:02d}.png" for name in names for t in range(16)])
    put(root, ["vcS1000_0/00.png"])
    rows = listed(read(root))
    assert {name: r["status"] for name, r in rows.items()} == {"vcF1012_2": "unchecked", "vcS1000_0": "excluded"}
    assert rows["vcS1000_0"]["reason"] == "1 frames, a data point has 16"


def test_mistakes_are_sentences(tmp_path, hmdb):
    with pytest.raises(BadValue, match=r"no data points.*hmdb8_points\.make"):
        read(hmdb)
    with pytest.raises(MissingFile):
        read(tmp_path / "none")
    with pytest.raises(BadValue, match="not published"):
        read(hmdb, "1")
    with pytest.raises(BadValue, match="class folders"):
        make(put(tmp_path / "other", ["walk/a.avi"]), tmp_path / "points")
    with pytest.raises(BadValue, match="at least 1"):
        make(hmdb, tmp_path / "points", side=0)
