"""2D ResNets inflated: on a still video, time being padded by repeating, a 3D network computes what the 2D one does.

The 2D forward pass is written with plain functions; it reads torchvision's names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.models._recogniser import Limits
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_torchvision as layouts
from tests.predict.test_published_function import State, downsampled, norm, sane

SHAPES = {
    "18": layouts.resnet((2, 2, 2, 2), 5, bottleneck=False),
    "50": layouts.resnet((3, 4, 6, 3), 5, bottleneck=True),
}


def resnet2d(state: State, x_NCHW: Tensor, pool: tuple[int, int, int] | None) -> Tensor:
    """torchvision's ResNet; `pool`: kernel, stride and padding of the stem's max-pool."""
    x = functional.conv2d(x_NCHW, state["conv1.weight"], stride=2, padding=3)
    x = functional.relu(norm(x, state, "bn1"))
    x = functional.max_pool2d(x, *pool) if pool else x
    for stage in (1, 2, 3, 4):
        depth = len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            bottleneck = f"{name}.conv3.weight" in state
            y = x
            for i in range(1, 4 if bottleneck else 3):
                weight = state[f"{name}.conv{i}.weight"]
                strided = i == (2 if bottleneck else 1)
                y = functional.conv2d(y, weight, stride=stride if strided else 1, padding=weight.shape[-1] // 2)
                y = norm(y, state, f"{name}.bn{i}")
                y = functional.relu(y) if i < (3 if bottleneck else 2) else y
            x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def repeat_first_and_last_frame(network: nn.Module) -> None:
    """Every convolution pads time by repeating, and space by zeros as before."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.padding[0]:
            frames = module.padding[0]
            module.register_forward_pre_hook(
                lambda _m, inputs, frames=frames: functional.pad(inputs[0], (0, 0, 0, 0, frames, frames), "replicate")
            )
            module.padding = (0, *module.padding[1:])


POOL = (3, 2, 1)
CASES = [
    ("resnet3d:18", "18", {}, None),
    ("hara:18", "18", {}, POOL),
    ("hara:50", "50", {}, POOL),
    ("r3d:r3d-18", "18", {}, POOL),
    ("r3d:r3d-18", "18", {"stem_kernel": 3, "max_pool": False}, None),
    ("modified_resnet:50", "50", {}, (3, 2, 0)),
]


@pytest.mark.spec("late-temporal-bert", "F17")
@pytest.mark.parametrize(("name", "depth", "options", "pool"), CASES)
def test_a_still_video_is_its_frame(
    name: str, depth: str, options: dict[str, object], pool: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    state = sane(SHAPES[depth])
    torch.save(state, tmp_path / "w.pth")
    family, _, variant = name.partition(":")
    network = catalog.find("models", family).build(variant, 5, **options).eval()
    report = load_published(network, tmp_path / "w.pth")
    assert report.complete
    assert report.source == "torchvision_2d"
    assert "stem.conv.weight" in report.inflated
    repeat_first_and_last_frame(network)
    frame_NCHW = torch.randn(2, 3, 40, 33, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected_NK = resnet2d(state, frame_NCHW, pool)
        logits_BK = network(frame_NCHW.unsqueeze(2).expand(-1, -1, 9, -1, -1))
    spread = expected_NK.std().item()
    assert (expected_NK[0] - expected_NK[1]).abs().max() > 1e-3 * spread, "the logits tell the frames apart"
    assert torch.allclose(logits_BK, expected_NK, atol=1e-5 * spread, rtol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F17")
def test_pseudo_3d_takes_all_but_its_kernels_in_time(tmp_path: Path) -> None:
    """As in the paper, a P3D network starts from a 2D one; with kernels in time that pass the frame on, it is that."""
    state = sane(SHAPES["50"])
    torch.save(state, tmp_path / "w.pth")
    network = catalog.find("models", "p3d").build("a-50", 5).eval()
    report = load_published(network, tmp_path / "w.pth")
    assert all(".temporal" in name for name in report.missing)
    assert not report.unexpected
    assert not report.reshaped
    for name, module in network.named_modules():
        if name.endswith(".temporal"):
            nn.init.dirac_(module.weight)
        if name.endswith(".temporal_norm"):
            module.eps = 0.0
    # The 2D twin has its strides on 3 x 3 convolutions and a padded pool; one pixel that no stride moves has neither.
    still = torch.randn(2, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    network.stem.pool = nn.Identity()
    network.limits = Limits()
    with torch.no_grad():
        expected_NK = resnet2d(state, still, None)
        logits_BK = network(still.unsqueeze(2).expand(-1, -1, 5, -1, -1))
    assert torch.allclose(logits_BK, expected_NK, atol=1e-5 * expected_NK.std().item(), rtol=1e-5)
