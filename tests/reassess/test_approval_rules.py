"""The three approval rules, their open cases, and the slow twin they must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook import tables
from secondlook.errors import BadValue, UnknownName
from secondlook.reassess import approval_rules, majority
from secondlook.reassess._sets import Reassessed
from tests.reassess.slow_twin import slow_approval_rules, slow_majority

Y = 0
"""The given label of every hand-made video."""


def one_video(*answers: set[int], verdicts: str = "", y: int = Y, **flags: Any) -> pd.DataFrame:
    """Rows of one video; `verdicts` is one letter an answer: a(pproved), r(ejected), - (not judged)."""
    verdicts = verdicts or "a" * len(answers)
    words = {"a": "approved", "r": "rejected", "-": ""}
    rows = [
        {"task": "v", "worker": f"w{j}", "label": label, "verdict": words[verdicts[j]], "given_label": y} | flags
        for j, labels in enumerate(answers)
        for label in (labels or {-1})
    ]
    return pd.DataFrame(rows)


def outcome(frame: pd.DataFrame | pa.Table, **options: Any) -> tuple[list[int], str]:
    (row,) = approval_rules.fit(frame, **options).labels.to_pylist()
    return row["labels"], row["rule"]


@pytest.mark.spec("label-reassessment", "G1")
@pytest.mark.parametrize(
    ("answers", "verdicts", "labels", "rule"),
    [
        # R1: three approved, all agree; labels of two or more votes come along
        (({1}, {1}, {1}), "aaa", [0, 1], "R1"),
        (({1, 2}, {1, 2}, {1, 3}), "aaa", [0, 1, 2], "R1"),
        (({0, 1}, {0, 1}, {0}), "aaa", [0, 1], "R1"),
        # R2: two approved that agree; the rejected one has no say
        (({1}, {1}, {5}), "aar", [0, 1], "R2"),
        (({1, 2}, {2, 3}, {4}), "aar", [0, 2], "R2"),
        # R3: three approved, nothing shared: every label is an approved interpretation
        (({1}, {2}, {3}), "aaa", [0, 1, 2, 3], "R3"),
        (({1, 2}, {3}, {4}), "aaa", [0, 1, 2, 3, 4], "R3"),
    ],
)
def test_the_three_rules(answers: tuple[set[int], ...], verdicts: str, labels: list[int], rule: str) -> None:
    assert outcome(one_video(*answers, verdicts=verdicts)) == (labels, rule)


@pytest.mark.spec("label-reassessment", "G2")
def test_worked_cases() -> None:
    labels, rule = outcome(one_video({1}, {2}, {3}))
    assert (len(labels), rule) == (4, "R3")
    labels, rule = outcome(one_video({Y}, {Y}, {Y}))
    assert (len(labels), rule) == (1, "R1")


@pytest.mark.spec("label-reassessment", "G3")
@pytest.mark.parametrize(
    ("answers", "verdicts", "options", "labels", "rule"),
    [
        (({1}, {1}, {2}), "aaa", {}, [0, 1], "R1-partial"),
        (({1}, {1}, {2}), "aaa", {"partial": "union"}, [0, 1, 2], "R1-partial"),
        (({1}, {1}, {2}), "aaa", {"partial": "given"}, [0], "R1-partial"),
        (({1}, {2}, {3}), "aar", {}, [0], "none-2"),
        (({1}, {2}, {3}), "aar", {"two_disagree": "union"}, [0, 1, 2], "none-2"),
        (({1}, {1}, {3}), "arr", {}, [0], "none-1"),
        (({1}, {1}, {3}), "arr", {"one_approved": "union"}, [0, 1], "none-1"),
        (({1}, {1}, {1}), "rrr", {}, [0], "failed"),
        (({1}, {1}, {1}), "rrr", {"failed": "drop"}, [], "failed/dropped"),
        (({1}, {1}, {1}), "arr", {"failed": "drop"}, [], "none-1/dropped"),
        (({0}, {1}, {1}), "arr", {"failed": "drop"}, [0], "none-1"),
        # when answers agree
        (({1, 2}, {1}, {1, 2}), "aaa", {"agreement": "identical"}, [0, 1, 2], "R1-partial"),
        (({1, 2}, {1, 2}, {1, 2}), "aaa", {"agreement": "identical"}, [0, 1, 2], "R1"),
        (({1, 2}, {1}, {9}), "aar", {"agreement": "identical"}, [0], "none-2"),
        (({1, 2}, {1, 2}, {9}), "aar", {"agreement": "identical"}, [0, 1, 2], "R2"),
        # what R1 gives
        (({1, 2}, {1, 2}, {1, 3}), "aaa", {"r1_mode": "common"}, [0, 1], "R1"),
        (({1, 2}, {1, 2}, {1, 3}), "aaa", {"r1_mode": "union"}, [0, 1, 2, 3], "R1"),
        # "none fits"
        ((set(), set(), set()), "aaa", {}, [0], "no-match"),
        ((set(), {1}, {1}), "aaa", {}, [0, 1], "R1-partial"),
    ],
)
def test_open_cases(
    answers: tuple[set[int], ...], verdicts: str, options: dict[str, str], labels: list[int], rule: str
) -> None:
    flags = {"no_match": True} if set() in answers else {}
    assert outcome(one_video(*answers, verdicts=verdicts, **flags), **options) == (labels, rule)


@pytest.mark.parametrize(
    ("answers", "given", "labels", "rule"),
    [
        (({1}, {1}, {1}), "keep", [0, 1], "R1"),
        (({1}, {1}, {1}), "drop-if-unvoted", [1], "R1/-given"),
        (({1}, {1}, {0, 1}), "drop-if-unvoted", [0, 1], "R1"),
        (({1}, {1}, {0, 1}), "vote", [1], "R1/-given"),
        (({0, 1}, {1}, {0, 1}), "vote", [0, 1], "R1"),
        (({1}, {2}, {3}), "drop-if-unvoted", [1, 2, 3], "R3/-given"),
        (({1}, {2}, {0}), "vote", [0, 1, 2], "R3"),
        (({1}, {2}), "drop-if-unvoted", [], "none-2/-given"),
        (({1},), "drop-if-unvoted", [0], "none-1"),
        (({1},), "vote", [0], "none-1"),
    ],
)
def test_a_wrong_given_label_can_fall(answers: tuple[set[int], ...], given: str, labels: list[int], rule: str) -> None:
    assert outcome(one_video(*answers), given=given) == (labels, rule)


def test_unsuitable_videos_are_left_out_of_evaluation() -> None:
    frame = one_video({1}, {1}, {1})
    frame["unsuitable"] = [True, True, False]
    assert outcome(frame) == ([], "unsuitable")
    frame["unsuitable"] = [True, False, False]
    assert outcome(frame) == ([0, 1], "R1")
    rejected = one_video({1}, {1}, {1}, verdicts="arr")
    rejected["unsuitable"] = [False, True, True]
    assert outcome(rejected)[1] == "none-1", "what a reviewer rejected excludes nothing"
    assert approval_rules.fit(one_video({1}, unsuitable=True)).failed == ()


def test_answers_without_a_verdict() -> None:
    frame = one_video({1}, {1}, set(), verdicts="a--")
    with pytest.raises(BadValue, match=r"1 answers.*no verdict yet.*--unjudged approve"):
        approval_rules.fit(frame)
    assert outcome(frame, unjudged="approve") == ([0, 1], "R2"), "a blank answer is rejected by rule"
    assert outcome(frame, unjudged="reject") == ([0], "none-1")
    assert outcome(one_video(set(), set(), verdicts="--")) == ([0], "failed")


def test_maybe_may_be_ignored() -> None:
    frame = one_video({1}, {1}, {1})
    frame["rating"] = ["yes", "maybe", "maybe"]
    assert outcome(frame) == ([0, 1], "R1")
    assert outcome(frame, maybe="ignore") == ([0, 1], "R3")


def test_more_than_three_votes_use_more_than_half() -> None:
    assert outcome(one_video({1, 2}, {1, 2}, {1, 3}, {1, 3})) == ([0, 1], "R1")
    assert outcome(one_video({1}, {1}, {2}, {2})) == ([0, 1, 2], "R3")
    assert outcome(one_video({1}, {1}, {1}, {2}, {3})) == ([0, 1], "R1-partial")


def test_videos_without_a_given_label() -> None:
    assert outcome(one_video({1}, {1}, {1}, y=-1)) == ([1], "R1")
    assert outcome(one_video({1}, {2}, y=-1)) == ([], "none-2")
    frame = one_video({1}, {1}, {1}).drop(columns="given_label")
    assert outcome(frame) == ([1], "R1")


def test_rows_of_the_labels_table() -> None:
    frame = pd.concat(
        [
            one_video({1, 2}, {1}, {4}, verdicts="aar"),
            pd.DataFrame([{"task": "u", "worker": None, "label": -1, "verdict": "", "given_label": 3}]),
        ]
    )
    result = approval_rules.fit(frame)
    assert result.labels.to_pylist() == [
        {"video_id": "u", "given_label": 3, "labels": [3], "rule": "unanswered", "approved": 0, "answers": 0,
         "voted": [], "votes": []},
        {"video_id": "v", "given_label": 0, "labels": [0, 1], "rule": "R2", "approved": 2, "answers": 3,
         "voted": [1, 2], "votes": [2, 1]},
    ]  # fmt: skip
    assert result.by_rule == {"unanswered": 1, "R2": 1}
    assert result.failed == (), "who was not asked has not failed"
    assert result.settings["agreement"] == "intersection"
    assert [w["worker"] for w in result.workers.to_pylist()] == ["w0", "w1", "w2"]
    tables.conform(tables.LABELS, result.labels)


@pytest.mark.spec("label-reassessment", "R5")
def test_failed_videos_are_posted_again_and_the_better_round_counts() -> None:
    def video(name: str, *rounds: tuple[int, set[int], str]) -> pd.DataFrame:
        parts = []
        for j, (number, labels, verdict) in enumerate(rounds):
            parts.append(one_video(labels, verdicts=verdict).assign(task=name, worker=f"w{j}", round=number))
        return pd.concat(parts)

    first = pd.concat(
        [
            video("nothing approved", (1, {1}, "r"), (1, {2}, "r")),
            video("one, without the given label", (1, {1}, "a"), (1, {2}, "r")),
            video("one, with the given label", (1, {Y, 1}, "a"), (1, {2}, "r")),
            video("two", (1, {1}, "a"), (1, {2}, "a")),
        ]
    )
    assert set(approval_rules.fit(first).failed) == {"nothing approved", "one, without the given label"}

    second = pd.concat(
        [
            video("salvaged", (1, {1}, "r"), (1, {2}, "r"), (2, {3}, "a"), (2, {3}, "a")),
            video("lost", (1, {1}, "r"), (2, {1}, "r")),
            video("first was better", (1, {4}, "a"), (1, {4}, "a"), (2, {5}, "a"), (2, {5}, "r")),
            video("more agreement", (1, {4, 5}, "a"), (1, {4, 5}, "a"), (2, {6, 7}, "a"), (2, {6}, "a")),
            video("a tie: the later", (1, {4}, "a"), (1, {4}, "a"), (2, {6}, "a"), (2, {6}, "a")),
        ]
    )
    result = approval_rules.fit(second, failed="drop")
    found = {row["video_id"]: (row["labels"], row["rule"], row["answers"]) for row in result.labels.to_pylist()}
    assert found == {
        "salvaged": ([0, 3], "R2", 2),
        "lost": ([], "failed/dropped", 1),
        "first was better": ([0, 4], "R2", 2),
        "more agreement": ([0, 4, 5], "R2", 2),
        "a tie: the later": ([0, 6], "R2", 2),
    }
    assert result.failed == ("lost",)
    assert result.by_rule["failed/dropped"] == 1, "the rest is dropped and counted"
    pooled = approval_rules.fit(second, rounds="pool").labels.to_pylist()
    assert {row["video_id"]: row["answers"] for row in pooled}["first was better"] == 4
    last = approval_rules.fit(second, rounds="last").labels.to_pylist()
    assert {row["video_id"]: row["rule"] for row in last}["first was better"] == "none-1"


def test_options_are_checked() -> None:
    frame = one_video({1})
    with pytest.raises(BadValue, match="agreement must be one of intersection, identical"):
        approval_rules.fit(frame, agreement="some")
    with pytest.raises(UnknownName, match="Did you mean 'agreement'"):
        approval_rules.fit(frame, agrement="identical")
    with pytest.raises(UnknownName, match="option 'r1_mode' is not known"):
        majority.fit(frame, r1_mode="votes")


@pytest.mark.parametrize("missing", ["task", "worker", "label"])
@pytest.mark.parametrize("rule", [approval_rules, majority])
def test_columns_are_checked(rule: Any, missing: str) -> None:
    with pytest.raises(BadValue, match=f"'{missing}': this column is missing"):
        rule.fit(one_video({1}).drop(columns=missing))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("verdict", "fine", "verdict must be one of"),
        ("rating", "sure", "rating must be one of"),
        ("label", -2, "a label is an index"),
        ("label", 1.5, "whole numbers"),
        ("label", "up", "whole numbers"),
        ("task", None, "holds a null"),
    ],
)
def test_values_are_checked(column: str, value: object, words: str) -> None:
    frame = one_video({1})
    frame[column] = [value]
    with pytest.raises(BadValue, match=words):
        approval_rules.fit(frame)


def test_no_answers_at_all() -> None:
    empty = one_video({1}).iloc[:0]
    for rule in (approval_rules, majority):
        result = rule.fit(empty)
        assert result.labels.num_rows == result.workers.num_rows == 0
        assert result.failed == ()


def test_majority_by_hand() -> None:
    def labels(*answers: set[int], **more: Any) -> tuple[list[int], str]:
        options = {k: more.pop(k) for k in ("given", "rejected", "maybe") if k in more}
        (row,) = majority.fit(one_video(*answers, **more), **options).labels.to_pylist()
        return row["labels"], row["rule"]

    assert labels({1, 2}, {1}, {3}) == ([1], "majority/-given")
    assert labels({1, 2}, {1}, {3}, given="keep") == ([0, 1], "majority")
    assert labels({1}, {2}) == ([0], "no-majority")
    assert labels({1}, {2}, {2}, verdicts="arr") == ([1], "majority/-given")
    assert labels({1}, {2}, {2}, verdicts="arr", rejected="count") == ([2], "majority/-given")
    assert labels(set(), set()) == ([0], "failed")


def long_table() -> st.SearchStrategy[list[dict[str, Any]]]:
    answer = st.fixed_dictionaries(
        {
            "worker": st.sampled_from(["w0", "w1", "w2", "w3"]),
            "round": st.sampled_from([1, 1, 2]),
            "labels": st.dictionaries(st.integers(0, 4), st.sampled_from(["yes", "maybe"]), max_size=3),
            "verdict": st.sampled_from(["approved", "approved", "rejected"]),
            "unsuitable": st.sampled_from([False, False, False, True]),
        }
    )
    task = st.tuples(st.integers(-1, 4), st.lists(answer, max_size=6, unique_by=lambda x: (x["worker"], x["round"])))
    return st.lists(task, min_size=1, max_size=5).map(to_rows)


def to_rows(videos: list[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    rows = []
    for v, (y, answers) in enumerate(videos):
        usual = {"task": f"v{v}", "given_label": y, "no_match": False}
        for answer in answers or [{"worker": None, "round": 1, "labels": {}, "verdict": "", "unsuitable": False}]:
            about = {k: answer[k] for k in ("worker", "round", "verdict", "unsuitable")} | usual
            for label, rating in (answer["labels"] or {-1: ""}).items():
                rows.append(about | {"label": label, "rating": rating})
    return rows


OPTIONS = st.fixed_dictionaries(
    {
        "agreement": st.sampled_from(["intersection", "identical"]),
        "r1_mode": st.sampled_from(["votes", "common", "union"]),
        "partial": st.sampled_from(["votes", "union", "given"]),
        "two_disagree": st.sampled_from(["given", "union"]),
        "one_approved": st.sampled_from(["given", "union"]),
        "given": st.sampled_from(["keep", "drop-if-unvoted", "vote"]),
        "failed": st.sampled_from(["keep", "drop"]),
        "rounds": st.sampled_from(["best", "pool", "last"]),
        "maybe": st.sampled_from(["count", "ignore"]),
    }
)


@settings(deadline=None, max_examples=150)
@given(long_table(), OPTIONS, st.integers(0, 3), st.booleans())
def test_agrees_with_the_slow_twin(rows: list[dict[str, Any]], options: dict[str, str], seed: int, arrow: bool) -> None:
    expected = slow_approval_rules(rows, **options)
    shuffled = pd.DataFrame(rows).sample(frac=1, random_state=seed)
    result = approval_rules.fit(pa.Table.from_pandas(shuffled) if arrow else shuffled, **options)
    found = {
        row["video_id"]: {
            "labels": row["labels"], "rule": row["rule"], "approved": row["approved"], "answers": row["answers"],
            "votes": dict(zip(row["voted"], row["votes"], strict=True)), "failed": row["video_id"] in result.failed,
        }
        for row in result.labels.to_pylist()
    }  # fmt: skip
    assert found == expected


@settings(deadline=None, max_examples=50)
@given(long_table(), st.sampled_from(["vote", "keep"]), st.sampled_from(["drop", "count"]))
def test_majority_agrees_with_the_slow_twin(rows: list[dict[str, Any]], given: str, rejected: str) -> None:
    result = majority.fit(pd.DataFrame(rows), given=given, rejected=rejected)
    found = {row["video_id"]: row["labels"] for row in result.labels.to_pylist()}
    assert found == slow_majority(rows, given, rejected)


@settings(deadline=None, max_examples=50)
@given(long_table(), OPTIONS)
def test_the_given_label_is_kept_where_it_is_said_to_be(rows: list[dict[str, Any]], options: dict[str, str]) -> None:
    frame = pd.DataFrame(rows)
    result: Reassessed = approval_rules.fit(frame, **(options | {"given": "keep", "failed": "keep"}))
    for row in result.labels.to_pylist():
        assert row["rule"] == "unsuitable" or row["given_label"] in (*row["labels"], tables.UNLABELLED)
        assert row["labels"] == sorted(set(row["labels"]))
        assert set(row["labels"]) <= {*row["voted"], row["given_label"]}
        assert all(0 < n <= row["approved"] for n in row["votes"])
    counted = np.bincount([len(x) for x in result.labels["labels"].to_pylist()])
    assert counted.sum() == frame["task"].nunique()
