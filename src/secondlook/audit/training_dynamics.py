"""How a network learned each training video: confidence, variability, forgetting, area under the margin.

Read from `RUN/dynamics.parquet` (`train.dynamics`): in each of E epochs the probability p_e of the given label, its
margin m_e (its logit minus the highest other one) and whether it was right. Measures, and the suspicion made of each:

* `aum`, area under the margin, `A = mean_e m_e`: suspicion `1 / (1 + exp(A))`, above 0.5 where another class was ahead
  on the whole (Pleiss et al. 2020, "Identifying mislabeled data using the area under the margin ranking");
* `confidence`, `mean_e p_e`: suspicion 1 minus it; `correctness`, the share of epochs that were right: 1 minus it
  (Swayamdipta et al. 2020, "Dataset cartography": hard to learn); `variability` is the standard deviation of p_e (their
  "ambiguous" region), at most 0.5: suspicion twice it;
* `forgetting`, F, how often right became wrong: suspicion `F / floor(E / 2)`, and 1 for a video that was never right
  (Toneva et al. 2019, "An empirical study of example forgetting").

A video is a candidate where suspicion is at least `min_suspicion`. Predictions are needed for options: predict split
train. Margins are those of augmented clips while dropout is on, as in all three papers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned, align
from secondlook.audit._dynamics import read_dynamics
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._shares import share
from secondlook.errors import BadValue

Measure = Literal["aum", "confidence", "correctness", "variability", "forgetting"]


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    run: str | Path | None = None,
    measure: Measure = "aum",
    min_suspicion: float = 0.5,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds training videos that were learned late, never, or against their label.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of one model or more on the videos that were trained on, for options.
        run: run folder, or its dynamics.parquet.
        measure: what suspicion is made of.
        min_suspicion: the lowest suspicion of a candidate.

    Raises:
        BadValue: if there is no run, it kept no dynamics, or they are of other videos.
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    return to_table(aligned, score(aligned, run=run, measure=measure, min_suspicion=min_suspicion), seed=seed,
                    limit=limit)[0]  # fmt: skip


def score(
    aligned: Aligned, *, run: str | Path | None = None, measure: Measure = "aum", min_suspicion: float = 0.5
) -> Scored:
    """The signal on predictions that are aligned already."""
    if run is None:
        raise BadValue("training_dynamics", "needs the run folder of a training",
                       "Give --run RUN of a training with --record-dynamics.")  # fmt: skip
    share("min_suspicion", min_suspicion)
    found = read_dynamics(run, aligned.video_id_N)
    count_N, suspicion_N = found.epochs_N, np.zeros(len(aligned.given_N), np.float32)
    known_N = count_N > 0
    if not known_N.any():
        raise BadValue(str(run), "was not trained on any of these videos", "Predict split train of the same table.")
    if measure == "aum":
        value_N = 1 / (1 + np.exp(np.clip(found.margin_N, -500, 500)))
    elif measure == "confidence":
        value_N = 1 - found.confidence_N
    elif measure == "correctness":
        value_N = 1 - found.correctness_N
    elif measure == "variability":
        value_N = 2 * found.variability_N
    else:
        value_N = np.where(found.correctness_N > 0, found.forgetting_N / np.maximum(count_N // 2, 1), 1)
    suspicion_N[known_N] = np.clip(value_N[known_N], 0, 1)
    names = aligned.labels.names

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"over {count_N[i]} epochs the given {names[aligned.given_N[i]]!r} was the best class in "
            f"{100 * found.correctness_N[i]:.0f} % of them, had {100 * found.confidence_N[i]:.0f} % on average "
            f"(standard deviation {100 * found.variability_N[i]:.0f} %), a margin of {found.margin_N[i]:.1f}, "
            f"and was forgotten {found.forgetting_N[i]} times"
            for i in rows.tolist()
        ]

    missing = int((~known_N).sum())
    notes = (f"{missing} videos were not trained on and are not looked at by training_dynamics.",) if missing else ()
    return Scored(suspicion_N, known_N & (suspicion_N >= min_suspicion), reasons, None, notes)
