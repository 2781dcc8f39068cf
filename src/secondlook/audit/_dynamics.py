"""What a run recorded of each training video, epoch by epoch, brought down to a few numbers a video.

Shapes: N videos, P records (a video in an epoch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from secondlook.errors import BadValue, MissingFile

FILE = "dynamics.parquet"
COLUMNS = ("epoch", "video_id", "p_given", "margin", "correct")


@dataclass(frozen=True)
class Dynamics:
    """Of each of N videos; 0 where it was never trained on."""

    epochs_N: npt.NDArray[np.int64]
    confidence_N: npt.NDArray[np.float64]
    """Mean probability of the given label."""
    variability_N: npt.NDArray[np.float64]
    """Its standard deviation over epochs (of all of them, not a sample)."""
    correctness_N: npt.NDArray[np.float64]
    """Share of epochs in which the given label was the best class."""
    forgetting_N: npt.NDArray[np.int64]
    """How often it was the best class in one epoch and not in the next."""
    margin_N: npt.NDArray[np.float64]
    """Mean of the given label's logit minus the highest other one: the area under the margin."""


def read_dynamics(run: str | Path, video_id_N: Sequence[str] | npt.NDArray[np.object_]) -> Dynamics:
    """Reads what a run recorded.

    Args:
        run: run folder, or the file itself.
        video_id_N: the videos to tell of; others are left out.

    Raises:
        MissingFile: if the run recorded nothing.
        BadValue: if it is another file.
    """
    path = Path(run) / FILE if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise MissingFile(path, "Train with --record-dynamics, and give that run.")
    try:
        table = pq.read_table(path, columns=list(COLUMNS), partitioning=None)
    except (pa.ArrowInvalid, KeyError) as error:
        raise BadValue(str(path), f"is no record of a training's dynamics ({error})", "Give --run RUN.") from None
    epoch_P, p_P, margin_P, correct_P = (table[c].to_numpy() for c in ("epoch", "p_given", "margin", "correct"))
    ids_P = table["video_id"].combine_chunks().dictionary_encode()
    if isinstance(ids_P, pa.ChunkedArray):
        ids_P = ids_P.chunk(0)
    known = pd.Index(np.asarray(video_id_N, dtype=object)).get_indexer(
        pd.Index(ids_P.dictionary.to_pylist(), dtype=object)
    )
    row_P = known[ids_P.indices.to_numpy()]
    order = np.lexsort((epoch_P, row_P))
    order = order[row_P[order] >= 0]
    row_P, p_P, margin_P = row_P[order], p_P[order].astype(np.float64), margin_P[order].astype(np.float64)
    correct_P = correct_P[order].astype(np.int64)
    count = len(video_id_N)
    epochs_N = np.bincount(row_P, minlength=count)
    divisor_N = np.maximum(epochs_N, 1)

    def mean(value_P: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.bincount(row_P, weights=value_P, minlength=count) / divisor_N)

    confidence_N = mean(p_P)
    variability_N = np.sqrt(mean((p_P - confidence_N[row_P]) ** 2))
    forgot_P = (row_P[1:] == row_P[:-1]) & (correct_P[:-1] == 1) & (correct_P[1:] == 0)
    forgetting_N = np.bincount(row_P[1:][forgot_P], minlength=count)
    return Dynamics(
        epochs_N, confidence_N, variability_N, mean(correct_P.astype(np.float64)), forgetting_N, mean(margin_P)
    )
