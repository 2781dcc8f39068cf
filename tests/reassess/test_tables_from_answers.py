"""Tables 4.5 and 4.6 from answers, sizes of sets, agreement: the source's numbers and small cases by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.errors import BadValue
from secondlook.reassess import approval_rules
from secondlook.reassess._agreement import fleiss_kappa, simple
from secondlook.reassess._tables import approvals_by_given, mean_size, pilot_agreement, set_sizes

Y = 0


def answers(videos: list[tuple[int, list[tuple[set[int], str]]]]) -> pd.DataFrame:
    """(how many videos, [(labels, verdict letter) an answer]) -> rows; the given label is 0."""
    rows: list[dict[str, Any]] = []
    number = 0
    for many, sets in videos:
        for _ in range(many):
            for j, (labels, verdict) in enumerate(sets):
                about = {"task": f"v{number:05}", "worker": f"w{j}", "given_label": Y}
                about |= {"verdict": {"a": "approved", "r": "rejected"}[verdict]}
                rows += [about | {"label": label} for label in (labels or {-1})]
            number += 1
    return pd.DataFrame(rows)


@pytest.mark.spec("label-reassessment", "G4")
def test_table_4_6_of_the_source() -> None:
    """label-reassessment §3.6: 9427 videos, 4149 / 1282 / 2359 / 871 / 753 / 13, shares as printed."""
    yes, no, out = ({Y, 1}, "a"), ({1}, "a"), ({2}, "r")
    frame = answers(
        [
            (4149, [yes, yes, yes]),
            (1282, [no, no, no]),
            (2359, [yes, yes, out]),
            (871, [no, no, out]),
            (753, [yes, out, out]),
            (13, [no, out, out]),
        ]
    )
    for mode in ("any", "all"):
        found = approvals_by_given(frame, mode).to_pylist()
        rows = {(r["approved"], r["given_chosen"]): (r["videos"], r["percent"]) for r in found}
        assert rows == {
            (3, True): (4149, 44.01), (3, False): (1282, 13.60), (2, True): (2359, 25.02), (2, False): (871, 9.24),
            (1, True): (753, 7.99), (1, False): (13, 0.14), (0, False): (0, 0.0),
        }  # fmt: skip
        assert sum(r["videos"] for r in found) == 9427


@pytest.mark.spec("label-reassessment", "G4")
def test_any_and_all_differ_where_some_chose_the_given_label() -> None:
    frame = answers([(2, [({Y}, "a"), ({1}, "a"), ({1}, "a")]), (1, [({Y}, "r"), ({1}, "r"), ({1}, "r")])])

    def rows(mode: Any) -> dict[tuple[int, bool], int]:
        return {(r["approved"], r["given_chosen"]): r["videos"] for r in approvals_by_given(frame, mode).to_pylist()}

    assert rows("any")[3, True] == 2
    assert rows("all")[3, False] == 2
    assert rows("any")[0, False] == rows("all")[0, False] == 1
    assert sum(rows("any").values()) == sum(rows("all").values()) == 3
    with pytest.raises(BadValue, match="any or all"):
        approvals_by_given(frame, "some")  # type: ignore[arg-type]


@pytest.mark.spec("label-reassessment", "G5")
def test_table_4_5_of_the_source() -> None:
    """label-reassessment §3.4 and §8-C4: 527 / 321 / 156 of 1004; 851 with several labels by one definition, 498 by
    another; 310 of 527 is 58.82 %."""
    frame = answers(
        [
            (310, [({Y, 1}, "a"), ({Y, 1}, "a")]),
            (64, [({Y}, "a"), ({Y, 1}, "a")]),
            (153, [({Y}, "a"), ({Y}, "a")]),
            (125, [({Y, 1, 2}, "a"), ({1, 2}, "a")]),
            (196, [({Y}, "a"), ({1}, "a")]),
            (63, [({1, 2}, "a"), ({1, 2}, "a")]),
            (93, [({1}, "a"), ({2}, "a")]),
        ]
    )
    found = pilot_agreement(frame).to_pylist()
    assert [(r["chose_given"], r["videos"], r["percent"]) for r in found] == [
        (2, 527, 52.49), (1, 321, 31.97), (0, 156, 15.54),
    ]  # fmt: skip
    assert [r["multi_common"] for r in found] == [310, 125, 63]
    assert [r["multi_each"] for r in found] == [310, 125, 63]
    assert [r["multi_any"] for r in found] == [374, 125, 63]
    assert sum(r["multi_union"] for r in found) == 851
    assert round(100 * 851 / sum(r["videos"] for r in found), 2) == 84.76
    assert round(100 * found[0]["multi_common"] / found[0]["videos"], 2) == 58.82


@pytest.mark.spec("label-reassessment", "G5")
def test_each_definition_of_several_labels_by_hand() -> None:
    def one(*labels: set[int]) -> list[int]:
        table = pilot_agreement(answers([(1, [(s, "a") for s in labels])])).to_pylist()
        return [sum(r[f"multi_{name}"] for r in table) for name in ("any", "union", "each", "common")]

    assert one({1}, {1}) == [0, 0, 0, 0]
    assert one({1}, {2}) == [0, 1, 0, 0]
    assert one({1, 2}, {1}) == [1, 1, 0, 0]
    assert one({1, 2}, {2, 3}) == [1, 1, 1, 0]
    assert one({1, 2}, {1, 2, 3}) == [1, 1, 1, 1]


@pytest.mark.spec("label-reassessment", "G9")
def test_sizes_of_label_sets() -> None:
    frame = answers(
        [
            (3, [({1}, "a"), ({2}, "a"), ({3}, "a")]),
            (2, [({Y}, "a"), ({Y}, "a"), ({Y}, "a")]),
            (1, [({1}, "r"), ({1}, "r"), ({1}, "r")]),
        ]
    )
    sizes = set_sizes(approval_rules.fit(frame, failed="drop").labels)
    assert sizes == {0: 1, 1: 2, 4: 3}
    assert max(sizes) == 4
    assert mean_size(sizes) == pytest.approx((2 * 1 + 3 * 4) / 5), "sets that are left out do not count"
    assert mean_size({}) == 0


def test_agreement_by_hand() -> None:
    frame = answers([(1, [({1, 2}, "a"), ({2, 3}, "a")]), (1, [({1}, "a"), ({1}, "a")]), (1, [({1}, "a")])])
    found = simple(frame)
    assert (found.videos, found.identical, found.common) == (2, 0.5, 1.0)
    assert found.mean_jaccard == pytest.approx((1 / 3 + 1) / 2)
    empty = simple(answers([(1, [(set(), "a"), (set(), "a"), ({1}, "a")])]))
    assert empty.mean_jaccard == pytest.approx(1 / 3), "two empty answers agree, one label and none do not"
    with pytest.raises(BadValue, match="no video has two answers"):
        simple(answers([(2, [({1}, "a")])]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.frozensets(st.integers(0, 3)), min_size=1, max_size=4), min_size=1, max_size=4))
def test_agreement_agrees_with_the_slow_twin(videos: list[list[frozenset[int]]]) -> None:
    means, same, common = [], [], []
    for sets in videos:
        pairs = [(a, b) for i, a in enumerate(sets) for b in sets[:i]]
        if pairs:
            means.append(np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]))
            same.append(len(set(sets)) == 1)
            common.append(bool(frozenset.intersection(*sets)))
    if means:
        found = simple(answers([(1, [(set(s), "a") for s in sets]) for sets in videos]))
        expected = (len(means), np.mean(means), np.mean(same), np.mean(common))
        assert (found.videos, found.mean_jaccard, found.identical, found.common) == pytest.approx(expected)


def test_kappa_is_refused_where_answers_hold_several_labels() -> None:
    with pytest.raises(BadValue, match="assumes exactly one for each rater and item") as error:
        fleiss_kappa(answers([(1, [({1, 2}, "a"), ({2}, "a")])]))
    assert "Jaccard" in str(error.value)
    with pytest.raises(BadValue, match="same number of answers"):
        fleiss_kappa(answers([(1, [({1}, "a"), ({2}, "a")]), (1, [({1}, "a")])]))


def test_kappa_where_it_is_defined() -> None:
    """The worked example of Fleiss' kappa (10 items, 14 raters, 5 categories): 0.210."""
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    frame = answers([(1, [({k}, "a") for k, many in enumerate(row) for _ in range(many)]) for row in counts])
    assert fleiss_kappa(frame) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(answers([(3, [({1}, "a"), ({1}, "a")])])) == 1.0
