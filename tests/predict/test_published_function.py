"""A loaded network computes what the publisher's code computes from the same file.

The forward passes here are written from the published code with plain functions; they read the published names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.predict.published import load_published, read_state
from tests.checkpoints import layouts_torchvision as layouts

State = dict[str, Tensor]


def make(name: str, classes: int, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes, **options)


def sane(shapes: layouts.Shapes, seed: int = 0) -> State:
    """Values as after training, so that a signal neither dies nor grows on its way through."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in shapes.items():
        if not shape:
            state[name] = torch.tensor(100)
        elif len(shape) > 1:
            fan_in = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        elif name.endswith(("running_var", ".weight")):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            state[name] = 0.1 * torch.randn(shape, generator=generator)
    return state


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-5)


def r3d(state: State, x: Tensor, *, blocks: int = 2) -> Tensor:
    """torchvision's `r3d_18`, and its `mc3_18`, whose later kernels see one frame and stride in space only."""
    x = functional.conv3d(x, state["stem.0.weight"], stride=(1, 2, 2), padding=(1, 3, 3))
    x = functional.relu(norm(x, state, "stem.1"))
    for name, stride in block_names(blocks):
        alone = state[f"{name}.conv1.0.weight"].shape[2] == 1
        padding, strides = (0 if alone else 1, 1, 1), (1 if alone else stride, stride, stride)
        y = functional.conv3d(x, state[f"{name}.conv1.0.weight"], stride=strides, padding=padding)
        y = functional.relu(norm(y, state, f"{name}.conv1.1"))
        y = norm(functional.conv3d(y, state[f"{name}.conv2.0.weight"], padding=padding), state, f"{name}.conv2.1")
        x = functional.relu(y + downsampled(state, name, x, strides))
    return functional.linear(x.mean((2, 3, 4)), state["fc.weight"], state["fc.bias"])


def r2plus1d(state: State, x: Tensor, *, blocks: int = 2) -> Tensor:
    """torchvision's `r2plus1d_18`: no pool ends the stem."""
    x = functional.conv3d(x, state["stem.0.weight"], stride=(1, 2, 2), padding=(0, 3, 3))
    x = functional.relu(norm(x, state, "stem.1"))
    x = functional.relu(norm(functional.conv3d(x, state["stem.3.weight"], padding=(1, 0, 0)), state, "stem.4"))

    def factors(x: Tensor, name: str, stride: int) -> Tensor:
        x = functional.conv3d(x, state[f"{name}.0.0.weight"], stride=(1, stride, stride), padding=(0, 1, 1))
        x = functional.relu(norm(x, state, f"{name}.0.1"))
        x = functional.conv3d(x, state[f"{name}.0.3.weight"], stride=(stride, 1, 1), padding=(1, 0, 0))
        return norm(x, state, f"{name}.1")

    for name, stride in block_names(blocks):
        y = factors(functional.relu(factors(x, f"{name}.conv1", stride)), f"{name}.conv2", 1)
        x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3, 4)), state["fc.weight"], state["fc.bias"])


