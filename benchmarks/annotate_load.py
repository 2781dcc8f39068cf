"""Many people annotate at once: how long a saved answer and a saved draft take, over HTTP, and whether all are kept.

A real `secondlook serve` on a workplace of 30,000 tasks; in a process of its own, 50 annotators who read what is asked,
save a draft after every choice, and answer, at a mean pause of 0.6 s between two actions (people need several seconds).
Then the same with no pause at all. Both processes share two cores. At the end the database is read: every acknowledged
answer stands there as it was given, nobody was given a task twice, and no task has more answers than asked.

    .venv/bin/python benchmarks/annotate_load.py [--annotators 50] [--seconds 60] [--tasks 30000] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORES = 2
CAMPAIGN, VOTES, LABELS, FILES = "load", 3, 174, 20
AIM_MS = 100.0
PAUSE_S = 0.6
KINDS = ("answer", "draft", "state", "batch")


# -- the workplace -----------------------------------------------------------------------------------------------------


def make_workplace(folder: Path, tasks: int, annotators: int) -> list[dict[str, Any]]:
    """A campaign whose tasks share a few drawn files, and people who are signed in: cookie, token, person."""
    import av
    import numpy as np

    from secondlook.annotate.campaigns import Settings
    from secondlook.annotate.tasks import Task
    from secondlook.annotate.workplace import Workplace
    from secondlook.labels import LabelSpace

    for index in range(FILES):
        with av.open(str(folder / f"clip{index}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=12)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for t in range(12):
                pixels_HWC = np.full((48, 64, 3), (20 * index + 10 * t) % 240, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels_HWC, format="rgb24")))
            container.mux(stream.encode())
    draw = random.Random(0)
    asked = [
        Task(f"v{i}", f"clip{i % FILES}.mp4", i % LABELS, tuple(draw.sample(range(LABELS), 8))) for i in range(tasks)
    ]
    labels = LabelSpace.from_names([f"label {k}" for k in range(LABELS)], "load")
    with Workplace.create(folder / "annotations") as workplace:
        workplace.add(asked, labels, name=CAMPAIGN, settings=Settings(votes=VOTES, media_root=str(folder)))
        accounts, people = workplace.accounts, []
        token = accounts.invite("annotator", time.time(), uses=annotators)
        accounts.accept(accounts.invite("owner", time.time()), "owner", time.time())
        for number in range(annotators):
            account, _ = accounts.accept(token, f"person {number}", time.time())
            cookie, csrf = accounts.open_session(account.account_id, time.time())
            people.append({"cookie": cookie, "csrf": csrf, "person": account.person})
    return people


# -- the server --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str], int]]:
    """`secondlook serve` in a process of its own: its address, the lines of its log, its process id."""
    program = Path(sys.executable).with_name("secondlook")
    command = [str(program), "serve", str(folder), "--port", "0", "--no-open", "--warm", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    log: list[str] = []
    assert server.stdout is not None
    assert server.stderr is not None
    reader = threading.Thread(target=log.extend, args=(server.stderr,), daemon=True)
    reader.start()
    try:
        address = next((m[1] for line in server.stdout if (m := re.search(r"is at (http://\S+)", line))), "")
        assert address, f"the server did not come up: {''.join(log)}"
        yield address, log, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        reader.join(5)


def server_ms(log: list[str], pattern: str) -> list[float]:
    """What the server itself took for the requests of a pattern, by its log."""
    found = (re.search(rf"{re.escape(pattern)} 200 (\d+) ms", line) for line in log)
    return [float(match[1]) for match in found if match]


def memory_mb(pid: int) -> float:
    """Most memory that a process ever held."""
    words = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(words.split()[1]) / 1024


def processor_s(pid: int) -> float:
    """Processor time that a process has used; other work on the machine hardly changes it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the people --------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the people of one run saw."""

    took_ms: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    errors: Counter[str] = field(default_factory=Counter)
    answers: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    """Acknowledged: person, task, choices."""
    twice: int = 0
    """Tasks that a person was given after answering them."""


async def annotate(http: Any, who: dict[str, Any], pause_s: float, until_s: float, seen: Seen, seed: int) -> None:
    """One person: looks, chooses one to three labels, saving each time, answers, goes on."""
    draw, done = random.Random(seed), set()
    base = f"/api/annotate/{CAMPAIGN}"
    headers = {"Cookie": f"secondlook={who['cookie']}", "X-CSRF-Token": who["csrf"]}

    async def rest() -> None:
        if pause_s:
            await asyncio.sleep(draw.expovariate(1 / pause_s))

    async def ask(kind: str, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        begun = time.perf_counter()
        try:
            answer = await http.request(method, base + path, json=body, headers=headers)
        except Exception as error:
            seen.errors[f"{kind}: {type(error).__name__}"] += 1
            await asyncio.sleep(0.2)
            return None
        if answer.status_code != 200:
            seen.errors[f"{kind}: {answer.status_code}"] += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", 0.2)))
            return None
        seen.took_ms[kind].append(1e3 * (time.perf_counter() - begun))
        found: dict[str, Any] = answer.json()
        return found

    await asyncio.sleep(draw.uniform(0, pause_s))
    state = None
    while time.monotonic() < until_s:
        if state is None:
            state = await ask("state", "GET", "/state")
            continue
        current = state["current"]
        if current is None:
            if state["reason"] != "batch_done":
                return
            found = await ask("batch", "POST", "/batch")
            state = found and found["state"]
            continue
        task, shown = current["task"], [option["label"] for option in current["options"]]
        seen.twice += task in done
        begun_s = time.time()
        choices: dict[str, str] = {}
        draft: dict[str, Any] = {"choices": choices, "started_s": begun_s, "seconds": 0.0}
        for label in draw.sample(shown, draw.choice((1, 1, 2, 3))):
            await rest()
            choices[str(label)] = draw.choice(("yes", "yes", "maybe"))
            draft["seconds"] = time.time() - begun_s
            await ask("draft", "PUT", f"/draft/{task}", draft)
        await rest()
        found = await ask("answer", "POST", f"/answer/{task}", draft)
        if found is not None:
            done.add(task)
            seen.answers.append((who["person"], task, dict(choices)))
        state = found and found["state"]


async def everybody(address: str, people: list[dict[str, Any]], pause_s: float, seconds: float) -> Seen:
    """All of them at once."""
    import httpx

    seen, until_s = Seen(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=len(people), max_keepalive_connections=len(people))
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as http:
        crowd = (annotate(http, who, pause_s, until_s, seen, seed) for seed, who in enumerate(people))
        await asyncio.gather(*crowd)
    return seen


def people_process(address: str, people: list[dict[str, Any]], pause_s: float, seconds: float, folder: Path) -> Seen:
    """`everybody` in a process of its own."""
    asked = {"address": address, "people": people, "pause_s": pause_s, "seconds": seconds}
    (folder / "asked.json").write_text(json.dumps(asked))
    subprocess.run([sys.executable, __file__, "--people", str(folder)], check=True)
    found = json.loads((folder / "seen.json").read_text())
    answers = [(person, task, choices) for person, task, choices in found["answers"]]
    return Seen(found["took_ms"], Counter(found["errors"]), answers, found["twice"])


# -- what came of it ---------------------------------------------------------------------------------------------------


def check(folder: Path, answers: list[tuple[str, int, dict[str, str]]]) -> dict[str, int]:
    """Counts what is wrong in the database; all must be 0."""
    import sqlalchemy as sa

    from secondlook.annotate.workplace import Workplace

    with Workplace.open(folder / "annotations") as workplace, workplace.reading() as connection:
        ask = connection.exec_driver_sql
        stored: dict[tuple[str, int], dict[str, str]] = {}
        rows = ask(
            "SELECT p.person, a.task_id, c.label, c.rating FROM answers a JOIN accounts p USING (worker_id) "
            "LEFT JOIN answer_choices c USING (answer_id) ORDER BY a.revision"
        )
        for person, task, label, rating in rows:
            stored.setdefault((person, task), {})[str(label)] = rating
        lost = sum(stored.get((person, task)) != choices for person, task, choices in answers)
        count = sa.text
        wrong: dict[str, int | str] = {
            "acknowledged_but_lost": lost,
            "given_twice": "SELECT count(*) FROM (SELECT 1 FROM assignments GROUP BY task_id, worker_id "
            "HAVING count(*) > 1)",
            "answered_twice": "SELECT count(*) FROM (SELECT 1 FROM answers GROUP BY task_id, worker_id, revision "
            "HAVING count(*) > 1)",
            "more_than_asked": "SELECT count(*) FROM rounds r WHERE r.votes < (SELECT count(*) FROM answers a WHERE "
            "a.task_id = r.task_id AND a.round = r.round AND a.revision = 1)",
            "places_miscounted": "SELECT count(*) FROM rounds r WHERE r.taken <> (SELECT count(*) FROM assignments s "
            "WHERE s.task_id = r.task_id AND s.round = r.round AND s.state <> 'expired')",
        }
        found = {name: w if isinstance(w, int) else int(connection.scalar(count(w)) or 0) for name, w in wrong.items()}
        found["damaged"] = int(ask("PRAGMA integrity_check").scalar() != "ok")
        return found


def quantiles(took_ms: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the longest."""
    if not took_ms:
        return {"count": 0}
    ordered = sorted(took_ms)
    at = {f"p{q}": ordered[min(len(ordered) - 1, int(len(ordered) * q / 100))] for q in (50, 95, 99)}
    return {"count": len(ordered), **{k: round(v, 1) for k, v in at.items()}, "max": round(ordered[-1], 1)}


