"""How the sources train, by name: settings that `train --recipe` takes where the user gave none.

`late-temporal-bert`, sections 3.1 to 3.3; `srtg-mtnet-classreg-visualisation`, sections 4.1 to 4.4;
`attention-recognisers`, section 2.2. What a source leaves open stays as it is by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from secondlook.errors import UnknownName

FRAMES_ALONE = ("resnet2d",)
"""Families whose backbone sees one frame at a time: the source trains those with AdamW at 1e-4."""
_PLAIN_HEADS = ("", "average")


def recipe(
    name: str, model: str, head: str = "", modality: str = "rgb", batch_size: int | None = None
) -> dict[str, Any]:
    """Settings of a recipe, by the names of `TrainSettings`.

    Args:
        name: one of `RECIPES`.
        model: `family:variant`.
        head: late temporal head; empty: the family's own.
        modality: of the clips.
        batch_size: clips of a step, if that is fixed already; None: the recipe's.

    Raises:
        UnknownName: if there is no such recipe.
    """
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return dict(RECIPES[name](model.partition(":")[0], head, modality, batch_size))


def _late_temporal(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """Late temporal pooling: SGD for plain networks, AdamW for 2D networks and for BERT; plateau; batches of 128."""
    if family in FRAMES_ALONE:
        optimizer, rate = "adamw", 1e-4
    elif head not in _PLAIN_HEADS:
        optimizer, rate = "adamw", 1e-4 if family == "i3d" else 1e-5
    else:
        optimizer, rate = "sgd", 1e-1 if family == "i3d" else 1e-2
    size = batch_size or 8
    return {
        "optimizer": optimizer,
        "learning_rate": rate,
        "schedule": "plateau",
        "rate_decay": 0.1,
        "patience": 5,
        "monitor": "top1",
        "warmup_epochs": 0.0,
        "batch_size": size,
        "accumulate": math.ceil((24 if family == "rep_flow" else 128) / size),
        "dropout": 0.7 if modality == "flow" else 0.8,
        "crop": "multi_scale",
        "flip": 0.5,
    }


def _srtg(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """SRTG from scratch: SGD at 0.1, a tenth after 40, 70 and 120 of 150 epochs; multigrid."""
    return _sgd(0.1, 1e-5, (40, 70, 120), 150, batch_size or 32) | {"multigrid": "both", "perturb": 0.8}


def _mtnet(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """MTNet from scratch: SGD at 1.16 along a cosine, 8,000 steps of warm-up; multigrid; half precision."""
    return {
        "optimizer": "sgd",
        "learning_rate": 1.16,
        "weight_decay": 5e-5,
        "schedule": "cosine",
        "warmup_steps": 8000,
        "epochs": 400,
        "batch_size": batch_size or 64,
        "precision": "16",
        "sampling": "normal_start",
        "multigrid": "both",
        "perturb": 0.7,
    }


def _class_regularisation(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """Class Regularisation alone, all else frozen: SGD at 0.1, a tenth every 50 of 120 epochs."""
    frozen = {"freeze": ("beside-class-regularisation",)}
    return _sgd(0.1, 1e-5, (50, 100), 120, batch_size or 16) | frozen


def _transfer(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """Only the head: SGD at 0.01, a tenth after 40, 60 and 80 epochs, 80 in all."""
    return _sgd(0.01, 1e-5, (40, 60, 80), 80, batch_size or 32) | {"freeze": ("backbone",)}


def _attention(family: str, head: str, modality: str, batch_size: int | None) -> Mapping[str, Any]:
    """Attention on ResNets: 30 epochs at 3e-6, batches of 20."""
    return {"optimizer": "adamw", "learning_rate": 3e-6, "schedule": "none", "warmup_epochs": 0.0, "epochs": 30,
            "batch_size": batch_size or 20}  # fmt: skip


def _sgd(rate: float, decay: float, milestones: tuple[int, ...], epochs: int, batch_size: int) -> dict[str, Any]:
    return {
        "optimizer": "sgd",
        "learning_rate": rate,
        "weight_decay": decay,
        "schedule": "step",
        "milestones": milestones,
        "rate_decay": 0.1,
        "warmup_epochs": 0.0,
        "epochs": epochs,
        "batch_size": batch_size,
    }


RECIPES: Mapping[str, Callable[[str, str, str, int | None], Mapping[str, Any]]] = {
    "late-temporal-bert": _late_temporal,
    "srtg": _srtg,
    "mtnet": _mtnet,
    "class-regularisation": _class_regularisation,
    "transfer": _transfer,
    "attention-recognisers": _attention,
}


def described() -> dict[str, str]:
    """One sentence a recipe."""
    return {name: (of.__doc__ or "").strip() for name, of in RECIPES.items()}
