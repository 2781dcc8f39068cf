"""From simulated answers to label sets, against the truth: who answers well gives good sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondlook import tables
from secondlook.annotate.simulate import Crowd, simulate, true_sets
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import from_candidates
from secondlook.reassess import approval_rules, majority
from secondlook.reassess._recovered import Recovered, recovered
from tests.annotate.drawn import draw_tables


def nearness(folder: Path, crowd: Crowd, rule: str = "approval_rules", videos: int = 120, **options: str) -> Recovered:
    candidates, known = draw_tables(folder, videos)
    table = tables.read(tables.CANDIDATES, candidates)
    space, truth = tables.label_space(table), true_sets(tables.read(tables.VIDEOS, known))
    with Store.create(folder / "answers", from_candidates(table, space), space, key=b"k" * 32) as store:
        simulate(store, truth, crowd=crowd)
        answers = store.answers()
    fit = {"approval_rules": approval_rules, "majority": majority}[rule].fit
    return recovered(fit(answers, **options).labels, truth)


PERFECT = Crowd(skill=1.0, false_pick=0.0, sloppy=0.0, spam=0.0, slip=0.0, reviewer_error=0.0)


def test_perfect_people_recover_every_set(tmp_path: Path) -> None:
    assert nearness(tmp_path, PERFECT, given="drop-if-unvoted").reassessed.exact == 1.0


def test_a_wrong_given_label_stays_where_it_is_always_kept(tmp_path: Path) -> None:
    found = nearness(tmp_path, PERFECT)
    assert found.reassessed.recall == 1.0
    assert found.reassessed.precision < 1.0


def test_majority_needs_no_reviewer(tmp_path: Path) -> None:
    assert nearness(tmp_path, PERFECT, "majority").reassessed.exact == 1.0


@pytest.mark.parametrize("spam", [0.0, 0.25])
def test_a_reviewer_keeps_spam_out(tmp_path: Path, spam: float) -> None:
    found = nearness(tmp_path, Crowd(spam=spam), given="drop-if-unvoted").reassessed
    assert found.precision > 0.9
    assert found.recall > 0.8
