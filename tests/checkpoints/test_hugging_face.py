"""Published TimeSformer, VideoMAE, ViViT and V-JEPA 2 load wholly, and then compute what their publishers compute."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.models import timesformer, videomae
from secondlook.predict.published import facts, load_published
from tests.checkpoints import layouts_hugging_face as layouts
from tests.predict.test_published_function import sane

CLASSES = 7
State = dict[str, Tensor]
CLIP = {"in_channels": 2, "frames": 8, "height": 32, "width": 32}


def ours(family: str, **changes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return catalog.find("models", family).build("tiny", CLASSES, **{**CLIP, **changes}).eval()


def theirs(family: str, kind: str, **changes: Any) -> nn.Module:
    """A class of the library, as small as our `tiny`, every value random."""
    plan = catalog.find("models", family).PLANS["tiny"]
    sizes: dict[str, Any] = {
        "hidden_size": plan.channels, "num_hidden_layers": plan.depth, "num_attention_heads": plan.heads,
        "num_labels": CLASSES,
    }  # fmt: skip
    if family == "vjepa2":
        sizes |= {"crop_size": 32, "frames_per_clip": 8, "in_chans": 2, "patch_size": 8, "num_pooler_layers": 1}
        sizes |= {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    else:
        sizes |= {"intermediate_size": 4 * plan.channels, "image_size": 32, "num_frames": 8, "num_channels": 2}
        sizes |= {"tubelet_size": [2, 8, 8]} if family == "vivit" else {"patch_size": 8}
    names = {"timesformer": "Timesformer", "videomae": "VideoMAE", "vivit": "Vivit", "vjepa2": "VJEPA2"}
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        config = getattr(module, f"{names[family]}PreTrainedModel").config_class(**{**sizes, **changes})
        network = getattr(module, f"{names[family]}{kind}")(config)
        for name, p in network.named_parameters():
            wide = p.ndim > 1 and not name.endswith(("token", "embeddings", "tokens"))
            nn.init.normal_(p, 1.0 if "norm" in name and p.ndim == 1 else 0.0, p[0].numel() ** -0.5 if wide else 0.3)
    return network.eval()


def agree(found_BK: Tensor, expected_BK: Tensor) -> None:
    spread = expected_BK.std().item()
    assert spread > 0.05
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 0.05 * spread, "the logits tell the clips apart"
    assert torch.allclose(found_BK, expected_BK, atol=1e-4 * max(1.0, spread), rtol=1e-4)


def clips(seed: int = 3) -> Tensor:
    return torch.randn(2, 2, 8, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("saved", ["save_pretrained", "state_dict"])
@pytest.mark.parametrize("family", ["timesformer", "videomae", "vivit", "vjepa2"])
@torch.no_grad()
def test_gives_the_librarys_logits(family: str, saved: str, tmp_path: Path) -> None:
    """From the file the library writes, and from its state dict, whose names are sometimes others."""
    network = theirs(family, "ForVideoClassification")
    if saved == "save_pretrained":
        network.save_pretrained(tmp_path)
    else:
        save_file(network.state_dict(), tmp_path / "model.safetensors")
    own = ours(family)
    report = load_published(own, tmp_path / "model.safetensors")
    assert report.complete, report.words()
    assert report.source == "hugging_face"
    assert len(report.matched) == len(own.state_dict())
    assert ("only pre-training" in " ".join(report.notes)) == (family == "vjepa2")
    assert facts(tmp_path / "model.safetensors").classes == CLASSES
    x_BCTHW = clips()
    agree(own(x_BCTHW), network(x_BCTHW.transpose(1, 2)).logits)


@pytest.mark.parametrize(("family", "kind"), [("videomae", "ForPreTraining"), ("vjepa2", "Model")])
@torch.no_grad()
def test_an_encoder_without_classifier_loads(family: str, kind: str, tmp_path: Path) -> None:
    options = {} if family == "vjepa2" else {"decoder_hidden_size": 24, "decoder_num_attention_heads": 2}
    network = theirs(family, kind, **options)
    network.save_pretrained(tmp_path)
    own = ours(family)
    report = load_published(own, tmp_path / "model.safetensors")
    assert report.unexpected == report.reshaped == ()
    assert all(name.startswith("head.") for name in report.missing)
    assert "only pre-training" in " ".join(report.notes)
    x_BCTHW = clips()
    if family == "vjepa2":
        expected_BNC = network(x_BCTHW.transpose(1, 2), skip_predictor=True).last_hidden_state
        agree(own.features(x_BCTHW).flatten(2).transpose(1, 2), expected_BNC)


@pytest.mark.parametrize(("case", "count"), [
    ("TimeSformer, divided", 249), ("TimeSformer, joint", 153), ("TimeSformer, space only", 152),
    ("VideoMAE-B, fine-tuned", 162), ("VideoMAE-B, pre-trained", 218), ("transformers TimeSformer", 249),
    ("transformers VideoMAE-B", 186), ("transformers VideoMAE-B, new names", 186), ("transformers ViViT", 200),
])  # fmt: skip
def test_as_many_tensors_as_published(case: str, count: int) -> None:
    assert len(layouts.FILES[case][1]) == count


@pytest.mark.parametrize(("case", "name"), [
    ("TimeSformer, divided", "timesformer:base"), ("TimeSformer, joint", "timesformer:base-joint"),
    ("TimeSformer, space only", "timesformer:base-space"), ("VideoMAE-B, fine-tuned", "videomae:base"),
    ("transformers TimeSformer", "timesformer:base"), ("transformers VideoMAE-B", "videomae:base"),
    ("transformers ViViT", "vivit:base"),
])  # fmt: skip
def test_every_published_tensor_has_its_place(case: str, name: str) -> None:
    """Renamed shapes are the network's, on the device meta."""
    from secondlook.predict.published import layout_of

    source, shapes = layouts.FILES[case]
    layout = layout_of(source)
    file = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    file = layout.prepare(file) if layout.prepare else file
    family, _, variant = name.partition(":")
    with torch.device("meta"):
        network = catalog.find("models", family).build(variant, 400)
    renamed = {layout.rename(name): tuple(tensor.shape) for name, tensor in file.items()}
    assert renamed == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


