"""Has the units of a study made by several workers; what is done stays done, and a failure is a row with a reason."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.evaluate.fusion import fuse_files
from secondlook.study.plan import LOG, PREDICTIONS, RUN, TEST_LABELS, UNIT, Unit
from secondlook.study.workers import Worker

DONE, FAILED, SKIPPED = "done", "failed", "skipped"


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: the content of its `unit.json`."""

    status: str
    reason: str = ""
    fingerprint: str = ""
    seconds: float = 0.0
    """Of training and predicting; 0 for what was done before it was timed."""
    failed_rows: bool = False
    """Some videos could not be used."""
    params: int | None = None
    macs: int | None = None
    input: str = ""
    views: str = ""
    pre_training: str = ""


def run_units(
    units: Sequence[Unit],
    module: str,
    *,
    jobs: int = 2,
    threads: int = 1,
    on_done: Callable[[Unit, Outcome, bool], None] | None = None,
) -> dict[Path, Outcome]:
    """Makes all units; those that are done already are not made again.

    Args:
        units: in an order in which each comes after those it needs.
        module: what the workers run; see `Worker`.
        jobs: units made at once.
        threads: of numerical libraries, a job.
        on_done: told each unit with its outcome, and whether it was there before.

    Returns:
        Folder -> outcome.

    Raises:
        BadValue: if `jobs` is below 1.
    """
    if jobs < 1:
        raise BadValue(jobs, "jobs must be at least 1", "Give --jobs 2.")
    board = _Board(units, on_done or (lambda *_: None))
    workers = [Worker(module, threads) for _ in range(min(jobs, max(len(units), 1)))]
    crews = [threading.Thread(target=board.work, args=(worker,), daemon=True) for worker in workers]
    try:
        for crew in crews:
            crew.start()
        for crew in crews:
            while crew.is_alive():
                crew.join(0.2)
    finally:
        board.stop()
        for worker in workers:
            worker.close()
        for crew in crews:
            if crew.ident is not None:
                crew.join(5)
    if board.fault is not None:
        raise board.fault
    return board.outcomes


class _Board:
    """Which units are waiting, being made, made."""

    def __init__(self, units: Sequence[Unit], on_done: Callable[[Unit, Outcome, bool], None]) -> None:
        self.waiting, self.on_done = list(units), on_done
        self.outcomes: dict[Path, Outcome] = {}
        self.fault: BaseException | None = None
        self._change = threading.Condition()
        self._stopped = False
        self._hashes: dict[Path, str] = {}

    def stop(self) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def work(self, worker: Worker) -> None:
        """Takes one unit after the other until none is left."""
        try:
            while (unit := self._take()) is not None:
                outcome, before = self._make(unit, worker)
                with self._change:
                    if self._stopped:
                        return
                    self.outcomes[unit.folder] = outcome
                    self.on_done(unit, outcome, before)
                    self._change.notify_all()
        except BaseException as fault:
            with self._change:
                if not self._stopped:
                    self.fault = fault
                self._stopped = True
                self._change.notify_all()

    def _take(self) -> Unit | None:
        with self._change:
            while not self._stopped and self.waiting:
                for unit in self.waiting:
                    if all(folder in self.outcomes for folder in unit.after):
                        self.waiting.remove(unit)
                        return unit
                self._change.wait()
            return None

    def _make(self, unit: Unit, worker: Worker) -> tuple[Outcome, bool]:
        if unit.skip:
            return Outcome(SKIPPED, unit.skip), False
        for folder in unit.after:
            if self.outcomes[folder].status != DONE:
                return Outcome(SKIPPED, f"row {folder.name}, which it needs, was not made"), False
        inputs = {folder.name: self.outcomes[folder].fingerprint for folder in unit.after}
        fingerprint = unit.fingerprint(inputs | {"videos": self._hash(unit.data.videos)})
        there = read_outcome(unit.folder)
        if there and there.status == DONE and there.fingerprint == fingerprint and unit.predictions.is_file():
            return there, True
        outcome = make(unit, worker, fingerprint, restart=bool(there and there.fingerprint != fingerprint))
        return outcome, False

    def _hash(self, path: Path) -> str:
        with self._change:
            if path not in self._hashes:
                self._hashes[path] = tables.file_sha256(path)
            return self._hashes[path]


