"""Gains of classes and groups against a slow twin."""

import numpy as np
import pytest
from scipy.stats import binomtest

from secondlook.evaluate.gains import gains
from secondlook.evaluate.scores import score
from tests.audit import build


@pytest.mark.spec("label-reassessment", "G7")
def test_gains_match_their_slow_twin():
    rng = np.random.default_rng(0)
    code_N = rng.integers(-1, 5, 400)
    original_N, real_N = rng.random(400) < 0.5, rng.random(400) < 0.6
    found = gains(code_N, list("abcdef"), original_N, real_N, resamples=3000)
    assert [row["name"] for row in found] == list("abcde"), "a class without videos has no row"
    for k, row in enumerate(found):
        own = code_N == k
        won, lost = int((own & real_N & ~original_N).sum()), int((own & original_N & ~real_N).sum())
        assert (row["n"], row["won"], row["lost"]) == (own.sum(), won, lost)
        assert (row["original"], row["real"]) == ((own & original_N).sum(), (own & real_N).sum())
        assert row["points"] == pytest.approx(100 * (real_N[own].mean() - original_N[own].mean()))
        assert row["resolved"] == pytest.approx((won - lost) / (own & ~original_N).sum())
        assert row["p"] == pytest.approx(binomtest(won, won + lost).pvalue)
        change = real_N[own].astype(int) - original_N[own]
        slow = [100 * rng.choice(change, len(change)).mean() for _ in range(3000)]
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=2.5)


def test_a_class_that_did_not_change_gains_nothing_for_certain():
    (row,) = gains(np.zeros(4, int), ["a"], np.ones(4, bool), np.ones(4, bool))
    assert (row["points"], row["low"], row["high"], row["resolved"], row["p"]) == (0, 0, 0, None, 1)


@pytest.mark.spec("label-reassessment", "G7")
def test_scores_hold_gains_by_class_and_group_and_their_test():
    """Class 0: two of four become right; class 2, of the same group, one of one becomes wrong."""
    given_N = [0, 0, 0, 0, 1, 2]
    predicted = [0, 1, 1, 2, 1, 2]
    models = {"a": build.predictions(np.eye(3)[predicted], given_N, labels=build.space(3, groups=2))}
    rows = {"v00001": (0, [0, 1]), "v00002": (0, [1]), "v00005": (2, [0])}
    found = score(models, build.labels(rows, 3, space_of=build.space(3, groups=2)), top_k=1, resamples=50)["models"][0]
    by_class = {row["name"]: row for row in found["gains"]["top1"]["per_class"]}
    assert (by_class["c0"]["points"], by_class["c0"]["resolved"]) == (50, pytest.approx(2 / 3))
    assert by_class["c2"]["points"] == -100
    (first, second) = found["gains"]["top1"]["per_group"]
    assert (first["name"], first["n"], first["won"], first["lost"]) == ("g0", 5, 2, 1)
    assert second["points"] == 0
    test = found["top1"]["gain_test"]
    assert (test["only_a"], test["only_b"], test["test"]) == (2, 1, "exact")
