"""Agreement of answers of several labels: alpha, kappa by label, workers; slow twins and cases by hand."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.annotate.answers import count
from secondlook.annotate.simulate import Crowd
from secondlook.errors import BadValue
from secondlook.reassess import _alpha
from secondlook.reassess._agreement import cohen_kappa, fleiss_kappa, report, words
from secondlook.reassess._bootstrap import Resamples
from tests.reassess.campaigns import campaign

Sets = list[list[frozenset[int]]]


def table(videos: Sets, options: str = "", verdict: str = "approved") -> pd.DataFrame:
    rows = [
        {"task": f"v{v}", "worker": f"w{j}", "label": label, "verdict": verdict, "no_match": not labels}
        for v, sets in enumerate(videos)
        for j, labels in enumerate(sets)
        for label in (labels or {-1})
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(options=options) if options else frame


def masi(a: frozenset[int], b: frozenset[int]) -> float:
    if a == b:
        return 0.0
    m = 2 / 3 if a <= b or b <= a else 1 / 3 if a & b else 0.0
    return 1 - m * len(a & b) / len(a | b)


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    return 1 - len(a & b) / len(a | b) if a | b else 0.0


def slow_alpha(videos: Sets, distance) -> float:  # type: ignore[no-untyped-def]
    units = [sets for sets in videos if len(sets) > 1]
    values = [s for sets in units for s in sets]
    n = len(values)
    observed = sum(distance(a, b) / (len(u) - 1) for u in units for a, b in permutations(u, 2)) / n
    expected = sum(distance(a, b) for a, b in permutations(values, 2)) / (n * (n - 1))
    return 1 - observed / expected if expected else float("nan")


SETS = st.lists(st.lists(st.frozensets(st.integers(0, 3)), min_size=1, max_size=4), min_size=1, max_size=5)


@pytest.mark.spec("label-reassessment", "G11")
@settings(deadline=None, max_examples=80)
@given(SETS)
def test_alpha_agrees_with_the_slow_twin(videos: Sets) -> None:
    if any(len(sets) > 1 for sets in videos):
        votes = count(table(videos))
        draws = Resamples.draw(len(videos), 0, 0)
        found = _alpha.alphas(votes, np.ones(len(votes.task_A), np.bool_), draws)
        for name, distance in (("masi", masi), ("jaccard", jaccard), ("nominal", lambda a, b: float(a != b))):
            expected = slow_alpha(videos, distance)
            assert found[name][0] == pytest.approx(expected, nan_ok=True)  # type: ignore[index]


def test_alpha_of_the_textbook() -> None:
    """Krippendorff's own nominal example: 4 observers, 12 units, some missing: 0.743."""
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    grid = [[o[i] for o in observers if o[i] != "."] for i in range(12)]
    videos = [[frozenset({int(x)}) for x in unit] for unit in grid if unit]
    votes = count(table(videos))
    found = _alpha.alphas(votes, np.ones(len(votes.task_A), np.bool_), Resamples.draw(len(videos), 0, 0))
    assert found["nominal"][0] == pytest.approx(0.743, abs=5e-4)
    assert found["nominal"][0] == pytest.approx(found["jaccard"][0]), "of single labels all distances are nominal"


def test_the_first_order_interval_is_near_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, _ = campaign(Crowd(workers=12, spam=0.2))
    exact = report(answers, resamples=100)["alpha"]["masi"]
    monkeypatch.setattr(_alpha, "EXACT", 0)
    assert report(answers, resamples=100)["alpha"]["masi"] == pytest.approx(exact, abs=0.01)


@pytest.mark.spec("label-reassessment", "G11")
def test_kappa_by_label_by_hand() -> None:
    """Two people, ten videos, labels 0 and 1 shown; of label 0 they agree on 4 yes and 3 no."""
    pairs = [({0}, {0})] * 4 + [(set(), set())] * 3 + [({0}, set())] * 2 + [(set(), {0})]
    videos = [[frozenset(a), frozenset(b)] for a, b in pairs]
    found = report(table(videos, options="0 1"), resamples=0)
    (first, second) = found["labels"]
    assert (first["label"], first["questions"]) == (0, 10)
    assert first["observed"]["value"] == pytest.approx(0.7)
    assert first["pabak"]["value"] == pytest.approx(0.4)
    assert first["prevalence"]["value"] == pytest.approx(0.55)
    chance = 0.55**2 + 0.45**2
    assert first["kappa"]["value"] == pytest.approx((0.7 - chance) / (1 - chance))
    chance = 0.6 * 0.5 + 0.4 * 0.5
    assert first["cohen"]["value"] == pytest.approx((0.7 - chance) / (1 - chance))
    assert second["kappa"]["value"] is None, "nobody ever chose it: kappa is not defined"
    assert second["pabak"]["value"] == 1.0
    assert found["mean_over_labels"]["kappa"]["value"] == first["kappa"]["value"]


