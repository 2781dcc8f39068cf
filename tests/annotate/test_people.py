"""Drafts, gold, accounts and the trail: what the pages of a person need of the store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.accounts import REMEMBERED_S
from secondlook.annotate.drafts import Draft
from secondlook.annotate.intake import Answer, Refused
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.labels import LabelSpace
from tests.annotate.crowd import answer_next, asked, check_places

DAY_S = 86_400.0


@pytest.mark.spec("label-reassessment", "A6")
def test_a_draft_is_there_after_every_action(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 3)
    task = store.deal("ann", 0.0).task.task_id
    assert store.draft("ann", task) is None
    for draft in (Draft({0: "yes"}), Draft({0: "yes", 3: "maybe"}, review=True, started_s=1.5, seconds=7.25), Draft()):
        store.save_draft("ann", task, draft, 2.0)
        with Store.open(store.folder) as again:
            assert again.draft("ann", task) == draft
            assert again.deal("ann", 3.0).task.task_id == task
    assert store.draft("bob", task) is None
    store.save_draft("ann", task, Draft(no_match=True), 4.0)
    store.give(Answer(task, "ann", no_match=True), 5.0)
    assert store.draft("ann", task) is None, "given"
    store.save_draft("ann", task, Draft({1: "yes"}), 6.0)
    assert store.draft("ann", task) == Draft({1: "yes"}), "a change of mind is a draft, too"
    assert store.answer_of("ann", task).no_match, "and no answer yet"
    check_places(store)


def test_drafts_that_are_refused(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 3, votes=1, lease_s=100.0)
    task = store.deal("ann", 0.0).task.task_id
    for draft, words in ((Draft({9: "yes"}), "from 0 to 4"), (Draft({1: "yes"}, no_match=True), "no label fits")):
        with pytest.raises(Refused, match=words):
            store.save_draft("ann", task, draft, 1.0)
    with pytest.raises(Refused, match="not given to this person"):
        store.save_draft("bob", task, Draft(), 1.0)
    store.save_draft("ann", task, Draft({1: "yes"}), 90.0)
    assert store.release_expired(150.0) == 0, "who writes is there"
    assert store.release_expired(191.0) == 1
    store.save_draft("ann", task, Draft({2: "yes"}), 192.0)
    check_places(store)
    assert store.release_expired(293.0) == 1
    assert answer_next(store, "bob", 294.0) == task
    with pytest.raises(Refused, match="another person has it now"):
        store.save_draft("ann", task, Draft({3: "yes"}), 295.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "must be an object"),
        ({"choice": {}}, "Did you mean 'choices'"),
        ({"choices": []}, "labels and ratings"),
        ({"choices": {"0": "perhaps"}}, "yes or maybe"),
        ({"choices": {"-1": "yes"}}, "must be an index"),
        ({"choices": {"²": "yes"}}, "must be an index"),
        ({"choices": {"1" * 30: "yes"}}, "must be an index"),
        ({"review": 1}, "true or false"),
        ({"seconds": float("nan")}, "a number"),
        ({"seconds": True}, "a number"),
        ({"started_s": "now"}, "a number"),
    ],
)
def test_drafts_from_a_page(given: object, words: str) -> None:
    with pytest.raises(SecondlookError, match=words):
        Draft.from_dict(given)


def test_a_draft_survives_json() -> None:
    draft = Draft({3: "maybe", 0: "yes"}, review=True, unsuitable=True, started_s=1.0, seconds=2.5)
    assert Draft.from_dict(json.loads(json.dumps(draft.to_dict()))) == draft
    assert Draft.from_dict({}) == Draft()


def test_gold_is_no_vote(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 4, votes=1, gold_share=0.99)
    store.set_gold("v00001", [0, 1])
    store.set_gold(store.task_ids()["v00002"], [2])
    for person in ("ann", "bob", "cy"):
        while answer_next(store, person):
            pass
    assert store.gold_record("ann").given == store.gold_record("cy").given == 2
    assert {r["task"] for r in store.answers().to_pylist()} == {"v00000", "v00003"}
    assert {r["task"] for r in store.answers(gold=True).to_pylist()} == {f"v0000{i}" for i in range(4)}
    assert (store.counts().tasks, store.counts().asked, store.counts().answers, store.counts().gold) == (2, 2, 2, 2)
    assert store.gold_record("ann").right == 1, "she always says 0: right of two"
    check_places(store)
    with pytest.raises(BadValue, match="answers already"):
        store.set_gold("v00000", [1])
    store.set_gold("v00002", [0])
    assert store.gold_record("ann").right == 2, "the labels of gold can be mended"
    with pytest.raises(UnknownName, match="video 'v9'"):
        store.set_gold("v9", [0])
    for wrong in ([], [5], [-1]):
        with pytest.raises(BadValue, match="gold labels"):
            store.set_gold("v00002", wrong)


@pytest.mark.parametrize(
    ("choices", "right"),
    [({0: "yes"}, True), ({0: "yes", 1: "yes"}, True), ({0: "yes", 3: "maybe"}, True), ({0: "yes", 3: "yes"}, False),
     ({0: "maybe"}, False), ({}, False)],
)  # fmt: skip
def test_what_is_right(workplace: Workplace, labels: LabelSpace, choices: dict[int, str], right: bool) -> None:
    store = asked(workplace, labels, 1, gold_share=0.5)
    store.set_gold(1, [0, 1])
    store.change(qualify=1)
    store.deal("ann", 0.0)
    store.give(Answer(1, "ann", choices), 0.0)  # type: ignore[arg-type]
    record = store.gold_record("ann")
    assert (record.given, record.right, record.qualified) == (1, int(right), right)


def test_who_does_not_qualify_gets_no_more(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 10, votes=2, qualify=2, pass_rate=1.0)
    for video in ("v00000", "v00001", "v00002"):
        store.set_gold(video, [0])
    gold = {store.task_ids()[f"v0000{i}"] for i in range(3)}

    def work(person: str, label: int) -> list[int]:
        done = []
        while dealt := store.deal(person, 0.0):
            after = store.prefetch(person, 0.0)
            assert after is None or len(done) > 1 or after.task.task_id in gold, "nothing else before it is decided"
            done.append(dealt.task.task_id)
            store.give(Answer(done[-1], person, {label: "yes"}), 0.0)
        return done

    good, bad = work("ann", 0), work("bob", 1)
    assert set(good[:2]) <= gold
    assert len(set(good) & gold) == 2
    assert len(good) == 9
    assert set(bad) <= gold
    assert len(bad) == 2
    assert (store.dealt("ann", 0.0).reason, store.dealt("bob", 0.0).reason) == ("nothing_left", "not_qualified")
    store.give(Answer(bad[0], "bob", {0: "yes"}), 1.0)
    store.give(Answer(bad[1], "bob", {0: "yes"}), 1.0)
    assert store.gold_record("bob").right == 2
    assert not store.gold_record("bob").qualified, "changed afterwards, it counts as it stood"
    check_places(store)


def test_gold_comes_unforeseen_and_as_often_as_asked(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 45, votes=3, gold_share=0.25)
    for i in range(15):
        store.set_gold(f"v{i:05}", [0])
    gold = {number for video, number in store.task_ids().items() if video < "v00015"}
    rows = []
    for person in ("ann", "bob", "cy"):
        for _ in range(24):
            rows.append((person, answer_next(store, person) in gold))
    share = sum(is_gold for _, is_gold in rows) / len(rows)
    assert 0.08 < share < 0.45
    patterns = {person: [g for p, g in rows if p == person] for person in ("ann", "bob", "cy")}
    assert patterns["ann"] != patterns["bob"]
    assert max(check_places(store).values()) <= 3


def test_an_invitation_becomes_an_account(workplace: Workplace) -> None:
    accounts = workplace.accounts
    token = accounts.invite("reviewer", 0.0, uses=2)
    rita, entry = accounts.accept(token, "  Rita   R. ", 10.0)
    assert (rita.role, rita.nickname, rita.disabled) == ("reviewer", "Rita R.", False)
    assert (rita.may("annotator"), rita.may("reviewer"), rita.may("owner")) == (True, True, False)
    assert accounts.sign_in(entry) == rita
    assert accounts.sign_in(token) is None
    other, _ = accounts.accept(token, "Rita R.", 11.0)
    assert other.person != rita.person
    with pytest.raises(BadValue, match="used up"):
        accounts.accept(token, "cy", 12.0)
    late = accounts.invite("owner", 0.0, made_by=rita.account_id, valid_s=60.0)
    for wrong in (late, "", "nonsense"):
        with pytest.raises(BadValue, match="not known, used up or over") as raised:
            accounts.accept(wrong, "cy", 60.0)
        assert not wrong or wrong not in str(raised.value)
    assert [a.nickname for a in accounts.all()] == ["Rita R.", "Rita R."]
    assert [(i.role, i.used, i.uses, i.made_by) for i in accounts.invitations()] == [
        ("owner", 0, 1, rita.account_id), ("reviewer", 2, 2, None),
    ]  # fmt: skip
    store = asked(workplace, LabelSpace.from_names(["a", "b", "c"]), 1)
    answer_next(store, rita.person)
    assert {r["worker"] for r in store.answers().to_pylist()} == {rita.pseudonym}


def test_sessions(workplace: Workplace) -> None:
    accounts = workplace.accounts
    ann, entry = accounts.accept(accounts.invite("annotator", 0.0), "ann", 0.0)
    cookie, csrf = accounts.open_session(ann.account_id, 0.0)
    found = accounts.session(cookie, 1.0)
    assert found is not None
    assert (found.account, found.csrf) == (ann, csrf)
    assert accounts.session(cookie, 31 * DAY_S) is None
    assert accounts.session("other", 1.0) is None
    accounts.end_session(cookie)
    assert accounts.session(cookie, 1.0) is None
    cookies = [accounts.open_session(ann.account_id, 0.0)[0] for _ in range(2)]
    renewed = accounts.renew_entry(ann.account_id)
    assert accounts.sign_in(entry) is None
    assert accounts.sign_in(renewed) == ann
    accounts.disable(ann.account_id)
    assert [accounts.session(c, 1.0) for c in cookies] == [None, None]
    assert accounts.sign_in(renewed) is None
    with pytest.raises(BadValue, match="disabled"):
        accounts.open_session(ann.account_id, 2.0)
    accounts.disable(ann.account_id, disabled=False)
    assert accounts.sign_in(renewed) == ann
    accounts.set_role(ann.account_id, "owner")
    assert accounts.get(ann.account_id).role == "owner"
    with pytest.raises(BadValue, match="none of this number"):
        accounts.disable(99)


def test_a_remembered_session_gives_way_at_once(workplace: Workplace) -> None:
    accounts = workplace.accounts
    ann, _ = accounts.accept(accounts.invite("annotator", 0.0), "ann", 0.0)

    def signed_in() -> str:
        cookie, _ = accounts.open_session(ann.account_id, 0.0, 100.0)
        assert accounts.remembered(cookie, 1.0) is None, "nobody asked for it yet"
        found = accounts.session(cookie, 1.0)
        assert found is not None
        assert accounts.remembered(cookie, 1.0) == found
        return cookie

    assert accounts.session(signed_in(), 100.0) is None, "it is over"
    cookie = signed_in()
    accounts.end_session(cookie)
    assert accounts.session(cookie, 1.0) is None
    cookie = signed_in()
    accounts.end_all(ann.account_id)
    assert accounts.session(cookie, 1.0) is None
    cookie = signed_in()
    accounts.set_role(ann.account_id, "owner")
    found = accounts.session(cookie, 1.0)
    assert found is not None
    assert found.account.role == "owner"
    accounts.disable(ann.account_id)
    assert accounts.session(cookie, 1.0) is None


def test_a_session_that_another_process_ends_is_forgotten_in_a_second(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _ = workplace.accounts.accept(workplace.accounts.invite("annotator", 0.0), "ann", 0.0)
    cookie, _ = workplace.accounts.open_session(ann.account_id, 0.0)
    assert workplace.accounts.session(cookie, 1.0)
    with Workplace.open(workplace.folder) as other:
        other.accounts.disable(ann.account_id)
    later_s = time.monotonic() + REMEMBERED_S
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert REMEMBERED_S <= 1
    assert workplace.accounts.session(cookie, 1.0) is None


def test_a_session_read_before_a_change_is_not_remembered_after_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = workplace.accounts
    ann, _ = accounts.accept(accounts.invite("annotator", 0.0), "ann", 0.0)
    cookie, _ = accounts.open_session(ann.account_id, 0.0)
    reading = workplace.reading

    @contextmanager
    def reading_slowly() -> Iterator[sa.Connection]:
        with reading() as connection:
            yield connection
        monkeypatch.undo()
        accounts.disable(ann.account_id)

    monkeypatch.setattr(workplace, "reading", reading_slowly)
    accounts.session(cookie, 1.0)
    assert accounts.remembered(cookie, 1.0) is None
    assert accounts.session(cookie, 1.0) is None


def test_no_token_stands_in_the_database(workplace: Workplace) -> None:
    accounts = workplace.accounts
    token = accounts.invite("owner", 0.0)
    ann, entry = accounts.accept(token, "ann", 0.0)
    cookie, _ = accounts.open_session(ann.account_id, 0.0)
    with workplace.reading() as connection:
        stored = " ".join(
            str(tuple(row)) for table in schema.metadata.sorted_tables for row in connection.execute(sa.select(table))
        )
    for secret in (token, entry, cookie):
        assert secret not in stored


@pytest.mark.parametrize(
    ("role", "uses", "valid_s"), [("king", 1, 100.0), ("owner", 0, 100.0), ("owner", 1, 1.0), ("owner", 1, 1e12)]
)
def test_invitations_that_make_no_sense(workplace: Workplace, role: str, uses: int, valid_s: float) -> None:
    with pytest.raises(SecondlookError):
        workplace.accounts.invite(role, 0.0, uses=uses, valid_s=valid_s)


@pytest.mark.parametrize("nickname", ["", "   ", "x" * 61, "a\x00b", "\u202egnp"])
def test_nicknames_that_are_none(workplace: Workplace, nickname: str) -> None:
    token = workplace.accounts.invite("annotator", 0.0)
    with pytest.raises(BadValue, match="nickname"):
        workplace.accounts.accept(token, nickname, 0.0)
    assert workplace.accounts.invitations()[0].used == 0


def test_the_trail(workplace: Workplace, labels: LabelSpace) -> None:
    asked(workplace, labels, 1)
    workplace.record("paused", 1.0, campaign="round1", why="lunch")
    workplace.record("invited", 2.0, role="owner")
    assert [(e.action, e.campaign, e.about) for e in workplace.events()] == [
        ("invited", "", {"role": "owner"}), ("paused", "round1", {"why": "lunch"}),
    ]  # fmt: skip
    assert [e.action for e in workplace.events("round1")] == ["paused"]
    with pytest.raises(UnknownName, match="campaign"):
        workplace.record("paused", 1.0, campaign="round9")
