"""The tables of the source from data that has its counts: Tables 4.6, 5.1, 5.2 and the histogram of set sizes."""

import numpy as np
import pytest

from secondlook.evaluate.co_occurrence import across_groups, co_occurrence
from secondlook.evaluate.gain_table import gain_table
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.real import approvals, set_sizes
from secondlook.evaluate.scores import score
from secondlook.evaluate.truth import recovery
from secondlook.labels import Label, LabelSpace
from tests.audit import build

N = 10_000
TABLE_5_2 = {"SlowFast": (60.25, 86.66, 72.21, 89.31), "TSM": (61.38, 87.04, 73.34, 89.83)}
GAINS = {"SlowFast": (11.96, 2.65), "TSM": (11.96, 2.79)}


def order_of(original1, original5, real1, real5):
    """The 5 best of 10,000 videos, given c0 and reassessed as {c0, c1}, that have these four accuracies in percent.

    In turn: c0 first; c1 first and c0 behind; c0 behind another; c1 behind another; neither.
    """
    o1, o5, r1, r5 = (round(x * N / 100) for x in (original1, original5, real1, real5))
    kinds = [
        ((0, 2, 3, 4, 5), o1),
        ((1, 0, 2, 3, 4), r1 - o1),
        ((2, 0, 3, 4, 5), o5 - r1),
        ((2, 3, 1, 4, 5), r5 - o5),
        ((2, 3, 4, 5, 6), N - r5),
    ]
    return [order for order, count in kinds for _ in range(count)]


@pytest.mark.spec("label-reassessment", "G7")
def test_table_5_2():
    given_N = [0] * N
    models = {
        name: build.predictions(build.ordered_logits(order_of(*rates), 8), given_N) for name, rates in TABLE_5_2.items()
    }
    reviewed = build.labels({i: (0, [0, 1]) for i in build.ids(N)}, 8)
    rows = gain_table(score(models, reviewed, resamples=400))
    assert [(r["model"], r["metric"]) for r in rows] == [(m, t) for m in TABLE_5_2 for t in ("top1", "top5")]
    for row in rows:
        original1, original5, real1, real5 = TABLE_5_2[row["model"]]
        top1 = row["metric"] == "top1"
        original, real = (original1, real1) if top1 else (original5, real5)
        assert row["original"]["count"] == round(original * 100)
        assert row["real"]["count"] == round(real * 100)
        assert row["original"]["n"] == row["real"]["n"] == N
        assert round(row["gain"]["points"], 2) == GAINS[row["model"]][0 if top1 else 1]
        assert row["gain"]["videos"] == row["real"]["count"] - row["original"]["count"]
        assert row["gain"]["low"] < row["gain"]["points"] < row["gain"]["high"]
        assert row["original"]["low"] < original / 100 < row["original"]["high"]


TABLE_5_1 = [
    ("Pouring something out of something", 25, "Pouring something into something", 21, "84.00"),
    ("Poking a hole into some substance", 11, "Poking a hole into something soft", 9, "81.82"),
    ("Letting something roll along a flat surface", 113, "Rolling something on a flat surface", 91, "80.53"),
    ("Throwing something onto a surface", 71, "Throwing something", 56, "78.87"),
    ("Lifting something up completely without letting it drop down", 46, "Picking something up", 36, "78.26"),
]


def table_5_1():
    names = [name for a, _, b, _, _ in TABLE_5_1 for name in (a, b)]
    groups = ["Pouring", "Pouring", "Poking", "Poking", "Rolling", "Rolling", "Throwing", "Throwing", "Lift", "Pick"]
    labels = LabelSpace(tuple(Label(n, g) for n, g in zip(names, groups, strict=True)))
    given, sets = [], []
    for row, (_, videos, _, together, _) in enumerate(TABLE_5_1):
        given += [2 * row] * videos
        sets += [[2 * row, 2 * row + 1]] * together + [[2 * row]] * (videos - together)
    pairs = [(i, k) for i, s in enumerate(sets) for k in s]
    row_P, label_P = np.array(pairs).T
    return np.array(given, np.int32), LabelSets.of_pairs(row_P, label_P.astype(np.int32), len(given), 10), labels


@pytest.mark.spec("label-reassessment", "G8")
def test_table_5_1():
    given_N, sets, labels = table_5_1()
    found = co_occurrence(given_N, sets, labels)
    shown = [(r["given_name"], r["videos"], r["with_name"], r["count"], f"{100 * r['share']:.2f}") for r in found]
    assert shown == TABLE_5_1
    assert [r["same_group"] for r in found] == [True, True, True, True, False]
    assert across_groups(found) == {"within": 21 + 9 + 91 + 56, "across": 36}
    assert [r["given_name"] for r in co_occurrence(given_N, sets, labels, min_videos=50)] == [
        TABLE_5_1[2][0],
        TABLE_5_1[3][0],
    ]


