"""Top-k accuracy, per class, per group and the confusion matrix against plain Python and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from secondlook.evaluate import confusion
from secondlook.evaluate.accuracy import hits, per_class, per_group
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.scores import score
from tests.audit import build


def slow_accuracy(logits_NK, given_N, k):
    right = 0
    for row, y in zip(logits_NK.tolist(), given_N, strict=True):
        right += y in sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
    return right


@pytest.mark.spec("label-reassessment", "I7")
def test_three_of_five_is_sixty_percent():
    scores = score({"a": build.predictions(np.eye(6)[[0, 1, 2, 4, 3]], [0, 1, 2, 3, 4])}, top_k=2, resamples=10)
    assert scores["models"][0]["top1"]["original"]["rate"] == pytest.approx(0.6)
    assert scores["models"][0]["top1"]["original"]["count"] == 3


@pytest.mark.spec("label-reassessment", "I7")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_matches_its_slow_twin_and_scikit_learn(k):
    logits, given_N = build.random_models(np.random.default_rng(k), 700, 11, 1)
    found = build.aligned(logits, given_N, top_k=k)
    right = hits(found.rankings[0].top_NK, LabelSets.single(found.given_N, 11), k).sum()
    assert right == slow_accuracy(logits["a"], given_N, k)
    assert right == top_k_accuracy_score(given_N, logits["a"], k=k, labels=range(11), normalize=False)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "77")
@pytest.mark.parametrize(("count", "classes"), [(1, 1), (1, 3), (2, 2), (3, 4), (4, 12), (4, 4), (200, 3)])
def test_top_one_and_top_five_with_fewer_than_five_videos_or_classes(count, classes):
    logits, given_N = build.random_models(np.random.default_rng(count), count, classes, 1)
    scores = score({"a": build.predictions(logits["a"], given_N)}, top_k=5, resamples=20)
    k = min(5, classes)
    assert scores["top_k"] == k
    assert scores["metrics"] == list({"top1": 0, f"top{k}": 0})
    (model,) = scores["models"]
    assert model["top1"]["original"]["count"] == slow_accuracy(logits["a"], given_N, 1)
    assert model[f"top{k}"]["original"]["count"] == slow_accuracy(logits["a"], given_N, k)
    if classes <= 5:
        assert model[f"top{k}"]["original"]["rate"] == 1.0
    assert bool(scores["notes"]) == (classes < 5)


def test_per_class_and_per_group_match_their_slow_twins():
    logits, given_N = build.random_models(np.random.default_rng(2), 300, 7, 1)
    labels = build.space(7, groups=3)
    found = build.aligned(logits, given_N, labels=labels)
    predicted_N = found.rankings[0].predicted_N
    right_N = predicted_N == found.given_N
    for row in per_class(found.given_N, labels, {"top1": right_N}):
        of_class = [i for i in range(300) if given_N[i] == row["label"]]
        assert (row["n"], row["top1"]) == (len(of_class), sum(predicted_N[i] == given_N[i] for i in of_class))
        assert row["name"] == f"c{row['label']}"
    groups = per_group(found.given_N, predicted_N, labels, {"top1": right_N})
    assert [g["group"] for g in groups] == ["g0", "g1", "g2"]
    for code, row in enumerate(groups):
        of_group = [i for i in range(300) if given_N[i] % 3 == code]
        assert row["n"] == len(of_group)
        assert row["top1"] == sum(predicted_N[i] == given_N[i] for i in of_group)
        assert row["group_hit"] == sum(predicted_N[i] % 3 == code for i in of_group)
    assert per_group(found.given_N, predicted_N, build.space(7), {}) == []


def test_confusion_matches_its_slow_twin_and_keeps_unseen_classes():
    rng = np.random.default_rng(4)
    given_N, predicted_N = (rng.integers(4, size=90).astype(np.int32) for _ in range(2))
    counts = confusion.counts(given_N, predicted_N, 6)
    slow = [[0] * 6 for _ in range(6)]
    for y, k in zip(given_N.tolist(), predicted_N.tolist(), strict=True):
        slow[y][k] += 1
    assert counts.tolist() == slow
    shares = confusion.by_row(counts)
    assert shares[:4].sum(axis=1) == pytest.approx(np.ones(4))
    assert (shares[4:] == 0).all()
