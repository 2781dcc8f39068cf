"""2D ResNets: the printed counts, the taps, torchvision's function on each frame, and the 20-channel flow stack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.models import resnet2d
from secondlook.models._count import cost, parameters
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_torchvision as layouts
from tests.predict.test_published_function import State, downsampled, norm, sane

POINTS = resnet2d.CARDS["18"].explain


def make(variant: str = "tiny", classes: int = 5, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return resnet2d.build(variant, classes, **{"in_channels": 3, **options}).eval()


def printed_operations(network: nn.Module, x_BCTHW: Tensor) -> int:
    """Operations as ptflops counts them (`late-temporal-bert`, section 3.6): a convolution its multiply-accumulates, a
    normalisation 2 an output value, a rectifier 1 an output value, a pool 1 an input value, a linear layer its own."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * output.numel()
        elif isinstance(module, nn.ReLU):
            total += output.numel()
        elif isinstance(module, nn.MaxPool2d | nn.AdaptiveAvgPool3d):
            total += inputs[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    for module in network.modules():
        module.register_forward_hook(count)
    network(x_BCTHW)
    return total


@pytest.mark.spec("late-temporal-bert", "F28")
@pytest.mark.parametrize(
    ("variant", "backbone", "giga", "widths"),
    [
        ("18", 11_176_512, "1.82", (64, 128, 256, 512)),
        ("34", 21_284_672, "3.68", (64, 128, 256, 512)),
        ("50", 23_508_032, "4.12", (256, 512, 1024, 2048)),
        ("101", 42_500_160, "7.85", (256, 512, 1024, 2048)),
    ],
)
def test_golden_counts_and_taps(variant: str, backbone: int, giga: str, widths: tuple[int, ...]) -> None:
    """Parameters without the classifier, operations of a frame with two digits, conv2_x to conv5_x at 56, 28, 14, 7."""
    with torch.device("meta"):
        network = resnet2d.build(variant, 51).eval()
        assert parameters(network) - parameters(network.head) == backbone
        maps = network.stage_maps(torch.empty(2, 3, 4, 224, 224))
        assert [m.shape for m in maps] == [(2, c, 4, s, s) for c, s in zip(widths, (56, 28, 14, 7), strict=True)]
        assert network.features(torch.empty(2, 3, 4, 224, 224)).shape == maps[-1].shape
        assert f"{printed_operations(network, torch.empty(1, 3, 1, 224, 224)) / 1e9:.2f}" == giga


@pytest.mark.parametrize(("variant", "millions"), [("50", "26.21"), ("101", "45.20")])
def test_triple_fusion_as_printed_leaves_the_frozen_layers_out(variant: str, millions: str) -> None:
    """Table 3.5: 225,344 fewer than there are, which is the first convolution with its norm, and conv2_x."""
    with torch.device("meta"):
        network = resnet2d.build(variant, 51, "stage_fusion", frames=16)
    frozen = parameters(network.stem) + parameters(network.layer1)
    assert frozen == 225_344
    assert f"{(parameters(network) - frozen) / 1e6:.2f}" == millions


def torchvision(state: State, x_NCHW: Tensor, depths: tuple[int, ...], *, bottleneck: bool) -> Tensor:
    """`torchvision.models.resnet18` or `resnet50` on single frames, by the published names."""
    x = functional.conv2d(x_NCHW, state["conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(functional.relu(norm(x, state, "bn1")), 3, 2, 1)
    for stage, depth in enumerate(depths, 1):
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            steps = [(1, 1, 0), (2, stride, 1), (3, 1, 0)] if bottleneck else [(1, stride, 1), (2, 1, 1)]
            y = x
            for i, step, padding in steps:
                y = functional.conv2d(y, state[f"{name}.conv{i}.weight"], stride=step, padding=padding)
                y = norm(y, state, f"{name}.bn{i}")
                y = functional.relu(y) if i < len(steps) else y
            x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.spec("late-temporal-bert", "F28")
@pytest.mark.parametrize(("variant", "depths", "bottleneck"), [("18", (2, 2, 2, 2), False), ("50", (3, 4, 6, 3), True)])
def test_is_torchvisions_on_each_frame_and_their_mean(
    variant: str, depths: tuple[int, ...], bottleneck: bool, tmp_path: Path
) -> None:
    state = sane(layouts.resnet(depths, 9, bottleneck=bottleneck))
    save_file(state, tmp_path / "w.safetensors")
    network = make(variant, 9)
    assert load_published(network, tmp_path / "w.safetensors").complete
    x_BCTHW = torch.randn(2, 3, 3, 33, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        frames_NK = torchvision(state, x_BCTHW.transpose(1, 2).flatten(0, 1), depths, bottleneck=bottleneck)
        expected_BK = frames_NK.reshape(2, 3, 9).mean(1)
        assert torch.allclose(network(x_BCTHW), expected_BK, rtol=1e-4, atol=1e-4 * expected_BK.std().item())


def test_no_frame_sees_another_before_the_head() -> None:
    network = make()
    x_BCTHW = torch.randn(2, 3, 4, 40, 40, generator=torch.Generator().manual_seed(1))
    changed = x_BCTHW.clone()
    changed[:, :, 2] += 1
    with torch.no_grad():
        for one, other in zip(network.stage_maps(x_BCTHW), network.stage_maps(changed), strict=True):
            differs = (one - other).abs().amax((0, 1, 3, 4)) > 1e-4
            assert differs.tolist() == [False, False, True, False]
        assert torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-5), "its mean has no order"
        in_order = make(head="concat", frames=4)
        assert not torch.allclose(in_order(x_BCTHW), in_order(x_BCTHW.flip(2)), atol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F45")
def test_a_flow_stack_starts_from_the_mean_of_rgb(tmp_path: Path) -> None:
    """Ten fields of two directions are 20 channels; each filter sees in each the mean of its three colours."""
    state = sane(layouts.resnet((2, 2, 2, 2), 1000, bottleneck=False))
    save_file(state, tmp_path / "w.safetensors")
    flow = make("18", 9, in_channels=20)
    report = load_published(flow, tmp_path / "w.safetensors")
    assert report.complete
    assert report.adapted == ("stem.conv.weight",)
    mean_OHW = state["conv1.weight"].sum(1) / 3
    assert flow.stem.conv.weight.shape == (64, 20, 7, 7)
    assert all(torch.allclose(flow.stem.conv.weight[:, c], mean_OHW, atol=1e-6) for c in range(20))
    # One grey value in all 20 channels is 20 / 3 times what the RGB net makes of that grey in its three.
    rgb = make("18", 9)
    load_published(rgb, tmp_path / "w.safetensors")
    grey = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen, expected = flow.stem.conv(grey.expand(-1, 20, -1, -1)), rgb.stem.conv(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(seen, expected * 20 / 3, rtol=1e-3, atol=1e-3)
    assert flow(torch.randn(1, 20, 2, 64, 64)).shape == (1, 9)
    with pytest.raises(BadValue, match="wants B x 20 x T x H x W"):
        flow(torch.randn(1, 3, 2, 64, 64))


@pytest.mark.spec("late-temporal-bert", "F48")
def test_the_tiny_one_has_the_same_parts() -> None:
    tiny, big = make(), make("18")
    assert parameters(tiny) < 1e6
    assert {name for name, _ in tiny.named_children()} == {name for name, _ in big.named_children()}
    assert [type(b) for b in tiny.layer1] == [type(b) for b in big.layer1]
    assert cost(tiny, POINTS, (3, 16, 56, 72)).macs < 0.3e9
