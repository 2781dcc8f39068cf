"""A workplace: several campaigns, its settings, either kind of database, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from secondlook.annotate import database
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.labels import LabelSpace
from tests.annotate.crowd import answer_next, asked


def test_several_campaigns(workplace: Workplace, labels: LabelSpace) -> None:
    with pytest.raises(BadValue, match="without a campaign"):
        workplace.campaign()
    one = asked(workplace, labels, 3)
    assert workplace.campaign().name == "round1"
    other = LabelSpace.from_names(["a", "b", "c"], "other")
    two = workplace.add([Task("v00001", "", 0, (0, 1))], other, name="second round", made={"why": "not sure"})
    assert workplace.campaign_names() == ["round1", "second round"]
    assert (two.labels.name, two.made, set(two.task_ids().values())) == ("other", {"why": "not sure"}, {4})
    with pytest.raises(BadValue, match=r"several campaigns.*--campaign"):
        Store.open(workplace.folder)
    with pytest.raises(UnknownName, match="Did you mean 'second round'"):
        workplace.campaign("second roun")
    with pytest.raises(BadValue, match="there already"):
        asked(workplace, labels, 3)
    for wrong in ("", " a", "a/b", "x" * 101):
        with pytest.raises(BadValue, match="name is a short text"):
            asked(workplace, labels, 3, name=wrong)
    assert answer_next(one, "ann") == 1
    with Store.open(workplace.folder, "second round") as opened:
        assert opened.answers().num_rows == 1
        assert opened.answers()["worker"].null_count == 1
    assert {t.task_id for t in one.tasks()} == {1, 2, 3}
    with pytest.raises(BadValue, match="no such answer"):
        two.judge([Verdict(1, True, "rita")])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"votes": 0}, "from 1 to 100"),
        ({"votes": "3"}, "must be a number"),
        ({"votes": True}, "must be a number"),
        ({"batch": 0}, "from 1 to 1000"),
        ({"reward": -1.0}, "at least 0"),
        ({"reward": float("nan")}, "at least 0"),
        ({"lease_s": 1.0}, "10 seconds"),
        ({"gold_share": 1.0}, "less than 1"),
        ({"qualify": -1}, "from 0"),
        ({"pass_rate": 1.1}, "from 0 to 1"),
        ({"question": " "}, "not be empty"),
        ({"question": 7}, "must be a text"),
        ({"vote": 3}, "Did you mean 'votes'"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(SecondlookError, match=words):
        Settings.from_dict(wrong)


def test_settings_change_for_everybody(workplace: Workplace, labels: LabelSpace) -> None:
    store = asked(workplace, labels, 1)
    assert store.settings == Settings()
    with Store.open(workplace.folder) as other:
        store.change(batch=5, question="What?", reward=1)
        assert (other.settings.batch, other.settings.question, other.settings.reward) == (5, "What?", 1.0)
    with pytest.raises(UnknownName):
        store.change(bach=5)
    assert store.settings.batch == 5


def test_open_or_create(tmp_path: Path) -> None:
    with Workplace.open_or_create(tmp_path / "a") as made, Workplace.open_or_create(tmp_path / "a") as opened:
        assert made.key() == opened.key()
        assert made.place == str(tmp_path / "a" / "store.sqlite")
    with pytest.raises(BadValue, match="another database"):
        Workplace.open_or_create(tmp_path / "a", database_url="postgresql://host/db")
    with pytest.raises(BadValue, match="already"):
        Workplace.create(tmp_path / "a")


SECRET = "hunter2-xyz"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/nothing",
        f"postgresql://me@127.0.0.1:1/nothing?password={SECRET}",
        f"mysql://me:{SECRET}@host/db",
        f"{SECRET} is no url",
        f"postgresql://me:{SECRET}@host:port/db",
    ],
)
def test_a_password_is_never_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadValue) as raised:
        Workplace.create(tmp_path / "a", database_url=url)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_database_of_our_own(tmp_path: Path, labels: LabelSpace, new_database: Callable[[], str]) -> None:
    url = new_database()
    with Workplace.create(tmp_path / "a", database_url=url) as workplace:
        kept = tmp_path / "a" / "database.url"
        assert kept.stat().st_mode & 0o077 == 0
        store = asked(workplace, labels, 2, votes=1)
        assert answer_next(store, "ann")
        assert workplace.place.startswith("postgresql://")
        assert "user" not in workplace.place
    with pytest.raises(BadValue, match="in use already"):
        Workplace.create(tmp_path / "b", database_url=url)
    assert not (tmp_path / "b").exists()
    with Workplace.open_or_create(tmp_path / "a", database_url=url) as again:
        assert again.campaign().counts().answers == 1
    kept.write_text(sa.make_url(url).set(database="nowhere").render_as_string(hide_password=False))
    with pytest.raises(BadValue, match=r"is not there\. Make the database first"):
        Workplace.open(tmp_path / "a")
    kept.write_text(sa.make_url(url).set(username="nobody").render_as_string(hide_password=False))
    with pytest.raises(BadValue, match=r"database\.url|let this user in"):
        Workplace.open(tmp_path / "a")


def test_another_postgresql_database(tmp_path: Path, new_database: Callable[[], str]) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "database.url").write_text(new_database())
    with pytest.raises(BadValue, match="is not an annotation store"):
        Workplace.open(folder)


def test_one_writer_at_a_time(workplace: Workplace) -> None:
    """What a writer checked still holds when it writes."""
    import threading

    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with Workplace.open(workplace.folder) as other:
            entered.set()
            with other.writing():
                order.append("second")

    with workplace.writing() as connection:
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(30)
        connection.execute(sa.text("SELECT 1"))
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_engines_know_where_they_are(tmp_path: Path) -> None:
    assert database.place(database.connect(tmp_path / "x.sqlite")) == str(tmp_path / "x.sqlite")
    assert database.place(database.connect_url(f"postgres://me:{SECRET}@h:5/d?password=x")) == "postgresql://h:5/d"


def test_a_store_of_a_workplace_may_be_closed(workplace: Workplace, labels: LabelSpace) -> None:
    with asked(workplace, labels, 1) as store:
        store.submit([Answer(1, "ann", {0: "yes"})])
    assert workplace.campaign().counts().answers == 1
