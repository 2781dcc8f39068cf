"""Concatenation, with and without a hidden layer, and the head that learns from one frame."""

from __future__ import annotations

import pytest
import torch

from secondlook import catalog
from secondlook.heads.average import AverageHead


def by_hand(features: torch.Tensor) -> torch.Tensor:
    """All numbers of frame 0, then of frame 1, ..."""
    rows = []
    for clip in features:
        row = []
        for t in range(clip.shape[1]):
            for c in range(clip.shape[0]):
                row.append(clip[c, t].mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def test_concat_joins_frame_after_frame() -> None:
    head = catalog.find("heads", "concat").build(6, 4, 3)
    features = torch.randn(2, 6, 4, 3, 5)
    expected = by_hand(features) @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(features), expected, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "none"])
def test_concat_fc(activation: str) -> None:
    head = catalog.find("heads", "concat_fc").build(6, 4, 3, hidden=9, activation=activation)
    features = torch.randn(2, 6, 4, 3, 5)
    hidden = by_hand(features) @ head.fc.weight.T + head.fc.bias
    hidden = hidden.clamp(min=0) if activation == "relu" else hidden
    assert torch.allclose(head(features), hidden @ head.classifier.weight.T + head.classifier.bias, atol=1e-6)


@pytest.mark.spec("late-temporal-bert", "F51")
def test_no_pooling_trains_on_one_frame_and_averages_all_in_evaluation() -> None:
    network = catalog.find("models", "tsm").build("tiny", 3, "single_frame", in_channels=3, shift_fraction=0)
    x = torch.randn(2, 3, 7, 32, 32)
    seen = []
    network.stem.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    network.train()
    for _ in range(12):
        assert network(x).shape == (2, 3)
    frames = [next(t for t in range(7) if torch.equal(x[:, :, t], frame)) for frame in seen]
    assert all(len(frame) == 2 for frame in seen), "one frame of each clip"
    assert len(set(frames)) > 2, "a random one"
    network.eval()
    alone = torch.stack([network(x[:, :, t : t + 1]) for t in range(7)])
    assert torch.allclose(network(x), alone.mean(0), atol=1e-5)


def test_no_pooling_is_average_in_evaluation() -> None:
    single = catalog.find("heads", "single_frame").build(6, 4, 3).eval()
    assert isinstance(single, AverageHead), "an online network can be streamed with it"
    average = AverageHead(6, 3)
    average.load_state_dict(single.state_dict())
    features = torch.randn(2, 6, 4, 3, 5)
    assert torch.equal(single(features), average(features))
