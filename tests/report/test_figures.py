"""Figures of methods: what they draw is what they were given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from secondlook import figure_files
from secondlook.errors import BadValue
from secondlook.report import figures
from secondlook.video.augment import POSITIONS

FRAME = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)


def outlines(figure: figures.Figure) -> list[Rectangle]:
    return [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]


@pytest.mark.spec("late-temporal-bert", "F94")
def test_thirteen_crops_and_the_five_of_inference_stand_out() -> None:
    boxes = [(down * 20 // 4, across * 40 // 4, 40, 40) for down, across in POSITIONS]
    drawn = outlines(figures.crops(FRAME, boxes, boxes[:5]))
    assert {(p.get_y() + 0.5, p.get_x() + 0.5) for p in drawn} == {(top, left) for top, left, _, _ in boxes}
    assert len(drawn) == 13
    thick = {(p.get_y() + 0.5, p.get_x() + 0.5) for p in drawn if p.get_linewidth() > 2}
    assert thick == {(10, 20), (0, 0), (0, 40), (20, 0), (20, 40)}


@pytest.mark.spec("late-temporal-bert", "F95")
def test_every_modality_has_a_row_and_every_time_a_column() -> None:
    grey = FRAME[..., 0]
    rows = {"RGB": [FRAME] * 3, "flow x": [grey] * 3, "flow y": [grey] * 3, "pose": [FRAME] * 3}
    figure = figures.strips(rows, (0.0, 0.5, 1.0))
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == list(rows)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["0.00 s", "0.50 s", "1.00 s"]
    assert all(np.array_equal(axes.images[0].get_array(), FRAME) for axes in figure.axes[:3])
    with pytest.raises(BadValue, match="needs 2 pictures"):
        figures.strips(rows, (0.0, 0.5))


@pytest.mark.spec("late-temporal-bert", "F96")
@pytest.mark.parametrize("online", [False, True])
def test_the_shift_diagram_says_what_the_shift_does(online: bool) -> None:
    import torch

    from secondlook.layers.temporal_shift import TemporalShift

    frames, channels = 4, 8
    moved = TemporalShift(0.25, online=online)
    moved.frames = frames
    numbers = torch.arange(1.0, frames + 1).view(frames, 1, 1, 1).expand(frames, channels, 1, 1)
    wanted = moved(numbers)[:, :, 0, 0].T.int().flatten().tolist()
    drawn = figures.shift(frames, channels, 0.25, online=online)
    assert [int(text.get_text()) for text in drawn.axes[0].texts] == wanted


@pytest.mark.spec("late-temporal-bert", "F96")
def test_attention_is_drawn_as_shares_of_the_frames() -> None:
    weights = np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    figure = figures.attention_over_time([FRAME] * 3, (0.1, 0.2, 0.3), weights)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([37.5, 25.0, 37.5])
    assert sum(len(axes.images) for axes in figure.axes[1:]) == 3
    with pytest.raises(BadValue, match="3 tokens need as many"):
        figures.attention_over_time([FRAME] * 2, (0.1, 0.2), weights)


@pytest.mark.spec("late-temporal-bert", "F96")
def test_token_similarity_writes_each_cosine() -> None:
    cosine = np.array([[1.0, -0.5], [0.25, 0.75]])
    axes = figures.token_similarity(cosine).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.00", "-0.50", "0.25", "0.75"]
    assert len(axes.patches) == 2


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "88")
def test_the_density_of_starts_is_the_cut_normal_and_the_histogram_the_draws() -> None:
    starts = np.array([10, 20, 30, 30, 49])
    axes = figures.start_frames(100, starts).axes[0]
    x, y = axes.lines[0].get_data()
    x, y = np.asarray(x, float), np.asarray(y, float)
    assert (x.min(), x.max()) == (0, 50)
    assert x[y.argmax()] == pytest.approx(25, abs=0.5)
    assert y[np.abs(x - 25).argmin()] / y[0] == pytest.approx(np.exp(0.5 * 1.5**2), rel=0.01)
    assert np.trapezoid(y, x) == pytest.approx(1.0)
    counted = [p for p in axes.patches if isinstance(p, Rectangle)]
    assert sum(p.get_height() * p.get_width() for p in counted) == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", figure_files.FORMATS)
def test_a_figure_is_written_and_repeats(tmp_path: Path, suffix: str) -> None:
    paths = [figure_files.save(figures.shift(4, 4, 0.25), tmp_path / f"{name}/shift{suffix}") for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(BadValue, match=r"a figure is a \.png, \.svg, \.pdf file"):
        figure_files.save(figures.shift(4, 4, 0.25), tmp_path / "a.jpeg")
