"""People behind the answers: pseudonyms, and what each one's record says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from secondlook.annotate.answers import Votes

KEY_BYTES = 32


def pseudonym(key: bytes, raw: str, prefix: str = "w") -> str:
    """A stand-in for an id: the keyed BLAKE2b hash of its text, 64 bits in hexadecimal.

    One id gives one pseudonym under one key; without the key it can be neither read back nor tried out.

    Args:
        key: the store's secret (`pseudonym.key`).
        raw: the id as its owner writes it; white space around it does not matter.
        prefix: what kind of thing it stands for ("w": a person, "v": a video).
    """
    digest = hashlib.blake2b(raw.strip().encode(), key=key, person=prefix.encode(), digest_size=8)
    return f"{prefix}-{digest.hexdigest()}"


def record(votes: Votes) -> pa.Table:
    """One row a worker, by pseudonym: what was done and what a reviewer thought of it (label-reassessment §1.7).

    `approval_rate = approved / (approved + rejected)`, null where nothing was judged. `blank` counts answers that hold
    neither a choice nor a flag; `labels_per_answer` is the mean number of chosen labels.
    """
    count = len(votes.workers_W)

    def per_worker(weights_A: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(votes.worker_A, weights=weights_A, minlength=count)

    completed = per_worker()
    approved, rejected = per_worker(votes.approved_A), per_worker(votes.rejected_A)
    judged = approved + rejected
    rate = np.divide(approved, judged, out=np.zeros(count), where=judged > 0)
    labels = np.divide(per_worker(votes.chosen_A), completed, out=np.zeros(count), where=completed > 0)
    columns = {
        "worker": pa.array(votes.workers_W, pa.string()),
        "completed": completed,
        "blank": per_worker(votes.blank_A).astype(np.int64),
        "approved": approved.astype(np.int64),
        "rejected": rejected.astype(np.int64),
        "unjudged": (completed - judged).astype(np.int64),
        "approval_rate": pa.array(rate, mask=judged == 0),
        "labels_per_answer": labels,
    }
    return pa.table(columns).sort_by("worker")
