"""Sets drawn for tiny studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secondlook import tables
from secondlook.datasets import drawn
from secondlook.datasets._drawn_labels import REVERSAL_PAIRS
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.study import data
from secondlook.study.toy import TOYS, draw_toy
from secondlook.video.decode import decode


def rows(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "clips.jsonl").read_text().splitlines()]


def test_a_set_is_the_same_each_time_and_its_scenes_hold_every_label(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_toy(tmp_path / name, "drawn", scenes=2)
    first, second = (sorted((tmp_path / n / "videos").iterdir()) for n in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    listed = rows(tmp_path / "a")
    assert len(listed) == 12
    for scene in {row["group"] for row in listed}:
        assert {row["label"] for row in listed if row["group"] == scene} == {
            n for pair in REVERSAL_PAIRS[:3] for n in pair
        }
    assert all(row["label"] in row["true_labels"] for row in listed)
    assert len(list(drawn.read(tmp_path / "a").rows)) == 12


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "104")
def test_one_motion_takes_many_durations_and_stays_one_class(tmp_path: Path) -> None:
    draw_toy(tmp_path / "speed", "drawn-speed", scenes=6)
    listed = rows(tmp_path / "speed")
    for label in TOYS["drawn-speed"].labels:
        lasts = [r["action_end_s"] - r["action_start_s"] for r in listed if r["label"] == label]
        assert max(lasts) > 1.4 * min(lasts), label
    clip = decode(tmp_path / "speed" / "videos" / f"{listed[0]['video_id']}.mp4")
    assert len(clip.frames_THWC) == TOYS["drawn-speed"].frames
    frames = clip.frames_THWC.astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    first, last = (round(listed[0][f"action_{w}_s"] * 12) for w in ("start", "end"))
    still = [*change[: max(first - 1, 0)], *change[last + 1 :]]
    if len(still):
        assert np.mean(change[first:last]) > np.mean(still)


def test_labels_in_doubt_are_sometimes_wrong(tmp_path: Path) -> None:
    draw_toy(tmp_path / "labels", "drawn-labels", scenes=8)
    listed = rows(tmp_path / "labels")
    assert any(len(row["true_labels"]) > 1 for row in listed)
    assert 0 < sum(row["label"] not in row["true_labels"] for row in listed) < len(listed) / 3


def test_a_set_that_was_drawn_is_not_drawn_again_and_other_numbers_are(tmp_path: Path) -> None:
    one = data.drawn_set("drawn", tmp_path, scenes=5)
    when = one.videos.stat().st_mtime_ns
    assert data.drawn_set("drawn", tmp_path, scenes=5) == one
    assert one.videos.stat().st_mtime_ns == when
    data.drawn_set("drawn", tmp_path, scenes=6)
    table = tables.read(tables.VIDEOS, one.videos)
    assert table.num_rows == 36
    assert set(table["split"].to_pylist()) == {"train", "test"}


def test_what_is_given_is_checked(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        draw_toy(tmp_path, "drawnn")
    with pytest.raises(BadValue, match="NAME=FOLDER"):
        data.given_folders(["egogestar"])
    with pytest.raises(BadValue, match="drawn by code"):
        data.given_folders(["drawn=/tmp"])
    with pytest.raises(MissingFile):
        data.folder_set("hmdb51", tmp_path / "no", "hmdb51", tmp_path)
    assert [data.reader_of(n) for n in ("hmdb51", "kinetics400", "hacs")] == ["hmdb51", "kinetics", "folder"]


def test_the_published_folds_of_a_real_set_are_its_splits(shared_data: Path, tmp_path: Path) -> None:
    sets = data.folder_set("egogestar", shared_data / "egogestar", "folder", tmp_path, ["fold0", "fold1"])
    assert [s.split for s in sets] == ["fold0", "fold1"]
    assert sets[0].cache == sets[1].cache
    only = data.folder_set("egogestar", shared_data / "egogestar", "folder", tmp_path)
    assert only == sets[:1]
