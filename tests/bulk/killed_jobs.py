"""The jobs of the verbs, with workers that are killed in the middle (apart, because they import torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from secondlook.bulk.predict import PredictJob
from secondlook.bulk.prepare import PrepareJob
from secondlook.bulk.shards import Work
from tests.bulk.jobs import die_once


@dataclass(frozen=True)
class KilledPrepare(PrepareJob):
    """Prepares, but the first worker is killed when it has encoded its first video, before the shard is written."""

    def start(self) -> Work:
        work, mark = PrepareJob.start(self), self.plan.target_root / "killed"

        def killed(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
            if not mark.exists():
                work(rows.slice(0, 1))
                die_once(mark)
            return work(rows)

        return killed


@dataclass(frozen=True)
class KilledPredict(PredictJob):
    """Predicts, but the first worker is killed when it has predicted its first shard, before that is written."""

    def start(self) -> Work:
        work, mark = PredictJob.start(self), self.run.parent / "killed"

        def killed(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
            done = work(rows)
            die_once(mark)
            return done

        return killed
