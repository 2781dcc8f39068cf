"""Run folders and loaded models with random weights, for tests of streaming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel, build_model, find_card, save_weights, write_json

LABELS = LabelSpace.from_names(["fall", "jump", "run", "sit", "walk"], "five")


def make_model(name: str = "movinet:tiny-stream", **clip: Any) -> LoadedModel:
    """A model with running statistics as after training, so that frames matter; `clip` changes its recipe."""
    card = find_card(name)
    card = replace(card, clip=replace(card.clip, **{"height": 32, "width": 40, "frames": 6, **clip}))
    network = build_model(card, len(LABELS), seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.train()(torch.randn(2, card.clip.channels, 6, 32, 40, generator=generator))
        network.head.classifier.weight.normal_(0, 1, generator=generator)
    return LoadedModel(network.eval(), card, LABELS, Path("none"))


def write_run(folder: Path, model: LoadedModel) -> Path:
    """The model as a run folder."""
    folder.mkdir(parents=True)
    write_json(folder / "card.json", model.card.to_dict())
    write_json(folder / "labels.json", LABELS.to_dict())
    save_weights(model.model, folder / "best.safetensors")
    return folder
