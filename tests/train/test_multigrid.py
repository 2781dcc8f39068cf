"""Multigrid in a training: which rows at which shape, the clips, the learning rate, networks that refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.predict.loader import ClipDataset, Key, collate
from secondlook.train.loop import train
from secondlook.train.multigrid import MultigridBatches, multigrid_of
from secondlook.train.optim import rate_factor
from secondlook.train.start import card_of
from secondlook.video.augment import Augment
from secondlook.video.multigrid import Grid, schedule
from tests.train.toy import toy_settings

BASE = Grid(4, 8, 64, 64, 1.0)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "70")
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_once_an_epoch_and_as_many_batches_on_each_device(world: int) -> None:
    rows = 301
    plan = schedule(rows, BASE, "both", world)
    ranks = [MultigridBatches(rows, plan, seed=3, rank=rank, world=world) for rank in range(world)]
    for epoch in (0, 5):
        seen: list[int] = []
        for batches in ranks:
            batches.set_epoch(epoch)
            found = list(batches)
            assert len(found) == len(batches) == len(plan)
            for keys, grid in zip(found, plan, strict=True):
                assert {key.shape for key in keys} == {grid[1:4]}
                assert {key.epoch for key in keys} == {epoch}
                assert 1 <= len(keys) <= grid.clips
            assert found == list(batches)
            seen += [key.row for keys in found for key in keys]
        assert sorted(seen) == list(range(rows))
        assert seen != list(range(rows))
    ranks[0].start = (5, 7)
    rest = list(ranks[0])
    ranks[0].start = (0, 0)
    assert rest == list(ranks[0])[7:]


def test_a_clip_is_the_base_clip_with_fewer_frames_and_pixels(toy: pa.Table) -> None:
    spec = ClipSpec(frames=8, height=32, width=32, short_side=32, sampling="dense")
    augment = Augment(crop="random", flip=0.5, jitter=0.3, directional=False)
    data = ClipDataset(toy, spec, train=True, seed=1, augment=augment, timeout_s=None)
    for row in range(4):
        whole, small = data[Key(row, 2)].x_NCTHW, data[Key(row, 2, shape=(4, 20, 18))].x_NCTHW
        assert whole is not None
        assert small is not None
        assert small.shape == (1, 3, 4, 20, 18)
        twin_CTHW = functional.interpolate(whole[0][:, [0, 2, 4, 6]], (20, 18), mode="bilinear", antialias=True)
        # The mean brightness of the clip, which the contrast is about, is that of its frames.
        torch.testing.assert_close(small[0], twin_CTHW, atol=0.12, rtol=0)
    plain = ClipDataset(toy, spec, train=True, seed=1, augment=Augment(crop="random"), timeout_s=None)
    whole, small = plain[Key(0, 2)].x_NCTHW, plain[Key(0, 2, shape=(2, 23, 23))].x_NCTHW
    assert whole is not None
    assert small is not None
    torch.testing.assert_close(
        small[0], functional.interpolate(whole[0][:, [0, 4]], (23, 23), mode="bilinear", antialias=True)
    )
    batch = collate([plain[Key(row, 0, shape=(2, 23, 23))] for row in range(3)])
    assert batch.x_BCTHW.shape == (3, 3, 2, 23, 23)


class Rates(Callback):
    """Keeps the learning rate and the shape of each step, as the optimiser sees them."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, tuple[int, ...]]] = []
        self.shape: tuple[int, ...] = ()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.shape = tuple(batch.x_BCTHW.shape)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.seen.append((optimizer.param_groups[0]["lr"], self.shape))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "71")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_optimiser_steps_at_the_rate_of_the_long_cycle(
    accumulate: int, toy: pa.Table, toy_cache: Path, tmp_path: Path
) -> None:
    rates = Rates()
    settings = toy_settings(
        model="resnet3d:tiny", cache=toy_cache, batch_size=1, epochs=3, multigrid="long", accumulate=accumulate,
        warmup_epochs=1.0, optimizer="sgd",
    )  # fmt: skip
    done = train(toy, tmp_path / "a", settings, callbacks=[rates])
    steps = 4 // accumulate
    assert len(rates.seen) == 3 * steps
    factors = [8, 4, 2, 1][accumulate - 1 :: accumulate]
    twin = [0.003 * rate_factor(settings, i, steps) * factors[i % steps] for i in range(3 * steps)]
    assert [rate for rate, _ in rates.seen] == pytest.approx(twin)
    if accumulate == 1:
        shapes = [shape[1:] for _, shape in rates.seen[:4]]
        assert shapes == [(2, 1, 23, 23), (2, 2, 23, 23), (2, 2, 32, 32), (2, 4, 32, 32)]
        assert sum(shape[0] for _, shape in rates.seen[:4]) == 8
    assert done.last["learning_rate"] == pytest.approx(twin[-1])  # that of the last batch, at the full shape


def settings_of(model: str, **changes: Any) -> Any:
    return toy_settings(**{"model": model, "frames": 16, "height": 112, "width": 112, "multigrid": "both", **changes})


def test_networks_that_do_not_take_a_shape_are_refused_in_words() -> None:
    for model, changes in (
        ("c3d:tiny", {}),
        ("resnet3d:tiny", {"head": "bert"}),
        ("frames_as_channels:tiny", {}),
    ):
        settings = settings_of(model, **changes)
        with pytest.raises(BadValue, match=r"x.*: a shape of multigrid that .* does not take: .+ Give another"):
            multigrid_of(1000, card_of(settings), 5, settings)
    settings = settings_of("resnet3d:tiny")
    plan = multigrid_of(1000, card_of(settings), 5, settings)
    assert plan[0][:4] == (32 * 4, 4, 40, 40)
    assert plan[-1].frames == 16


def test_a_refusal_comes_before_anything_is_written(toy: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="a shape of multigrid"):
        train(toy, tmp_path / "a", settings_of("resnet3d:tiny", head="bert"))
    with pytest.raises(BadValue, match="rows are fewer"):
        train(toy, tmp_path / "a", settings_of("resnet3d:tiny"))
    assert not (tmp_path / "a").exists()
    with pytest.raises(BadValue, match="teacher"):
        toy_settings(multigrid="long", teacher=tmp_path, distillation="hinton")


def test_the_order_is_the_seeds_and_the_epochs_alone() -> None:
    plan = schedule(60, BASE, "short")
    one, other = (MultigridBatches(60, plan, seed=seed) for seed in (0, 1))
    rows = [[key.row for keys in batches for key in keys] for batches in (one, other)]
    assert rows[0] != rows[1]
    np.testing.assert_array_equal(rows[0], [key.row for keys in MultigridBatches(60, plan, seed=0) for key in keys])
