"""Student and teacher see the same frames, crop and flip; a clip the teacher cannot read is a row."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.predict.loader import ClipDataset, Key, collate, root_of
from secondlook.train.loop import train
from secondlook.train.paired import PairedClips, between, check_same_view, teacher_clips
from secondlook.video.augment import Augment
from secondlook.video.encode import write_video
from tests.train.toy import row, toy_settings, write_table

RGB = ClipSpec(frames=4, height=32, width=32, short_side=32, mean=(0.0,) * 3, std=(1.0,) * 3)
MOTION = replace(RGB, modality="luma_difference", mean=(0.0, 0.0), std=(1.0, 1.0))
AUGMENT = Augment("multi_scale", flip=0.5, directional=False, jitter=0.2)


def paired(
    rows: pa.Table, student: ClipSpec, teacher: ClipSpec, other: pa.Table | None = None, **settings: Any
) -> PairedClips:
    root = root_of(rows)
    chosen = toy_settings(cache=None, **settings)
    ours = ClipDataset(rows, student, train=True, seed=chosen.seed, augment=AUGMENT, timeout_s=None, root=root)
    theirs, _ = teacher_clips(rows, student, teacher, AUGMENT, chosen, root=root, other=other)
    return PairedClips(ours, theirs, same_videos=other is None)


def luma(x_CTHW: torch.Tensor) -> torch.Tensor:
    return (x_CTHW * torch.tensor([0.299, 0.587, 0.114])[:, None, None, None]).sum(0)


def test_the_same_video_in_two_modalities(toy: pa.Table) -> None:
    """Brightness of the student's RGB clip is the teacher's first channel: same frames, crop, flip and colour."""
    clips = paired(toy, RGB, MOTION)
    seen = []
    for index in range(6):
        for epoch in range(2):
            item = clips[Key(index, epoch)]
            assert item.x_NCTHW is not None
            assert item.twin_NCTHW is not None
            torch.testing.assert_close(item.twin_NCTHW[0, 0], luma(item.x_NCTHW[0]), atol=1e-5, rtol=1e-4)
            seen.append(item.x_NCTHW)
    assert not all(torch.equal(seen[0], x) for x in seen[1:])
    clips.close()


def test_the_twin_depends_on_seed_epoch_and_row_alone(toy: pa.Table) -> None:
    one, other = paired(toy, RGB, MOTION), paired(toy, RGB, MOTION)
    _ = other[Key(3, 1)], other[Key(0, 2)]
    for key in (Key(0, 0), Key(2, 1)):
        assert torch.equal(one[key].twin_NCTHW, other[key].twin_NCTHW)  # type: ignore[arg-type]
    assert not torch.equal(one[Key(0, 0)].twin_NCTHW, one[Key(0, 1)].twin_NCTHW)  # type: ignore[arg-type]
    plain = ClipDataset(toy, RGB, train=True, augment=AUGMENT, timeout_s=None)
    assert torch.equal(plain[Key(2, 1)].x_NCTHW, one[Key(2, 1)].x_NCTHW)  # type: ignore[arg-type]


@pytest.fixture
def counted(tmp_path: Path) -> pa.Table:
    """A video whose frame t is grey of 6 t, everywhere."""
    frames_THWC = np.broadcast_to((6 * np.arange(40, dtype=np.uint8))[:, None, None, None], (40, 32, 32, 3))
    write_video(tmp_path / "videos" / "ramp.mp4", np.ascontiguousarray(frames_THWC), 12.0)
    return write_table(tmp_path, [row("ramp", 0, "train")])


def frames_seen(x_CTHW: torch.Tensor) -> list[int]:
    return [round(v) for v in (x_CTHW.mean((0, 2, 3)) * 255 / 6).tolist()]


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((16, 1), (8, 2)), ((8, 2), (16, 1)), ((8, 4), (4, 8)), ((4, 4), (4, 4))],
)
def test_dense_clips_of_other_rates_cover_the_same_time(
    student: tuple[int, int], teacher: tuple[int, int], counted: pa.Table
) -> None:
    """As 32x2 beside 64x1: the teacher's clip starts where the student's does and goes at its own stride."""
    specs = [replace(RGB, sampling="dense", frames=frames, stride=stride) for frames, stride in (student, teacher)]
    for size in (32, 16):  # decoded at another size, and taken from the student's frames
        clips = paired(counted, specs[0], replace(specs[1], height=size, width=size, short_side=size))
        clips.student.augment = clips.teacher.augment = Augment("none", directional=False)
        starts = set()
        for epoch in range(4):
            item = clips[Key(0, epoch)]
            assert item.x_NCTHW is not None
            assert item.twin_NCTHW is not None
            ours, theirs = frames_seen(item.x_NCTHW[0]), frames_seen(item.twin_NCTHW[0])
            start = ours[0]
            starts.add(start)
            assert ours == list(range(start, start + student[0] * student[1], student[1]))
            assert theirs == list(range(start, start + teacher[0] * teacher[1], teacher[1]))
        assert len(starts) > 1
        clips.close()


def test_between_is_a_straight_line() -> None:
    index_T = np.array([10, 12, 14, 16])
    assert between(index_T, np.arange(8) / 2).tolist() == [10, 11, 12, 13, 14, 15, 16, 17]
    assert between(index_T, np.arange(2) * 2.0).tolist() == [10, 14]
    assert between(np.array([7]), np.arange(2) / 2).tolist() == [7, 7]


def second_table(toy: pa.Table, folder: Path, without: str = "", broken: str = "") -> pa.Table:
    """The same videos negated, in another order, under a root of their own."""
    rows = []
    for given in reversed(toy.to_pylist()):
        name = given["video_id"]
        if name == without:
            continue
        rows.append(row(name, 1 - given["label"], "test"))
        dark = np.full((6, 32, 40, 3), 200 if given["label"] == 0 else 20, np.uint8)
        write_video(folder / "videos" / f"{name}.mp4", dark, 12.0)
        if name == broken:
            (folder / "videos" / f"{name}.mp4").write_bytes(b"no video" * 99)
    return write_table(folder, rows)


def test_another_table_is_read_by_name(toy: pa.Table, tmp_path: Path) -> None:
    clips = paired(toy, RGB, MOTION, second_table(toy, tmp_path))
    for index, label in enumerate(toy["label"].to_pylist()[:4]):
        item = clips[Key(index, 0)]
        assert item.label == label, "the student's label"
        assert item.twin_NCTHW is not None
        bright = float(item.twin_NCTHW[0, 0].mean())
        assert bright == pytest.approx((200 if label == 0 else 20) / 255, abs=0.03), "and no change of colour"
    clips.close()


def test_a_teachers_clip_that_cannot_be_read_is_a_row(toy: pa.Table, tmp_path: Path) -> None:
    names = toy["video_id"].to_pylist()
    clips = paired(toy, RGB, MOTION, second_table(toy, tmp_path, without=names[0], broken=names[1]))
    batch = collate([clips[Key(index, 0)] for index in range(3)])
    assert batch.index_B.tolist() == [2]
    assert batch.twin_BCTHW is not None
    assert len(batch.twin_BCTHW) == 1
    assert [(f.row, f.status) for f in batch.failed] == [(0, "missing"), (1, "not_a_video")]
    assert batch.failed[0].reason == "the teacher's clip: not in its table"
    clips.close()


def test_such_rows_are_listed_by_a_training(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    small = {"model": "hara:tiny", "frames": 8, "epochs": 1, "cache": toy_cache}
    train(toy, tmp_path / "teacher", toy_settings(**small))
    missing = toy["video_id"].to_pylist()[0]
    second_table(toy, tmp_path / "flow", without=missing)
    videos = tmp_path / "flow" / "videos.parquet"
    more = {"teacher": tmp_path / "teacher", "teacher_videos": videos, "distillation": "mars"}
    done = train(toy, tmp_path / "b", toy_settings(**small, modality="rgb", **more))
    with (tmp_path / "b" / "unreadable.csv").open(newline="") as file:
        assert [(r["video_id"], r["status"]) for r in csv.DictReader(file)] == [(missing, "missing")]
    assert done.unreadable == 1
    assert tables.file_sha256(videos) in (tmp_path / "b" / "settings.json").read_text()


@pytest.mark.spec("late-temporal-bert", "F75")
def test_recipes_that_show_other_things_are_refused() -> None:
    dense = replace(RGB, sampling="dense", frames=64, stride=1)
    check_same_view(dense, replace(dense, frames=32, stride=2), AUGMENT)
    check_same_view(RGB, replace(RGB, frames=16), AUGMENT)
    with pytest.raises(BadValue, match="'64x1 frames': the teacher's clips, 16x1 frames, cover another time"):
        check_same_view(dense, replace(dense, frames=16), AUGMENT)
    with pytest.raises(BadValue, match="the teacher's clips, 4 segments, cover another time"):
        check_same_view(dense, RGB, AUGMENT)
    twice = replace(RGB, height=64, width=64, short_side=64)
    for crop in ("multi_scale", "none", "zoom"):
        check_same_view(RGB, twice, Augment(crop, directional=False))  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="random crops of two sizes lie apart"):
        check_same_view(RGB, twice, Augment("random", directional=False))
    with pytest.raises(BadValue, match="would see another part of the frame"):
        check_same_view(RGB, replace(RGB, short_side=48), Augment("none", directional=False))
    with pytest.raises(BadValue, match=r"another part of the frame .squash."):
        check_same_view(RGB, replace(RGB, fit="squash"), AUGMENT)
