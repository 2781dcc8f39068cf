"""Files of the MFNet release: every tensor arrives, and the function is the publisher's.

The forward pass is written from the published code with plain functions; it reads the published names, of the 3D
network and of the 2D one alike.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from secondlook.models import mfnet
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_mfnet as layouts
from tests.predict.test_published_function import State, norm, sane

UNITS = (3, 4, 6, 3)


def published(state: State, x: Tensor) -> Tensor:
    """`MFNET_3D` on `x_BCTHW`, or its 2D twin on `x_BCHW`."""
    flat = x.ndim == 4
    convolve, max_pool = (
        (functional.conv2d, functional.max_pool2d) if flat else (functional.conv3d, functional.max_pool3d)
    )

    def conv(x: Tensor, name: str, stride: tuple[int, ...] = (1, 1, 1), groups: int = 1) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        padding = tuple(k // 2 for k in weight.shape[2:])
        return convolve(x, weight, None, stride[1:] if flat else stride, padding, groups=groups)

    def unit(x: Tensor, name: str, stride: tuple[int, ...] = (1, 1, 1), groups: int = 1) -> Tensor:
        return conv(functional.relu(norm(x, state, f"{name}.bn")), name, stride, groups)

    x = functional.relu(norm(conv(x, "conv1", (1, 2, 2)), state, "conv1.bn"))
    window, stride, padding = ((s[1:] if flat else s) for s in ((1, 3, 3), (1, 2, 2), (0, 1, 1)))
    x = max_pool(x, window, stride, padding)
    for stage, depth in enumerate(UNITS, 2):
        for b in range(1, depth + 1):
            name, first = f"conv{stage}.B{b:02d}", b == 1
            stride = ((2, 1, 1) if stage == 2 else (1, 2, 2)) if first else (1, 1, 1)
            heard = x + unit(unit(x, f"{name}.conv_i1"), f"{name}.conv_i2")
            y = unit(heard, f"{name}.conv_m1", stride, layouts.FIBERS)
            y = unit(y, f"{name}.conv_m2", groups=1 if first else layouts.FIBERS)
            x = y + (unit(x, f"{name}.conv_w1", stride) if first else x)
    x = functional.relu(norm(x, state, "tail.bn"))
    return functional.linear(x.flatten(2).mean(2), state["classifier.weight"], state["classifier.bias"])


def close(ours: Tensor, theirs: Tensor) -> bool:
    spread = theirs.std().item()
    assert theirs.isfinite().all()
    assert spread > 1e-3
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3 * spread, "the logits tell the clips apart"
    return torch.allclose(ours, theirs, atol=1e-4 * spread, rtol=1e-4)


def test_as_many_names_as_published() -> None:
    assert len(layouts.mfnet(400)) == 421


@torch.no_grad()
@pytest.mark.spec("late-temporal-bert", "F33")
def test_computes_what_the_release_computes(tmp_path: Path) -> None:
    state = sane(layouts.mfnet(9))
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "w.pth")
    network = mfnet.build("3d", 9).eval()
    assert load_published(network, tmp_path / "w.pth").complete
    x_BCTHW = torch.randn(2, 3, 5, 33, 40, generator=torch.Generator().manual_seed(2))
    assert close(network(x_BCTHW), published(state, x_BCTHW))


@torch.no_grad()
@pytest.mark.spec("late-temporal-bert", "F17")
def test_on_a_still_video_inflated_weights_give_the_2d_network(tmp_path: Path) -> None:
    """Kernels of the 2D network are repeated along time; frames beyond the borders are repeated here, too."""
    state = sane(layouts.mfnet(9, flat=True))
    save_file(state, tmp_path / "w.safetensors")
    network = mfnet.build("3d", 9).eval()
    report = load_published(network, tmp_path / "w.safetensors")
    assert report.complete
    assert set(report.inflated) == {n for n, p in network.named_parameters() if p.ndim == 5}
    for conv in (m for m in network.modules() if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1):
        time = conv.padding[0]
        conv.padding = (0, *conv.padding[1:])
        conv.register_forward_pre_hook(
            lambda _m, args, t=time: functional.pad(args[0], (0, 0, 0, 0, t, t), "replicate")
        )
    x_BCHW = torch.randn(2, 3, 33, 40, generator=torch.Generator().manual_seed(2))
    still_BCTHW = x_BCHW.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    assert close(network(still_BCTHW), published(state, x_BCHW))
