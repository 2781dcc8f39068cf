"""Multigrid shapes: the numbers of the specification, the constant cost, and every row once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from secondlook.errors import BadValue, UnknownName
from secondlook.video.multigrid import Grid, Least, Shape, at_least, cycle, frame_choice, grids, schedule, sizes

BASE = Shape(32, 16, 224, 224)
WHOLE = Grid(32, 16, 224, 224, 1.0)
LONG = [(256, 4, 158), (128, 8, 158), (64, 8, 224), (32, 16, 224)]
BOTH = [
    [(1024, 4, 79.2), (512, 4, 112), (256, 4, 158.4)],
    [(512, 8, 79.2), (256, 8, 112), (128, 8, 158.4)],
    [(256, 8, 112), (128, 8, 158.4), (64, 8, 224)],
    [(128, 16, 112), (64, 16, 158.4), (32, 16, 224)],
]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "70")
def test_the_shapes_are_those_of_the_specification() -> None:
    long = [part[0] for part in grids(WHOLE, "long")]
    assert [(g.clips, g.frames, g.height) for g in long] == LONG
    assert all(g.height == g.width for g in long)
    short = grids(WHOLE, "short")[0]
    assert [(g.clips, g.frames, g.height) for g in short] == [(128, 16, 112), (64, 16, 158), (32, 16, 224)]
    both = [[(s.clips, s.frames, round(s.height, 1)) for s in part] for part in cycle(BASE, "both")]
    assert [[pytest.approx(s, abs=0.05) for s in part] for part in BOTH] == both
    assert grids(WHOLE, "none") == ((WHOLE,),)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "70")
@pytest.mark.parametrize("mode", ["none", "long", "short", "both"])
@pytest.mark.parametrize("base", [(32, 16, 224, 224), (16, 8, 112, 112), (4, 8, 96, 160), (64, 32, 320, 256)])
def test_every_batch_costs_the_same(mode: str, base: tuple[int, int, int, int]) -> None:
    exact = Shape(*base)
    for part in cycle(exact, mode):  # type: ignore[arg-type]
        for shape in part:
            assert shape.volume == pytest.approx(exact.volume, rel=1e-12)
    for part in grids(Grid(*base, 1.0), mode):  # type: ignore[arg-type]
        for grid in part:
            # Sides are at most half a pixel off.
            allowed = (1 + 0.5 / grid.height) * (1 + 0.5 / grid.width) * 1.001
            assert 1 / allowed <= math.prod(grid[:4]) / exact.volume <= allowed


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "71")
def test_the_rate_is_the_long_cycles_batch_over_the_base() -> None:
    assert [part[0].rate for part in grids(WHOLE, "long")] == [8, 4, 2, 1]
    assert [[g.rate for g in part] for part in grids(WHOLE, "both")] == [[8] * 3, [4] * 3, [2] * 3, [1] * 3]
    assert [g.rate for g in grids(WHOLE, "short")[0]] == [1, 1, 1]


def test_shapes_are_no_smaller_than_the_network_takes() -> None:
    shape = at_least(Shape(1024, 4, 80, 80), Shape(32, 16, 226, 226), Least(frames=5, frames_multiple=3, side=100))
    assert shape == Shape(pytest.approx(1024 * 4 / 6 * 0.64), 6, 100, 100)  # type: ignore[arg-type]
    for part in grids(WHOLE, "both", Least(8, 4, 112)):
        for grid in part:
            assert grid.frames >= 8
            assert grid.frames % 4 == 0
            assert grid.height >= 112
            assert math.prod(grid[:4]) == pytest.approx(math.prod(WHOLE[:4]), rel=0.01)
    assert [part[0].rate for part in grids(WHOLE, "long", Least(8))] == [4, 4, 2, 1]
    wide = at_least(Shape(8, 4, 40, 80), Shape(2, 8, 80, 160), Least(side=60))
    assert (wide.height, wide.width) == (60, 120)


@pytest.mark.parametrize("mode", ["long", "short", "both"])
@pytest.mark.parametrize("rows", [24, 100, 999, 5000, 240_000])
@pytest.mark.parametrize("world", [1, 2])
def test_an_epoch_shows_every_row_once_in_as_few_steps_as_it_can(mode: str, rows: int, world: int) -> None:
    base = Grid(8, 8, 112, 112, 1.0)
    found = schedule(rows, base, mode, world)  # type: ignore[arg-type]
    counts = sizes(rows, found, world)
    assert counts.sum() == rows
    assert counts.min() >= 1
    assert all(row.max() <= grid.clips for row, grid in zip(counts, found, strict=True))
    if mode != "short":  # the long cycle goes through its shapes in turn, for as many steps each
        ids = [grid.rate for grid in found]
        assert ids == sorted(ids, reverse=True)
        each = [ids.count(rate) for rate in (8, 4, 2, 1)]
        assert max(each) - min(each) <= 1
    if mode != "long":  # the short one changes at every step
        assert all(one[:4] != other[:4] for one, other in pairwise(found))
    room = world * sum(grid.clips for grid in found)
    assert room >= rows
    if rows > 2000:
        assert room - rows < world * 4 * max(grid.clips for grid in found)
        gain = -(-rows // (8 * world)) / len(found)
        assert gain == pytest.approx({"long": 15 / 4, "short": 7 / 3, "both": 35 / 4}[mode], rel=0.15)


def test_too_few_rows_are_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"11: rows are fewer than the 12 batches .* Give --multigrid none"):
        schedule(11, WHOLE, "both")
    with pytest.raises(BadValue, match=r"7: rows are fewer than the 8"):
        schedule(7, WHOLE, "long", world=2)
    with pytest.raises(UnknownName, match="Did you mean"):
        cycle(BASE, "bot")  # type: ignore[arg-type]


def test_frames_are_chosen_uniformly() -> None:
    assert frame_choice(16, 4).tolist() == [0, 4, 8, 12]
    assert frame_choice(8, 3).tolist() == [0, 2, 5]
    for frames in range(1, 20):
        for wanted in range(1, frames + 1):
            chosen = frame_choice(frames, wanted)
            assert len(set(chosen.tolist())) == wanted
            assert set(np.diff(chosen).tolist()) <= {frames // wanted, -(-frames // wanted)}
