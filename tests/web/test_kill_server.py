"""The server is killed while people answer, several times: what it acknowledged is there when it is started again."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.cli import _serving
from secondlook.labels import LabelSpace
from tests.web.serving import free_port, serving

PEOPLE, KILLS, TASKS = 5, 3, 400
BASE = "/api/annotate/round1"
LABELS = LabelSpace.from_names(["Pouring", "Juggling", "Waving", "Sitting down", "Opening"], "toy")
Choices = dict[int, str]


@dataclass
class Client:
    """One person's browser: it goes on when the server is back, and remembers what was acknowledged."""

    person: str
    headers: Mapping[str, str]
    draw: random.Random
    answered: dict[int, Choices] = field(default_factory=dict)
    """Acknowledged answers by task."""
    drafted: dict[int, Choices] = field(default_factory=dict)
    """Acknowledged drafts by task, the last one."""
    sent: dict[int, list[Choices]] = field(default_factory=dict)
    """What was sent since the last acknowledged draft: it may have arrived, or not."""
    broken: int = 0
    """Requests that a kill cut off."""
    wrong: list[str] = field(default_factory=list)

    def work(self, url: str, stop: threading.Event) -> None:
        """Answers task after task until the stop; a request that is cut off is not sent again as it was."""
        state: dict[str, Any] | None = None
        with httpx.Client(base_url=url, headers=self.headers, timeout=10) as http:
            while not stop.is_set():
                try:
                    state = self._task(http, state) if state else self._ask(http, "GET", "/state")
                except httpx.TransportError:
                    self.broken += 1
                    state = None
                    stop.wait(0.15)

    def _ask(self, http: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = http.request(method, BASE + path, json=body)
        if answer.status_code != 200:
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            raise httpx.ReadError("not taken")
        found: dict[str, Any] = answer.json()
        return found

    def _task(self, http: httpx.Client, state: dict[str, Any]) -> dict[str, Any]:
        if state["current"] is None:
            found: dict[str, Any] = self._ask(http, "POST", "/batch")["state"]
            return found
        task = state["current"]["task"]
        if task in self.answered:
            self.wrong.append(f"task {task} was given again")
        choices: Choices = {}
        for label in self.draw.sample(range(len(LABELS)), 2):
            choices = {**choices, label: self.draw.choice(("yes", "maybe"))}
            self.sent.setdefault(task, []).append(choices)
            self._ask(http, "PUT", f"/draft/{task}", {"choices": choices})
            self.drafted[task], self.sent[task] = choices, []
        self.sent[task].append(choices)
        after: dict[str, Any] = self._ask(http, "POST", f"/answer/{task}", {"choices": choices})["state"]
        self.answered[task] = choices
        return after


def check(store: Store, clients: list[Client]) -> None:
    """Every acknowledged answer and draft is there, and what was counted is right."""
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        counted = (
            "SELECT count(*) FROM rounds r WHERE taken <> (SELECT count(*) FROM assignments s "
            "WHERE s.task_id = r.task_id AND s.round = r.round AND s.state <> 'expired') OR votes < (SELECT count(*) "
            "FROM answers a WHERE a.task_id = r.task_id AND a.round = r.round AND a.revision = 1)"
        )
        assert connection.scalar(sa.text(counted)) == 0
    for client in clients:
        assert client.wrong == []
        for task, choices in dict(client.answered).items():
            kept = store.answer_of(client.person, task)
            assert kept is not None, f"the answer to {task} was acknowledged"
            assert dict(kept.choices) == choices
        for task in client.drafted.keys() - client.answered.keys():
            possible = [client.drafted[task], *client.sent[task]]
            draft, answer = store.draft(client.person, task), store.answer_of(client.person, task)
            here = draft or answer  # the answer may have arrived without its acknowledgement
            assert here is not None, f"the draft of {task} was acknowledged"
            assert dict(here.choices) in possible


@pytest.mark.spec("label-reassessment", "A6")
@pytest.mark.timeout(120)
def test_killed_in_the_middle_of_writes(tmp_path: Path) -> None:
    draw, clients = random.Random(7), []
    workplace = Workplace.create(tmp_path / "annotations")
    with workplace:
        tasks = [Task(f"v{i}", f"v{i}.mp4", i % 5, (i % 5, (i + 1) % 5)) for i in range(TASKS)]
        workplace.add(tasks, LABELS, settings=Settings(votes=2, batch=7))
        accounts = workplace.accounts
        for number in range(PEOPLE):
            account, _ = accounts.accept(accounts.invite("annotator", time.time()), f"p{number}", time.time())
            cookie, csrf = accounts.open_session(account.account_id, time.time())
            headers = {"Cookie": f"secondlook={cookie}", "X-CSRF-Token": csrf}
            clients.append(Client(account.person, headers, random.Random(number)))

    port, stop = free_port(), threading.Event()
    threads = [threading.Thread(target=c.work, args=(f"http://127.0.0.1:{port}", stop)) for c in clients]
    given, was_broken = 0, 0
    try:
        for turn in range(KILLS):
            with serving(tmp_path, "--warm", "0", port=port) as server:
                for thread in threads if not turn else ():
                    thread.start()
                wanted, deadline = given + 8, time.monotonic() + 30
                while sum(len(c.answered) for c in clients) < wanted and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 0.3))
                server.kill()
            time.sleep(0.1)  # answers that were on their way are counted
            now = sum(len(c.answered) for c in clients)
            assert now >= given + 8
            assert sum(c.broken for c in clients) > was_broken, "nobody was in the middle of anything"
            given, was_broken = now, sum(c.broken for c in clients)
            with Store.open(tmp_path / "annotations") as store:
                check(store, clients)
        with serving(tmp_path, "--warm", "0", port=port):
            wanted, deadline = given + 5, time.monotonic() + 30
            while sum(len(c.answered) for c in clients) < wanted and time.monotonic() < deadline:
                time.sleep(0.01)
            stop.set()
            for thread in threads:
                thread.join(15)
    finally:
        stop.set()
    assert not any(thread.is_alive() for thread in threads)
    assert sum(len(c.answered) for c in clients) >= given + 5, "it goes on after the last kill"
    with Store.open(tmp_path / "annotations") as store:
        check(store, clients)


def test_answers_are_not_held_back() -> None:
    """asyncio switches Nagle's algorithm off only where the socket says that it is TCP; else each costs 40 ms."""
    with _serving.listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