def make(unit: Unit, worker: Worker, fingerprint: str, *, restart: bool) -> Outcome:
    """Trains, predicts or fuses one unit, and writes its `unit.json`."""
    log = unit.folder / LOG
    unit.folder.mkdir(parents=True, exist_ok=True)
    if restart:
        for name in (PREDICTIONS, "labels.parquet", "training.parquet", "candidates.parquet", TEST_LABELS):
            (unit.folder / name).unlink(missing_ok=True)
        for name in ("answers", "test-answers"):
            shutil.rmtree(unit.folder / name, ignore_errors=True)
    # Said before it is begun: a unit that is stopped is taken up by the same settings, and by no others.
    _write(unit.folder, Outcome("begun", "", fingerprint))
    began_s, failed_rows = time.perf_counter(), False
    if unit.row.fuse:
        try:
            fuse_files([folder / PREDICTIONS for folder in unit.after], unit.predictions)
        except (BadValue, OSError) as error:
            return _write(unit.folder, Outcome(FAILED, str(error), fingerprint))
    else:
        for command in unit.commands(restart):
            if command[:2] == ["annotate", "simulate"]:
                shutil.rmtree(command[-1], ignore_errors=True)
            answer = worker.run(command, log)
            failed_rows |= answer.code == 1
            if answer.code not in (0, 1):
                reason = f"{command[0]}: {answer.words or f'ended with {answer.code}'}"
                return _write(unit.folder, Outcome(FAILED, reason, fingerprint))
    seconds = time.perf_counter() - began_s
    outcome = Outcome(DONE, "", fingerprint, seconds, failed_rows, **_facts(unit, worker))
    return _write(unit.folder, outcome)


def _facts(unit: Unit, worker: Worker) -> dict[str, Any]:
    """What the row's network costs and sees; sums over the rows that are fused."""
    if unit.row.fuse:
        parts = [read_outcome(folder) for folder in unit.after]
        known = [p for p in parts if p is not None and p.params is not None and p.macs is not None]
        whole = len(known) == len(parts)
        return {
            "params": sum(p.params or 0 for p in known) if whole else None,
            "macs": sum(p.macs or 0 for p in known) if whole else None,
            "input": " + ".join(dict.fromkeys(p.input for p in known)),
            "views": " + ".join(dict.fromkeys(p.views for p in known)),
            "pre_training": ", ".join(dict.fromkeys(p.pre_training for p in known)),
        }
    try:
        card = json.loads((unit.run / "card.json").read_text(encoding="utf-8"))
        classes = len(json.loads((unit.run / "labels.json").read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, KeyError):
        return {}
    clip = card["clip"]
    answer = worker.run([*cost_command(card, classes), "--json"], unit.folder / LOG)
    cost = json.loads(answer.printed.strip().splitlines()[-1]) if answer.code == 0 and answer.printed.strip() else {}
    started = unit.train.get("weights") or unit.train.get("init") or ""
    return {
        "params": cost.get("parameters"), "macs": cost.get("macs"),
        "input": f"{clip['frames']}x{clip['height']}x{clip['width']} {clip.get('modality', 'rgb')}",
        "views": str(unit.predict.get("views", "1x1")), "pre_training": _of_run(str(started)) or "none",
    }  # fmt: skip


def _of_run(started: str) -> str:
    path = Path(started)
    return f"row {path.parent.name}" if path.name == RUN else path.name


def cost_command(card: Mapping[str, Any], classes: int) -> list[str]:
    """`secondlook show models` for the network of a card."""
    clip, options = card["clip"], dict(card.get("options") or {})
    head_options = options.pop("head_options", None) or {}
    options = {"in_channels": len(clip["mean"]), **options}
    found = ["show", "models", str(card["name"]), "--classes", str(classes)]
    found += ["--clip", f"{clip['frames']}x{clip['height']}x{clip['width']}"]
    found += ["--head", card["head"]] if card.get("head") else []
    for flag, values in (("--head-option", head_options), ("--option", options)):
        for name, value in values.items():
            found += [flag, f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return found


def read_outcome(folder: Path) -> Outcome | None:
    """What `unit.json` says; None where there is none, or it cannot be read."""
    try:
        return Outcome(**json.loads((folder / UNIT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(folder: Path, outcome: Outcome) -> Outcome:
    part = folder / f"{UNIT}.part"
    part.write_text(json.dumps(asdict(outcome), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / UNIT)
    return outcome
