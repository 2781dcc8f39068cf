"""The merge rules as label-reassessment §1.9 writes them: one video at a time, with Python sets. Slow and obvious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import groupby
from typing import Any

Row = Mapping[str, Any]


def slow_approval_rules(
    rows: Iterable[Row],
    agreement: str = "intersection",
    r1_mode: str = "votes",
    partial: str = "votes",
    two_disagree: str = "given",
    one_approved: str = "given",
    given: str = "keep",
    failed: str = "keep",
    rounds: str = "best",
    maybe: str = "count",
) -> dict[str, dict[str, Any]]:
    """video_id -> labels, rule, approved, answers, votes, failed."""
    decided = {}
    for task, of_task in groupby(sorted(rows, key=lambda r: r["task"]), key=lambda r: r["task"]):
        listed = list(of_task)
        y = listed[0]["given_label"]
        answers = chosen_round(read_answers(listed, maybe), rounds)
        P = [answer for answer in answers if answer["approved"]]
        S = [answer["labels"] for answer in P]
        a = len(P)
        votes = Counter(label for labels in S for label in labels)
        common = set.intersection(*S) if S else set()
        union = set().union(*S)
        majority = {label for label, n in votes.items() if 2 * n > a}
        agree = bool(common) if agreement == "intersection" else bool(union) and all(s == S[0] for s in S)
        by_name = {"votes": majority, "common": common, "union": union, "given": set()}

        if a and 2 * sum(answer["unsuitable"] for answer in P) > a:
            rule, found = "unsuitable", None
        elif not answers:
            rule, found = "unanswered", set()
        elif a == 0:
            rule, found = "failed", set()
        elif a == 1:
            rule, found = "none-1", by_name[one_approved]
        elif not union:
            rule, found = "no-match", set()
        elif a == 2:
            rule, found = ("R2", common) if agree else ("none-2", by_name[two_disagree])
        elif agree:
            rule, found = "R1", by_name[r1_mode]
        elif majority:
            rule, found = "R1-partial", by_name[partial]
        else:
            rule, found = "R3", union

        has_failed = bool(answers) and rule != "unsuitable" and (a == 0 or (a == 1 and y not in union))
        if found is None:
            result: set[int] = set()
        elif has_failed and failed == "drop":
            result, rule = set(), rule + "/dropped"
        else:
            result = set(found)
            if y >= 0 and (given == "keep" or a < 2 or (given == "drop-if-unvoted" and votes[y] > 0)):
                result.add(y)
            if y >= 0 and y not in result:
                rule += "/-given"
        decided[task] = {
            "labels": sorted(result), "rule": rule, "approved": a, "answers": len(answers),
            "votes": dict(sorted(votes.items())), "failed": has_failed,
        }  # fmt: skip
    return decided


def read_answers(rows: list[Row], maybe: str) -> list[dict[str, Any]]:
    """One dictionary an answer, from the rows of a task."""
    answers: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        if row["worker"] is None:
            continue
        answer = answers.setdefault(
            (row["worker"], row["round"]),
            {
                "round": row["round"],
                "approved": row["verdict"] == "approved",
                "unsuitable": row["unsuitable"],
                "labels": set(),
                "with_maybe": set(),
            },
        )
        if row["label"] >= 0:
            answer["with_maybe"].add(row["label"])
            if maybe == "count" or row["rating"] != "maybe":
                answer["labels"].add(row["label"])
    return list(answers.values())


def chosen_round(answers: list[dict[str, Any]], rounds: str) -> list[dict[str, Any]]:
    """The answers that count where a task was posted more than once (§1.8)."""
    if rounds == "pool" or not answers:
        return answers

    def goodness(number: int) -> tuple[int, Fraction, int]:
        approved = [x["with_maybe"] for x in answers if x["round"] == number and x["approved"]]
        union = set().union(*approved)
        possible = len(approved) * len(union)
        agreement = Fraction(sum(len(s) for s in approved), possible) if possible else Fraction(0)
        return (len(approved), agreement, number) if rounds == "best" else (0, Fraction(0), number)

    best = max({x["round"] for x in answers}, key=goodness)
    return [x for x in answers if x["round"] == best]


def slow_majority(rows: Iterable[Row], given: str = "vote", rejected: str = "drop") -> dict[str, list[int]]:
    """video_id -> labels of more than half of the answers that are not blank (and not rejected)."""
    decided = {}
    for task, of_task in groupby(sorted(rows, key=lambda r: r["task"]), key=lambda r: r["task"]):
        listed = list(of_task)
        y = listed[0]["given_label"]
        sets: dict[tuple[str, int], set[int]] = {}
        flags: dict[tuple[str, int], Row] = {}
        for row in listed:
            if row["worker"] is not None:
                sets.setdefault((row["worker"], row["round"]), set()).update({row["label"]} - {-1})
                flags[row["worker"], row["round"]] = row
        counted = [
            key for key, labels in sets.items()
            if (labels or flags[key]["no_match"] or flags[key]["unsuitable"])
            and not (rejected == "drop" and flags[key]["verdict"] == "rejected")
        ]  # fmt: skip
        votes = Counter(label for key in counted for label in sets[key])
        found = {label for label, n in votes.items() if 2 * n > len(counted)}
        if 2 * sum(flags[key]["unsuitable"] for key in counted) > len(counted):
            decided[task] = []
        else:
            decided[task] = sorted(found | ({y} if y >= 0 and (given == "keep" or not found) else set()))
    return decided
