"""S3D: counts, factors, gates, and the clips it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook.layers.feature_gating import FeatureGating
from secondlook.models import i3d, s3d
from secondlook.models._count import cost, parameters


def test_every_kernel_looks_along_space_or_along_time() -> None:
    """And I3D's kernels of the same width look along both."""
    with torch.device("meta"):
        separated, whole = s3d.build("s3d", 400), i3d.build("rgb", 400)
    kernels = [m.kernel_size for m in separated.modules() if isinstance(m, nn.Conv3d)]
    assert all(k == (1, 1, 1) or (k[0] == 1) != (k[1:] == (1, 1)) for k in kernels)
    wide = [m.kernel_size for m in whole.modules() if isinstance(m, nn.Conv3d) and m.kernel_size != (1, 1, 1)]
    assert len(wide) == 2 + 2 * 9
    assert sum(k[0] > 1 for k in kernels) == sum(k[1] > 1 for k in kernels) == len(wide)
    assert parameters(separated) == 8_320_048


@pytest.mark.spec("late-temporal-bert", "F43")
def test_gates_follow_each_branch_and_the_third_convolution() -> None:
    with torch.device("meta"):
        plain, gated = s3d.build("s3d", 400), s3d.build("s3d-g", 400)
    gates = {name: m for name, m in gated.named_modules() if isinstance(m, FeatureGating)}
    mixed = [name for name in s3d.PLANS["s3d-g"].names if name.startswith("mixed")]
    assert set(gates) == {"conv_2c.gate", *(f"{name}.branch{i}.gate" for name in mixed for i in range(4))}
    assert not any(isinstance(m, FeatureGating) for m in plain.modules())
    widths = [192, *(w for row in s3d.PLANS["s3d-g"].mixed for m in row for w in (m[0], m[2], m[4], m[5]))]
    assert parameters(gated) - parameters(plain) == sum(w * w + w for w in widths)


@pytest.mark.spec("late-temporal-bert", "F43")
def test_a_wide_open_gate_is_none() -> None:
    """Gates at 1 give S3D's own logits; gates at a half do not."""
    network = s3d.build("tiny", 3).eval()
    x_BCTHW = torch.randn(1, 2, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    gates = [m for m in network.modules() if isinstance(m, FeatureGating)]
    for gate in gates:
        nn.init.zeros_(gate.weigh.weight)
        nn.init.constant_(gate.weigh.bias, 100.0)
    wide_open = network(x_BCTHW)
    for gate in gates:
        nn.init.zeros_(gate.weigh.bias)
    assert not torch.allclose(network(x_BCTHW), wide_open, rtol=1e-2)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, FeatureGating):
                setattr(module, name, nn.Identity())
    assert torch.allclose(network(x_BCTHW), wide_open, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 17, 17), (6, 33, 41), (14, 224, 224), (9, 18, 64)])
def test_heads_get_as_many_frames_as_the_features_have(shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    card = s3d.CARDS["tiny"]
    with torch.device("meta"):
        network = s3d.build("tiny", 3, "concat", frames=frames, height=height, width=width)
    assert cost(network, card.explain, (2, *shape)).features[1] == -(-frames // 4) // 2
