"""Where the weights of a training start: at random, from another run, or from a published checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.models._recogniser import Limits
from secondlook.predict.weights import build_model, find_card, load_run, with_clip
from secondlook.train.losses import rare_class_bias
from secondlook.train.settings import TrainSettings


def card_of(settings: TrainSettings) -> ModelCard:
    """The model's card with the recipe, head and dropout that the settings ask for.

    Raises:
        UnknownName: if there is no such model.
        BadValue: if the recipe is not one.
    """
    card = with_clip(find_card(settings.model), **settings.clip)
    options: dict[str, Any] = {**card.options, **settings.options}
    if settings.dropout is not None:
        options["dropout"] = settings.dropout
    if settings.head_options:
        options["head_options"] = dict(settings.head_options)
    return replace(card, head=settings.head or card.head, options=options)


def start_model(
    card: ModelCard, labels: LabelSpace, settings: TrainSettings, on_sets: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network at the start of a training.

    Args:
        card: what `card_of` gave.
        labels: classes to tell apart.
        settings: say where to start from.
        on_sets: the loss is the sigmoid one; a new classifier then starts at `rare_class_bias`.

    Returns:
        The network, and sentences on what was taken from where.

    Raises:
        MissingFile: if there is nothing to start from.
        BadValue: if it does not fit, or the network cannot take the card's clips.
    """
    model = build_model(card, len(labels), settings.seed)
    clip = card.clip
    limits: Limits | None = getattr(model, "limits", None)
    rule = limits.broken(clip.frames, clip.height, clip.width) if limits else ""
    if rule:
        raise BadValue(
            f"{clip.frames}x{clip.height}x{clip.width}",
            f"does not suit {card.name}: {rule}",
            "Change --frames or --size.",
        )
    notes: tuple[str, ...] = ()
    new_classifier = True
    if settings.init is not None:
        new_classifier, note = _from_run(model, card, labels, settings.init)
        notes = (note,)
    elif settings.weights is not None:
        notes = _from_published(model, settings.weights)
    if on_sets and new_classifier:
        bias = getattr(model.get_submodule(card.explain.classifier), "bias", None)
        if isinstance(bias, torch.Tensor):
            nn.init.constant_(bias, rare_class_bias(len(labels)))
    return model, notes


def _from_run(model: nn.Module, card: ModelCard, labels: LabelSpace, run: Path) -> tuple[bool, str]:
    """Whether the classifier is new, and a sentence."""
    source = load_run(run)
    ours, theirs = model.state_dict(), source.model.state_dict()
    classifier = card.explain.classifier + "."
    same_labels = source.labels.names == labels.names
    for name in sorted(ours.keys() ^ theirs.keys()):
        raise BadValue(str(run), f"is a {source.card.name} and does not fit {card.name}: only one has {name}",
                       "Start from a run of the same model.")  # fmt: skip
    for name, tensor in ours.items():
        if tensor.shape != theirs[name].shape and not name.startswith(classifier):
            raise BadValue(
                str(run),
                f"does not fit {card.name}: {name} is {tuple(theirs[name].shape)} there, {tuple(tensor.shape)} here",
                "Start from a run of the same model and the same modality.",
            )
    taken = {name: tensor for name, tensor in theirs.items() if same_labels or not name.startswith(classifier)}
    model.load_state_dict(ours | taken)
    if same_labels:
        return False, f"all weights start from {run}"
    return True, (
        f"weights start from {run}, but for the classifier, which starts anew: "
        f"{len(source.labels)} labels there, {len(labels)} others here"
    )


def _from_published(model: nn.Module, weights: str) -> tuple[str, ...]:
    from secondlook.predict.fetch import fetch
    from secondlook.predict.published import load_published

    report = load_published(model, fetch(weights))
    return (f"weights start from {report.words()}",)
