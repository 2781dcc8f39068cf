"""TimeSformer's positions in time fit clips of another length; nothing else is stretched."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from secondlook import catalog
from secondlook.checkpoints._time_positions import stretch
from secondlook.predict.published import load_published


def test_nearest_by_hand() -> None:
    old = torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 3)
    assert stretch("embeddings.time_embeddings", old, (1, 8, 3))[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert stretch("embeddings.time_embeddings", old, (1, 2, 3))[0, :, 0].tolist() == [0, 2]
    assert stretch("embeddings.time_embeddings", old, (1, 8, 4)) is None
    assert stretch("embeddings.position_embeddings", old, (1, 8, 3)) is None


def test_weights_of_short_clips_start_a_network_for_longer_ones(tmp_path: Path) -> None:
    build = catalog.find("models", "timesformer").build
    short, long = build("tiny", 5, frames=4), build("tiny", 5, frames=8)
    theirs = {}
    for name, tensor in short.state_dict().items():
        name = name.replace("head.classifier.", "classifier.").replace("blocks.", "timesformer.encoder.layer.")
        name = f"timesformer.{name}" if name.startswith("embeddings.") else name
        theirs["timesformer.layernorm" + name.removeprefix("norm") if name.startswith("norm.") else name] = tensor
    save_file({k: v.contiguous() for k, v in theirs.items()}, tmp_path / "w.safetensors")
    report = load_published(long, tmp_path / "w.safetensors", "hugging_face")
    assert report.stretched == ("embeddings.time_embeddings",)
    assert "fitted: embeddings.time_embeddings" in report.words()
    positions = long.state_dict()["embeddings.time_embeddings"]
    assert torch.equal(positions[:, ::2], short.state_dict()["embeddings.time_embeddings"])
    assert torch.equal(positions[:, ::2], positions[:, 1::2])
