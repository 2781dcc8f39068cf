"""Every method on every network on every clip: what their pictures are worth. Goes on where it was stopped.

A folder is filled with `explanation_scores.json` and `parts/<network>/<method>/<clip>.json`, one small file for each
clip, method and network. `explanation_scores.json`:

* `scores`: one entry a network and method: `model`, `method`, `status` (`ok`; `unsuitable`: the method says nothing
  about this network, see `reason`; `failed`: no clip could be measured), `clips` (measured), `failed` (video and
  reason), `measures` (name -> `mean`, `low`, `high`: bootstrap 95 % over clips, `clips`), `curves` (mean confidence),
  `cascade` (mean rank correlation and structure after each step of the randomisation), `sensitivity` (medians, and
  whether the map does not follow what was learned), `on_cue` (multiple of evenly spread heat, with interval).
* `models`: one entry a network: `model`, `card`, `weights` (hash), `measures` and `curves` that need no method.
* `trust` and `cheating`: the verdicts in words, one a network (`_verdicts`).
* `clips`: `video_id`, `status`, `reason`; `meanings`: measure -> what it is; `plan`, `made`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import catalog, tables
from secondlook.errors import BadValue, SecondlookError
from secondlook.explain import _bias, _cost, _faithfulness, _ground_truth, _one_clip, _sanity
from secondlook.explain._clips import label_index
from secondlook.explain._ground_truth import average
from secondlook.explain._methods import unsuitable
from secondlook.explain._one_clip import OneClip, Plan
from secondlook.explain._scores import aggregate, floats, mean_curves
from secondlook.explain._table import action_interval, folder_name, label_map, masks_of, row_hash
from secondlook.explain._verdicts import cheating, trust
from secondlook.predict.loader import root_of
from secondlook.predict.weights import LoadedModel, write_json
from secondlook.tables import UNLABELLED
from secondlook.video.clip import Clip
from secondlook.video.guard import Guard
from secondlook.video.listed_path import leaves_root

SCORES = "explanation_scores.json"
"""The file that holds the scores."""
PARTS = "parts"
"""The folder of what was measured on each clip."""
WHOLE = "_clip"
"""In place of a method: what needs none."""
CHEAP = (
    "grad_cam", "hires_cam", "saliency_tubes", "input_x_gradient", "smooth_grad", "integrated_gradients",
    "guided_backprop", "lrp", "attention_rollout", "head_attention",
)  # fmt: skip
"""Methods that cost little: the default, as far as they are there."""


def meanings() -> dict[str, str]:
    """Every measure, and what it is."""
    found: dict[str, str] = {}
    for measures in (
        _ground_truth.MEASURES, _faithfulness.MEASURES, _sanity.MEASURES, _bias.MEASURES, _cost.MEASURES,
        _one_clip.OWN, _one_clip.OF_CLIP,
    ):  # fmt: skip
        found |= measures
    for baseline in _ground_truth.BASELINES:
        found |= {
            f"{m}_{baseline}": f"{what}; of the {baseline} baseline" for m, what in _ground_truth.MEASURES.items()
        }
    return found


def choose_methods(text: str = "") -> tuple[str, ...]:
    """Methods by name, with commas between; empty: a cheap set; `all`: every one.

    Raises:
        UnknownName: if there is no such method.
    """
    known = catalog.names("explain")
    if text == "all":
        return known
    if not text:
        return tuple(name for name in CHEAP if name in known)
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in wanted:
        catalog.find("explain", name)
    return wanted


def evaluate(
    models: Mapping[str, LoadedModel],
    videos: pa.Table,
    methods: Sequence[str],
    folder: Path,
    plan: Plan | None = None,
    *,
    root: str | Path | None = None,
    made: Mapping[str, Any] | None = None,
    timeout_s: float = 30.0,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Measures methods x networks x clips and writes `explanation_scores.json` (see the top of this file).

    A clip that was measured before with the same weights and settings is not measured again; a table that is stopped
    and started again gives what an uninterrupted one gives (but for times).

    Args:
        models: name -> a trained network with its card and labels.
        videos: rows of a videos table.
        methods: files of this room.
        folder: where; it is made.
        plan: what is measured, and how.
        root: folder that the paths of the table are relative to; None: as the table says.
        made: how it was made (`tables.provenance`).
        timeout_s: longest time that decoding one video may take.
        advance: called after each clip of each method of each network.

    Raises:
        BadValue: if there is no network, no method, or no clip.
        UnknownName: if there is no such method, or the plan's label is no class.
        MissingFile: if the videos' folder is not there.
    """
    plan = plan or Plan()
    for what, given in (("network", models), ("method", methods), ("clip", videos)):
        if not len(given):
            raise BadValue("", f"at least one {what} is needed")
    for method in methods:
        catalog.find("explain", method)
    if plan.label not in ("predicted", "given"):
        for loaded in models.values():
            label_index(plan.label, loaded.labels)
    work = _Work(models, videos, methods, folder, plan, root_of(videos, root), timeout_s)
    clips = work.run(advance)
    found = work.parts
    scores, networks, trusted, cheats = [], [], [], []
    for name, loaded in models.items():
        own = [
            aggregate(name, method, work.reasons[name, method], found[name, method], plan.seed) for method in methods
        ]
        facts = [part["entry"] for part in found[name, WHOLE] if part["entry"]["status"] == "ok"]
        measured = average([floats(entry["measures"]) for entry in facts], np.random.default_rng(plan.seed))
        verdict = cheating(name, own, measured)
        trusted.append(trust(name, own, cheats=bool(verdict and verdict["looks_at_cue"])))
        cheats += [verdict] if verdict else []
        networks.append(
            {
                "model": name,
                "card": loaded.card.name,
                "weights": work.weights[name],
                "clips": len(facts),
                "measures": measured,
                "curves": mean_curves(entry["curves"] for entry in facts),
            }
        )
        scores += own
    result = {
        "scores": scores,
        "models": networks,
        "methods": list(methods),
        "trust": trusted,
        "cheating": cheats,
        "clips": clips,
        "meanings": meanings(),
        "plan": plan.to_dict(),
        "made": dict(made or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SCORES, result)
    return result


class _Work:
    """What is measured clip by clip, kept in parts."""

    def __init__(
        self,
        models: Mapping[str, LoadedModel],
        videos: pa.Table,
        methods: Sequence[str],
        folder: Path,
        plan: Plan,
        root: Path,
        timeout_s: float,
    ) -> None:
        self.models, self.videos, self.plan = models, videos, plan
        self._folder, self._root, self._timeout_s = folder, root, timeout_s
        self.weights = {name: tables.file_sha256(loaded.weights) for name, loaded in models.items()}
        self.reasons = {
            (n, m): unsuitable(m, loaded.model, loaded.card) for n, loaded in models.items() for m in methods
        }
        self.parts: dict[tuple[str, str], list[dict[str, Any]]] = {
            (name, method): [] for name in models for method in (WHOLE, *methods)
        }
        known = "label_space" in tables.made(videos)
        space = tables.label_space(videos) if known else None
        self._label_maps = {n: None if space is None else label_map(space, m.labels) for n, m in models.items()}
        settings = {k: v for k, v in plan.to_dict().items() if k not in ("measures", "sanity_clips", "cost_clips")}
        self._settings = settings

    def run(self, advance: Callable[[], object]) -> list[dict[str, str]]:
        """Measures what is not there yet; gives the clips with their statuses."""
        clips = []
        with Guard(self._timeout_s) as guard:
            for number, row in enumerate(self.videos.to_pylist()):
                kept: dict[str, Clip] = {}
                last: list[Clip] = []
                decode = _once(guard, kept, last)
                troubles = [self._clip(name, number, row, decode, advance) for name in self.models]
                remarks = [self.parts[name, WHOLE][-1]["entry"]["reason"] for name in self.models]
                status = next((clip.status for clip in last if not clip.usable), row["status"])
                if status in tables.USABLE:
                    status = "failed" if all(troubles) else "ok"
                clips.append(
                    {
                        "video_id": row["video_id"],
                        "status": status,
                        "reason": next(filter(None, [*troubles, *remarks]), ""),
                    }
                )
        return clips

    def _clip(
        self, name: str, number: int, row: Mapping[str, Any], decode: Callable[..., Clip], advance: Callable[[], object]
    ) -> str:
        """All methods of one network on one clip; gives the reason if nothing could be measured."""
        groups = self.plan.of_clip(number)
        case: OneClip | None = None
        trouble = ""
        for method in (WHOLE, *(m for n, m in self.parts if n == name and m != WHOLE)):
            if method == WHOLE or not self.reasons[name, method]:
                of_row = groups if method != WHOLE else ()
                path, key = self._part(name, method, row), self._key(name, method, row, of_row)
                part = _kept(path, key)
                if part is None:
                    entry: dict[str, Any] = {"status": "failed", "reason": trouble}
                    if not trouble:
                        try:
                            case = case or self._open(name, row, decode)
                            entry = case.facts() if method == WHOLE else case.score(method, of_row)
                            entry |= {"status": "ok", "reason": case.remark if method == WHOLE else ""}
                        except (SecondlookError, RuntimeError) as error:
                            entry["reason"] = str(error)
                            trouble = str(error) if case is None else ""
                    part = {"key": key, "entry": entry | {"video_id": row["video_id"]}}
                    if entry["status"] == "ok":
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_json(path, part)
                self.parts[name, method].append(part)
            if method != WHOLE:
                advance()
        return trouble

    def _open(self, name: str, row: Mapping[str, Any], decode: Callable[..., Clip]) -> OneClip:
        if row["status"] not in tables.USABLE:
            raise BadValue(row["status"], row["reason"] or tables.STATUSES[row["status"]])
        if leaves_root(row["path"]):
            raise BadValue(row["path"], "the path leaves the videos' folder")
        to_network = self._label_maps[name]
        masks_THW, remark = None, ""
        if row.get("truth_path") and {"truth", "bias"} & set(self.plan.measures):
            try:
                masks_THW = masks_of(self._root, row["truth_path"])
            except SecondlookError as error:
                remark = f"not measured against the truth: {error}"
        return OneClip(
            self.models[name],
            self._root / row["path"],
            self.plan,
            given=row["label"] if to_network is None else to_network.get(row["label"], UNLABELLED),
            masks_THW=masks_THW,
            remark=remark,
            interval_s=action_interval(row),
            seed=int(row_hash({"video_id": row["video_id"], "seed": self.plan.seed})[:8], 16),
            decode=decode,
        )

    def _part(self, name: str, method: str, row: Mapping[str, Any]) -> Path:
        return self._folder / PARTS / folder_name(name) / method / f"{folder_name(row['video_id'])}.json"

    def _key(self, name: str, method: str, row: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
        measured = list(groups) if method != WHOLE else sorted({"truth", "perturbation"} & set(self.plan.measures))
        key = {
            "weights": self.weights[name],
            "method": method,
            "groups": measured,
            "row": row_hash(row),
            "root": str(self._root),
            "settings": self._settings,
        }
        found: dict[str, Any] = json.loads(json.dumps(key))
        return found


def _once(guard: Guard, kept: dict[str, Clip], last: list[Clip]) -> Callable[..., Clip]:
    """A decoder that decodes what it is asked for once, however many networks ask for the same."""

    def decode(*args: Any, **options: Any) -> Clip:
        asked = repr((args, sorted(options.items())))
        if asked not in kept:
            kept[asked] = guard.decode(*args, **options)
        last.append(kept[asked])
        return kept[asked]

    return decode


def _kept(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return part if part["key"] == key and part["entry"]["status"] == "ok" else None
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        return None
