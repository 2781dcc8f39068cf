"""`predict` on a cluster: shards of a videos table predicted, each worker with a network of its own, then joined."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from secondlook import tables
from secondlook.bulk.ray_data import Cluster, run
from secondlook.bulk.shards import Shards, Work
from secondlook.errors import BadValue
from secondlook.predict.loader import cache_that_fits, root_of
from secondlook.predict.run import Plan, PredictResult, PredictSettings, result_of
from secondlook.predict.weights import LoadedModel, load_run
from secondlook.video.cache import FrameCache

SHARD_CLIPS = 256
"""Clips (views of videos) of one shard, about."""
AT_LEAST = 64
"""Shards are smaller where there would be fewer, though never smaller than a batch."""


@dataclass(frozen=True)
class PredictJob:
    """Predicts the videos of a shard with the network of a run, which each worker loads once."""

    run: Path
    which: Literal["best", "last"]
    sha256: str
    """Of the weights: a machine whose run folder holds others must not take part."""
    plan: Plan
    cache: Path | None

    @property
    def cpus(self) -> int:
        """One for the network, and one for each process that reads videos."""
        return self.plan.settings.workers + 1

    @property
    def device(self) -> str:
        """As in the settings."""
        return self.plan.settings.device

    def start(self) -> Work:
        """Loads the network."""
        model = load_run(self.run, self.which)
        if tables.file_sha256(model.weights) != self.sha256:
            raise BadValue(str(model.weights), "holds other weights on this machine", "Share one folder among all.")
        cache = None if self.cache is None else FrameCache(self.cache)

        def work(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
            whole = (range(rows.num_rows),)
            (table,) = (t for t, _ in self.plan.predicted(model, rows, whole, cache) if t is not None)
            return table, {}

        return work


def predict(
    model: LoadedModel,
    videos: pa.Table,
    output: str | Path,
    settings: PredictSettings,
    cluster: Cluster,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> PredictResult:
    """As `predict.run.predict`, on a cluster: the same rows in the same order, and the same batches.

    The logits are the same bit for bit where the machines compute alike (kind of processor, number of threads).

    Args:
        model: what `weights.load_run` gives; its run folder, the videos and the output are seen by every machine under
            the same paths.
        videos: a videos table.
        output: file to write.
        settings: see `PredictSettings`; with device `auto` workers stand where accelerators are, if there are any.
        cluster: where.
        on_step: called with the number of videos done and their total.

    Raises:
        BadValue: see there; and `bulk.ray_data.run`; if a device of a certain number is wanted; and if there are shards
            of another prediction.
    """
    output = Path(output)
    if settings.device.partition(":")[2]:
        rule = "each worker of a cluster is given an accelerator of its own"
        raise BadValue(settings.device, rule, f"Give {settings.device.partition(':')[0]} or auto.")
    plan = Plan.of(model, videos, settings)
    total = len(plan.chosen)
    if plan.is_made(output):
        return result_of(output, total, 0.0)
    root = root_of(plan.chosen, settings.root).absolute()
    cache, _ = cache_that_fits(settings.cache, plan.chosen, model.card.clip, settings.timeout_s, root)
    shards = Shards.of(tables.PREDICTIONS, output, plan.chosen, _ranges(plan), {**plan.made, "root": str(root)})
    job = PredictJob(
        run=model.weights.parent.absolute(),
        which="last" if model.weights.stem == "last" else "best",
        sha256=plan.made["inputs"][str(model.weights)],
        plan=replace(plan, chosen=plan.chosen.schema.empty_table(), settings=replace(settings, root=root)),
        cache=None if cache is None else cache.folder.absolute(),
    )
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if on_step:
            on_step(done, total)

    began_s = time.perf_counter()
    resumed = sum(len(shards.ranges[number]) for number in run(job, shards, cluster, advance))
    seconds = time.perf_counter() - began_s
    _join(shards, output, plan)
    return result_of(output, resumed, (total - resumed) * plan.views_a_video / seconds)


def _ranges(plan: Plan) -> list[range]:
    """Parts of the local run, cut where batches begin, so that the network sees the same batches."""
    if plan.views.every:  # batches begin at no regular rows
        return plan.parts
    rows, clips = len(plan.chosen), plan.views.total
    step = plan.keys_a_batch // math.gcd(plan.keys_a_batch, plan.views.clips)
    size = step * max(1, min(SHARD_CLIPS, rows * clips // AT_LEAST) // (clips * step))
    return [range(start, min(start + size, p.stop)) for p in plan.parts for start in range(p.start, p.stop, size)]


def _join(shards: Shards, output: Path, plan: Plan) -> None:
    """Writes the output as the local run does: one row group a part."""
    stops = {part.stop for part in plan.parts}
    gathered: list[pa.Table] = []
    with tables.Writer(tables.PREDICTIONS, output, plan.made) as writer:
        for rows, (table, _) in zip(shards.ranges, shards.read_all(), strict=True):
            gathered.append(table)
            if rows.stop in stops:
                writer.write(pa.concat_tables(gathered).combine_chunks())
                gathered.clear()
    shards.clear()
