"""Directions and kinds of co-occurrence, and whether likeness of labels goes with them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.evaluate.co_occurrence import co_occurrence, heat
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.likeness import correlation, cosines, symmetric_rate
from secondlook.evaluate.patterns import by_relation, typed
from secondlook.evaluate.scores import score
from secondlook.labels import Label, LabelSpace
from tests.audit import build

NAMES = ("Throwing something", "Throwing something onto a surface", "Picking something up", "Moving something up")
SPACE = LabelSpace(tuple(Label(n, g) for n, g in zip(NAMES, ("throw", "throw", "pick", "move"), strict=True)))


def pairs():
    """60 thrown onto a surface, of which 48 were also called thrown; 60 thrown, of which 6 onto a surface; ..."""
    given = [1] * 60 + [0] * 60 + [2] * 20 + [3] * 20
    sets = (
        [{1, 0}] * 48 + [{1}] * 12 + [{0, 1}] * 6 + [{0}] * 54 + [{2, 3}] * 5 + [{2}] * 15 + [{3, 2}] * 6 + [{3}] * 14
    )
    flat = np.array([(i, k) for i, s in enumerate(sets) for k in s])
    of = LabelSets.of_pairs(flat[:, 0], flat[:, 1].astype(np.int32), len(given), 4)
    return co_occurrence(np.array(given, np.int32), of, SPACE)


@pytest.mark.spec("label-reassessment", "G8")
def test_the_direction_names_the_parent():
    """48 of 60 one way, 6 of 60 the other: "throwing" is the wider label. 5 of 20 against 6 of 20 says nothing."""
    found = {(r["given"], r["with"]): r for r in typed(pairs())}
    assert (found[1, 0]["share"], found[1, 0]["reverse_share"]) == (0.8, 0.1)
    assert found[1, 0]["parent"] == "with"
    assert found[0, 1]["parent"] == "given"
    assert found[1, 0]["parent_by_words"] == "with"
    assert found[2, 3]["parent"] == found[3, 2]["parent"] == ""
    assert found[1, 0]["relation"] == "parent"


@pytest.mark.spec("label-reassessment", "G8")
def test_relations_are_counted_within_and_across_groups():
    rows = {row["relation"]: row for row in by_relation(typed(pairs()))}
    assert (rows["parent"]["labels"], rows["parent"]["within"], rows["parent"]["across"]) == (54, 54, 0)
    assert sum(row["labels"] for row in rows.values()) == 54 + 11
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert "(48 of 60)" in rows["parent"]["example"]
    assert next(iter(rows)) == "parent"


def test_heat_holds_the_labels_that_take_part():
    found = heat(pairs(), SPACE, most=2)
    assert found["labels"] == list(NAMES[:2])
    assert found["share"] == [[0, 0.1], [0.8, 0]]
    assert heat([], SPACE) == {"labels": [], "share": []}


def vectors(seed=0, names=tuple(f"c{k}" for k in range(8))):
    rows = np.random.default_rng(seed).normal(size=(len(names), 3))
    table = [
        {"index": k, "label": name, "vector": row.tolist()}
        for k, (name, row) in enumerate(zip(names, rows, strict=True))
    ]
    return tables.conform(tables.LABEL_VECTORS, table), rows


def test_cosines_by_hand_and_other_labels_are_refused():
    table, rows = vectors()
    found = cosines(table, build.space(8))
    for i in range(8):
        for j in range(8):
            slow = rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
            assert found[i, j] == pytest.approx(slow, abs=1e-5)
    assert np.allclose(cosines(table.take([3, 1, 0, 2, 4, 7, 6, 5]), build.space(8)), found)
    with pytest.raises(BadValue, match="not those of the 9 labels"):
        cosines(table, build.space(9))


def test_rank_correlation_is_spearmans_and_its_interval_holds_it():
    rng = np.random.default_rng(1)
    cosine_KK = np.corrcoef(rng.normal(size=(30, 4)))
    noise = rng.normal(size=(30, 30)) * 0.3
    rate_KK = cosine_KK + noise + noise.T
    rate_KK[3, :] = rate_KK[:, 3] = np.nan
    i, j = np.triu_indices(30, 1)
    known = np.isfinite(rate_KK[i, j])
    found = correlation(cosine_KK, rate_KK, resamples=300)
    assert found["rho"] == pytest.approx(spearmanr(cosine_KK[i, j][known], rate_KK[i, j][known]).statistic)
    assert found["low"] < found["rho"] < found["high"]
    assert found["low"] > 0, "made to go together"
    assert found["pairs"] == known.sum() == 29 * 28 / 2
    nothing = rng.normal(size=(30, 30))
    unrelated = correlation(cosine_KK, nothing + nothing.T, resamples=300)
    assert unrelated["low"] < 0 < unrelated["high"]
    assert correlation(cosine_KK, np.ones((30, 30)))["rho"] is None


def test_rates_of_both_directions_are_averaged():
    counts = np.array([[0, 4, 0], [1, 0, 0], [0, 0, 0]])
    found = symmetric_rate(counts, np.array([8, 10, 0]))
    assert found[0, 1] == found[1, 0] == pytest.approx((4 / 8 + 1 / 10) / 2)
    assert found[0, 2] == 0, "only the first has videos"
    assert np.isnan(found[2, 2])


def test_scores_tell_whether_likeness_goes_with_confusion():
    """A model that takes each class for the most similar one."""
    from secondlook.audit import align
    from secondlook.evaluate.scores import score_aligned

    table, rows = vectors(2)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    given_N = np.repeat(np.arange(8), 20)
    logits_NK = (unit @ unit.T)[given_N] * 3 + np.random.default_rng(0).normal(size=(160, 8))
    models = {"a": build.predictions(logits_NK, given_N)}
    found = score_aligned(align(models), vectors=table, resamples=10)["likeness"]
    assert found["confusion"]["a"]["rho"] > 0.5
    assert found["co_occurrence"] is None
    assert score(models, resamples=10)["likeness"] is None
