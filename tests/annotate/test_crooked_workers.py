"""Simulated workers who do harm on purpose: adversaries and colluders."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from secondlook.annotate.simulate import Crowd, answer_one
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue

TASK = Task("v", "", 0, (3, 0, 1, 2), task_id=1)


def test_adversaries_choose_what_does_not_hold_and_are_sure_of_it() -> None:
    generator = np.random.default_rng(0)
    crowd = Crowd(skill=0.8, false_pick=0.1, slip=0.0)
    answers = [answer_one(TASK, frozenset({0, 3}), "a", "adversary", crowd, generator) for _ in range(3000)]
    picked = Counter(label for answer in answers for label in answer.choices)
    for label in TASK.options:
        assert picked[label] / 3000 == pytest.approx(0.1 if label in (0, 3) else 0.8, abs=0.03)
    lies = [answer.choices[1] for answer in answers if 1 in answer.choices]
    assert lies.count("yes") / len(lies) == pytest.approx(crowd.sure, abs=0.03)


def test_kinds_of_a_crowd_with_them() -> None:
    crowd = Crowd(workers=20, spam=0.15, sloppy=0.1, adversaries=0.1, colluders=0.2)
    found = Counter(crowd.kinds(np.random.default_rng(0)))
    assert (found["adversary"], found["colluder"], found["sloppy"], found["skilled"]) == (2, 4, 2, 9)
    assert Crowd().kinds(np.random.default_rng(3)) == Crowd(adversaries=0.0).kinds(np.random.default_rng(3))


def test_crowds_that_cannot_be() -> None:
    with pytest.raises(BadValue, match="cannot be more than all workers"):
        Crowd(spam=0.4, adversaries=0.4, colluders=0.3)
    with pytest.raises(BadValue, match="leader must be one of"):
        Crowd(leader="king")  # type: ignore[arg-type]
