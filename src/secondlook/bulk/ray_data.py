"""Shards on a Ray cluster: Ray Data hands them to workers, and again to others where a worker or its machine dies."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.bulk.shards import Job, Shards, Work
from secondlook.errors import BadValue, SecondlookError

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what the cluster says of dead workers goes to our standard output else
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Read when Ray is imported: nothing is sent, nothing is printed. A variable that is set already stays."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster that is started here: only numbers of shards travel through it."""
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Cluster:
    """Where shards are done.

    Raises:
        BadValue: if the address is none, or no worker is allowed.
    """

    address: str | None = None
    """None starts a cluster on this machine and ends it afterwards; `auto` is the one this machine belongs to;
    `HOST:PORT` another one on its network; `ray://HOST:PORT` one that is reached through its client server."""
    workers: int | None = None
    """Workers at most; None takes as many as there is room for when the run begins."""
    cores: int | None = None
    """Of a cluster that is started on this machine; None for all it has."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise BadValue(self.workers, "at least one worker is needed")
        if self.address is not None and self.address != "auto" and _host_and_port(self.address) is None:
            raise BadValue(self.address, "is no address of a Ray cluster", "Give auto, HOST:PORT or ray://HOST:PORT.")


def run(job: Job, shards: Shards, cluster: Cluster, advance: Callable[[int], object] = lambda rows: None) -> list[int]:
    """Does every shard that is not done; returns when all are.

    A worker that dies is replaced, and the shard it had is begun again; one whose file is there is not.

    Args:
        job: what is done to a shard.
        shards: of what.
        cluster: where.
        advance: called with the number of rows that are done, after each shard; at once for those done before.

    Returns:
        The shards that were done before.

    Raises:
        BadValue: if Ray is not installed, no cluster answers, it has no room for a worker, or a shard keeps killing
            its worker.
        SecondlookError: what a worker raised.
    """
    before = shards.done()
    if before:
        advance(sum(len(shards.ranges[number]) for number in before))
    todo = sorted(set(range(len(shards.ranges))) - set(before))
    if todo:
        with connected(cluster) as ray:
            for number, error in _outcomes(ray, job, shards, cluster, todo):
                if error:
                    raise SecondlookError(error)
                advance(len(shards.ranges[number]))
    return before


class _Worker:
    """One process of the cluster; what all shards need is loaded when the first one comes."""

    def __init__(self, job: Job, shards: Shards) -> None:
        self.job, self.shards = job, shards
        self.work: Work | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        error = ""
        try:
            self.work = self.work or self.job.start()
            for number in batch["shard"].tolist():
                self.shards.do(number, self.work)
        except SecondlookError as problem:
            error = str(problem)
        return {"shard": batch["shard"], "error": np.array([error] * len(batch["shard"]), dtype=object)}


def _outcomes(ray: Any, job: Job, shards: Shards, cluster: Cluster, todo: list[int]) -> Iterator[tuple[int, str]]:
    """Every shard, as it is done, with what went wrong."""
    cpus, gpus, workers = _room(ray, job, cluster, len(todo))
    given = ray.data.from_items([{"shard": number} for number in todo], override_num_blocks=len(todo))
    done = given.map_batches(
        _Worker,
        fn_constructor_args=(job, shards),
        batch_size=1,
        num_cpus=cpus,
        num_gpus=gpus or None,
        # The pool may shrink: when a machine is gone, idle workers make room for one whose shard must be begun again.
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
        ),
    )
    try:
        for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
            yield from zip(batch["shard"].tolist(), batch["error"].tolist(), strict=True)
    except ray.exceptions.UserCodeException:
        raise  # a mistake of ours: its traceback is what is wanted
    except ray.exceptions.RayError as error:
        raise BadValue("ray", f"the cluster gave up ({_last_line(error)})", "Run the same command to go on.") from None


def _room(ray: Any, job: Job, cluster: Cluster, todo: int) -> tuple[int, int, int]:
    """Cores (no more than a machine has) and accelerators of a worker, and how many workers."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    with_gpu = [m for m in machines if m.get("GPU", 0) >= 1]
    gpus = int(job.device != "cpu" and (job.device != "auto" or bool(with_gpu)))
    fitting = with_gpu if gpus else machines
    if not fitting:
        rule = f"no machine of this cluster has a core{' and an accelerator' if gpus else ''} to lend"
        raise BadValue(cluster.address or "local", rule, "Give --device cpu." if gpus else "Add a machine.")
    cpus = max(1, min(job.cpus, int(max(m["CPU"] for m in fitting))))
    room = sum(int(min(m["CPU"] // cpus, m["GPU"] if gpus else m["CPU"])) for m in fitting)
    return cpus, gpus, max(1, min(cluster.workers or room, todo))


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, imported and connected. A program that is connected already stays so, whatever the address.

    Raises:
        BadValue: if Ray is not installed, or no cluster answers.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between Ray's own parts, pandas and us
        try:
            import ray
            import ray.data
        except ImportError as error:
            rule = f"--engine ray needs a package that is not installed ({error.name or error})"
            raise BadValue("ray", rule, "Install it: pip install 'secondlook[distributed]'.") from None
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, cluster)
        context = ray.data.DataContext.get_current()
        changed = {
            "enable_progress_bars": False,
            "print_on_execution_start": False,
            "execution_no_progress_timeout_s": -1,  # a shard takes as long as it takes
        }
        kept = {name: getattr(context, name) for name in changed if hasattr(context, name)}
        for name in kept:
            setattr(context, name, changed[name])
        try:
            with _silent("ray.data"):
                yield ray
        finally:
            for name, value in kept.items():
                setattr(context, name, value)
            if ours:
                ray.shutdown()


def _connect(ray: Any, cluster: Cluster) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    if cluster.address is None:
        with _muted():
            ray.init(
                "local",
                num_cpus=cluster.cores,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **quiet,
            )
        return
    where = _host_and_port(_noted() if cluster.address == "auto" else cluster.address)
    if where is not None:
        try:
            socket.create_connection(where, timeout=_ANSWER_S).close()
        except OSError as error:
            rule = f"no Ray cluster answers at {where[0]}:{where[1]} ({error})"
            raise BadValue(cluster.address, rule, _START) from None
    try:
        with _muted():
            ray.init(cluster.address, **quiet)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError, ImportError, AssertionError) as error:
        raise BadValue(cluster.address, f"this Ray cluster cannot be joined ({_last_line(error)})", _START) from None


_START = "Start one with `ray start --head`, or leave out the address: then this machine is the cluster."


def _noted() -> str:
    """The address that `auto` stands for, where it is noted: Ray would wait long for a cluster that ended badly."""
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
    found = os.environ.get("RAY_ADDRESS") or (note.read_text(encoding="utf-8") if note.is_file() else "")
    return found.strip()


def _host_and_port(address: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(?:ray://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})", address)
    return (found[1].strip("[]"), int(found[2])) if found and 0 < int(found[2]) < 65536 else None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].rstrip(".")[:300]


@contextmanager
def _muted() -> Iterator[None]:
    """Standard error goes nowhere, also that of code that is not Python: Ray's core reports there how loud it is."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Nothing of this logger reaches the console; its files are kept."""
    consoles = [h for h in logging.getLogger(name).handlers if isinstance(h, logging.StreamHandler)]
    levels = [handler.level for handler in consoles]
    for handler in consoles:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)
