"""Options of the verbs as a study writes them, and as the command line takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TRAIN_OPTIONS = (
    "model", "head", "head_options", "options", "freeze", "dropout", "init", "weights", "frames", "size", "modality",
    "fit", "sampling", "start", "rest", "stride", "frame_size", "crop", "flip", "swap_left_right", "jitter", "perturb",
    "perturb_methods", "recipe", "epochs", "batch_size", "accumulate", "effective_batch", "optimizer",
    "switch_tolerance", "lr", "weight_decay", "schedule", "rate_decay", "patience", "monitor", "warmup", "warmup_steps",
    "label_smoothing", "labels", "embeddings",
    "embedding_weight", "soft_targets", "teacher", "teacher_videos", "distillation", "distillation_weight",
    "distillation_reduction", "distillation_adapter", "temperature", "multigrid", "milestones", "precision", "devices",
    "workers",
)  # fmt: skip
"""What `train` of a study may hold: options of `secondlook train`, `_` for `-`; those of NAME=VALUE as mappings."""
PREDICT_OPTIONS = ("views", "fuse", "which", "batch_size", "precision", "device", "workers")
"""What `predict` of a study may hold: options of `secondlook predict`."""
_MAPPINGS = {"head_options": "--head-option", "options": "--option"}
TINY: Mapping[str, Any] = {
    "frames": 8, "size": "32x40", "epochs": 12, "batch_size": 16, "accumulate": 1, "lr": 0.004, "weight_decay": 0.02,
    "label_smoothing": 0.1, "jitter": 0.2, "schedule": "cosine", "warmup": 1.0, "optimizer": "adamw", "dropout": 0.0,
    "weights": None, "precision": None, "devices": None, "workers": 0, "sampling": None, "stride": None, "fit": None,
    "modality": "rgb", "flip": None, "freeze": None, "perturb": None, "frame_size": None, "recipe": None,
    "multigrid": None, "crop": None,
    "milestones": None,
}  # fmt: skip
"""The recipe at toy scale, in the place of what a study trains with; None leaves the option out."""

REAL: Mapping[str, Any] = {"modality": "luma_difference", "epochs": 16}
"""On real clips: too few for a network that starts at random to find motion in RGB, so that it is shown differences."""


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Options of several levels, later ones first; mappings are joined, None takes an option away."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = found.get(name)
            found[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return {name: value for name, value in found.items() if value is not None}


def words(options: Mapping[str, Any]) -> list[str]:
    """The options as words of a command line: `{"head_options": {"layers": 2}}` -> `--head-option layers=2`."""
    found: list[str] = []
    for name, value in options.items():
        flag = _MAPPINGS.get(name, f"--{name.replace('_', '-')}")
        if isinstance(value, dict):
            for key, inner in value.items():
                found += [flag, f"{key}={inner if isinstance(inner, str) else json.dumps(inner)}"]
        elif isinstance(value, bool):
            found += [flag] if value else []
        elif isinstance(value, list):
            found += [flag, ",".join(str(v) for v in value)]
        elif value is not None:
            found += [flag, str(value)]
    return found