def run(tasks: int, annotators: int, seconds: float) -> dict[str, Any]:
    """Both runs on one workplace."""
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        begun = time.perf_counter()
        people = make_workplace(folder, tasks, annotators)
        result: dict[str, Any] = {
            "tasks": tasks,
            "annotators": annotators,
            "made_s": round(time.perf_counter() - begun),
        }
        acknowledged = []
        with serving(folder) as (address, log, pid):
            for called, pause_s, lasts_s in (("with pauses", PAUSE_S, seconds), ("closed loop", 0.0, seconds / 3)):
                before, used_s = len(log), processor_s(pid)
                seen = people_process(address, people, pause_s, lasts_s, folder)
                acknowledged += seen.answers
                at_server = server_ms(log[before:], "/api/annotate/{campaign}/answer/{task}")
                result[called] = {
                    "pause_s": pause_s, "seconds": lasts_s, "load_average": round(os.getloadavg()[0], 1),
                    "answers_a_second": round(len(seen.answers) / lasts_s, 1),
                    "requests_a_second": round(sum(map(len, seen.took_ms.values())) / lasts_s, 1),
                    "server_cpu_share": round((processor_s(pid) - used_s) / lasts_s, 2),
                    "server_cpu_ms_an_answer": round(1e3 * (processor_s(pid) - used_s) / max(len(seen.answers), 1), 1),
                    "ms": {kind: quantiles(seen.took_ms[kind]) for kind in KINDS},
                    "answer_ms_by_the_server": quantiles(at_server),
                    "errors": dict(seen.errors), "given_again": seen.twice,
                }  # fmt: skip
            result["server_mb"] = round(memory_mb(pid))
        result["answers"] = len(acknowledged)
        result["wrong"] = check(folder, acknowledged)
        return result


