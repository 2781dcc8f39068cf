"""The picture of multigrid: four panels whose numbers are those of the schedule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.patches import Rectangle
from PIL import Image
from typer.testing import CliRunner

from secondlook import cli, figure_files
from secondlook.report import schedule_figures


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "87")
def test_four_panels_show_clips_and_shape_of_each_step(tmp_path: Path) -> None:
    drawn = schedule_figures.multigrid(32, 16, 224, 224)
    assert [axes.get_title(loc="left")[:3] for axes in drawn.axes] == ["(a)", "(b)", "(c)", "(d)"]
    words = [[text.get_text() for text in axes.texts] for axes in drawn.axes]
    steps = [list(zip(panel[::2], panel[1::2], strict=True)) for panel in words]
    assert steps[0] == [("32", "16x224")] * 12
    assert steps[1][::3] == [("256", "4x158"), ("128", "8x158"), ("64", "8x224"), ("32", "16x224")]
    assert steps[2] == [("128", "16x112"), ("64", "16x158"), ("32", "16x224")] * 4
    assert steps[3][:4] == [("1024", "4x79"), ("512", "4x112"), ("256", "4x158"), ("512", "8x79")]
    bars = [patch for patch in drawn.axes[3].patches if isinstance(patch, Rectangle) and patch.get_y() < -1]
    heights = [bar.get_height() for bar in bars]
    assert heights == sorted(heights, reverse=True) or heights[0] == max(heights)
    assert heights[3] == pytest.approx(heights[1])  # as many clips
    Image.open(figure_files.save(drawn, tmp_path / "multigrid.png")).verify()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "87")
def test_the_verb_writes_it(tmp_path: Path) -> None:
    said = CliRunner().invoke(
        cli.build_app(),
        ["figure", "multigrid", "-o", str(tmp_path / "m.svg"), "--clips", "8", "--frames", "8", "--json"],
        catch_exceptions=False,
    )
    told = json.loads(said.stdout)
    assert [shape["clips"] for shape in told["both"][0]] == [256, 128, 64]
    assert "long cycle" in (tmp_path / "m.svg").read_text()
