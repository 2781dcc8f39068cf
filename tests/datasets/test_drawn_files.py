"""Drawn data on disk: the same bytes again, resuming, growing, reading."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from secondlook import tables
from secondlook.datasets import drawn
from secondlook.datasets._drawn_clip import drawn_clip, painted, scene_of
from secondlook.errors import BadValue, MissingFile, SecondlookError, UnknownName
from secondlook.video.decode import decode

SMALL = drawn.DrawnSettings(clips=6, seed=2, size=32, frames=12)


def hashes(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "drawn.json"
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "root"
    done = []
    drawn.draw(folder, SMALL, 1, done.append)
    assert sum(done) == SMALL.clips
    return folder


def test_the_same_settings_give_the_same_bytes_with_any_number_of_workers(root, tmp_path):
    found = drawn.draw(tmp_path / "again", SMALL, workers=2)
    assert hashes(tmp_path / "again") == hashes(root)
    assert len(hashes(root)) == 2 * SMALL.clips + 1
    assert found["clips"] == SMALL.clips
    assert found["groups"] == 2


def test_more_clips_keep_the_first_ones(root, tmp_path):
    folder = tmp_path / "growing"
    drawn.draw(folder, replace(SMALL, clips=3), 1)
    before = hashes(folder)
    drawn.draw(folder, SMALL, 1)
    after = hashes(folder)
    assert after == hashes(root)
    assert {name: value for name, value in after.items() if name in before and name != "clips.jsonl"} == {
        name: value for name, value in before.items() if name != "clips.jsonl"
    }


class StoppedError(Exception):
    """Somebody pressed ctrl-C."""


def test_an_interrupted_run_goes_on_and_gives_the_same_files(root, tmp_path):
    folder, done = tmp_path / "stopped", []

    def stop(clips):
        done.append(clips)
        raise StoppedError

    with pytest.raises(StoppedError):
        drawn.draw(folder, SMALL, 1, stop)
    assert not (folder / "clips.jsonl").exists()
    with pytest.raises(BadValue, match=r"interrupted.*secondlook draw .* --clips 6"):
        drawn.read(folder, "")
    (folder / "truth" / "000001.npz").unlink()
    (folder / "videos" / ".000005.mp4.1.part").write_bytes(b"half a video")
    kept = (folder / "videos" / "000000.mp4").stat().st_mtime_ns
    drawn.draw(folder, SMALL, 1)
    assert hashes(folder) == hashes(root)
    assert (folder / "videos" / "000000.mp4").stat().st_mtime_ns == kept


def test_read_gives_rows_of_the_videos_table(root, tmp_path):
    listing = drawn.read(root, "")
    assert listing.labels == drawn.LABELS
    rows = list(listing.rows)
    table = tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", {}))
    assert table.num_rows == SMALL.clips
    assert {row["split"] for row in rows} == {""}
    assert len({row["group"] for row in rows}) == 2
    for number, row in enumerate(rows):
        clip = drawn_clip(SMALL, number, scene_of(SMALL, number))
        assert row["video_id"] == clip.video_id
        assert drawn.LABELS.names[row["label"]] == clip.given
        assert [drawn.LABELS.names[i] for i in row["true_labels"]] == sorted(clip.true, key=drawn.LABELS.index_of)
        assert (root / row["path"]).is_file()
        assert (root / row["truth_path"]).is_file()
        assert 0 < row["action_start_s"] < row["action_end_s"] < SMALL.frames / SMALL.fps


def test_files_hold_what_was_drawn(root):
    for number in range(SMALL.clips):
        scene = scene_of(SMALL, number)
        frames, masks = painted(drawn_clip(SMALL, number, scene), scene, SMALL)
        clip = decode(root / "videos" / f"{number:06d}.mp4")
        assert clip.status == "ok", clip.reason
        assert clip.frames_THWC.shape == (SMALL.frames, SMALL.size, SMALL.size, 3)
        assert clip.fps == pytest.approx(SMALL.fps)
        assert np.abs(clip.frames_THWC.astype(int) - frames).mean() < 12
        np.testing.assert_array_equal(drawn.truth(root, f"{number:06d}"), masks)


def test_a_folder_keeps_to_its_settings(root, tmp_path):
    with pytest.raises(BadValue, match=r"seed asked for.*drawn with 2"):
        drawn.draw(root, replace(SMALL, seed=3), 1)
    with pytest.raises(BadValue, match="Give --clips 6 or more"):
        drawn.draw(root, replace(SMALL, clips=5), 1)
    with pytest.raises(BadValue, match="at least 1"):
        drawn.draw(root, SMALL, 0)
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(BadValue, match="empty folder"):
        drawn.draw(tmp_path, SMALL, 1)
    about = json.loads((root / "drawn.json").read_text())
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "drawn.json").write_text(json.dumps(about | {"drawing": 0}))
    with pytest.raises(BadValue, match="another version"):
        drawn.draw(tmp_path / "old", SMALL, 1)
    assert about["seed"] == SMALL.seed
    assert about["settings"] == SMALL.to_dict()


def test_reading_what_is_not_there(root, tmp_path):
    with pytest.raises(MissingFile, match="secondlook draw"):
        drawn.read(tmp_path, "")
    with pytest.raises(BadValue, match="no splits of its own"):
        drawn.read(root, "1")
    with pytest.raises(MissingFile):
        drawn.truth(root, "999999")
    with pytest.raises(BadValue, match="id of a drawn clip"):
        drawn.truth(root, "../truth/000000")


@pytest.mark.parametrize("line", ["no json", '{"video_id": "000000"}', "[1]"])
def test_a_damaged_line_is_named(root, tmp_path, line):
    (tmp_path / "drawn.json").write_text((root / "drawn.json").read_text())
    lines = (root / "clips.jsonl").read_text().splitlines()
    (tmp_path / "clips.jsonl").write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(SecondlookError, match=r"clips.jsonl, line 3"):
        list(drawn.read(tmp_path, "").rows)


def test_only_the_labels_asked_for_are_drawn_and_known(tmp_path):
    asked = ("throwing something", "Moving something up", "Moving something down")
    settings = drawn.DrawnSettings(
        clips=12, size=32, frames=12, labels=asked, wrong_labels=0.3, cue="throwing something"
    )
    drawn.draw(tmp_path / "d", settings, workers=1)
    listing = drawn.read(tmp_path / "d")
    assert listing.labels.names == settings.space.names
    assert set(listing.labels.names) == {"Throwing something", "Moving something up", "Moving something down"}
    lines = [json.loads(line) for line in (tmp_path / "d" / "clips.jsonl").read_text().splitlines()]
    assert {line["template"] for line in lines} == set(listing.labels.names)
    assert all({line["label"], *line["true_labels"]} <= set(listing.labels.names) for line in lines)
    assert any(line["wrong"] for line in lines)
    assert all((line["label"] in line["true_labels"]) != line["wrong"] for line in lines)
    drawn.draw(tmp_path / "d", settings, workers=1)  # goes on, and finds all there


def test_labels_that_are_none_or_too_few_are_refused():
    with pytest.raises(UnknownName, match="Throwing something"):
        drawn.DrawnSettings(labels=("Throwing somethin", "Moving something up"))
    with pytest.raises(BadValue, match="at least two"):
        drawn.DrawnSettings(labels=("Moving something up", "moving something up"))
    with pytest.raises(UnknownName):
        drawn.DrawnSettings(labels=("Moving something up", "Moving something down"), cue="Throwing something")
