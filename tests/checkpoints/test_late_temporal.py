"""Files of the late temporal BERT release: every name finds its place, and the loaded network computes what it did.

The forward pass here is written from the published code with plain functions; it reads the published names.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.predict.published import layout_of, load_published
from tests.checkpoints import layouts_late_temporal as layouts
from tests.checkpoints.layouts_torchvision import R2PLUS1D_34
from tests.predict.test_published_function import State, norm, sane

LAYOUT = layout_of("late_temporal")
AS_RELEASED = {"as_released": True}


def released(shapes: layouts.Shapes) -> State:
    """Values as after training; the norms of the BERT scale by about 1."""
    state = sane(shapes)
    return {n: t + 1 if n.endswith("norm.a_2") else t for n, t in state.items()}


def layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    """The unbiased deviation, and 1e-6 added to it."""
    deviation = ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1, keepdim=True).div(x.shape[-1] - 1).sqrt()
    return state[f"{name}.a_2"] * (x - x.mean(-1, keepdim=True)) / (deviation + 1e-6) + state[f"{name}.b_2"]


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def bert5(state: State, tokens_BTC: Tensor, *, layers: int, heads: int = 8) -> Tensor:
    """`BERT5` in evaluation mode."""
    x = torch.cat((state["bert.clsToken"].repeat(len(tokens_BTC), 1, 1), tokens_BTC), 1)
    x = x + state["bert.embedding.learnedPosition.pe"][:, : x.shape[1]]
    for i in range(layers):
        block = f"bert.transformer_blocks.{i}"
        seen = layer_norm(x, state, f"{block}.input_sublayer.norm")
        query, key, value = (
            linear(seen, state, f"{block}.attention.linear_layers.{j}").reshape(*x.shape[:2], heads, -1).transpose(1, 2)
            for j in range(3)
        )
        weights = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), -1)
        joined = (weights @ value).transpose(1, 2).reshape(x.shape)
        x = x + linear(joined, state, f"{block}.attention.output_linear")
        inside = linear(layer_norm(x, state, f"{block}.output_sublayer.norm"), state, f"{block}.feed_forward.w_1")
        inside = 0.5 * inside * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inside + 0.044715 * inside**3)))
        x = x + linear(inside, state, f"{block}.feed_forward.w_2")
    return x


def r2plus1d_bert(state: State, x: Tensor, *, layers: int) -> Tensor:
    """`rgb_r2plus1d_32f_34_bert10` with one block a stage and the eps of `r2plus1d:10`."""

    def factors(x: Tensor, name: str, stride: int) -> Tensor:
        x = functional.conv3d(x, state[f"{name}.0.0.weight"], stride=(1, stride, stride), padding=(0, 1, 1))
        x = functional.relu(norm(x, state, f"{name}.0.1"))
        x = functional.conv3d(x, state[f"{name}.0.3.weight"], stride=(stride, 1, 1), padding=(1, 0, 0))
        return norm(x, state, f"{name}.1")

    x = functional.conv3d(x, state["features.0.0.weight"], stride=(1, 2, 2), padding=(0, 3, 3))
    x = functional.relu(norm(x, state, "features.0.1"))
    x = functional.conv3d(x, state["features.0.3.weight"], padding=(1, 0, 0))
    x = functional.relu(norm(x, state, "features.0.4"))
    for i in (1, 2, 3, 4):
        name, stride = f"features.{i}.0", 1 if i == 1 else 2
        y = factors(functional.relu(factors(x, f"{name}.conv1", stride)), f"{name}.conv2", 1)
        if i > 1:
            x = functional.conv3d(x, state[f"{name}.downsample.0.weight"], stride=stride)
            x = norm(x, state, f"{name}.downsample.1")
        x = functional.relu(y + x)
    if "bert.clsToken" not in state:
        return linear(x.mean((2, 3, 4)), state, "fc_action")
    out_BND = bert5(state, x.mean((3, 4)).transpose(1, 2), layers=layers)
    return linear(out_BND[:, 0], state, "fc_action")


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_loaded_network_computes_what_the_release_does(layers: int, tmp_path: Path) -> None:
    frames = 2 if layers else 0
    shapes = layouts.r2plus1d((1, 1, 1, 1), 7, frames, layouts.DEPTH_10, max(layers, 1))
    state = released(shapes)
    torch.save(
        {"state_dict": {f"module.{n}": t for n, t in state.items()}, "arch": "rgb_r2plus1d", "epoch": 3}, tmp_path / "w"
    )
    options = {"head_options": {**AS_RELEASED, "layers": layers}} if layers else {}
    network = catalog.find("models", "r2plus1d").build("10", 7, "bert" if layers else None, frames=16, **options).eval()
    report = load_published(network, tmp_path / "w")
    assert report.complete
    assert report.source == "late_temporal"
    assert len(report.matched) == len(network.state_dict())
    x_BCTHW = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected_BK, logits_BK = r2plus1d_bert(state, x_BCTHW, layers=layers), network(x_BCTHW)
    spread = expected_BK.std().item()
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-2 * spread, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)
    assert bool(report.notes) == bool(layers)


def test_without_as_released_the_numbers_differ_a_little(tmp_path: Path) -> None:
    """What the caution says: the layer norms and GELU of the default are others."""
    state = released(layouts.r2plus1d((1, 1, 1, 1), 7, 2, layouts.DEPTH_10))
    torch.save(state, tmp_path / "w")
    network = catalog.find("models", "r2plus1d").build("10", 7, "bert", frames=16).eval()
    report = load_published(network, tmp_path / "w")
    assert report.complete
    assert any("as_released=true" in note and "BERT has 2 frames" in note for note in report.notes)
    x_BCTHW = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        off = (network(x_BCTHW) - r2plus1d_bert(state, x_BCTHW, layers=1)).abs().max()
        off /= r2plus1d_bert(state, x_BCTHW, layers=1).std()
    assert 1e-4 < off < 1e-1


def i3d_bert(state: State, x: Tensor) -> Tensor:
    """`rgb_I3D64f_bert2`, or `rgb_I3D64f` where there is no BERT; the vectors that BERT reads have length 1."""

    def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        pads = []
        for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
            pad = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
            pads = [pad // 2, pad - pad // 2, *pads]
        return functional.pad(x, pads)

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = functional.conv3d(same(x, weight.shape[2:], (stride,) * 3), weight, stride=stride)
        parts = (state[f"{name}.bn.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return functional.relu(functional.batch_norm(x, *parts, training=False, eps=1e-3))

    def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
        return functional.max_pool3d(same(x, kernel, stride), kernel, stride)

    x = pool(unit(x, "features.0", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "features.2"), "features.3"), (1, 3, 3), (1, 2, 2))
    for child in layouts.INCEPTION:
        name = f"features.{child}"
        if child == 8:
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if child == 14:
            x = pool(x, (2, 2, 2), (2, 2, 2))
        branches = [
            unit(x, f"{name}.b0"),
            unit(unit(x, f"{name}.b1a"), f"{name}.b1b"),
            unit(unit(x, f"{name}.b2a"), f"{name}.b2b"),
            unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"),
        ]
        x = torch.cat(branches, 1)
    if "bert.clsToken" not in state:
        return linear(x.mean((2, 3, 4)), state, "fc_action")
    tokens_BTC = x.mean((3, 4)).transpose(1, 2)
    out_BND = bert5(state, tokens_BTC / tokens_BTC.norm(dim=-1, keepdim=True), layers=1)
    return linear(out_BND[:, 0], state, "fc_action")


@pytest.mark.parametrize("frames", [0, 2])
def test_i3d(frames: int, tmp_path: Path) -> None:
    """362 names with BERT (one frame more or less changes none)."""
    shapes = layouts.i3d(7, frames)
    assert len(shapes) == (362 if frames else 344)
    state = released(shapes)
    torch.save({"state_dict": state}, tmp_path / "w")
    options = {"head_options": {**AS_RELEASED, "unit_tokens": True}} if frames else {}
    network = catalog.find("models", "i3d").build("rgb", 7, "bert" if frames else "average", frames=16, **options)
    network.eval()
    report = load_published(network, tmp_path / "w")
    assert report.complete
    assert len(report.matched) == len(network.state_dict())
    assert any("as_released=true and unit_tokens=true" in note for note in report.notes) == bool(frames)
    x_BCTHW = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected_BK, logits_BK = i3d_bert(state, x_BCTHW), network(x_BCTHW)
    spread = expected_BK.std().item()
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-3 * spread, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)


def renamed(shapes: layouts.Shapes) -> layouts.Shapes:
    """Our names of a file's tensors."""
    assert LAYOUT.prepare is not None
    file = LAYOUT.prepare({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    return {LAYOUT.rename(name): tuple(tensor.shape) for name, tensor in file.items()}


@pytest.mark.parametrize(("frames", "tokens", "classes"), [(32, 4, 51), (64, 8, 101), (32, 0, 51)])
def test_every_name_of_the_real_files_finds_its_place(frames: int, tokens: int, classes: int) -> None:
    """434 names, or 416 without BERT, as the class registers them; all shapes agree with `r2plus1d:34`."""
    shapes = layouts.r2plus1d((3, 4, 6, 3), classes, tokens, R2PLUS1D_34)
    assert len(shapes) == (434 if tokens else 416)
    with torch.device("meta"):
        network: nn.Module = catalog.find("models", "r2plus1d").build(
            "34", classes, "bert" if tokens else None, frames=frames
        )
    assert renamed(shapes) == {name: tuple(t.shape) for name, t in network.state_dict().items()}


def test_the_resnext_101() -> None:
    """626 names, all of `hara:resnext101`."""
    shapes = layouts.resnext()
    assert len(shapes) == 626
    with torch.device("meta"):
        network: nn.Module = catalog.find("models", "hara").build("resnext101", 51)
    assert renamed(shapes) == {name: tuple(t.shape) for name, t in network.state_dict().items()}


def test_the_resnext_101_with_frab() -> None:
    """668 names."""
    shapes = layouts.resnext_bert(51, after=True)
    assert len(shapes) == 668
    with torch.device("meta"):
        network: nn.Module = catalog.find("models", "hara").build(
            "resnext101", 51, "frab", frames=64, head_options={"groups": 32}
        )
    assert renamed(shapes) == {name: tuple(t.shape) for name, t in network.state_dict().items()}


def test_the_resnext_101_with_frmb() -> None:
    """650 names, of which all but the narrow block are those of the plain network and of the head."""
    shapes = layouts.resnext_bert(51, after=False)
    assert len(shapes) == 650
    ours = renamed(shapes)
    assert ours["layer4.2.shortcut.conv.weight"] == (512, 2048, 1, 1, 1)
    assert ours["layer4.2.conv2.weight"] == (256, 8, 3, 3, 3)
    assert ours["head.encoder.layers.0.attention.qkv.weight"] == (1536, 512)
    plain = renamed(layouts.resnext())
    rest = {n: s for n, s in plain.items() if not n.startswith(("layer4.2.", "head."))}
    assert rest.items() <= ours.items()


def test_another_trunk_is_refused(tmp_path: Path) -> None:
    torch.save({"features.conv.weight": torch.zeros(1), "fc_action.weight": torch.zeros(1)}, tmp_path / "w")
    with pytest.raises(BadValue, match="a trunk that is none of"):
        load_published(catalog.find("models", "r2plus1d").build("tiny", 5), tmp_path / "w")


def test_a_file_without_keys_leaves_the_attention_fresh(tmp_path: Path) -> None:
    state = released(layouts.r2plus1d((1, 1, 1, 1), 7, 2, layouts.DEPTH_10))
    lost = [name for name in state if ".linear_layers.1." in name]
    torch.save({name: tensor for name, tensor in state.items() if name not in lost}, tmp_path / "w")
    report = load_published(catalog.find("models", "r2plus1d").build("10", 7, "bert", frames=16), tmp_path / "w")
    assert report.missing == tuple(f"head.encoder.layers.0.attention.qkv.{part}" for part in ("weight", "bias"))
    assert len(report.unexpected) == 4


def test_another_length_or_number_of_classes_is_said(tmp_path: Path) -> None:
    torch.save(released(layouts.r2plus1d((1, 1, 1, 1), 7, 2, layouts.DEPTH_10)), tmp_path / "w")
    network = catalog.find("models", "r2plus1d").build("10", 9, "bert", frames=32)
    report = load_published(network, tmp_path / "w")
    assert report.reshaped == ("head.embed.positions: (1, 3, 512), (1, 5, 512)",)
    assert report.reinitialised == ("head.classifier.weight", "head.classifier.bias")
