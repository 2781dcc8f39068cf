"""Stage fusion: which maps are joined, how, and what the head after it makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.heads._build import build_head
from secondlook.models._request import Request

CHANNELS = (4, 6, 8, 10)


def maps(frames: tuple[int, ...] = (4, 4, 4, 4)) -> list[Tensor]:
    return [torch.randn(2, c, t, s, s) for c, t, s in zip(CHANNELS, frames, (9, 5, 3, 2), strict=True)]


@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.spec("late-temporal-bert", "F59")
def test_joins_the_last_stages_frame_by_frame(stages: int) -> None:
    head = build_head("stage_fusion", CHANNELS, 4, 3, 0.0, {"stages": stages})
    given = maps()
    by_hand = []
    for t in range(4):
        by_hand += [stage[:, :, t].mean((2, 3)) for stage in given[-stages:]]
    vector = torch.cat(by_hand, 1)
    assert vector.shape[1] == 4 * sum(CHANNELS[-stages:])
    assert torch.allclose(head(given), vector @ head.classifier.weight.T + head.classifier.bias, atol=1e-6)


def test_longer_stages_are_averaged_in_time() -> None:
    head = build_head("stage_fusion", CHANNELS, 2, 3, 0.0, {"stages": 4})
    given = maps((8, 8, 4, 2))
    joined = head.join(given)
    assert joined.shape == (2, sum(CHANNELS), 2, 1, 1)
    first = given[0].mean((3, 4)).reshape(2, 4, 2, 4).mean(3)
    assert torch.allclose(joined[:, :4, :, 0, 0], first, atol=1e-6)
    assert torch.allclose(joined[:, -10:, :, 0, 0], given[3].mean((3, 4)), atol=1e-6)


@pytest.mark.parametrize("then", ["average", "lstm", "bert", "conv_gru", "non_local", "transformer", "concat_fc"])
def test_then(then: str) -> None:
    """It is that very head over the joined maps."""
    options = {"heads": 2, "encoder_dropout": 0.0} if then in ("bert", "transformer") else {}
    head = build_head("stage_fusion", CHANNELS, 4, 3, 0.0, {"then": then, "then_options": options}).eval()
    given = maps()
    alone = build_head(then, sum(CHANNELS[1:]), 4, 3, 0.0, options).eval()
    renamed = {name.removeprefix("then."): tensor for name, tensor in head.state_dict().items()}
    alone.load_state_dict(renamed)
    assert torch.allclose(head(given), alone(head.join(given)), atol=1e-6)


@pytest.mark.parametrize(("stages", "width"), [(2, 768), (3, 896), (4, 960)])
@pytest.mark.spec("late-temporal-bert", "F59")
def test_width_on_a_resnet_18(stages: int, width: int) -> None:
    with torch.device("meta"):
        network = catalog.find("models", "tsm").build(
            "r18", 51, "stage_fusion", frames=16, head_options={"stages": stages}
        )
        network.eval()
        joined = network.head.join(network.stage_maps(torch.empty(1, 3, 16, 64, 64)))
    assert joined.shape == (1, width, 16, 1, 1)
    assert network.head.classifier.in_features == 16 * width


def test_a_network_without_stages_is_told_so() -> None:
    card = catalog.find("models", "tsm").CARDS["tiny"]
    request = Request(card, 5, "stage_fusion", 3, 8, 32, 32)
    with pytest.raises(BadValue, match="joins the maps of several stages, and tsm has one"):
        request.head(24, 8)


def test_initialisation_of_the_head_after_it_stays() -> None:
    network = catalog.find("models", "tsm").build("tiny", 5, "stage_fusion", head_options={"then": "bert"})
    assert network.head.then.encoder.layers[0].attention.qkv.bias.abs().sum() > 0, "not filled by kaiming_"
    assert network.head.classifier.bias.abs().sum() > 0
