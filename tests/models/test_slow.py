"""Slow-only, C2D and I3D: where they look along time, what inflation gives, what non-local blocks begin as."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.non_local import NonLocal
from secondlook.models import slow
from secondlook.models._count import parameters
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_torchvision
from tests.predict.test_published_function import downsampled, norm, sane


def kernels_in_time(variant: str) -> list[list[int]]:
    with torch.device("meta"):
        network = slow.build(variant, 3)
    blocks = [[m for m in getattr(network, f"layer{i}") if hasattr(m, "conv1")] for i in (1, 2, 3, 4)]
    assert all(block.conv2.kernel_size[0] == block.conv3.kernel_size[0] == 1 for stage in blocks for block in stage)
    return [[network.stem.conv.kernel_size[0]], *([block.conv1.kernel_size[0] for block in stage] for stage in blocks)]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("50-8x8", [[1], [1] * 3, [1] * 4, [3] * 6, [3] * 3]),
        ("c2d-50", [[1], [1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        ("i3d-50", [[5], [3] * 3, [3, 1] * 2, [3, 1] * 3, [1, 3, 1]]),
    ],
)
def test_where_it_looks_along_time(variant: str, expected: list[list[int]]) -> None:
    assert kernels_in_time(variant) == expected


@pytest.mark.parametrize(("variant", "frames"), [("50-8x8", 7), ("c2d-50", 3), ("i3d-50", 3), ("i3d-50-nl", 3)])
def test_features_keep_all_frames_or_every_pair(variant: str, frames: int) -> None:
    with torch.device("meta"):
        network = slow.build(variant, 3)
        assert network.features(torch.empty(2, 3, 7, 64, 96)).shape == (2, 2048, frames, 2, 3)


@pytest.mark.parametrize("variant", ["c2d-50", "i3d-50"])
def test_pairs_need_two_frames(variant: str) -> None:
    with torch.device("meta"), pytest.raises(BadValue, match="at least 2 frames"):
        slow.build(variant, 3)(torch.empty(1, 3, 1, 32, 32))
    with (
        torch.device("meta"),
        pytest.raises(BadValue, match="learns from one frame, and this network takes at least 2"),
    ):
        slow.build(variant, 3, "single_frame")


def test_only_c2d_is_blind_to_the_order_of_pairs_of_frames() -> None:
    x_BCTHW = torch.randn(1, 3, 4, 32, 32)
    for variant in ("c2d-50", "i3d-50", "50-4x16"):
        network = slow.build(variant, 5).eval()
        with torch.no_grad():
            same = torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), rtol=1e-3, atol=1e-5)
        assert same == slow.CARDS[variant].order_blind == (variant == "c2d-50")


@pytest.mark.spec("late-temporal-bert", "F36")
def test_five_non_local_blocks_begin_as_nothing() -> None:
    plain, with_blocks = slow.build("i3d-50", 4).eval(), slow.build("i3d-50-nl", 4).eval()
    report = with_blocks.load_state_dict(plain.state_dict(), strict=False)
    assert not report.unexpected_keys
    assert sum(isinstance(m, NonLocal) for m in with_blocks.modules()) == 5
    assert [n for n, m in with_blocks.named_modules() if isinstance(m, NonLocal)] == [
        *("layer2.non_local1", "layer2.non_local3"),
        *("layer3.non_local1", "layer3.non_local3", "layer3.non_local5"),
    ]
    assert parameters(with_blocks) - parameters(plain) == 7_358_464
    x_BCTHW = torch.randn(1, 3, 4, 33, 47)
    with torch.no_grad():
        assert torch.allclose(with_blocks(x_BCTHW), plain(x_BCTHW), rtol=1e-5, atol=1e-6)


def resnet50(state: dict[str, Tensor], x_NCHW: Tensor) -> Tensor:
    """torchvision's 2D ResNet-50."""
    x = functional.relu(norm(functional.conv2d(x_NCHW, state["conv1.weight"], stride=2, padding=3), state, "bn1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y = functional.relu(norm(functional.conv2d(x, state[f"{name}.conv1.weight"]), state, f"{name}.bn1"))
            y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = functional.relu(norm(y, state, f"{name}.bn2"))
            y = norm(functional.conv2d(y, state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
            x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def repeat_borders(network: nn.Module) -> None:
    """Makes convolutions pad time by its first and last frame, so that a still video stays still."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.padding[0]:
            time, *space = module.padding
            module.padding = (0, *space)
            module.register_forward_pre_hook(
                lambda _module, inputs, time=time: functional.pad(inputs[0], (0, 0, 0, 0, time, time), mode="replicate")
            )


@pytest.mark.spec("late-temporal-bert", "F17")
@pytest.mark.parametrize(("variant", "inflated"), [("50-8x8", 53), ("c2d-50", 53), ("i3d-50", 53)])
def test_inflated_weights_see_a_still_video_as_the_2d_network_sees_its_frame(
    variant: str, inflated: int, tmp_path: Path
) -> None:
    state = sane(layouts_torchvision.resnet((3, 4, 6, 3), 6, bottleneck=True))
    state = {name: t * 0.3 if name.endswith("bn3.weight") else t for name, t in state.items()}
    save_file(state, tmp_path / "w.safetensors")
    network = slow.build(variant, 6).eval()
    report = load_published(network, tmp_path / "w.safetensors")
    assert report.complete
    assert report.source == "torchvision_2d"
    assert len(report.inflated) == inflated
    repeat_borders(network)
    image_NCHW = torch.randn(2, 3, 33, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected_NK = resnet50(state, image_NCHW)
        logits_BK = network(image_NCHW.unsqueeze(2).expand(-1, -1, 4, -1, -1))
    assert expected_NK.std() > 0
    assert torch.allclose(logits_BK, expected_NK, rtol=1e-4, atol=1e-4 * expected_NK.std().item())
