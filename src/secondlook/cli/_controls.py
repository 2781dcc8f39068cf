"""What `evaluate --controls` reads and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from secondlook.cli._table import percent, say_table
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

    from secondlook.audit import Aligned
    from secondlook.labels import LabelSpace

Unjudged = Literal["refuse", "approve", "reject"]


def check_inputs(
    controls: bool, labels: Path | None, candidates: Path | None, answers: Path | None, unjudged: str
) -> None:
    """Raises before anything is read where something is missing or misspelt."""
    if unjudged not in get_args(Unjudged):
        raise UnknownName("treatment of answers without a verdict", unjudged, get_args(Unjudged))
    needed = {"--labels": labels, "--candidates": candidates, "--answers": answers}
    missing = [name for name, path in needed.items() if path is None]
    if controls and missing:
        raise BadValue("--controls", f"needs {', '.join(missing)}, too", "Give what was asked and what people said.")


def read_answers(folder: Path, campaign: str, labels: LabelSpace) -> tuple[pa.Table, dict[str, str]]:
    """The answers of a campaign, and their fingerprint by path.

    Raises:
        BadValue: if they are about other labels.
    """
    from secondlook.annotate.answers import fingerprint
    from secondlook.annotate.store import Store
    from secondlook.audit import compare_label_spaces

    with Store.open(folder, campaign) as store:
        found, space = store.answers(), store.labels
    compare_label_spaces("the predictions", labels, "the answers", space)
    return found, {str(folder): fingerprint(found)}


def measure_controls(
    aligned: Aligned, reassessed: pa.Table, candidates: Path, answers: pa.Table, top: Sequence[int], unjudged: str,
    draws: int, confidence: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The controls of `evaluate.controls`."""
    from secondlook import tables
    from secondlook.evaluate.controls import controls
    from secondlook.evaluate.real import review
    from secondlook.evaluate.scores import metrics_of

    return controls(
        aligned, review(reassessed, aligned), tables.read(tables.CANDIDATES, candidates), answers,
        metrics_of(aligned, top), unjudged=cast("Unjudged", unjudged), draws=draws, confidence=confidence, seed=seed,
    )  # fmt: skip


def say_controls(found: Mapping[str, Any] | None) -> None:
    """The tables; the sentences are said with the other words."""
    if found is None:
        return
    rows = [
        (r["model"], r["metric"], r["pool"], r["added"], f"{r['gain']:+.2f}",
         f"{r['random']:+.2f} [{r['low']:+.2f}, {r['high']:+.2f}]", f"{r['p']:.2g}")
        for r in found["random"]
    ]  # fmt: skip
    columns = ("model", "metric", "drawn from", "labels", "gain, points", "gain of random labels", "p")
    say_table("Gain against that of equally many random labels", columns, rows, left=3)
    estimated = [
        (r["model"], r["metric"], r["rule"], percent(r["original"]),
         "-" if r["rate"] is None else f"{percent(r['rate'])} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]",
         *(f"{s['looked']}/{s['size']}" for s in r["strata"]))
        for r in found["population"]
    ]  # fmt: skip
    columns = ("model", "metric", "rule", "original", "estimated", "selected, looked at", "not selected, looked at")
    if estimated:
        say_table("Accuracy estimated over all videos, controls weighted", columns, estimated, left=3)
    models = list(found["rules"][0]["scores"]) if found["rules"] else []
    metrics = list(found["rules"][0]["scores"][models[0]]) if models else []
    by_rule = [
        (r["rule"], "-" if r["mean_size"] is None else f"{r['mean_size']:.2f}", r["dropped"], r["lost_given"],
         *(_points(r["scores"][model][metric]["gain"]) for model in models for metric in metrics))
        for r in found["rules"]
    ]  # fmt: skip
    named = ("rule", "labels a video", "dropped", "given label gone", *(f"{n} {m}" for n in models for m in metrics))
    if by_rule:
        say_table("Gain in ReaL under each merge rule, points", named, by_rule)


def _points(points: float | None) -> str:
    return "-" if points is None else f"{points:+.2f}"
