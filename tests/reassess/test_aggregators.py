"""Rules that weigh people by how well they answer: slow twins, planted truth, workers found out.

A folder with crowd-kit in it, named by CROWDKIT, is compared with, too.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secondlook import catalog, tables
from secondlook.annotate.answers import count
from secondlook.annotate.simulate import Crowd
from secondlook.errors import BadValue, UnknownName
from secondlook.reassess import dawid_skene, glad, mace, majority, worker_weighted
from secondlook.reassess._questions import ask
from secondlook.reassess._recovered import recovered
from secondlook.reassess._sets import Reassessed
from tests.reassess import slow_aggregators as slow
from tests.reassess.campaigns import ask_about, campaign

WEIGHING = [dawid_skene, glad, mace, worker_weighted]
MIXED = Crowd(workers=9, spam=0.33, sloppy=0.2, adversaries=0.1)


def probable(result: Reassessed) -> dict[tuple[str, int], float]:
    assert result.probabilities is not None
    return {(r["video_id"], r["label"]): r["probability"] for r in result.probabilities.to_pylist()}


def quality(result: Reassessed, column: str = "quality") -> dict[str, float]:
    return {w["worker"]: w[column] for w in result.workers.to_pylist()}


def test_dawid_skene_agrees_with_the_slow_twin() -> None:
    answers, _ = campaign(MIXED, videos=25)
    result = dawid_skene.fit(answers, iterations=7, tolerance=0, smoothing=0.3)
    expected, confusion = slow.dawid_skene(slow.replies(answers.to_pylist(), True), 7, 0.3)
    assert probable(result) == pytest.approx(expected)
    sensitivity = {w: of[1][1] + of[1][2] for w, of in confusion.items()}
    false_picks = {w: of[0][1] + of[0][2] for w, of in confusion.items()}
    assert {w: v for w, v in quality(result, "sensitivity").items() if v is not None} == pytest.approx(sensitivity)
    assert {w: v for w, v in quality(result, "false_picks").items() if v is not None} == pytest.approx(false_picks)


@pytest.mark.parametrize("method", ["variational", "em"])
def test_mace_agrees_with_the_slow_twin(method: str) -> None:
    answers, _ = campaign(MIXED, videos=25)
    result = mace.fit(answers, method=method, iterations=6, tolerance=0)
    expected = slow.mace(slow.replies(answers.to_pylist(), False), 6, method == "variational", 0.5, 0.5, 0.1)
    assert probable(result) == pytest.approx(expected)


def test_glad_agrees_with_the_slow_twin() -> None:
    answers, _ = campaign(MIXED, videos=25)
    result = glad.fit(answers, iterations=6, tolerance=0)
    expected, ability = slow.glad(slow.replies(answers.to_pylist(), False), 6)
    assert probable(result) == pytest.approx(expected)
    assert {w: v for w, v in quality(result, "ability").items() if v is not None} == pytest.approx(ability)


def test_wawa_agrees_with_the_slow_twin() -> None:
    answers, _ = campaign(MIXED, videos=25)
    result = worker_weighted.fit(answers, weight="agreement", iterations=1)
    expected, weight = slow.wawa(slow.replies(answers.to_pylist(), False))
    assert probable(result) == pytest.approx(expected)
    assert {w: v for w, v in quality(result).items() if v is not None} == pytest.approx(weight)


def test_dawid_skene_never_lowers_the_likelihood() -> None:
    questions = ask(count(campaign(MIXED, videos=60)[0]))
    matrix = questions.matrix(questions.reply_V, 3)
    start_Q = questions.share_Q(questions.said_yes_V("count"))
    found = []
    for rounds in range(1, 15):
        fitted = dawid_skene.em(matrix, start_Q, rounds, 0.0, 0.5)
        log_WTR = np.log(fitted.confusion_WTR)
        sides = [matrix @ log_WTR[:, t].ravel() + np.log((1 - fitted.prior, fitted.prior)[t]) for t in (0, 1)]
        likelihood = np.logaddexp(*sides).sum() + 0.5 * log_WTR.sum()
        found.append(likelihood + 0.5 * np.log(fitted.prior * (1 - fitted.prior)))
    assert (np.diff(found) > -1e-8).all()


def test_glad_ends_where_nothing_pulls() -> None:
    """At the end each ability is at the top of the penalised likelihood, given the rest."""
    questions = ask(count(campaign(Crowd(workers=8), videos=60)[0]))
    yes_V = questions.said_yes_V("count")
    o = glad.Options(iterations=400, tolerance=1e-10)
    found = glad.em(questions.question_V, questions.worker_V, yes_V, questions.share_Q(yes_V), questions.workers, o)
    b_V, a_V = found.ease_Q[questions.question_V], found.ability_W[questions.worker_V]
    right_V = np.where(yes_V, found.probability_Q[questions.question_V], 1 - found.probability_Q[questions.question_V])
    pull_V = (right_V - 1 / (1 + np.exp(-a_V * b_V))) * b_V
    pull_W = np.bincount(questions.worker_V, weights=pull_V, minlength=questions.workers) + 1 - found.ability_W
    assert np.abs(pull_W).max() < 1e-3


@pytest.mark.parametrize(
    "crowd", [Crowd(workers=20, spam=0.4), Crowd(workers=20, adversaries=0.2), Crowd(workers=20, spam=0.5)]
)
@pytest.mark.parametrize("rule", WEIGHING)
def test_weighing_people_beats_counting_heads(rule: Any, crowd: Crowd) -> None:
    answers, truth = campaign(crowd, votes=5)
    counted = recovered(majority.fit(answers).labels, truth).reassessed
    weighed = recovered(rule.fit(answers).labels, truth).reassessed
    assert weighed.f1 > counted.f1 + 0.01


def test_people_are_found_out() -> None:
    from secondlook.reassess._drawn_answers import draw

    tasks, truth = ask_about(200)
    crowd = Crowd(workers=20, spam=0.3, adversaries=0.1)
    answers, kinds = draw(tasks, truth, votes=5, crowd=crowd)
    by_kind: dict[str, dict[str, float]] = {}
    for rule in WEIGHING:
        found = quality(rule.fit(answers.drop_columns("verdict")))
        for kind in set(kinds) - {"spam_blank"}:
            own = [found[f"w{i:03}"] for i, k in enumerate(kinds) if k == kind]
            by_kind.setdefault(rule.__name__.rpartition(".")[2], {})[kind] = float(np.mean(own))
    for of in by_kind.values():
        assert of["skilled"] == max(of.values())
    assert by_kind["dawid_skene"]["skilled"] > 0.9
    assert by_kind["dawid_skene"]["adversary"] < 0.1, "the opposite of the truth"
    assert by_kind["dawid_skene"]["spam_random"] == pytest.approx(0.5, abs=0.12), "says nothing"
    assert by_kind["glad"]["adversary"] < 0.2
    assert by_kind["worker_weighted"]["adversary"] == 0
    assert by_kind["mace"]["spam_random"] < 0.3 < by_kind["mace"]["skilled"]


@pytest.mark.parametrize("rule", WEIGHING)
def test_every_result_says_how_it_came_to_be(rule: Any) -> None:
    answers, _ = campaign(MIXED, videos=40)
    name = rule.__name__.rpartition(".")[2]
    result = rule.fit(answers)
    tables.conform(tables.LABELS, result.labels)
    assert {r.removesuffix("/-given") for r in result.by_rule} <= {name, "no-label", "unsuitable", "failed"}
    assert result.settings["rule"] == name
    assert result.settings["iterations_done"] >= 1
    assert all(0 <= v <= 1 for v in quality(result).values() if v is not None)
    above = {key for key, p in probable(result).items() if p > 0.5}
    for row in result.labels.to_pylist():
        if row["rule"].startswith(name):
            assert set(row["labels"]) == {label for v, label in above if v == row["video_id"]}
        assert all(n > 0 for n in row["votes"])
    kept = rule.fit(answers, given="keep")
    assert all(r["given_label"] in r["labels"] for r in kept.labels.to_pylist() if r["labels"])
    strict = rule.fit(answers, threshold=0.9)
    assert sum(map(len, strict.labels["labels"].to_pylist())) < sum(map(len, kept.labels["labels"].to_pylist()))


@pytest.mark.parametrize("rule", WEIGHING)
def test_row_order_does_not_matter(rule: Any) -> None:
    answers, _ = campaign(MIXED, videos=30)
    first = rule.fit(answers)
    second = rule.fit(answers.to_pandas().sample(frac=1, random_state=1))
    assert first.labels.equals(second.labels)
    assert probable(first) == pytest.approx(probable(second))


@pytest.mark.parametrize("rule", WEIGHING)
def test_edges(rule: Any) -> None:
    frame = pd.DataFrame(
        [
            {"task": "a", "worker": "x", "label": 1, "given_label": 0},
            {"task": "b", "worker": None, "label": -1, "given_label": 2},
            {"task": "c", "worker": "y", "label": -1, "given_label": 2},
        ]
    )
    rows = {r["video_id"]: r for r in rule.fit(frame).labels.to_pylist()}
    assert (rows["b"]["rule"], rows["b"]["labels"]) == ("unanswered", [2])
    assert (rows["c"]["rule"], rows["c"]["labels"]) == ("failed", [2])
    assert quality(rule.fit(frame))["y"] is None, "a blank answer says nothing about the worker's replies"
    assert rule.fit(frame.iloc[:0]).labels.num_rows == 0
    with pytest.raises(BadValue, match="threshold must lie between 0 and 1"):
        rule.fit(frame, threshold=1.5)
    with pytest.raises(BadValue, match="iterations"):
        rule.fit(frame, iterations=0)
    with pytest.raises(UnknownName, match="option"):
        rule.fit(frame, agreement="identical")
    assert rule.fit(frame.assign(unsuitable=True)).labels.to_pylist()[0]["labels"] == []


def test_labels_that_were_shown_are_questions() -> None:
    frame = pd.DataFrame([{"task": "a", "worker": "x", "label": 1, "given_label": 0, "options": "3 1 0 2"}])
    votes = count(frame)
    assert ask(votes).label_Q.tolist() == [0, 1, 2, 3]
    assert ask(count(frame.drop(columns="options"))).label_Q.tolist() == [0, 1]
    for wrong, words in (("1 up", "labels by index"), ("-1", "0 or more")):
        with pytest.raises(BadValue, match=words):
            count(frame.assign(options=wrong))


def test_maybe_is_a_reply_of_its_own() -> None:
    answers, truth = campaign(Crowd(workers=12, false_pick=0.15, sloppy=0), votes=5)
    own = recovered(dawid_skene.fit(answers).labels, truth).reassessed.f1
    as_yes = recovered(dawid_skene.fit(answers, maybe="count").labels, truth).reassessed.f1
    assert own > as_yes


def test_all_are_plug_ins() -> None:
    names = ("approval_rules", "dawid_skene", "glad", "mace", "majority", "worker_weighted")
    assert catalog.names("reassess") == names
    assert catalog.describe("reassess")["dawid_skene"].startswith("Dawid-Skene")


@pytest.mark.filterwarnings("ignore")
def test_dawid_skene_agrees_with_crowd_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    if "CROWDKIT" in os.environ:
        monkeypatch.syspath_prepend(os.environ["CROWDKIT"])
    crowdkit = pytest.importorskip("crowdkit.aggregation")
    answers, _ = campaign(Crowd(workers=12, spam=0.2), votes=5)
    frame = pd.DataFrame(slow.replies(answers.to_pylist(), False), columns=["task", "worker", "label"])
    frame["task"] = [f"{v}/{label}" for v, label in frame["task"]]
    theirs = crowdkit.DawidSkene(n_iter=100).fit_predict(frame)
    ours = probable(dawid_skene.fit(answers, maybe="count", smoothing=1e-6))
    same = [(p > 0.5) == bool(theirs[f"{v}/{label}"]) for (v, label), p in ours.items()]
    assert np.mean(same) > 0.995
