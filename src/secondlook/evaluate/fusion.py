"""Late fusion of predictions tables: streams of one model, or an ensemble of many, become one table.

Shapes: M tables, N videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.audit import compare_label_spaces, name_models, read_video_rows
from secondlook.errors import BadValue

Method = Literal["mean_softmax", "sum", "weights"]
Logits = npt.NDArray[np.floating[Any]]
_VIDEO = -1
"""View of the row that stands for a whole video."""


@dataclass(frozen=True)
class Fused:
    """What fusing wrote."""

    path: Path
    models: tuple[str, ...]
    method: Method
    weights: tuple[float, ...]
    """One a table; they sum to 1 but for `sum`, where each is 1."""
    videos: int
    unusable: int
    fitted_on: int = 0
    """Videos that the weights were fitted on; 0 where they were given."""
    log_loss: float | None = None
    """Mean `-log p(given label)` of the fused model on them."""


def fuse_scores(logits_MNK: Logits, method: Method = "mean_softmax", weights: Sequence[float] = ()) -> Logits:
    """The fused logits of N videos; computed in 64 bits.

    `mean_softmax`: `log(1/M sum_m softmax(z_m))`, so that the softmax of the result is the mean of the streams'
    normalised scores (late-temporal-bert 1.26, 2D streams and ensembles). `sum`: `sum_m z_m`, the scores as they are
    (1.26, 3D streams). `weights`: `log(sum_m w_m softmax(z_m))` with the weights brought to a sum of 1.

    Args:
        logits_MNK: of M tables on the same videos, in the same order of classes.
        method: which of the three.
        weights: one a table, at least 0 and not all 0; only for `weights`.

    Returns:
        N x K in float32.

    Raises:
        BadValue: if there is no such method, or the weights do not fit.
    """
    if method not in get_args(Method):
        raise BadValue(method, f"tables are fused by {', '.join(get_args(Method))}")
    wide_MNK = np.asarray(logits_MNK, np.float64)
    if method == "sum":
        return np.asarray(wide_MNK.sum(0), np.float32)
    models = len(wide_MNK)
    share_M = np.full(models, 1 / models) if method == "mean_softmax" else _shares(weights, models)
    kept_M = share_M > 0
    log_share_M11 = np.log(share_M[kept_M])[:, None, None]
    return np.asarray(np.logaddexp.reduce(_log_softmax(wide_MNK[kept_M]) + log_share_M11, 0), np.float32)


def fit_weights(logits_MNK: Logits, given_N: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """The weights on the simplex that minimise the log-loss of the fused probabilities.

    `min_w -1/N sum_n log(sum_m w_m softmax(z_mn)[y_n])` with `w_m >= 0` and `sum_m w_m = 1`: convex, so that the
    minimum does not hang on the start (1/M each). Fit it on videos that are not those measured afterwards.

    Args:
        logits_MNK: of M tables on the same N videos.
        given_N: their given labels.

    Raises:
        BadValue: if there is no video.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    models, count = len(logits_MNK), len(given_N)
    if not count:
        raise BadValue(0, "weights need at least one usable video with a label", "Give other tables to --fit.")
    log_p_MNK = _log_softmax(np.asarray(logits_MNK, np.float64))
    log_p_MN = log_p_MNK[:, np.arange(count), given_N]
    # A common factor a video leaves the best weights where they are and keeps tiny probabilities from becoming 0.
    p_MN = np.exp(log_p_MN - log_p_MN.max(0))

    def loss(w_M: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        mixed_N = np.maximum(w_M @ p_MN, 1e-300)
        return float(-np.log(mixed_N).mean()), -(p_MN / mixed_N).mean(1)

    found = minimize(
        loss, np.full(models, 1 / models), jac=True, method="SLSQP", bounds=[(0, 1)] * models,
        constraints={"type": "eq", "fun": lambda w_M: w_M.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    w_M = np.clip(found.x, 0, None)
    return np.asarray(w_M / w_M.sum())


def fuse_files(
    paths: Sequence[str | Path],
    output: str | Path,
    method: Method = "mean_softmax",
    *,
    weights: Sequence[float] = (),
    fit: Sequence[str | Path] = (),
) -> Fused:
    """Fuses predictions tables by `video_id` into an ordinary predictions table of video rows.

    A video that a table does not have, or whose row there cannot be used, stays as a row with NaN and says in `reason`
    which table it was. Videos stand in the order in which the tables first name them.

    Args:
        paths: two or more predictions tables of one label space.
        output: table to write.
        method: see `fuse_scores`.
        weights: for `weights`: one a table.
        fit: for `weights`: tables of the same models, in the same order, on other videos; weights are fitted there.

    Raises:
        MissingFile: if a table is not there.
        BadValue: if there are fewer than two, label spaces or given labels differ, or settings do not go together.
    """
    if len(paths) < 2:
        raise BadValue(len(paths), "fusing needs at least two predictions tables", "Give one for each stream or model.")
    if method != "weights" and (len(weights) or fit):
        raise BadValue(method, "takes no weights", "Give --method weights.")
    if method == "weights" and bool(len(weights)) == bool(fit):
        raise BadValue("weights", "needs either the weights or tables to fit them on", "Give --weights or --fit.")
    if fit and len(fit) != len(paths):
        cure = "Give them in the order of the tables that are fused."
        raise BadValue(len(fit), f"{len(paths)} tables are fused, so weights are fitted on {len(paths)}", cure)
    read = [read_video_rows(Path(path)) for path in paths]
    names = name_models(read, [Path(path) for path in paths])
    fitted_on, log_loss = 0, None
    if fit:
        held = _join([read_video_rows(Path(path)) for path in fit], [str(path) for path in fit])
        compare_label_spaces(names[0], tables.label_space(read[0]), str(fit[0]), held.labels)
        use_N = held.usable_N & (held.label_N != tables.UNLABELLED)
        fit_MNK, fit_N = held.logits_MNK[:, use_N], held.label_N[use_N]
        weights, fitted_on = fit_weights(fit_MNK, fit_N).tolist(), len(fit_N)
        fused_NK = fuse_scores(fit_MNK, method, weights).astype(np.float64)
        log_loss = float(-_log_softmax(fused_NK)[np.arange(fitted_on), fit_N].mean())
    joined = _join(read, names)
    fused_NK = np.full(joined.logits_MNK.shape[1:], np.nan, np.float32)
    fused_NK[joined.usable_N] = fuse_scores(joined.logits_MNK[:, joined.usable_N], method, weights)
    share_M = {"sum": np.ones(len(paths)), "mean_softmax": np.full(len(paths), 1 / len(paths))}.get(method)
    share_M = _shares(weights, len(paths)) if share_M is None else share_M
    rounded = tuple(round(float(w), 6) for w in share_M)
    settings = {"tables": [str(p) for p in paths], "method": method, "weights": rounded, "fit": [str(p) for p in fit]}
    made = tables.provenance("fuse", settings, [*paths, *fit])
    first = tables.made(read[0])
    made |= {"label_space": joined.labels.to_dict(), "model": " + ".join(names), "models": list(names), "fuse": method}
    made |= {key: first[key] for key in ("fingerprint", "dataset") if key in first}
    written = tables.write(tables.PREDICTIONS, joined.table(fused_NK), output, made)
    unusable = int((~joined.usable_N).sum())
    return Fused(written, tuple(names), method, rounded, len(joined.label_N), unusable, fitted_on, log_loss)


@dataclass(frozen=True)
class _Joined:
    """M tables brought onto the union of their videos."""

    labels: Any
    video_id_N: list[str]
    label_N: npt.NDArray[np.int32]
    split_N: list[str]
    status_N: list[str]
    reason_N: list[str]
    usable_N: npt.NDArray[np.bool_]
    logits_MNK: npt.NDArray[np.float32]
    """NaN where a table does not have the video."""

    def table(self, fused_NK: Logits) -> pa.Table:
        """The rows of a predictions table."""
        count, classes = fused_NK.shape
        flat = pa.array(fused_NK.astype(np.float32).ravel(), pa.float32())
        columns = {
            "video_id": pa.array(self.video_id_N, pa.string()),
            "view": pa.array([_VIDEO] * count, pa.int16()),
            "label": pa.array(self.label_N, pa.int32()),
            "split": pa.array(self.split_N, pa.string()),
            "start_s": pa.array(np.full(count, np.nan)),
            "crop": pa.array([""] * count, pa.string()),
            "logits": pa.FixedSizeListArray.from_arrays(flat, classes),
            "status": pa.array(self.status_N, pa.string()),
            "reason": pa.array(self.reason_N, pa.string()),
        }
        return pa.table(columns)


def _join(read: Sequence[pa.Table], names: Sequence[str]) -> _Joined:
    labels = tables.label_space(read[0])
    for table, name in zip(read[1:], names[1:], strict=True):
        compare_label_spaces(names[0], labels, name, tables.label_space(table))
    columns = [{c: t[c].to_pylist() for c in ("video_id", "label", "split", "status", "reason")} for t in read]
    ids = list(dict.fromkeys(video for of in columns for video in of["video_id"]))
    row = {video: n for n, video in enumerate(ids)}
    count = len(ids)
    logits_MNK = np.full((len(read), count, len(labels)), np.nan, np.float32)
    label_N = np.full(count, tables.UNLABELLED, np.int32)
    split_N, status_N, reason_N = [""] * count, ["ok"] * count, [""] * count
    for m, (table, of, name) in enumerate(zip(read, columns, names, strict=True)):
        at = np.array([row[video] for video in of["video_id"]], np.int64)
        logits_NK = tables.matrix(table, "logits")
        logits_MNK[m, at] = logits_NK
        finite_N = np.asarray(np.isfinite(logits_NK).all(axis=1))
        for i, n in enumerate(at.tolist()):
            label, status = of["label"][i], of["status"][i]
            if label != tables.UNLABELLED:
                if label_N[n] not in (tables.UNLABELLED, label):
                    rule = f"has given label {label_N[n]} in {names[0]} and {label} in {name}"
                    raise BadValue(ids[n], rule, "Predict the same videos table with each model.")
                label_N[n] = label
            split_N[n] = split_N[n] or of["split"][i]
            if status in tables.USABLE and not finite_N[i]:
                status, of["reason"][i] = "unreadable", "logits are not finite"
            if status_N[n] == "ok" or (status_N[n] in tables.USABLE and status not in tables.USABLE):
                status_N[n], reason_N[n] = status, "" if status == "ok" else f"{name}: {of['reason'][i] or status}"
        for n in sorted(set(range(count)) - set(at.tolist())):
            if status_N[n] in tables.USABLE:
                status_N[n], reason_N[n] = "missing", f"not predicted by {name}"
    usable_N = np.array([status in tables.USABLE for status in status_N], dtype=bool)
    return _Joined(labels, ids, label_N, split_N, status_N, reason_N, usable_N, logits_MNK)


def _log_softmax(logits_K: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Over the last axis."""
    shifted_K = logits_K - logits_K.max(axis=-1, keepdims=True)
    return np.asarray(shifted_K - np.log(np.exp(shifted_K).sum(axis=-1, keepdims=True)))


def _shares(weights: Sequence[float], models: int) -> npt.NDArray[np.float64]:
    weight_M = np.asarray(weights, np.float64)
    if weight_M.shape != (models,):
        raise BadValue(list(weights), f"{models} tables are fused, so there are {models} weights", "Join by commas.")
    if not (np.isfinite(weight_M).all() and (weight_M >= 0).all() and weight_M.sum() > 0):
        raise BadValue(list(weights), "weights are at least 0 and not all 0", "Give --weights 1,1.5.")
    return np.asarray(weight_M / weight_M.sum())