def tsm_r50(state: State, x_BCTHW: Tensor) -> Tensor:
    """The TSM release's ResNet-50: `blockres`, `shift_div=8`, average consensus of the frames' logits."""
    state = {name.removeprefix("module.").removeprefix("base_model."): tensor for name, tensor in state.items()}
    frames = x_BCTHW.shape[2]
    x = functional.conv2d(x_BCTHW.transpose(1, 2).flatten(0, 1), state["conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(functional.relu(norm(x, state, "bn1")), 3, 2, 1)
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            clips = x.reshape(-1, frames, *x.shape[1:])
            fold = clips.shape[2] // 8
            moved = torch.zeros_like(clips)
            moved[:, :-1, :fold] = clips[:, 1:, :fold]
            moved[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
            moved[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
            y = functional.conv2d(moved.flatten(0, 1), state[f"{name}.conv1.net.weight"])
            y = functional.relu(norm(y, state, f"{name}.bn1"))
            y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = functional.relu(norm(y, state, f"{name}.bn2"))
            y = norm(functional.conv2d(y, state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
            x = functional.relu(y + downsampled(state, name, x, stride))
    logits_NK = functional.linear(x.mean((2, 3)), state["new_fc.weight"], state["new_fc.bias"])
    return logits_NK.reshape(-1, frames, logits_NK.shape[1]).mean(1)


def block_names(depth: int) -> list[tuple[str, int]]:
    """Name and stride of each block of a basic network."""
    return [(f"layer{i}.{b}", 2 if i > 1 and b == 0 else 1) for i in (1, 2, 3, 4) for b in range(depth)]


def downsampled(state: State, name: str, x: Tensor, stride: int | tuple[int, ...]) -> Tensor:
    if f"{name}.downsample.0.weight" not in state:
        return x
    convolve = functional.conv3d if x.ndim == 5 else functional.conv2d
    return norm(convolve(x, state[f"{name}.downsample.0.weight"], stride=stride), state, f"{name}.downsample.1")


PUBLISHED = {
    "resnet3d:18": (layouts.torchvision_r3d((2, 2, 2, 2), 9), r3d),
    "resnet3d:mc3-18": (layouts.torchvision_r3d((2, 2, 2, 2), 9, mixed=True), r3d),
    "r2plus1d:18": (layouts.torchvision_r2plus1d((2, 2, 2, 2), 9, layouts.R2PLUS1D_18), r2plus1d),
    "tsm:r50": (layouts.resnet((3, 4, 6, 3), 9, bottleneck=True, tsm=True), tsm_r50),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_computes_what_the_publisher_computes(name: str, tmp_path: Path) -> None:
    shapes, publishers_forward = PUBLISHED[name]
    state = sane(shapes)
    save_file(state, tmp_path / "w.safetensors")
    network = make(name, 9).eval()
    x_BCTHW = torch.randn(2, 3, 5, 33, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected_BK = publishers_forward(state, x_BCTHW)
        before_BK = network(x_BCTHW)
        assert load_published(network, tmp_path / "w.safetensors").complete
        logits_BK = network(x_BCTHW)
    spread = expected_BK.std().item()
    assert expected_BK.isfinite().all()
    assert spread > 1e-3
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-3 * spread, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)
    assert not torch.allclose(before_BK, expected_BK, atol=1e-2 * spread)


SMALL = layouts.torchvision_r3d((1, 1, 1, 1), 7)


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.model."])
def test_wrappers_and_prefixes_come_off(wrapper: str, prefix: str, tmp_path: Path) -> None:
    state = {f"{prefix}{name}": torch.zeros(1) for name in SMALL}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == SMALL.keys()


def test_a_prefix_on_the_trunk_alone_comes_off(tmp_path: Path) -> None:
    state = sane(SMALL)
    torch.save({name if name.startswith("fc.") else f"backbone.{name}": t for name, t in state.items()}, tmp_path / "w")
    network = make("resnet3d:10", 7)
    assert load_published(network, tmp_path / "w").complete
    assert torch.equal(network.stem.conv.weight, state["stem.0.weight"])


def test_a_prefix_stays_where_two_names_would_become_one(tmp_path: Path) -> None:
    torch.save({"fc.bias": torch.zeros(1), "backbone.fc.bias": torch.ones(1)}, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == {"fc.bias", "backbone.fc.bias"}


def test_shuffled_shapes_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    """Right names, wrong tensors: each layer has the axes of its weight in another order."""
    state = {n: t.transpose(0, 1).contiguous() if t.ndim == 5 else t for n, t in sane(SMALL).items()}
    torch.save(state, tmp_path / "w.pth")
    network = make("resnet3d:10", 7)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    square = sum(name.endswith("conv2.0.weight") or name == "layer1.0.conv1.0.weight" for name in SMALL)
    with pytest.raises(BadValue, match=f"it fits {square} of this network's 12 layers"):
        load_published(network, tmp_path / "w.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_a_sentence_or_loads(zipped: bool, tmp_path: Path) -> None:
    """Whatever is cut off or overwritten, no error but ours comes out."""
    torch.save({"state_dict": {"l.weight": torch.rand(3)}}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pth").read_bytes()
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(whole), (120,), generator=generator).tolist()
    refused = 0
    for i, place in enumerate(places):
        damaged = whole[:place] if i % 2 else whole[:place] + bytes([(whole[place] + i) % 256]) + whole[place + 1 :]
        (tmp_path / "d.pth").write_bytes(damaged)
        try:
            read_state(tmp_path / "d.pth")
        except BadValue:
            refused += 1
    assert refused > len(places) / 4


def test_names_that_are_no_text_are_no_names(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(3), 1: torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(BadValue, match="no tensors by name"):
        load_published(make("resnet3d:tiny", 3), tmp_path / "w.pth")