@pytest.mark.spec("label-reassessment", "G8")
def test_co_occurrence_has_a_direction_and_matches_its_slow_twin():
    rng = np.random.default_rng(0)
    given_N = rng.integers(5, size=200).astype(np.int32)
    sets = [{int(y)} | set(rng.integers(5, size=rng.integers(3)).tolist()) for y in given_N]
    sets[3] = set()
    pairs = np.array([(i, k) for i, s in enumerate(sets) for k in s])
    labels = build.space(5)
    found = co_occurrence(given_N, LabelSets.of_pairs(pairs[:, 0], pairs[:, 1].astype(np.int32), 200, 5), labels)
    share = {}
    for a in range(5):
        of_a = [s for y, s in zip(given_N, sets, strict=True) if y == a and s]
        for b in set(range(5)) - {a}:
            if count := sum(b in s for s in of_a):
                share[a, b] = (count, len(of_a), count / len(of_a))
    assert {(r["given"], r["with"]): (r["count"], r["videos"], r["share"]) for r in found} == share
    for r in found:
        assert r["reverse_share"] == share.get((r["with"], r["given"]), (0, 0, 0.0))[2]
        assert r["same_group"] is None
    assert [r["share"] for r in found] == sorted((r["share"] for r in found), reverse=True)


TABLE_4_6 = {(3, True): 4149, (3, False): 1282, (2, True): 2359, (2, False): 871, (1, True): 753, (1, False): 13}


@pytest.mark.spec("label-reassessment", "G4")
def test_table_4_6():
    """Where the given label was chosen, by turns only one approved answer chose it, or all of them did."""
    rows, approved, voted, votes = {}, [], [], []
    for (count, yes), videos in TABLE_4_6.items():
        for i in range(videos):
            rows[f"{count} {yes} {i}"] = (4, [4])
            approved.append(count)
            voted.append([1, 4] if yes else [1])
            votes.append([1, count if i % 2 else 1] if yes else [count])
    found = {r["approved"]: r for r in approvals(build.labels(rows, 6, approved=approved, voted=voted, votes=votes))}
    assert list(found) == [3, 2, 1]
    for count, row in found.items():
        assert row["any"] == {"yes": TABLE_4_6[count, True], "no": TABLE_4_6[count, False]}
        yes = TABLE_4_6[count, True]
        assert row["all"]["yes"] == (yes if count == 1 else yes // 2)
        assert sum(row["all"].values()) == sum(row["any"].values()) == row["videos"]
    assert sum(r["videos"] for r in found.values()) == 9427
    assert sum(r["any"]["yes"] for r in found.values()) == 7261


def test_approvals_of_failed_videos():
    (row,) = approvals(build.labels({"x": (1, [1])}, 3, approved=[0], voted=[[]], votes=[[]]))
    assert row == {"approved": 0, "videos": 1, "any": {"yes": 0, "no": 1}, "all": {"yes": 0, "no": 1}}


@pytest.mark.spec("label-reassessment", "G9")
def test_set_sizes():
    size_N = [1] * 5 + [2] * 3 + [8] + [0, 0]
    pairs = np.array([(i, k) for i, size in enumerate(size_N) for k in range(size)])
    sets = LabelSets.of_pairs(pairs[:, 0], pairs[:, 1].astype(np.int32), len(size_N), 9)
    found = set_sizes(sets)
    assert found["histogram"] == {"0": 2, "1": 5, "2": 3, "8": 1}
    assert found["max"] == 8
    assert found["mean"] == pytest.approx((5 + 6 + 8) / 9)


def test_recovery_by_hand():
    """R = {0}, {0,1}, {}, {2}; T = {0}, {0}, {1}, {1,2,3}."""
    ours = LabelSets.of_pairs(np.array([0, 1, 1, 3]), np.array([0, 0, 1, 2], np.int32), 4, 4)
    true = LabelSets.of_pairs(np.array([0, 1, 2, 3, 3, 3]), np.array([0, 0, 1, 1, 2, 3], np.int32), 4, 4)
    found = recovery(ours, true)
    assert (found["right"], found["labels"], found["true_labels"]) == (3, 4, 6)
    assert (found["precision"], found["recall"]) == (0.75, 0.5)
    assert found["jaccard"] == pytest.approx((1 + 1 / 2 + 0 + 1 / 3) / 4)
    assert found["exact"] == 0.25
    none = recovery(ours.take(np.array([], int)), true.take(np.array([], int)))
    assert (none["precision"], none["recall"], none["jaccard"], none["exact"]) == (None, None, None, None)
