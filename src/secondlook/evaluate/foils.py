"""Options that nobody proposed: how often people choose them says how often they choose what does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.annotate.answers import count
from secondlook.evaluate.proportion import wilson


def foils_chosen(candidates: pa.Table, answers: pa.Table, *, confidence: float = 0.95) -> dict[str, Any] | None:
    """How often each kind of option was chosen, over all answers that are not blank, whatever their verdict.

    A foil is an option drawn at random from the classes that no model proposed (`audit._controls`). It can hold by
    accident, so its share bounds from above how often people choose what does not hold.

    Args:
        candidates: with the metadata `foils`.
        answers: as for `reassess.approval_rules.fit`.
        confidence: of Wilson's intervals.

    Returns:
        `{"answers", "given": share, "proposed": share, "foil": share}`, a share being `{"chosen", "shown", "rate",
        "low", "high"}` over answers and options; None where no foils were shown.
    """
    foils: Mapping[str, Sequence[int]] = tables.made(candidates).get("foils", {})
    if not any(foils.values()):
        return None
    given = dict(zip(candidates["video_id"].to_pylist(), candidates["given_label"].to_pylist(), strict=True))
    shown = dict(zip(candidates["video_id"].to_pylist(), tables.lists(candidates, "options"), strict=True))
    votes = count(answers)
    asked_A = ~votes.blank_A
    answers_N = np.bincount(votes.task_A[asked_A], minlength=len(votes.tasks_N)).tolist()
    chosen: list[list[int]] = [[] for _ in votes.tasks_N]
    use_C = asked_A[votes.answer_C]
    for task, label in zip(votes.task_A[votes.answer_C[use_C]].tolist(), votes.label_C[use_C].tolist(), strict=True):
        chosen[task].append(label)
    total = {kind: [0, 0] for kind in ("given", "proposed", "foil")}
    for task, (video, times) in enumerate(zip(votes.tasks_N.tolist(), answers_N, strict=True)):
        own = set(foils.get(video, ()))
        for label in shown.get(video, ()):
            kind = "foil" if label in own else "given" if label == given[video] else "proposed"
            total[kind][0] += chosen[task].count(label)
            total[kind][1] += times
    return {"answers": int(asked_A.sum())} | {
        kind: {"chosen": hit, "shown": n} | wilson(hit, n, confidence) for kind, (hit, n) in total.items()
    }
