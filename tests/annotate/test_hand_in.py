"""`hand_in` does what `give` and `turn` do one after the other, whole or not at all."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from secondlook.annotate import dealing
from secondlook.annotate.drafts import Draft
from secondlook.annotate.intake import Refused
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from tests.annotate.crowd import asked, check_places


def task_of(turn: dealing.Turn) -> int:
    assert turn.dealt.assignment is not None
    return turn.dealt.assignment.task.task_id


def on_the_page(turn: dealing.Turn, least: int) -> tuple[object, ...]:
    """What a person sees of a turn; tasks counted from the first of the campaign."""
    tasks = [a and (a.task.task_id - least, a.position, a.state) for a in (turn.dealt.assignment, turn.after)]
    return tasks, turn.dealt.reason, turn.number, turn.size, turn.done, turn.places, turn.draft


def test_as_one_after_the_other(workplace: Workplace, labels: LabelSpace) -> None:
    stores = [
        asked(workplace, labels, 9, votes=2, batch=3, name=name, lease_s=100.0, gold_share=0.0)
        for name in ("at once", "in turn")
    ]
    least = [min(store.task_ids().values()) for store in stores]
    draw, now_s, given = random.Random(0), 0.0, 0
    for _ in range(30):
        now_s += draw.choice((1.0, 60.0))
        worker = draw.choice(("ann", "bob", "cy"))
        turns = [store.turn(worker, now_s) for store in stores]
        assert on_the_page(turns[0], least[0]) == on_the_page(turns[1], least[1])
        if turns[0].dealt.assignment is None:
            for store in stores:
                store.next_batch(worker, now_s)
            continue
        draft = Draft({draw.randrange(5): "yes"}, seconds=draw.choice((0.5, 1e6)))
        for store, turn in zip(stores, turns, strict=True):
            store.save_draft(worker, task_of(turn), draft, now_s)
            assert store.turn(worker, now_s).draft == draft.to_dict()
        after = stores[0].hand_in(worker, task_of(turns[0]), draft, now_s)
        stores[1].give(draft.answer(task_of(turns[1]), worker), now_s)
        assert after is not None
        assert on_the_page(after, least[0]) == on_the_page(stores[1].turn(worker, now_s), least[1])
        assert stores[0].draft(worker, task_of(turns[0])) is None
        given += 1
    assert given > 15
    tables = [store.answers().select(["label", "rating", "worker"]).to_pylist() for store in stores]
    assert tables[0] == tables[1]
    check_places(stores[0])


def test_times_are_the_servers(store: Store) -> None:
    first = task_of(store.turn("ann", 100.0))
    store.hand_in("ann", first, Draft({0: "yes"}, seconds=5.0), 130.0)
    answer = store.answer_of("ann", first)
    assert answer is not None
    assert (answer.started_s, answer.submitted_s) == (125.0, 130.0)
    second = task_of(store.turn("ann", 130.0))
    store.hand_in("ann", second, Draft({0: "yes"}, seconds=1e9), 140.0)
    answer = store.answer_of("ann", second)
    assert answer is not None
    assert (answer.started_s, answer.submitted_s) == (100.0, 140.0), "not before the task was given"


def test_what_was_never_given_is_not_taken(store: Store) -> None:
    store.turn("ann", 0.0)
    assert store.hand_in("bob", 1, Draft({0: "yes"}), 1.0) is None
    assert store.hand_in("ann", 99, Draft({0: "yes"}), 1.0) is None
    with pytest.raises(Refused, match="label"):
        store.hand_in("ann", 1, Draft({77: "yes"}), 1.0)
    assert store.counts().answers == 0


def test_an_answer_is_not_kept_where_what_comes_next_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError

    first = task_of(store.turn("ann", 0.0))
    with monkeypatch.context() as patch:
        patch.setattr(dealing, "turn_within", fails)
        with pytest.raises(RuntimeError):
            store.hand_in("ann", first, Draft({0: "yes"}), 1.0)
    assert store.counts().answers == 0
    assert store.hand_in("ann", first, Draft({0: "yes"}), 1.0) is not None
    assert store.counts().answers == 1


@pytest.mark.parametrize("workplace", ["sqlite"], indirect=True)
def test_one_transaction_and_few_statements(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 300, votes=2, batch=40)
    turn = store.turn("ann", 0.0)
    seen: list[str] = []
    listeners = {
        "begin": lambda _: seen.append("BEGIN"),
        "before_cursor_execute": lambda _c, _cursor, statement, *_: seen.append(statement),
    }
    for name, listener in listeners.items():
        sa.event.listen(sa.Engine, name, listener)
    try:
        for _ in range(3):
            seen.clear()
            store.save_draft("ann", task_of(turn), Draft({0: "yes"}), 1.0)
            assert (seen.count("BEGIN"), len(seen)) == (1, 3)
            seen.clear()
            after = store.hand_in("ann", task_of(turn), Draft({0: "yes"}), 1.0)
            assert after is not None
            assert seen.count("BEGIN") == 1
            assert len(seen) <= 18
            turn = after
    finally:
        for name, listener in listeners.items():
            sa.event.remove(sa.Engine, name, listener)
