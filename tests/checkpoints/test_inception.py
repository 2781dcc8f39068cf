"""Files of I3D's two PyTorch ports and of torchvision's S3D: every tensor arrives, and the function is the publisher's.

The forward passes are written from the published code with plain functions; they read the published names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from secondlook.models import i3d, s3d
from secondlook.predict.published import facts, load_published
from tests.checkpoints import layouts_inception as layouts
from tests.predict.test_published_function import State, sane

POOLS = {"3b": ((1, 3, 3), (1, 2, 2)), "4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}
"""Before the module of that name."""


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-3)


def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around, as TensorFlow's "same" has them."""
    sides = []
    for n, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
        sides += [total // 2, total - total // 2]
    return functional.pad(x, sides)


def i3d_features(state: State, x: Tensor, names: dict[str, str]) -> Tensor:
    """Either port, up to the average pool; `names` translates the parts of names that differ."""

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = functional.conv3d(same(x, weight.shape[2:], (stride,) * 3), weight, stride=stride)
        return functional.relu(norm(x, state, f"{name}.{names['norm']}"))

    def pool(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        return functional.max_pool3d(same(x, kernel, stride), kernel, stride)

    x = pool(unit(x, f"{names['conv']}_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, f"{names['conv']}_2b_1x1"), f"{names['conv']}_2c_3x3")
    for module in layouts.MODULES:
        if module in POOLS:
            x = pool(x, *POOLS[module])
        prefix = f"{names['mixed']}_{module}"
        branches = [unit(x, f"{prefix}.{names['b0']}")]
        for reduce, after in (("b1a", "b1b"), ("b2a", "b2b")):
            branches.append(unit(unit(x, f"{prefix}.{names[reduce]}"), f"{prefix}.{names[after]}"))
        branches.append(unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{prefix}.{names['b3b']}"))
        x = torch.cat(branches, 1)
    return x


PIERGIAJ = {name: name for name in ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")}
PIERGIAJ |= {"norm": "bn", "conv": "Conv3d", "mixed": "Mixed"}
HASSONY = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1", "b2a": "branch_2.0", "b2b": "branch_2.1"}
HASSONY |= {"b3b": "branch_3.1", "norm": "batch3d", "conv": "conv3d", "mixed": "mixed"}


def i3d_logits(state: State, x: Tensor) -> Tensor:
    """piergiaj's, averaged over time as DeepMind's code does."""
    x = functional.avg_pool3d(i3d_features(state, x, PIERGIAJ), (2, 7, 7), 1)
    logits_BKT = functional.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"])
    return logits_BKT.squeeze(3).squeeze(3).mean(2)


def s3d_logits(state: State, x: Tensor) -> Tensor:
    """torchvision's."""

    def plain(x: Tensor, name: str, stride: tuple[int, ...] = (1, 1, 1)) -> Tensor:
        weight = state[f"{name}.0.weight"]
        x = functional.conv3d(x, weight, stride=stride, padding=tuple(k // 2 for k in weight.shape[2:]))
        return functional.relu(norm(x, state, f"{name}.1"))

    def separable(x: Tensor, name: str, s: int = 1) -> Tensor:
        return plain(plain(x, f"{name}.0", (1, s, s)), f"{name}.1", (s, 1, 1))

    x = functional.max_pool3d(separable(x, "features.0", 2), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = separable(plain(x, "features.2"), "features.3")
    for i, module in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), layouts.MODULES, strict=True):
        if module in POOLS:
            kernel, stride = POOLS[module]
            x = functional.max_pool3d(x, kernel, stride, tuple(k // 2 if k != 2 else 0 for k in kernel))
        branches = [plain(x, f"features.{i}.branch0")]
        for b in (1, 2):
            branches.append(separable(plain(x, f"features.{i}.branch{b}.0"), f"features.{i}.branch{b}.1"))
        branches.append(plain(functional.max_pool3d(x, 3, 1, 1), f"features.{i}.branch3.1"))
        x = torch.cat(branches, 1)
    x = functional.avg_pool3d(x, (2, 7, 7), 1)
    return functional.conv3d(x, state["classifier.1.weight"], state["classifier.1.bias"]).mean((2, 3, 4))


def close(ours: Tensor, theirs: Tensor) -> bool:
    spread = theirs.std().item()
    assert theirs.isfinite().all()
    assert spread > 1e-3
    return torch.allclose(ours, theirs, atol=1e-4 * spread, rtol=1e-4)


@pytest.mark.parametrize(("layout", "keys"), [("piergiaj", 344), ("hassony", 344), ("torchvision_s3d", 464)])
def test_as_many_names_as_published(layout: str, keys: int) -> None:
    assert len(getattr(layouts, layout)(400)) == keys


@torch.no_grad()
def test_i3d_computes_what_the_port_computes(tmp_path: Path) -> None:
    """Odd sides, so that padding tells; three frames of features, so that the windows of the read-out tell."""
    state = sane(layouts.piergiaj(9))
    save_file(state, tmp_path / "w.safetensors")
    network = i3d.build("rgb", 9).eval()
    assert load_published(network, tmp_path / "w.safetensors").complete
    assert facts(tmp_path / "w.safetensors").classes == 9
    x_BCTHW = torch.randn(1, 3, 17, 193, 197, generator=torch.Generator().manual_seed(2))
    assert close(network(x_BCTHW), i3d_logits(state, x_BCTHW))


@torch.no_grad()
def test_i3d_of_the_second_port(tmp_path: Path) -> None:
    state = sane(layouts.hassony(9, channels=2))
    save_file(state, tmp_path / "w.safetensors")
    network = i3d.build("flow", 9).eval()
    report = load_published(network, tmp_path / "w.safetensors")
    assert report.complete
    assert "multiple of 4" in report.words()
    x_BCTHW = torch.randn(2, 2, 16, 48, 64, generator=torch.Generator().manual_seed(2))
    assert close(network.features(x_BCTHW), i3d_features(state, x_BCTHW, HASSONY))
    assert torch.equal(network.head.classifier.weight, state["conv3d_0c_1x1.conv3d.weight"].flatten(1))
    assert torch.equal(network.head.classifier.bias, state["conv3d_0c_1x1.conv3d.bias"])


@pytest.mark.parametrize("layout", [layouts.piergiaj, layouts.hassony])
def test_files_without_counts_of_batches_are_whole(layout, tmp_path: Path) -> None:
    """Both ports were saved by a PyTorch that kept none."""
    state = {name: tensor for name, tensor in sane(layout(9)).items() if not name.endswith("num_batches_tracked")}
    assert len(state) == 287
    save_file(state, tmp_path / "w.safetensors")
    assert load_published(i3d.build("rgb", 9), tmp_path / "w.safetensors").complete


def test_rgb_weights_start_a_flow_network(tmp_path: Path) -> None:
    save_file(sane(layouts.piergiaj(9)), tmp_path / "w.safetensors")
    report = load_published(i3d.build("flow", 7), tmp_path / "w.safetensors")
    assert report.complete
    assert report.adapted == ("conv_1a.conv.weight",)
    assert set(report.reinitialised) == {"head.classifier.weight", "head.classifier.bias"}


@torch.no_grad()
def test_s3d_computes_what_torchvision_computes(tmp_path: Path) -> None:
    """With three frames of features, and with more than 7 x 7 places."""
    state = sane(layouts.torchvision_s3d(9))
    save_file(state, tmp_path / "w.safetensors")
    network = s3d.build("s3d", 9).eval()
    assert load_published(network, tmp_path / "w.safetensors").complete
    x_BCTHW = torch.randn(1, 3, 17, 225, 241, generator=torch.Generator().manual_seed(2))
    assert close(network(x_BCTHW), s3d_logits(state, x_BCTHW))


def test_s3d_starts_one_with_gates(tmp_path: Path) -> None:
    """All of the file is used; the gates are fresh."""
    save_file(sane(layouts.torchvision_s3d(9)), tmp_path / "w.safetensors")
    report = load_published(s3d.build("s3d-g", 9), tmp_path / "w.safetensors")
    assert not report.unexpected
    assert not report.reshaped
    assert report.missing
    assert all(".gate." in name for name in report.missing)
