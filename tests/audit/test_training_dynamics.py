"""Training dynamics: each measure against its slow twin, and runs that have none."""

import math
from itertools import pairwise

import numpy as np
import pytest

from secondlook.audit._dynamics import read_dynamics
from secondlook.audit.training_dynamics import find
from secondlook.errors import BadValue, MissingFile
from tests.audit import build
from tests.audit.planted import write_dynamics

COUNT, EPOCHS = 40, 7


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    rng = np.random.default_rng(0)
    p_EN, margin_EN = rng.random((EPOCHS, COUNT)), rng.normal(size=(EPOCHS, COUNT)) * 3
    correct_EN = rng.random((EPOCHS, COUNT)) < np.linspace(0, 1, COUNT)
    run = tmp_path_factory.mktemp("run")
    write_dynamics(run / "dynamics.parquet", p_EN, margin_EN, correct_EN)
    return run, p_EN.T.tolist(), margin_EN.T.tolist(), correct_EN.T.tolist()


def forgotten(correct):
    return sum(before and not after for before, after in pairwise(correct))


def test_numbers_of_each_video_match_their_slow_twin(recorded):
    run, p, margin, correct = recorded
    names = [*build.ids(COUNT)[::-1], "never seen"]
    found = read_dynamics(run, names)
    for at, name in enumerate(names[:-1]):
        i = int(name[1:])
        mean = sum(p[i]) / EPOCHS
        assert found.confidence_N[at] == pytest.approx(mean, abs=1e-6)
        assert found.variability_N[at] == pytest.approx(
            math.sqrt(sum((x - mean) ** 2 for x in p[i]) / EPOCHS), abs=1e-6
        )
        assert found.correctness_N[at] == pytest.approx(sum(correct[i]) / EPOCHS)
        assert found.forgetting_N[at] == forgotten(correct[i])
        assert found.margin_N[at] == pytest.approx(sum(margin[i]) / EPOCHS, abs=1e-5)
    assert found.epochs_N.tolist() == [EPOCHS] * COUNT + [0]


@pytest.mark.parametrize("measure", ["aum", "confidence", "correctness", "variability", "forgetting"])
def test_candidates_match_their_slow_twin(measure, recorded):
    run, p, margin, correct = recorded
    table = build.predictions(np.zeros((COUNT, 3)), [i % 3 for i in range(COUNT)])
    expected = {}
    for i in range(COUNT):
        mean = sum(p[i]) / EPOCHS
        value = {
            "aum": 1 / (1 + math.exp(sum(margin[i]) / EPOCHS)),
            "confidence": 1 - mean,
            "correctness": 1 - sum(correct[i]) / EPOCHS,
            "variability": 2 * math.sqrt(sum((x - mean) ** 2 for x in p[i]) / EPOCHS),
            "forgetting": forgotten(correct[i]) / (EPOCHS // 2) if any(correct[i]) else 1,
        }[measure]
        if value >= 0.4:
            expected[f"v{i:05d}"] = value
    rows = find(None, [table], run=run, measure=measure, min_suspicion=0.4).to_pylist()
    assert {r["video_id"]: r["suspicion"] for r in rows} == pytest.approx(expected, abs=1e-5)
    assert all(f"over {EPOCHS} epochs the given 'c{r['given_label']}'" in r["reason"] for r in rows)


def test_a_run_without_them_says_how_to_get_them(tmp_path):
    table = build.predictions(np.zeros((4, 3)), [0, 1, 2, 0])
    with pytest.raises(MissingFile, match="--record-dynamics"):
        find(None, [table], run=tmp_path)
    (tmp_path / "dynamics.parquet").write_text("no table")
    with pytest.raises(BadValue, match="no record of a training's dynamics"):
        find(None, [table], run=tmp_path)
    build.save(table, tmp_path / "p.parquet")
    with pytest.raises(BadValue, match="no record of a training's dynamics"):
        find(None, [table], run=tmp_path / "p.parquet")
    other = write_dynamics(tmp_path / "o.parquet", [[0.5]], [[0.0]], [[1]], ["x"])
    with pytest.raises(BadValue, match="was not trained on any of these videos"):
        find(None, [table], run=other)
