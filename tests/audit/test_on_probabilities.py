"""Signals on the models' probabilities alone, each against its slow twin."""

import math

import numpy as np
import pytest

from secondlook.audit import confident_disagreement, low_margin
from secondlook.audit.label_closeness import find as find_close
from secondlook.errors import BadValue
from tests.audit import build
from tests.audit.planted import label_vectors

CLASSES = 7


def softmax(row):
    powers = [math.exp(x) for x in row]
    return [p / sum(powers) for p in powers]


def models(count=150, models=3, seed=0):
    """Predictions, and p[model][video][class] in plain Python."""
    logits, given_N = build.random_models(np.random.default_rng(seed), count, CLASSES, models)
    logits = {n: 2 * x for n, x in logits.items()}
    tables = {n: build.predictions(x, given_N, model=f"toy:{n}") for n, x in logits.items()}
    return tables, [[softmax(map(float, row)) for row in x] for x in logits.values()], given_N.tolist()


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
@pytest.mark.parametrize(("agreement", "confidence"), [(1.0, 0.5), (0.6, 0.2), (0.0, 0.0)])
def test_confident_disagreement_matches_its_slow_twin(mean, agreement, confidence):
    predictions, p, given = models()
    expected = {}
    for i, y in enumerate(given):
        best = (0.0, 0, 0.0, 0.0)
        for c in range(CLASSES):
            if c != y:
                a = sum(max(range(CLASSES), key=lambda k, r=m[i]: (r[k], -k)) == c for m in p) / len(p)
                values = [m[i][c] for m in p]
                g = math.prod(values) ** (1 / len(p)) if mean == "geometric" else sum(values) / len(p)
                best = max(best, (2 * a * g / (a + g), c, a, g))
        if best[0] > 0 and best[2] >= agreement - 1e-9 and best[3] >= confidence:
            expected[f"v{i:05d}"] = best
    rows = confident_disagreement.find(
        None, predictions, mean=mean, min_agreement=agreement, min_confidence=confidence, top_k=1
    ).to_pylist()
    assert {r["video_id"] for r in rows} == set(expected)
    for r in rows:
        suspicion, c, a, g = expected[r["video_id"]]
        assert r["suspicion"] == pytest.approx(suspicion, abs=1e-5)
        assert c in r["options"]
        assert r["reason"].startswith(f"{round(3 * a)} of 3 models say 'c{c}', together with {100 * g:.0f} %")


def test_disagreement_ends():
    sure = 50.0 * np.eye(3)
    both = {"a": build.predictions(sure, [1, 1, 2]), "b": build.predictions(sure[[0, 2, 2]], [1, 1, 2])}
    rows = confident_disagreement.find(None, both).to_pylist()
    assert [(r["video_id"], round(r["suspicion"], 5)) for r in rows] == [("v00000", 1.0)]
    for name in ("min_agreement", "min_confidence"):
        with pytest.raises(BadValue, match=rf"{name} must lie in \[0, 1\]"):
            confident_disagreement.find(None, both, **{name: 1.5})


@pytest.mark.parametrize("count", [1, 3])
def test_low_margin_matches_its_slow_twin(count):
    predictions, p, given = models(models=count)
    expected = {}
    for i in range(len(given)):
        mean = [sum(m[i][k] for m in p) / len(p) for k in range(CLASSES)]
        first, second = sorted(mean, reverse=True)[:2]
        if first - second <= 0.2:
            expected[f"v{i:05d}"] = (1 - (first - second), {mean.index(first), mean.index(second)})
    rows = low_margin.find(None, predictions, max_margin=0.2, top_k=1).to_pylist()
    assert {r["video_id"] for r in rows} == set(expected)
    for r in rows:
        suspicion, both = expected[r["video_id"]]
        assert r["suspicion"] == pytest.approx(suspicion, abs=1e-5)
        assert both <= set(r["options"])
    with pytest.raises(BadValue, match="max_margin"):
        low_margin.find(None, predictions, max_margin=-0.1)


def test_label_closeness_matches_its_slow_twin():
    predictions, p, given = models()
    vector_KD = np.random.default_rng(3).normal(size=(CLASSES, 4))
    expected = {}
    for i, y in enumerate(given):
        scores = []
        for c in range(CLASSES):
            a, b = vector_KD[y].tolist(), vector_KD[c].tolist()
            cosine = sum(s * t for s, t in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
            scores.append(0.0 if c == y else max(cosine, 0) * sum(m[i][c] for m in p) / len(p))
        if max(scores) >= 0.1:
            expected[f"v{i:05d}"] = (max(scores), scores.index(max(scores)))
    rows = find_close(None, predictions, vectors=label_vectors(vector_KD), min_suspicion=0.1, top_k=1).to_pylist()
    assert {r["video_id"] for r in rows} == set(expected)
    for r in rows:
        suspicion, c = expected[r["video_id"]]
        assert r["suspicion"] == pytest.approx(suspicion, abs=1e-5)
        assert c in r["options"]
        assert f"'c{c}' (" in r["reason"]
        assert "the label's language may be the problem" in r["reason"]


def test_vectors_are_matched_by_the_names_of_the_labels():
    predictions, _, _ = models(20)
    vector_KD = np.random.default_rng(3).normal(size=(CLASSES, 4))
    one = find_close(None, predictions, vectors=label_vectors(vector_KD))
    more = find_close(None, predictions, vectors=label_vectors(np.vstack([vector_KD, vector_KD[:2]])))
    assert one.equals(more)
    with pytest.raises(BadValue, match="no vector in the table"):
        find_close(None, predictions, vectors=label_vectors(vector_KD[:-1]))
