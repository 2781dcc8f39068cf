"""Rep-Flow: the published count, the flow's place and effect, its rate of learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.models._count import parameters
from secondlook.models.rep_flow import FlowBlock


def make(variant: str = "tiny", classes: int = 5, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return catalog.find("models", "rep_flow").build(variant, classes, **options)


def test_parameters_of_the_source() -> None:
    with torch.device("meta"):
        assert parameters(make("50", 51)) == 29_090_550
    assert f"{29_090_550 / 1e6:.2f}" == "29.09"


def test_a_flow_block_by_its_parts() -> None:
    block = FlowBlock(6, 4, 2).eval()
    x = torch.randn(2, 6, 5, 8, 8)
    flow = block.flow(block.reduce(x))
    assert flow.shape == (2, 8, 4, 8, 8), "across and down, one frame fewer"
    expected = torch.relu(block.norm(block.expand(flow)) + x[:, :, :-1])
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_flow_of_flow_takes_two_frames_and_the_mean_of_three() -> None:
    block = FlowBlock(6, 4, 2, of_flow=True).eval()
    x = torch.randn(1, 6, 5, 8, 8)
    nn.init.zeros_(block.norm.weight)
    expected = torch.relu((x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]) / 3)
    assert torch.allclose(block(x), expected, atol=1e-6)


@pytest.mark.parametrize("of_flow", [False, True])
def test_a_still_video_has_no_motion(of_flow: bool) -> None:
    """What the block adds to a still video is what it adds to a blank one: the bias of the norm."""
    block = FlowBlock(6, 4, 2, of_flow=of_flow).eval()
    nn.init.constant_(block.norm.bias, 0.25)
    still = torch.rand(1, 6, 1, 8, 8).expand(-1, -1, 5, -1, -1)
    out = block(still)
    assert torch.allclose(out, still[:, :, : out.shape[2]] + 0.25, atol=1e-4)


def test_flow_learns_at_a_hundredth_of_the_rate() -> None:
    network = make(flow_of_flow=True)
    scales = network.learning_rate_scales()
    assert set(scales.values()) == {0.01}
    slow = [n for n, _ in network.named_parameters() if any(n.startswith(start) for start in scales)]
    assert slow
    assert {n.split(".")[0] for n in slow} == {"flow"}
    assert not any(n.startswith(("flow.reduce", "flow.expand", "flow.norm")) for n in slow)
    network(torch.randn(2, 2, 6, 32, 32)).sum().backward()
    assert all(network.get_parameter(n).grad.abs().sum() > 0 for n in slow)


def test_too_few_frames() -> None:
    with pytest.raises(BadValue, match="at least 3 frames"):
        make(flow_of_flow=True).eval()(torch.randn(1, 2, 2, 32, 32))
    assert make(flow_of_flow=True).eval()(torch.randn(1, 2, 3, 32, 32)).shape == (1, 5)
