"""ResNet + transformer encoder: a slow twin, tokens, freezing, kernels in time, published backbones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.models import resnet_transformer
from secondlook.models._count import parameters
from secondlook.models._staged import STAGES
from secondlook.predict.published import load_published

ALL = tuple(resnet_transformer.PLANS)


def make(variant: str, num_classes: int = 5, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet_transformer.build(variant, num_classes, **options)


def clip(batch: int = 2, frames: int = 16, channels: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, frames, 56, 72, generator=torch.Generator().manual_seed(1))


@pytest.mark.spec("attention-recognisers", "A4")
def test_each_model_is_there_by_name_with_its_options() -> None:
    """2D, 3D and (2+1)D backbones; frozen or not; 8 and 16 heads; FC width; token grid; kernels of 1, 3, 5, 7."""
    with torch.device("meta"):
        for variant in ALL:
            network = resnet_transformer.build(variant, 25)
            assert network.head.encoder.layers[0].attention.heads == 8
            sixteen = resnet_transformer.build(variant, 25, attention_heads=16, layers=2, fc=384)
            assert [layer.attention.heads for layer in sixteen.head.encoder.layers] == [16, 16]
            assert sixteen.head.encoder.layers[0].ffn.fc1.out_features == 384
            frozen = resnet_transformer.build(variant, 25, freeze_backbone=True)
            assert all(p.requires_grad for p in network.parameters())
            learns = {name.partition(".")[0] for name, p in frozen.named_parameters() if p.requires_grad}
            assert learns == {"head"}
            gridded = resnet_transformer.build(variant, 25, grid=[2, 3, 4])
            assert gridded.head.embed.positions.shape[1] == 1 + 2 * 3 * 4
        for length in (1, 3, 5, 7):
            timed = resnet_transformer.build("3d-18", 25, temporal_kernel=length)
            assert {m.kernel_size[0] for m in timed.stem.modules() if isinstance(m, nn.Conv3d)} == {length}
            assert timed.layer4[1].conv2.kernel_size == (length, 3, 3)
            factorised = resnet_transformer.build("2plus1d-18", 25, temporal_kernel=length)
            assert factorised.layer1[0].conv1.temporal.kernel_size == (length, 1, 1)
            assert factorised.layer1[0].conv1.spatial.kernel_size == (1, 3, 3)
    assert {"timesformer", "conv_timesformer", "videomae"} <= set(catalog.names("models"))


def test_tokens_are_frames_or_every_place() -> None:
    card = resnet_transformer.CARDS["3d-18"].clip
    with torch.device("meta"):
        for variant, tokens in {"2d-18": 8, "3d-18": 2, "3d-18-adaptive": 2 * 7 * 7, "2plus1d-18-adaptive": 98}.items():
            network = resnet_transformer.build(variant, 25)
            assert network.head.embed.positions.shape[1] == 1 + tokens
        for shape in ((8, 112, 112), (16, 113, 170), (1, 32, 31)):
            network = resnet_transformer.build(
                "3d-18", 25, grid="full", frames=shape[0], height=shape[1], width=shape[2]
            )
            features = network.features(torch.empty(1, card.channels, *shape))
            assert network.head.pool.grid == tuple(features.shape[2:])


@pytest.mark.parametrize("variant", ["tiny", "tiny-2d"])
def test_slow_twin(variant: str) -> None:
    """The encoder written out for one clip: means a frame, class token, positions, attention head by head."""
    network = make(variant, grid=None).eval()
    head = network.head
    x_BCTHW = clip(1)
    features_CTHW = network.features(x_BCTHW)[0]
    tokens = [features_CTHW[:, t].mean((1, 2)) for t in range(features_CTHW.shape[1])]
    x_ND = torch.stack([head.embed.class_token[0, 0], *tokens]) + head.embed.positions[0]
    layer = head.encoder.layers[0]
    normed = layer.norm1(x_ND)
    q, k, v = layer.attention.qkv(normed).chunk(3, -1)
    width = q.shape[1] // 8
    heads = []
    for h in range(8):
        one = slice(h * width, (h + 1) * width)
        weights = (q[:, one] @ k[:, one].T / math.sqrt(width)).softmax(1)
        heads.append(weights @ v[:, one])
    x_ND = x_ND + layer.attention.out(torch.cat(heads, 1))
    hidden = nn.functional.gelu(layer.ffn.fc1(layer.norm2(x_ND)))
    x_ND = x_ND + layer.ffn.fc2(hidden)
    logits = head.classifier(head.norm(x_ND)[0])
    torch.testing.assert_close(network(x_BCTHW)[0], logits, atol=1e-5, rtol=1e-5)


def test_a_frozen_backbone_stays_as_it_is() -> None:
    network = make("tiny-2d", freeze_backbone=True).train()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(clip()), torch.tensor([0, 1])).backward()
        optimiser.step()
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if name.partition(".")[0] in STAGES]
    assert network.head.training
    assert not network.layer1.training
    assert network.eval().train().head.training
    free = make("tiny-2d").train()
    free(clip())
    assert not torch.equal(free.stem.norm.running_mean, torch.zeros(16)), "a free one follows the data"


def test_order_matters_to_it_and_not_to_the_average() -> None:
    network, average = make("tiny-2d").eval(), make("tiny-2d", head="average").eval()
    with torch.no_grad():
        network.head.embed.positions.normal_()
        x_BCTHW = clip()
        assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-4)
        assert torch.allclose(average(x_BCTHW), average(x_BCTHW.flip(2)), atol=1e-5)


@pytest.mark.parametrize(("variant", "backbone"), [("tiny", "resnet3d"), ("tiny-2d", "resnet2d")])
def test_the_backbone_is_that_of_the_family_it_names(variant: str, backbone: str) -> None:
    network = make(variant).eval()
    plain = catalog.find("models", backbone).build("tiny", 5).eval()
    shared = {n: t for n, t in network.state_dict().items() if not n.startswith("head.")}
    plain.load_state_dict(shared, strict=False)
    assert torch.equal(plain.features(clip()), network.features(clip()))


def test_published_backbones_fit(tmp_path: Path) -> None:
    """torchvision's ResNet-18 names: all but the classifier and the encoder come from the file."""
    with torch.device("meta"):
        shapes = resnet_transformer.build("2d-18", 7).state_dict()
    published = {}
    for name, tensor in shapes.items():
        if name.startswith("head."):
            continue
        name = name.replace("stem.conv", "conv1").replace("stem.norm", "bn1").replace(".norm", ".bn")
        name = name.replace("shortcut.conv", "downsample.0").replace("shortcut.bn", "downsample.1")
        published[name] = torch.full(tensor.shape, 0.5).to(tensor.dtype)
    published |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    save_file(published, tmp_path / "resnet18.safetensors")
    network = make("2d-18", 7)
    report = load_published(network, tmp_path / "resnet18.safetensors")
    assert all(name.startswith("head.") for name in report.missing)
    assert not report.reshaped
    assert (network.layer4[1].conv2.weight == 0.5).all()