SMALL = layouts.Size(channels=64, depth=2, patch=8, frames=4, height=24, width=16, classes=CLASSES, inputs=3)


def norm(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return functional.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def attend(qkv_BN3C: Tensor, heads: int) -> Tensor:
    """One head after the other."""
    found = []
    width = qkv_BN3C.shape[2] // 3 // heads
    for head_q, head_k, head_v in zip(*(part.split(width, -1) for part in qkv_BN3C.chunk(3, -1)), strict=True):
        found.append((head_q @ head_k.transpose(1, 2) / width**0.5).softmax(-1) @ head_v)
    return torch.cat(found, -1)


def timesformer_twin(state: State, x_BCTHW: Tensor, attention: str, heads: int) -> Tensor:
    """The TimeSformer release, with tokens kept as B x T x N x C and one class token."""

    def attention_of(y: Tensor, name: str) -> Tensor:
        return linear(attend(linear(y, state, f"{name}.qkv"), heads), state, f"{name}.proj")

    clips_of_frames = [
        functional.conv2d(x_BCTHW[:, :, t], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 8)
        for t in range(x_BCTHW.shape[2])
    ]
    patches = torch.stack([frame.flatten(2).transpose(1, 2) for frame in clips_of_frames], 1)
    b, t, n, c = patches.shape
    patches = patches + state["pos_embed"][:, None, 1:]
    cls = (state["cls_token"] + state["pos_embed"][:, :1]).expand(b, 1, c)
    if attention != "space":
        patches = patches + state["time_embed"][:, :, None]
    classes = [cls for _ in range(t)]
    for i in range(SMALL.depth):
        name = f"blocks.{i}"

        def mlp(y: Tensor, name: str = name) -> Tensor:
            hidden = functional.gelu(linear(norm(y, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1"))
            return y + linear(hidden, state, f"{name}.mlp.fc2")

        if attention == "joint":
            whole = torch.cat([cls, patches.flatten(1, 2)], 1)
            whole = mlp(whole + attention_of(norm(whole, state, f"{name}.norm1", 1e-6), f"{name}.attn"))
            cls, patches = whole[:, :1], whole[:, 1:].reshape(b, t, n, c)
        elif attention == "space":
            for f in range(t):
                whole = torch.cat([classes[f], patches[:, f]], 1)
                whole = mlp(whole + attention_of(norm(whole, state, f"{name}.norm1", 1e-6), f"{name}.attn"))
                classes[f] = whole[:, :1]
                patches = torch.cat([patches[:, :f], whole[:, None, 1:], patches[:, f + 1 :]], 1)
        else:
            columns = []
            for place in range(n):
                y = norm(patches[:, :, place], state, f"{name}.temporal_norm1", 1e-6)
                columns.append(linear(attention_of(y, f"{name}.temporal_attn"), state, f"{name}.temporal_fc"))
            patches = patches + torch.stack(columns, 2)
            found = []
            for f in range(t):
                whole = torch.cat([cls, patches[:, f]], 1)
                found.append(attention_of(norm(whole, state, f"{name}.norm1", 1e-6), f"{name}.attn"))
            cls = mlp(cls + torch.stack([y[:, :1] for y in found]).mean(0))
            patches = mlp(patches + torch.stack([y[:, 1:] for y in found], 1))
    if attention == "space":
        cls = torch.stack(classes).mean(0)
    return linear(norm(cls[:, 0], state, "norm", 1e-6), state, "head")


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@pytest.mark.spec("attention-recognisers", "A4")
@torch.no_grad()
def test_computes_what_the_timesformer_release_computes(
    attention: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On clips that are not square; the wrapper and prefix are those of the release."""
    state = {name: tensor * 0.7 for name, tensor in sane(layouts.timesformer_release(attention, SMALL)).items()}
    torch.save({"model_state": {f"model.{name}": t for name, t in state.items()}, "epoch": 14}, tmp_path / "w.pyth")
    kinds = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}
    plan = timesformer.Plan(kinds[attention], channels=64, depth=2, heads=4, patch=8)
    monkeypatch.setattr(timesformer, "PLANS", {"tiny": plan})
    network = timesformer.build("tiny", CLASSES, in_channels=3, frames=4, height=24, width=16).eval()
    report = load_published(network, tmp_path / "w.pyth")
    assert report.complete, report.words()
    assert ("no positions in time" in " ".join(report.notes)) == (attention == "space")
    x_BCTHW = torch.randn(2, 3, 4, 24, 16, generator=torch.Generator().manual_seed(1))
    agree(network(x_BCTHW), timesformer_twin(state, x_BCTHW, attention, heads=4))


def videomae_twin(state: State, x_BCTHW: Tensor, heads: int, prefix: str = "") -> Tensor:
    """The VideoMAE release up to its last block, `tokens_BNC`."""
    x = functional.conv3d(
        x_BCTHW, state[f"{prefix}patch_embed.proj.weight"], state[f"{prefix}patch_embed.proj.bias"], (2, 8, 8)
    )
    x = x.flatten(2).transpose(1, 2)
    positions = [
        [torch.tensor(n / 10000 ** (2 * (j // 2) / x.shape[2]), dtype=torch.float64) for j in range(x.shape[2])]
        for n in range(x.shape[1])
    ]
    x = x + torch.stack([torch.stack([a.cos() if j % 2 else a.sin() for j, a in enumerate(row)]) for row in positions])
    x = x.float()
    for i in range(SMALL.depth):
        name = f"{prefix}blocks.{i}"
        q, v = state[f"{name}.attn.q_bias"], state[f"{name}.attn.v_bias"]
        y = norm(x, state, f"{name}.norm1", 1e-6)
        y = functional.linear(y, state[f"{name}.attn.qkv.weight"], torch.cat([q, torch.zeros_like(q), v]))
        x = x + linear(attend(y, heads), state, f"{name}.attn.proj")
        y = functional.gelu(linear(norm(x, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1"))
        x = x + linear(y, state, f"{name}.mlp.fc2")
    return x


@pytest.mark.parametrize("pretrained", [False, True])
@torch.no_grad()
def test_computes_what_the_videomae_release_computes(
    pretrained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = layouts.videomae_release(SMALL, decoder=48 if pretrained else 0)
    state = {name: tensor * 0.7 for name, tensor in sane(shapes).items()}
    torch.save({"model" if pretrained else "module": state}, tmp_path / "w.pth")
    monkeypatch.setattr(videomae, "PLANS", {"tiny": videomae.Plan(64, 2, 4, (48, 2, 3), patch=8)})
    network = videomae.build("tiny", CLASSES, in_channels=3, frames=4, height=24, width=16).eval()
    report = load_published(network, tmp_path / "w.pth")
    x_BCTHW = torch.randn(2, 3, 4, 24, 16, generator=torch.Generator().manual_seed(1))
    tokens_BNC = videomae_twin(state, x_BCTHW, 4, "encoder." if pretrained else "")
    agree(network.features(x_BCTHW).flatten(2).transpose(1, 2), tokens_BNC)
    if pretrained:
        assert set(report.missing) == {f"head.{a}.{b}" for a in ("norm", "classifier") for b in ("weight", "bias")}
        assert report.unexpected == ()
    else:
        assert report.complete, report.words()
        expected_BK = linear(norm(tokens_BNC.mean(1), state, "fc_norm", 1e-6), state, "head")
        agree(network(x_BCTHW), expected_BK)