def tell(result: dict[str, Any]) -> bool:
    """Prints it; whether nothing is wrong."""
    print(f"{result['tasks']} tasks (made in {result['made_s']} s), {result['annotators']} annotators at once")
    for called in ("with pauses", "closed loop"):
        found = result[called]
        print(
            f"\n{called}: {found['answers_a_second']} answers and {found['requests_a_second']} requests a second, "
            f"load average {found['load_average']}, errors {found['errors'] or 'none'}\n"
            f"  processor time of the server: {found['server_cpu_share']} s a second, "
            f"{found['server_cpu_ms_an_answer']} ms an answer with its drafts"
        )
        rows = {**found["ms"], "answer, by the server": found["answer_ms_by_the_server"]}
        for kind, ms in rows.items():
            if ms["count"]:
                words = "  ".join(f"{name} {ms[name]:7.1f}" for name in ("p50", "p95", "p99", "max"))
                print(f"  {kind:22} {ms['count']:6}   {words} ms")
    wrong = {name: count for name, count in result["wrong"].items() if count}
    again = sum(result[called]["given_again"] for called in ("with pauses", "closed loop"))
    print(f"\n{result['answers']} answers were acknowledged; wrong in the database: {wrong or 'nothing'}")
    print(f"memory of the server: {result['server_mb']} MB")
    p99 = result["with pauses"]["ms"]["answer"].get("p99", math.inf)
    print(f"p99 of a saved answer: {p99} ms, aim {AIM_MS:g} ms: {'held' if p99 < AIM_MS else 'MISSED'}")
    return not wrong and not again


def main() -> None:
    """Reads the options and runs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--annotators", type=int, default=50)
    options.add_argument("--seconds", type=float, default=60, help="of the run with pauses; the other lasts a third")
    options.add_argument("--tasks", type=int, default=30_000)
    options.add_argument("--json", type=Path, help="also write all numbers here")
    options.add_argument("--people", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.people:
        asked = json.loads((given.people / "asked.json").read_text())
        seen = asyncio.run(everybody(**asked))
        (given.people / "seen.json").write_text(json.dumps(vars(seen)))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    result = run(given.tasks, given.annotators, given.seconds)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if tell(result) else 1)


if __name__ == "__main__":
    main()
