"""`turn` gives what `deal`, `prefetch` and `batch` give one after the other."""

from __future__ import annotations

import random

import pytest

from secondlook.annotate.dealing import Turn
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from tests.annotate.crowd import asked, check_places


def one_after_the_other(store: Store, worker: str, now_s: float) -> Turn:
    dealt = store.dealt(worker, now_s)
    after = store.prefetch(worker, now_s) if dealt.assignment else None
    batch = store.batch(worker, now_s)
    places = tuple((place.position, place.state) for place in batch.assignments)
    return Turn(dealt, after, batch.number, batch.size, batch.done, places, store.settings)


@pytest.mark.parametrize("workplace", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(6))
def test_as_one_after_the_other(workplace: Workplace, labels: LabelSpace, seed: int) -> None:
    """Two campaigns of the same tasks are given the same answers, at the same times; leases run out, batches end."""
    draw, people = random.Random(seed), ("ann", "bob", "cy")
    stores = [
        asked(workplace, labels, 9, votes=2, batch=3, name=name, lease_s=100.0, gold_share=0.0)
        for name in ("at once", "in turn")
    ]
    first = [min(store.task_ids().values()) for store in stores]
    now_s, steps = 0.0, []
    for _ in range(60):
        now_s += draw.choice((1.0, 5.0, 60.0, 120.0))
        worker, what = draw.choice(people), draw.choice(("answer", "answer", "look", "batch", "pause"))
        turns = [stores[0].turn(worker, now_s), one_after_the_other(stores[1], worker, now_s)]
        shown = []
        for store, turn, least in zip(stores, turns, first, strict=True):
            tasks = [
                a and (a.task.task_id - least, a.position, a.state, a.expires_s)
                for a in (turn.dealt.assignment, turn.after)
            ]
            shown.append((tasks, turn.dealt.reason, turn.number, turn.size, turn.done, turn.places, turn.settings))
            if what == "answer" and turn.dealt.assignment:
                store.give(Answer(turn.dealt.assignment.task.task_id, worker, {0: "yes"}), now_s)
            elif what == "batch":
                store.next_batch(worker, now_s)
            elif what == "pause":
                store.resume() if store.paused else store.pause()
            check_places(store)
        assert shown[0] == shown[1]
        steps.append(shown[0])
    assert {reason for _, reason, *_ in steps} >= {"", "paused"}
    assert any(tasks[1] for tasks, *_ in steps), "the next one was held, too"
