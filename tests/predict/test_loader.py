"""Items and batches: what a row of the videos table becomes, and what it does not depend on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, MissingFile
from secondlook.predict.loader import ClipDataset, Key, Loader, cache_that_fits, collate, fingerprint
from secondlook.video.augment import Augment
from secondlook.video.cache import FrameCache
from secondlook.video.decode import decode
from secondlook.video.transform import crop_names, input_clip, working_size
from tests.train.toy import row, with_rows, write_table

SPEC = ClipSpec(frames=4, short_side=32, height=24, width=24)


def dataset(videos: pa.Table, **changes: Any) -> ClipDataset:
    return ClipDataset(videos, SPEC, **{"train": False, "timeout_s": None, **changes})


def test_a_test_item_is_what_input_clip_makes(toy: pa.Table) -> None:
    data = dataset(toy, views=2, crops=3)
    root = Path(tables.made(toy)["root"])
    for number, view in ((0, 0), (3, 1)):
        item = data[Key(number, view=view)]
        assert item.x_NCTHW is not None
        for crop, x_CTHW in zip(crop_names(SPEC, 3), item.x_NCTHW, strict=True):
            twin = input_clip(root / toy["path"][number].as_py(), SPEC, crop=crop, view=view, views=2)
            assert torch.equal(x_CTHW, twin.x_CTHW)
            assert item.facts.start_s == twin.clip.frame_time_s_T[0]
        assert item.label == toy["label"][number].as_py()
    assert len(data) == 2 * len(toy)
    assert data[7].facts[:2] == (3, 1)


def test_a_training_item_depends_on_seed_epoch_and_row_alone(toy: pa.Table, tmp_path: Path) -> None:
    settings = Augment(crop="multi_scale", jitter=0.2)

    def clip(key: Key, seed: int = 0, before: int = 0, **more: Any) -> torch.Tensor:
        data = dataset(toy, train=True, seed=seed, augment=settings, **more)
        for other in range(before):
            data[Key(other, 5)]
        x_NCTHW = data[key].x_NCTHW
        assert x_NCTHW is not None
        return x_NCTHW

    same = clip(Key(2, 1))
    assert torch.equal(same, clip(Key(2, 1), before=3))
    assert torch.equal(same, clip(Key(2, 1), cache=FrameCache(tmp_path)))
    assert torch.equal(same, clip(Key(2, 1), cache=FrameCache(tmp_path)))  # now from the cache
    assert torch.equal(same, clip(Key(2, 1), timeout_s=30.0))
    assert not torch.equal(same, clip(Key(2, 2)))
    assert not torch.equal(same, clip(Key(2, 1), seed=1))


def test_a_training_clip_takes_other_frames_each_epoch(toy: pa.Table) -> None:
    data = dataset(toy, train=True)
    starts = {data[Key(6, epoch)].facts.start_s for epoch in range(12)}
    assert len(starts) > 1


def test_what_cannot_be_read_takes_nothing_along(toy: pa.Table, tmp_path: Path) -> None:
    videos = with_rows(
        toy.slice(0, 2), [row("gone", 1, "test"), row("hung", 0, "test", "timeout", "it hung")], tmp_path
    )
    data = dataset(videos, crops=3)
    batch = collate([data[Key(number)] for number in (2, 0, 3, 1)])
    assert batch.x_BCTHW.shape == (6, 3, 4, 24, 24)
    assert batch.index_B.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.label_B.tolist() == [0, 0, 0, 1, 1, 1]
    assert [(f.row, f.status, f.reason) for f in batch.failed] == [
        (2, "missing", "no such file"), (3, "timeout", "it hung"),
    ]  # fmt: skip
    assert [f.row for f in batch.facts] == [2, 0, 3, 1]
    nothing = collate([data[Key(2)]])
    assert len(nothing.index_B) == len(nothing.x_BCTHW) == 0


def test_a_hang_costs_its_time_out_once(toy: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(toy, timeout_s=0.001)
    assert data._guard is not None
    asked = []
    decode = data._guard.decode
    monkeypatch.setattr(data._guard, "decode", lambda *a, **k: asked.append(a) or decode(*a, **k))
    try:
        facts = [data[Key(0, epoch)].facts for epoch in range(3)]
    finally:
        data.close()
    assert [f.status for f in facts] == ["timeout"] * 3
    assert len(asked) == 1


def test_no_path_leaves_the_root(tmp_path: Path) -> None:
    for path in ("../secret.mp4", "/etc/passwd", "a/../../b.mp4", "C:\\x.mp4", "a\\..\\b"):
        videos = write_table(tmp_path, [{**row("a", 0, "test"), "path": path}])
        with pytest.raises(BadValue, match=r"leaves its root"):
            dataset(videos)
    dataset(write_table(tmp_path, [{**row("a", 0, "test"), "path": "a..b/..c.mp4"}]))


def test_a_root_that_was_moved_is_a_sentence(toy: pa.Table, tmp_path: Path) -> None:
    moved = toy.replace_schema_metadata({b"secondlook": b'{"table": "videos", "root": "/no/such/folder"}'})
    with pytest.raises(MissingFile, match=r"'/no/such/folder' does not exist.*--root"):
        dataset(moved)
    assert dataset(moved, root=tables.made(toy)["root"])[Key(0)].facts.status == "ok"
    with pytest.raises(BadValue, match=r"does not say where its videos are"):
        dataset(toy.replace_schema_metadata({}))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_give_the_same_batches(workers: int, toy: pa.Table) -> None:
    data = dataset(toy, train=True, timeout_s=30.0)
    keys = [[Key(0, 1), Key(5, 1)], [Key(2, 1)]]
    before = torch.get_rng_state()
    batches = list(Loader(data, keys, workers, pin_memory=False))
    assert torch.equal(torch.get_rng_state(), before)
    twins = [collate([data[key] for key in batch]) for batch in keys]
    data.close()
    for batch, twin in zip(batches, twins, strict=True):
        assert torch.equal(batch.x_BCTHW, twin.x_BCTHW)
        assert batch.facts == twin.facts


def test_a_dataset_travels_to_a_spawned_worker(toy: pa.Table, tmp_path: Path) -> None:
    data = dataset(toy, cache=FrameCache(tmp_path), timeout_s=30.0)
    copy = pickle.loads(pickle.dumps(data))  # our own
    one, other = data[Key(1)].x_NCTHW, copy[Key(1)].x_NCTHW
    data.close()
    copy.close()
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


def test_the_fingerprint_is_of_the_split(toy: pa.Table) -> None:
    column = toy.column_names.index("split")
    other = toy.set_column(column, "split", pa.array(["train"] * len(toy)))
    assert fingerprint(toy) == fingerprint(pa.concat_tables([toy.slice(0, 3), toy.slice(3)]))
    assert fingerprint(toy) != fingerprint(other)
    assert fingerprint(toy) != fingerprint(toy.take(pa.array(np.arange(len(toy))[::-1].copy())))


def test_a_cache_that_would_thrash_is_not_used(toy: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All frames of the toy videos at working size are counted by hand."""
    clips = [decode(Path(tables.made(toy)["root"]) / path, size=working_size(SPEC)) for path in toy["path"].to_pylist()]
    needed = sum(clip.frames_THWC.nbytes for clip in clips)
    for share, used in ((2.0, True), (0.5, False)):
        monkeypatch.setattr("secondlook.predict.loader.FrameCache", lambda f, s=share: FrameCache(f, int(needed * s)))
        cache, why = cache_that_fits(tmp_path / f"{share}", toy, SPEC, 30.0)
        assert (cache is not None) is used
        assert ("the frame cache is not used" in why) is not used
    assert cache_that_fits(None, toy, SPEC, 30.0) == (None, "")