def test_frozen_parameters_are_counted() -> None:
    with torch.device("meta"):
        network = resnet_transformer.build("3d-18", 25, freeze_backbone=True)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    assert frozen == 33_166_272  # R3D-18 without its classifier
    assert parameters(network) - frozen == sum(p.numel() for p in network.head.parameters())


@pytest.mark.parametrize(
    ("variant", "options", "sentence"),
    [
        ("tiny", {"temporal_kernel": 4}, "temporal_kernel must be one of 1, 3, 5, 7"),
        ("tiny-2d", {"temporal_kernel": 3}, "a 2D network has no kernels in time"),
        ("tiny", {"attention_heads": 7}, "must divide"),
        ("tiny", {"layers": 0}, "at least 1"),
        ("tiny", {"grid": [2, 2]}, "three numbers"),
        ("tiny", {"head": "average", "layers": 2}, "no transformer encoder"),
    ],
)
def test_what_cannot_be_is_a_sentence(variant: str, options: dict, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        make(variant, **options)


@pytest.mark.parametrize("length", [1, 5, 7])
def test_kernels_in_time_keep_the_length_of_clips(length: int) -> None:
    network = make("tiny", temporal_kernel=length).eval()
    assert network.features(clip()).shape == make("tiny").eval().features(clip()).shape
    assert network(clip(frames=3)).isfinite().all()
    if length == 1:
        still = clip().clone()
        still[:, :, 1::2] = 0
        with torch.no_grad():
            assert torch.equal(network.stem(clip())[:, :, ::2], network.stem(still)[:, :, ::2]), "frames stay alone"
