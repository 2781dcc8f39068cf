"""MobileNetV2, ResNet-101 and non-local ResNet-50 of the TSM release: every tensor arrives, and the function is theirs.

The forward passes are written from the published code with plain functions; they read the published names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_tsm as layouts
from tests.predict.test_published_function import State, downsampled, norm, sane


def make(name: str, classes: int, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes, **options)


def shifted(x_NCHW: Tensor, frames: int) -> Tensor:
    clips = x_NCHW.reshape(-1, frames, *x_NCHW.shape[1:])
    fold = clips.shape[2] // 8
    moved = clips.clone()
    moved[:, :, : 2 * fold] = 0
    moved[:, :-1, :fold] = clips[:, 1:, :fold]
    moved[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    return moved.flatten(0, 1)


def mobilenet(state: State, x_BCTHW: Tensor) -> Tensor:
    """`ops/models.py` with `archs/mobilenet_v2.py`: blocks whose first convolution is called `.net` are shifted."""
    frames = x_BCTHW.shape[2]
    relu6 = functional.relu6
    base = "base_model.features"
    x = x_BCTHW.transpose(1, 2).flatten(0, 1)
    x = relu6(norm(functional.conv2d(x, state[f"{base}.0.0.weight"], stride=2, padding=1), state, f"{base}.0.1"))
    for i, expansion, inside, channels, stride in layouts.blocks():
        name, y, j = f"{base}.{i}.conv", x, 0
        if expansion > 1:
            net = f"{name}.0.net.weight" in state
            y = functional.conv2d(shifted(x, frames) if net else x, state[f"{name}.0{'.net' * net}.weight"])
            y, j = relu6(norm(y, state, f"{name}.1")), 3
        y = functional.conv2d(y, state[f"{name}.{j}.weight"], stride=stride, padding=1, groups=inside * expansion)
        y = relu6(norm(y, state, f"{name}.{j + 1}"))
        y = norm(functional.conv2d(y, state[f"{name}.{j + 3}.weight"]), state, f"{name}.{j + 4}")
        x = x + y if stride == 1 and inside == channels else y
    x = relu6(norm(functional.conv2d(x, state[f"{base}.18.0.weight"]), state, f"{base}.18.1"))
    return consensus(state, x, frames)


def consensus(state: State, x_NCHW: Tensor, frames: int) -> Tensor:
    logits_NK = functional.linear(x_NCHW.mean((2, 3)), state["new_fc.weight"], state["new_fc.bias"])
    return logits_NK.reshape(-1, frames, logits_NK.shape[1]).mean(1)


def resnet(state: State, x_BCTHW: Tensor) -> Tensor:
    """`ops/models.py` with torchvision's ResNet, shifts and non-local blocks where the names say so."""
    frames = x_BCTHW.shape[2]
    depth = max(int(name.split(".")[2]) for name in state if name.startswith("base_model.layer3.")) + 1
    x = x_BCTHW.transpose(1, 2).flatten(0, 1)
    x = functional.conv2d(x, state["base_model.conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(functional.relu(norm(x, state, "base_model.bn1")), 3, 2, 1)
    for stage, blocks in enumerate((3, 4, depth, 3), 1):
        for b in range(blocks):
            outer, stride = f"base_model.layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            name = f"{outer}.block" if f"{outer}.block.bn1.weight" in state else outer
            net = f"{name}.conv1.net.weight" in state
            y = functional.conv2d(shifted(x, frames) if net else x, state[f"{name}.conv1{'.net' * net}.weight"])
            y = functional.relu(norm(y, state, f"{name}.bn1"))
            y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = functional.relu(norm(y, state, f"{name}.bn2"))
            y = norm(functional.conv2d(y, state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
            x = functional.relu(y + downsampled(state, name, x, stride))
            if name != outer:
                x = non_local(state, f"{outer}.nl", x, frames)
    return consensus(state, x, frames)


def non_local(state: State, name: str, x_NCHW: Tensor, frames: int) -> Tensor:
    """`ops/non_local.py`: embedded Gaussian, sub-sampled."""
    x = x_NCHW.reshape(-1, frames, *x_NCHW.shape[1:]).transpose(1, 2)

    def conv(which: str, value: Tensor) -> Tensor:
        return functional.conv3d(value, state[f"{name}.{which}.weight"], state[f"{name}.{which}.bias"])

    g, phi = (functional.max_pool3d(conv(which, x), (1, 2, 2)).flatten(2) for which in ("g.0", "phi.0"))
    weights = torch.softmax(conv("theta", x).flatten(2).transpose(1, 2) @ phi, dim=-1)
    y = (weights @ g.transpose(1, 2)).transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
    y = norm(conv("W.0", y), state, f"{name}.W.1") + x
    return y.transpose(1, 2).flatten(0, 1)


CASES: dict[str, tuple[str, dict, layouts.Shapes, int, Callable[[State, Tensor], Tensor]]] = {
    "TSM MobileNetV2": ("tsm:mobilenet_v2", {}, layouts.mobilenet(9, shift=True), 314, mobilenet),
    "TSN MobileNetV2": (
        "tsm:mobilenet_v2",
        {"shift_fraction": 0},
        layouts.mobilenet(9, shift=False),
        314,
        mobilenet,
    ),
    "TSM ResNet-50 non-local": ("tsm:r50-nl", {}, layouts.resnet_non_local(9), 385, resnet),
    "TSM ResNet-101": ("tsm:r101", {}, layouts.resnet101(9), 626, resnet),
}


@pytest.mark.spec("label-reassessment", "I5")
@pytest.mark.parametrize("case", CASES)
def test_loads_and_computes_what_the_release_computes(case: str, tmp_path: Path) -> None:
    name, options, shapes, keys, publishers_forward = CASES[case]
    assert len(shapes) == keys
    state = sane(shapes)
    path = tmp_path / "w.pth"
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}, "epoch": 50}, path)
    network = make(name, 9, **options).eval()
    report = load_published(network, path)
    assert report.complete
    assert report.source == "tsm"
    assert len(report.matched) == len(network.state_dict()) == keys
    assert not report.reinitialised
    x_BCTHW = torch.randn(2, 3, 3, 64, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected_BK, logits_BK = publishers_forward(state, x_BCTHW), network(x_BCTHW)
    spread = expected_BK.std().item()
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-3 * spread > 0, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)


def test_shifts_sit_where_the_release_has_them() -> None:
    """Its files say it by the name `.net`: every second block of ResNet-101, ten blocks of MobileNetV2."""
    with torch.device("meta"):
        deep, mobile = make("tsm:r101", 9), make("tsm:mobilenet_v2", 9)
    published = {
        name.split(".conv1.net")[0].removeprefix("base_model.") for name in layouts.resnet101(9) if ".net" in name
    }
    assert {
        name.removesuffix(".conv1.shift") for name, _ in deep.named_modules() if name.endswith(".shift")
    } == published
    assert len(published) == 2 + 2 + 12 + 2
    assert len(mobile.shifts()) == sum(".net." in name for name in layouts.mobilenet(9, shift=True)) == 10


@pytest.mark.spec("late-temporal-bert", "F38")
def test_the_online_demo_loads_and_streams_as_it_does(tmp_path: Path) -> None:
    """`online_demo/mobilenet_v2_tsm.py`: in ten blocks, an eighth of the channels is that of the frame before."""
    state = sane(layouts.mobilenet_online(9))
    torch.save(state, tmp_path / "w.pth")
    network = make("tsm:mobilenet_v2-online", 9).eval()
    report = load_published(network, tmp_path / "w.pth")
    assert report.complete
    assert report.source == "tsm"
    assert "shifts from the past only" in report.words()
    x_BCTHW = torch.randn(1, 3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits_TK = network.frame_logits(x_BCTHW)[0]
        buffers: dict[int, Tensor] = {}
        for t in range(3):
            expected_K = demo(state, x_BCTHW[:, :, t], buffers)[0]
            assert torch.allclose(logits_TK[t], expected_K, atol=1e-4 * expected_K.std().item(), rtol=1e-4)
    assert len(buffers) == 10


def demo(state: State, x: Tensor, buffers: dict[int, Tensor]) -> Tensor:
    relu6 = functional.relu6
    x = relu6(norm(functional.conv2d(x, state["features.0.0.weight"], stride=2, padding=1), state, "features.0.1"))
    for i, expansion, inside, channels, stride in layouts.blocks():
        name, y, j = f"features.{i}.conv", x, 0
        if stride == 1 and inside == channels:
            n = inside // 8
            past = buffers.get(i, torch.zeros_like(x[:, :n]))
            buffers[i] = x[:, :n]
            y = torch.cat((past, x[:, n:]), 1)
        if expansion > 1:
            y, j = relu6(norm(functional.conv2d(y, state[f"{name}.0.weight"]), state, f"{name}.1")), 3
        y = functional.conv2d(y, state[f"{name}.{j}.weight"], stride=stride, padding=1, groups=inside * expansion)
        y = relu6(norm(y, state, f"{name}.{j + 1}"))
        y = norm(functional.conv2d(y, state[f"{name}.{j + 3}.weight"]), state, f"{name}.{j + 4}")
        x = x + y if stride == 1 and inside == channels else y
    x = relu6(norm(functional.conv2d(x, state["features.18.0.weight"]), state, "features.18.1"))
    return functional.linear(x.mean((2, 3)), state["classifier.weight"], state["classifier.bias"])


@pytest.mark.spec("late-temporal-bert", "F16")
def test_imagenet_mobilenet_fills_all_but_the_classifier(tmp_path: Path) -> None:
    """torchvision's MobileNetV2 under TSM, for two channels of flow; each tensor where the release's twin has it."""
    shapes = layouts.mobilenet_torchvision(1000)
    state = sane(shapes)
    torch.save(state, tmp_path / "w.pth")
    network = make("tsm:mobilenet_v2", 9, in_channels=2)
    report = load_published(network, tmp_path / "w.pth")
    assert report.complete
    assert report.source == "torchvision_mobilenet"
    assert set(report.reinitialised) == {"head.classifier.weight", "head.classifier.bias"}
    assert report.adapted == ("stem.conv.weight",)
    assert torch.equal(network.stem.conv.weight[:, 1], state["features.0.0.weight"].mean(1))
    own = network.state_dict()
    pairs = zip(
        (name for name in shapes if not name.startswith("classifier")),
        (name for name in layouts.mobilenet(1000, shift=True) if not name.startswith("new_fc")),
        strict=True,
    )
    layout = catalog.find("checkpoints", "tsm").LAYOUT
    for theirs, release in list(pairs)[1:]:
        assert torch.equal(own[layout.rename(release)], state[theirs]), (theirs, release)


def test_shifts_in_the_file_are_told_from_none(tmp_path: Path) -> None:
    torch.save(sane(layouts.mobilenet(9, shift=False)), tmp_path / "w.pth")
    assert "it is a TSN" in load_published(make("tsm:mobilenet_v2", 9), tmp_path / "w.pth").words()
    with pytest.raises(BadValue, match="fewer than half"):
        load_published(make("tsm:r18", 9), tmp_path / "w.pth")
