"""Dealing: batches, resuming, time that runs out, and that everyone gets what is fair."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondlook.annotate.intake import Answer, Refused, Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from tests.annotate.crowd import answer_next, asked, check_places, states


def test_the_same_task_until_it_is_answered(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 5, votes=1)
    first = store.deal("ann", 0.0)
    assert first is not None
    assert (first.batch, first.position, first.state, first.round) == (1, 1, "held", 1)
    assert first.task.options == (2, 0, 1)
    assert store.deal("ann", 1.0) == first
    other = store.deal("bob", 1.0)
    assert other is not None
    assert other.task != first.task, "it asks for one answer, and ann is giving it"
    store.give(Answer(first.task.task_id, "ann", {0: "yes"}), 2.0)
    second = store.deal("ann", 3.0)
    assert second is not None
    assert second.position == 2
    assert second.task not in (first.task, other.task)
    check_places(store)


def test_the_next_clip_can_be_loaded_before_its_turn(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 5, votes=2, batch=3)
    assert store.prefetch("ann", 0.0) is None, "there is no present one yet"
    first = store.deal("ann", 0.0)
    after = store.prefetch("ann", 0.0)
    assert first is not None
    assert after is not None
    assert after.position == 2
    assert store.prefetch("ann", 0.0) == after, "at most two are held"
    assert states(store, "ann") == ["held", "held"]
    assert store.deal("ann", 0.0) == first
    store.give(Answer(first.task.task_id, "ann", {0: "yes"}), 0.0)
    assert store.deal("ann", 0.0) == after
    assert store.prefetch("ann", 0.0).position == 3
    answer_next(store, "ann")
    assert store.prefetch("ann", 0.0) is None, "the batch ends here"
    check_places(store)


@pytest.mark.spec("label-reassessment", "A4")
@pytest.mark.parametrize("workplace", ["sqlite"], indirect=True)
def test_batches_of_forty(workplace: Workplace, labels: LabelSpace) -> None:
    """i of N; back and forth in it; quitting and coming back changes nothing."""
    store = asked(workplace, labels, 90, votes=1)
    assert store.settings.batch == 40
    assert (store.batch("ann", 0.0).number, store.batch("ann", 0.0).size, store.batch("ann", 0.0).done) == (1, 40, 0)
    mine = [answer_next(store, "ann", float(i)) for i in range(17)]
    store.deal("ann", 17.0)
    batch = store.batch("ann", 17.0)
    assert (batch.number, batch.size, batch.done) == (1, 40, 17)
    assert [a.position for a in batch.assignments] == list(range(1, 19))
    assert [a.task.task_id for a in batch.assignments][:17] == mine
    with Store.open(store.folder, "round1") as again:  # quit, and another day
        assert again.batch("ann", 99.0) == batch
        assert again.answer_of("ann", mine[4]).choices == {0: "yes"}, "what Previous shows"
    while answer_next(store, "ann", 20.0):
        pass
    dealt = store.dealt("ann", 21.0)
    assert (dealt.assignment, dealt.reason) == (None, "batch_done")
    assert (store.batch("ann", 21.0).done, store.batch("bob", 21.0).size) == (40, 40)
    assert store.next_batch("ann", 21.0).number == 2
    assert store.next_batch("ann", 21.0).number == 2, "the present one is not done"
    while answer_next(store, "ann", 22.0):
        pass
    assert store.next_batch("ann", 23.0).size == 10, "no more is left"
    while answer_next(store, "ann", 23.0):
        pass
    assert store.dealt("ann", 24.0).reason == "nothing_left"
    assert store.next_batch("ann", 24.0).number == 3
    assert store.batch("bob", 24.0).size == 0
    assert set(check_places(store).values()) == {1}


@pytest.mark.parametrize("size", [1, 7])
def test_batches_of_another_size(workplace: Workplace, labels: LabelSpace, size: int) -> None:
    store = asked(workplace, labels, 16, votes=1, batch=size)
    done = 0
    while answer_next(store, "ann"):
        done += 1
    assert done == size
    assert store.next_batch("ann", 0.0).size == size
    store.change(batch=size + 1)
    assert store.batch("ann", 0.0).size == size + 1


def test_a_campaign_that_pauses(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 5)
    task = store.deal("ann", 0.0).task.task_id
    store.pause()
    assert store.paused
    assert (store.dealt("ann", 0.0).reason, store.dealt("bob", 0.0).reason) == ("paused", "paused")
    assert store.prefetch("ann", 0.0) is None
    assert store.give(Answer(task, "ann", {0: "yes"}), 1.0).new, "what is held may be answered"
    store.resume()
    assert store.deal("bob", 2.0) is not None
    assert not store.paused


def test_time_runs_out_and_another_person_takes_over(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 1, votes=1, lease_s=100.0)
    task = store.deal("ann", 0.0).task.task_id
    assert store.dealt("bob", 100.0).reason == "nothing_left"
    taken = store.deal("bob", 101.0)
    assert taken.task.task_id == task
    assert store.dealt("ann", 102.0).reason == "nothing_left"
    with pytest.raises(Refused, match="another person has it now"):
        store.give(Answer(task, "ann", {0: "yes"}), 103.0)
    assert store.give(Answer(task, "bob", {0: "yes"}), 104.0).new
    assert set(check_places(store).values()) == {1}


def test_who_comes_back_in_time_gets_the_same_task_again(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 3, votes=1, lease_s=100.0)
    first, after = store.deal("ann", 0.0), store.prefetch("ann", 0.0)
    assert store.release_expired(101.0) == 2
    assert states(store, "ann") == ["expired", "expired"]
    check_places(store)
    back = store.deal("ann", 200.0)
    assert (back.task, back.position, back.expires_s) == (first.task, 1, 300.0)
    assert store.prefetch("ann", 200.0).task == after.task
    assert states(store, "ann") == ["held", "held"]
    assert store.release_expired(301.0) == 2
    assert store.give(Answer(first.task.task_id, "ann", {0: "yes"}), 302.0).new, "nobody else has it"
    assert store.deal("ann", 303.0).task == after.task
    check_places(store)


def test_a_lost_task_leaves_no_hole_in_a_batch(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 4, votes=1, lease_s=100.0, batch=3)
    first, after = store.deal("ann", 0.0), store.prefetch("ann", 0.0)
    assert answer_next(store, "bob", 150.0) == first.task.task_id
    assert states(store, "ann") == ["expired"], "both ran out, and bob has one of them"
    assert [a.task for a in store.batch("ann", 151.0).assignments] == [after.task]
    assert (store.batch("ann", 151.0).size, store.batch("ann", 151.0).done) == (3, 0)
    assert store.deal("ann", 152.0).task == after.task
    filled = store.prefetch("ann", 153.0)
    assert (filled.position, filled.task.task_id) == (1, 3), "the lost one's position, and a task never dealt"
    while answer_next(store, "ann", 154.0):
        pass
    assert (store.batch("ann", 155.0).done, store.batch("ann", 155.0).size) == (3, 3)
    check_places(store)


def test_a_sign_of_life_keeps_a_task(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 1, votes=1, lease_s=100.0)
    store.deal("ann", 0.0)
    assert store.deal("ann", 40.0).expires_s == 100.0, "more than half of the time is left"
    assert store.deal("ann", 80.0).expires_s == 180.0
    assert store.release_expired(170.0) == 0


@pytest.mark.spec("label-reassessment", "A5")
def test_everybody_gets_a_share(workplace: Workplace, labels: LabelSpace) -> None:
    """Two people a video, whoever is at work; no video gets ahead of the others; results by person."""
    store = asked(workplace, labels, 15, votes=2, batch=100)
    people = [f"person {i}" for i in range(5)]
    for turn in range(35):
        answer_next(store, people[turn % 5], float(turn))  # near the end, all that is left may be a person's own
        given = check_places(store) if turn % 7 == 0 else {}
        if given:
            assert max(given.values()) - (min(given.values()) if len(given) == 15 else 0) <= 1
    assert Counter(check_places(store).values()) == {2: 15}
    rows = store.answers().to_pylist()
    shares = Counter(r["worker"] for r in rows)
    assert set(shares) == {store.pseudonym(p) for p in people}
    assert max(shares.values()) - min(shares.values()) <= 2
    assert all(store.dealt(p, 99.0).reason == "nothing_left" for p in [*people, "new"])


def test_answers_from_outside_and_dealt_ones_share_the_places(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 1, votes=2, lease_s=100.0)
    store.deal("ann", 0.0)
    assert store.submit([Answer(1, "bob", {1: "yes"})])
    receipt = store.offer([Answer(1, "cy", {1: "yes"})])[0]
    assert "held by people" in str(receipt.problem)
    assert store.dealt("bob", 0.0).reason == "nothing_left", "he answered it from outside"
    assert store.offer([Answer(1, "ann", {2: "yes"})])[0].new, "her own place is hers, however the answer comes"
    assert states(store, "ann") == ["answered"]
    assert set(check_places(store).values()) == {2}
    assert store.repost([1], votes=1) == [1]
    assert store.dealt("ann", 0.0).reason == "nothing_left", "a second look is another person's"
    assert store.deal("dan", 0.0).round == 2
    assert store.release_expired(500.0) == 1
    assert store.submit([Answer(1, "eve", {0: "yes"})])
    check_places(store)


def test_an_answer_can_be_changed_until_it_is_judged(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 2, votes=1)
    task = store.deal("ann", 0.0).task.task_id
    first = store.give(Answer(task, "ann", {0: "yes", 1: "maybe"}), 1.0)
    again = store.give(Answer(task, "ann", {0: "yes", 1: "maybe"}, started_s=0.5), 2.0)
    assert (again.answer_id, again.new) == (first.answer_id, False)
    second = store.give(Answer(task, "ann", {2: "yes"}, review=True), 3.0)
    assert second.new
    assert [(r["answer_id"], r["label"]) for r in store.answers().to_pylist() if r["worker"]] == [(second.answer_id, 2)]
    assert store.answer_of("ann", task) == Answer(task, "ann", {2: "yes"}, review=True, submitted_s=3.0, round=1)
    assert store.submit([Answer(task, "ann", {2: "yes"}, review=True)]) == [second.answer_id]
    with pytest.raises(BadValue, match="changed this answer meanwhile"):
        store.judge([Verdict(first.answer_id, True, "rita")])
    store.judge([Verdict(second.answer_id, True, "rita")])
    with pytest.raises(Refused, match="was reviewed already"):
        store.give(Answer(task, "ann", {0: "yes"}), 4.0)
    assert not store.give(Answer(task, "ann", {2: "yes"}, review=True), 5.0).new
    assert set(check_places(store).values()) == {1}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(2, "ann", {0: "yes"}), "not given to this person"),
        (Answer(1, "bob", {0: "yes"}), "not given to this person"),
        (Answer(99, "ann", {0: "yes"}), "not given to this person"),
        (Answer(1, "ann", {0: "yes"}, round=2), "not given to this person"),
        (Answer(1, "ann", {7: "yes"}), "from 0 to 4"),
        (Answer(1, "ann", {0: "yes"}, no_match=True), "no label fits"),
    ],
)
def test_answers_that_are_refused(workplace: Workplace, labels: LabelSpace, answer: Answer, words: str) -> None:
    store = asked(workplace, labels, 3)
    assert store.deal("ann", 0.0).task.task_id == 1
    with pytest.raises(Refused, match=words):
        store.give(answer, 1.0)
    assert store.answers()["worker"].null_count == 3


def test_a_task_of_another_campaign(workplace: Workplace, labels: LabelSpace) -> None:
    one, two = asked(workplace, labels, 2), asked(workplace, labels, 2, name="two")
    assert (one.deal("ann", 0.0).task.task_id, two.deal("ann", 0.0).task.task_id) == (1, 3)
    with pytest.raises(Refused, match="not given to this person"):
        two.give(Answer(1, "ann", {0: "yes"}), 1.0)
    with pytest.raises(BadValue, match="no such task"):
        two.task(1)
    assert one.task_of_media(two.task(3).media).task_id in (1, 2), "the same video, each campaign's own task"
    one.note(1, "ann", "dark")
    assert (len(one.notes()), len(two.notes())) == (1, 0)
    assert two.answers().num_rows == 2


def test_more_votes_for_a_running_campaign(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 1, votes=1)
    answer_next(store, "ann")
    assert store.dealt("bob", 0.0).reason == "nothing_left"
    store.change(votes=2)
    assert answer_next(store, "bob")
    store.change(votes=1)
    assert store.dealt("cy", 0.0).reason == "nothing_left"
    assert set(check_places(store).values()) == {2}, "what was given stays"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["deal", "prefetch", "give", "change", "import", "late", "release", "next", "repost", "judge"]),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    max_size=60,
)


@pytest.mark.parametrize("workplace", ["sqlite"], indirect=True)
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS, st.integers(1, 3), st.integers(1, 4))
def test_places_are_right_whatever_happens(
    workplace: Workplace, labels: LabelSpace, steps: list[tuple[str, int, int]], votes: int, batch: int
) -> None:
    store = asked(
        workplace, labels, 4, name=f"c{len(workplace.campaign_names())}", votes=votes, batch=batch, lease_s=50.0
    )
    tasks = sorted(store.task_ids().values())
    now_s = 0.0
    for step, person, which in steps:
        who, task = f"person {person}", tasks[which % 4]
        now_s += 5.0
        if step == "deal":
            store.deal(who, now_s)
        elif step == "prefetch":
            store.prefetch(who, now_s)
        elif step == "give":
            answer_next(store, who, now_s)
        elif step == "change":
            mine = [a for a in store.batch(who, now_s).assignments if a.state == "answered"]
            if mine:
                try:
                    store.give(Answer(mine[0].task.task_id, who, {which % 5: "maybe"}), now_s)
                except Refused as error:
                    if "reviewed already" not in str(error):
                        raise
        elif step == "import":
            store.offer([Answer(task, who, {1: "yes"})])
        elif step == "late":
            now_s += 60.0
        elif step == "release":
            store.release_expired(now_s)
        elif step == "next":
            store.next_batch(who, now_s)
        elif step == "repost":
            store.repost([task], votes)
        else:
            ids = [i for i in store.answers()["answer_id"].to_pylist() if i]
            store.judge([Verdict(i, True, "rita") for i in ids[: which + 1]])
        with store.reading() as connection:
            held = connection.exec_driver_sql(
                "SELECT max(n) FROM (SELECT count(*) n FROM assignments WHERE state = 'held' "
                "GROUP BY worker_id, campaign_id)"
            ).scalar()
        assert (held or 0) <= 2
        assert len(states(store, who)) <= batch
    check_places(store)