def test_workers_against_the_others_by_hand() -> None:
    videos = [[frozenset({0}), frozenset({0}), frozenset({0, 1})], [frozenset({2}), frozenset({0}), frozenset({0})]]
    frame = table(videos, options="0 1 2")
    frame.loc[(frame["task"] == "v1") & (frame["worker"] == "w0"), "verdict"] = "rejected"
    found = report(frame, resamples=0)
    rows = {row["worker"]: row for row in found["workers"]}
    # Against more than half of the other two, which is both: w0 {0}/{0}, {2}/{0}; w2 {0,1}/{0}, {0}/{}.
    assert rows["w0"]["consensus"]["value"] == pytest.approx((1 + 0) / 2)
    assert rows["w2"]["consensus"]["value"] == pytest.approx((1 / 2 + 0) / 2)
    assert rows["w0"]["reviewer"]["value"] == pytest.approx(1 / 2)
    assert found["all_workers"]["reviewer"]["value"] == pytest.approx(5 / 6)
    assert found["all_workers"]["reviewer_consensus"]["rejected"]["value"] == 0


@pytest.mark.spec("label-reassessment", "G11")
def test_plain_kappa_is_refused_and_the_report_says_why() -> None:
    answers, _ = campaign(Crowd(workers=10))
    for kappa in (cohen_kappa, fleiss_kappa):
        with pytest.raises(BadValue, match=r"assumes exactly one for each rater and item.*Krippendorff"):
            kappa(answers)
    found = report(answers, resamples=20)
    assert "assumes exactly one" in found["kappa"]["cohen"]["refused"]
    said = "\n".join(words(found))
    assert "Krippendorff's alpha" in said
    assert "refused" in said
    json.dumps(found)


def test_cohen_where_it_is_defined() -> None:
    first, second = [0, 0, 1, 1, 2, 2, 2, 0], [0, 1, 1, 1, 2, 2, 0, 0]
    frame = table([[frozenset({a}), frozenset({b})] for a, b in zip(first, second, strict=True)])
    from sklearn.metrics import cohen_kappa_score

    assert cohen_kappa(frame) == pytest.approx(cohen_kappa_score(first, second))
    assert report(frame, resamples=0)["kappa"]["cohen"]["value"] == pytest.approx(cohen_kappa(frame))
    with pytest.raises(BadValue, match="exactly two people"):
        cohen_kappa(table([[frozenset({0})] * 3]))
    with pytest.raises(BadValue, match="same videos"):
        cohen_kappa(table([[frozenset({0})] * 2, [frozenset({0})]]))


def test_intervals_hold_the_value_and_repeat() -> None:
    answers, _ = campaign(Crowd(workers=10, spam=0.2))
    found, again, other = (report(answers, resamples=60, seed=seed) for seed in (1, 1, 2))
    assert found == again != other
    numbers = [*found["alpha"].values(), found["mean_jaccard"], *found["mean_over_labels"].values()]
    numbers += [row[name] for row in found["workers"] for name in ("consensus", "reviewer")]
    for of in numbers:
        if of["value"] is not None:
            assert of["low"] <= of["value"] + 1e-9
            assert of["value"] <= of["high"] + 1e-9


def test_better_people_agree_more() -> None:
    good, bad = (report(campaign(Crowd(workers=10, spam=s))[0], resamples=0) for s in (0.0, 0.5))
    for name in ("masi", "jaccard", "nominal"):
        assert good["alpha"][name]["value"] > bad["alpha"][name]["value"] + 0.1
    assert good["mean_over_labels"]["kappa"]["value"] > bad["mean_over_labels"]["kappa"]["value"] + 0.1


def test_nothing_to_agree_on() -> None:
    with pytest.raises(BadValue, match="no video has two answers"):
        report(table([[frozenset({1})], [frozenset({2})]]))
    with pytest.raises(BadValue, match="level"):
        report(table([[frozenset({1})] * 2]), level=1.0)


def test_of_many_videos_some_are_drawn_and_it_says_so() -> None:
    answers, _ = campaign(Crowd(workers=10))
    whole, drawn = report(answers, resamples=0), report(answers, resamples=0, most=40)
    assert (whole["drawn_from"], drawn["videos"], drawn["drawn_from"]) == (0, 40, whole["videos"])
    assert abs(whole["mean_jaccard"]["value"] - drawn["mean_jaccard"]["value"]) < 0.2
    assert f"drawn at random from {whole['videos']}" in "\n".join(words(drawn))
    assert "drawn at random" not in "\n".join(words(whole))
