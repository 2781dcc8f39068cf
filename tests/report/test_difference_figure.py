"""Accuracy of each class under one model less that under another: numbers, bars, and the verb."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook.cli import build_app
from secondlook.errors import BadValue
from secondlook.evaluate.details import accuracy_difference, details
from secondlook.report import score_figures
from tests.audit import build

ITEM = pytest.mark.spec("srtg-mtnet-classreg-visualisation", "96")


def tables(
    count: int = 60, classes: int = 5, seed: int = 0
) -> tuple[dict[str, object], dict[str, np.ndarray], np.ndarray]:
    """Two models; class 0 has no video."""
    rng = np.random.default_rng(seed)
    logits, _ = build.random_models(rng, count, classes)
    given_N = rng.integers(1, classes, size=count)
    named = {f"toy:{k}": build.predictions(z, given_N, model=f"toy:{k}") for k, z in logits.items()}
    return dict(list(named.items())[:2]), {f"toy:{k}": z for k, z in logits.items()}, given_N


@ITEM
def test_differences_match_a_count_by_hand() -> None:
    both, logits, given_N = tables()
    rows = accuracy_difference(*details(both, top=(1,)))
    one, other = (logits[name] for name in both)
    expected = {}
    for k in range(1, 5):
        of_class = given_N == k
        right = [float((z[of_class].argmax(1) == k).mean()) for z in (one, other)]
        expected[k] = right[0] - right[1]
    assert {row["label"]: row["difference"] for row in rows} == pytest.approx(expected)
    values = [row["difference"] for row in rows]
    assert values == sorted(values, reverse=True)


def widths(bars: Sequence[object]) -> list[float]:
    return [p.get_width() for p in bars]


@ITEM
def test_bars_are_sorted_and_gains_and_losses_differ() -> None:
    figure = score_figures.accuracy_differences({"a": -0.2, "b": 0.5, "c": 0.0, "d": 0.1}, "with", "without")
    (axes,) = figure.axes
    assert widths(axes.patches) == pytest.approx([50, 10, 0, -20])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "d", "c", "a"]
    gain, loss = axes.patches[0], axes.patches[3]
    assert gain.get_facecolor() != loss.get_facecolor()
    assert gain.get_hatch() != loss.get_hatch()
    assert "2 better, 1 worse, 1 alike; mean +10.0 points" in figure.get_suptitle()
    with pytest.raises(BadValue, match="no class has videos"):
        score_figures.accuracy_differences({}, "with", "without")


@ITEM
def test_of_many_classes_both_ends_are_named() -> None:
    rng = np.random.default_rng(0)
    values = {f"class {i}": float(v) for i, v in enumerate(rng.normal(0, 0.1, 200))}
    every, above, below = score_figures.accuracy_differences(values, "with", "without").axes
    expected = sorted((100 * v for v in values.values()), reverse=True)
    assert widths(every.patches) == pytest.approx(expected)
    assert widths(above.patches) == pytest.approx(expected[:15])
    assert widths(below.patches) == pytest.approx(expected[-15:])


@ITEM
def test_the_verb(tmp_path: object) -> None:
    import pyarrow.parquet as pq

    both, _, _ = tables()
    paths = [tmp_path / f"{name.replace(':', '-')}.parquet" for name in both]
    for path, table in zip(paths, both.values(), strict=True):
        pq.write_table(table, path)
    command = ["figure", "differences", *map(str, paths), "-o", str(tmp_path / "d.png"), "--json"]
    said = CliRunner().invoke(build_app(), command, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    rows = accuracy_difference(*details(both, top=(1,)))
    assert [row["name"] for row in told["classes"]] == [row["name"] for row in rows]
    assert (tmp_path / "d.png").stat().st_size > 1000
