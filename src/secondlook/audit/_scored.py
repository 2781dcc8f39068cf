"""What a signal says of each video, and how that becomes a candidates table: one way for every signal.

Shapes: N videos, R rows of a table, J labels beside those of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.audit._align import Aligned
from secondlook.audit._controls import CONTROL, Controls, draw_foils, draw_videos
from secondlook.audit._mistakes import mistakes
from secondlook.audit._options import choose
from secondlook.errors import BadValue

Reasons = Callable[[npt.NDArray[np.int64]], list[str]]
Predictions = Mapping[str, pa.Table] | Sequence[pa.Table]


@dataclass(frozen=True)
class Scored:
    """What one signal says of each of N videos."""

    suspicion_N: npt.NDArray[np.float32]
    """In [0, 1]; high means look here. 0 for a video of which the signal knows nothing."""
    selected_N: npt.NDArray[np.bool_]
    """Which become candidates."""
    reasons: Reasons
    """Rows -> why each of them is suspicious, in words."""
    also_NJ: npt.NDArray[np.int32] | None = None
    """Further labels to ask about; the given label where there are fewer than J."""
    notes: tuple[str, ...] = ()
    """What a reader should know, in sentences."""


def named(predictions: Predictions) -> Mapping[str, pa.Table]:
    """Predictions by name of the model; those without names are called a, b, c, ..."""
    if isinstance(predictions, Mapping):
        return predictions
    return {chr(ord("a") + i) if i < 26 else f"model {i + 1}": table for i, table in enumerate(predictions)}


def to_table(
    aligned: Aligned,
    scored: Scored,
    *,
    seed: int = 0,
    limit: int | None = None,
    controls: Controls | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """The candidates table of a signal, most suspicious first, ties by name of the video.

    Options are the k best classes of every model, the given label, what the signal adds, and foils, shuffled by
    `_options`.

    Args:
        aligned: the videos.
        scored: what the signal says of them.
        seed: of the order of options, and of controls.
        limit: keep this many, the most suspicious ones; controls are not counted.
        controls: videos and labels to add at random.

    Returns:
        The table, and what its metadata must say about controls (`_controls`).

    Raises:
        BadValue: if `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise BadValue(limit, "a limit must be at least 1", "Leave --limit out to keep all.")
    controls = controls or Controls()
    rows = _ordered(aligned, scored, np.flatnonzero(scored.selected_N))[:limit]
    drawn = draw_videos(aligned.video_id_N, scored.selected_N, controls.videos, seed).astype(rows.dtype)
    rows = _ordered(aligned, scored, np.concatenate([rows, drawn]))
    control_R = np.isin(rows, drawn)
    proposed = [*(r.top_NK[rows] for r in aligned.rankings), aligned.given_N[rows][:, None]]
    if scored.also_NJ is not None:
        proposed.append(scored.also_NJ[rows])
    video_id_R = aligned.video_id_N[rows]
    foils: list[list[int]] = []
    if controls.random_options:
        options = np.column_stack(proposed).tolist()
        foils = draw_foils(options, video_id_R, len(aligned.labels), controls.random_options, seed)
        padded = [(x + [y] * controls.random_options)[: controls.random_options]
                  for x, y in zip(foils, aligned.given_N[rows].tolist(), strict=True)]  # fmt: skip
        proposed.append(np.array(padded, dtype=np.int32).reshape(len(rows), controls.random_options))
    offsets, classes = choose(np.column_stack(proposed), video_id_R, seed)
    reason_R = np.array(scored.reasons(rows), dtype=object)
    reason_R[control_R] = f"{CONTROL}: drawn at random"
    columns = {
        "video_id": pa.array(video_id_R, type=pa.string()),
        "path": pa.array(aligned.path_N[rows], type=pa.string()),
        "given_label": pa.array(aligned.given_N[rows]),
        "options": pa.ListArray.from_arrays(pa.array(offsets), pa.array(classes)),
        "suspicion": pa.array(scored.suspicion_N[rows].astype(np.float32)),
        "reason": pa.array(reason_R, type=pa.string()),
        "category": pa.array(_category(aligned, rows, control_R), type=pa.string()),
    }
    about: dict[str, Any] = {}
    if controls.videos:
        about["controls"] = sorted(map(str, aligned.video_id_N[drawn]))
    if controls.random_options:
        about["foils"] = dict(zip(map(str, video_id_R), foils, strict=True))
    if about:
        selected = int(scored.selected_N.sum())
        about["sampling"] = {
            "selected": selected, "not_selected": len(scored.selected_N) - selected, "controls": len(drawn),
            "random_options": controls.random_options, "seed": seed,
        }  # fmt: skip
    return tables.conform(tables.CANDIDATES, pa.table(columns)), about


def about_candidates(aligned: Aligned, listed: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata of a candidates table say of its videos, labels and models, beside how it was made.

    Args:
        aligned: the videos and the models that were compared.
        listed: metadata of the table that lists the videos: where they are, which dataset they are.
    """
    kept = {key: listed[key] for key in ("root", "dataset", "fingerprint") if key in listed}
    return kept | {
        "label_space": aligned.labels.to_dict(),
        "models": list(aligned.names),
        "sizes": mistakes(aligned).sizes(),
        "left_out": [x.to_dict() for x in aligned.left_out],
    }


def _ordered(aligned: Aligned, scored: Scored, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # lexsort's last key counts most.
    return rows[np.lexsort((aligned.video_id_N[rows].astype(str), -scored.suspicion_N[rows]))]


def _category(aligned: Aligned, rows: npt.NDArray[np.int64], control_R: npt.NDArray[np.bool_]) -> Any:
    found = mistakes(aligned)
    category_N = np.where(found.topk_category, "topk", np.where(found.union, "top1", "right"))
    return np.where(control_R, CONTROL, category_N[rows]).astype(object)


def predicted_words(aligned: Aligned, rows: npt.NDArray[np.int64]) -> list[str]:
    """`a predicted 'x' with 93 %, b predicted 'y' with 71 %; given 'z'`, for each row."""
    names = aligned.labels.names
    said = [
        [
            f"{ranking.name} predicted {names[k]!r} with {100 * p:.0f} %"
            for k, p in zip(ranking.predicted_N[rows].tolist(), ranking.confidence_N[rows].tolist(), strict=True)
        ]
        for ranking in aligned.rankings
    ]
    given = [names[y] for y in aligned.given_N[rows].tolist()]
    return [f"{', '.join(parts)}; given {name!r}" for *parts, name in zip(*said, given, strict=True)]
