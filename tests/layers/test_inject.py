"""Injection into a network that was not built here, and out again: names, outputs, copies, files, refusals."""

from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch
from torch import Tensor, nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.layers.class_regularisation import ClassRegularisation, early_predictions
from secondlook.layers.inject import (
    inject_class_regularisation,
    inject_srtg,
    remove_class_regularisation,
    remove_srtg,
)
from secondlook.layers.squeeze_recursion import RecursionSettings, SqueezeRecursion
from secondlook.layers.temporal_gate import gate_statistics

OPEN = RecursionSettings(gates=False)


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


class Somebodys(nn.Module):
    """A 3D network as a user may have it: blocks, a plain sequence, a list, a part that is never called."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = Block(3, 4)
        self.stages = nn.ModuleList([Block(4, 6), nn.Sequential(Block(6, 8), nn.MaxPool3d(2))])
        self.unused = nn.Conv3d(3, 3, 1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3, 4)))


@pytest.fixture
def network() -> Somebodys:
    torch.manual_seed(0)
    return Somebodys().eval()


@pytest.fixture
def clips() -> Tensor:
    return torch.randn(2, 3, 4, 6, 6, generator=torch.Generator().manual_seed(1))


def everything(network: nn.Module) -> dict[str, object]:
    """What removal must bring back: names, tensors, the order of parts, hooks, modes."""
    return {
        "state": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "modules": [(name, type(m), m.training) for name, m in network.named_modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
    }


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    a, b = one["state"], other["state"]
    return (
        list(a) == list(b)
        and all(torch.equal(a[name], b[name]) for name in a)
        and one["modules"] == other["modules"]
        and one["hooks"] == other["hooks"]
    )


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "101")
@pytest.mark.parametrize("where", ["output", "input"])
def test_srtg_in_and_out_again(network, clips, where: str) -> None:
    before, out = everything(network), network(clips)
    names = inject_srtg(network, ["stem", "stages.1"], example=clips, where=where, settings=OPEN)
    assert names == ["stem.srtg", "stages.1.srtg"]
    widths = [network.get_submodule(name).channels for name in names]
    assert widths == ([4, 8] if where == "output" else [3, 6])
    extra = sum(p.numel() for name in names for p in network.get_submodule(name).parameters())
    assert extra == sum(16 * c * c + 16 * c for c in widths)
    assert not torch.equal(network(clips), out)
    assert set(before["state"]) < set(network.state_dict()), "every name stays, so that weights still fit"
    network.load_state_dict(before["state"], strict=False)
    assert remove_srtg(network) == ["stem", "stages.1"]
    assert same(everything(network), before)
    assert torch.equal(network(clips), out)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "101")
def test_what_is_injected_is_applied_where_it_says(network, clips) -> None:
    inject_srtg(network, ["stem"], channels=4, settings=OPEN)
    inject_srtg(network, ["stages.1"], channels=6, settings=OPEN, where="input")
    inject_srtg(network, ["stages.1.0"], channels=8, settings=OPEN)
    stem, stages = network.stem, network.stages
    x = stem.srtg(stem.relu(stem.norm(stem.conv(clips))))
    x = stages[1].srtg(stages[0](x))
    block = stages[1].get_submodule("0")
    x = nn.functional.max_pool3d(block.srtg(block.relu(block.norm(block.conv(x)))), 2)
    torch.testing.assert_close(network(clips), network.fc(x.mean((2, 3, 4))))
    assert [type(step) for step in stages[1]] == [SqueezeRecursion, Block, nn.MaxPool3d]
    assert remove_srtg(network, ["stages.1"]) == ["stages.1"]
    assert [type(step) for step in stages[1]] == [Block, nn.MaxPool3d]
    assert hasattr(stem, "srtg")


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "57", "101")
def test_class_regularisation_in_and_out_again(network, clips) -> None:
    before, out = everything(network), network(clips)
    rates = {"stem": 0.9, "stages.0": 0.8, "stages.1": 0.6, "stages.0.relu": 0.7}
    names = inject_class_regularisation(network, rates, example=clips)
    for name, channels in zip(names, (4, 6, 8, 6), strict=True):
        module = network.get_submodule(name)
        assert isinstance(module, ClassRegularisation)
        assert sum(p.numel() for p in module.parameters()) == 8 * channels + channels
        assert module.rate == rates[name.removesuffix(".class_regularisation")]
    assert not torch.equal(network(clips), out)
    assert set(early_predictions(network)) == set(rates)
    inject_srtg(network, ["stem"], example=clips, settings=OPEN)
    assert not torch.equal(network(clips), out)
    assert set(remove_class_regularisation(network)) == set(rates)
    remove_srtg(network)
    assert same(everything(network), before)
    assert torch.equal(network(clips), out)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "57")
@pytest.mark.parametrize("model", ["slow:tiny", "r2plus1d:tiny", "x3d:tiny", "resnet3d:tiny"])
def test_into_networks_of_other_families(model: str) -> None:
    """By the names of their stages; on a device that holds no numbers where they are big."""
    family, variant = model.split(":")
    plugin = catalog.find("models", family)
    spec = plugin.CARDS[variant].clip
    with torch.device("meta"):
        network = plugin.build(variant, 5).eval()
        clips = torch.empty(2, spec.channels, spec.frames, spec.height, spec.width)
        plain = sum(p.numel() for p in network.parameters())
        stages = {f"layer{i}": 1 - i / 10 for i in range(1, 5)}
        names = inject_class_regularisation(network, stages, "head.classifier", example=clips)
        assert network(clips).shape == (2, 5)
    width = network.get_submodule("head.classifier").in_features
    channels = [network.get_submodule(name).channels for name in names]
    assert sum(p.numel() for p in network.parameters()) - plain == sum(c * width + c for c in channels)
    assert all(p.device.type == "meta" for p in network.parameters())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98", "101")
def test_copies_files_and_export(network, clips) -> None:
    inject_srtg(network, ["stem", "stages.1"], example=clips, settings=RecursionSettings(cell="gru-literal"))
    inject_srtg(network, ["stages.0"], example=clips, settings=OPEN)
    inject_class_regularisation(network, {"stem": 0.4, "stages.1": 0.5}, example=clips)
    out = network(clips)
    twin = copy.deepcopy(network)
    file = io.BytesIO()
    torch.save(network, file)
    whole = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    other = Somebodys().eval()
    inject_srtg(other, ["stem", "stages.1"], example=clips, settings=RecursionSettings(cell="gru-literal"))
    inject_srtg(other, ["stages.0"], example=clips, settings=OPEN)
    inject_class_regularisation(other, {"stem": 0.4, "stages.1": 0.5}, example=clips)
    other.load_state_dict(network.state_dict())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes? self")
        program = torch.export.export(network, (clips,)).module()
    for same_network in (twin, whole, other, program):
        assert torch.allclose(same_network(clips), out, atol=1e-6)
    with torch.no_grad():
        for module in (twin.stages[0].srtg, twin.stem.class_regularisation):
            for p in module.parameters():
                p.zero_()
    assert not torch.equal(twin(clips), out), "a copy applies its own"
    assert torch.equal(network(clips), out)
    assert set(gate_statistics(network)) == {"stem.srtg", "stages.1.srtg"}
    remove_srtg(twin)
    remove_class_regularisation(twin)
    remove_srtg(whole)
    assert not any("srtg" in name for name in (*twin.state_dict(), *whole.state_dict()))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "97")
def test_it_trains_in_half_precision_with_one_clip(network, clips) -> None:
    inject_srtg(network, ["stages.0"], example=clips, settings=OPEN)
    inject_class_regularisation(network, {"stages.1": 0.5}, example=clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(clips[:1].transpose(3, 4)).float().logsumexp(1).sum()
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in network.stages[0].srtg.parameters())
    assert network.stages[1].class_regularisation.project.weight.grad.abs().sum() > 0


def test_it_takes_on_the_networks_type_and_mode_and_leaves_the_generator_alone(network, clips) -> None:
    network.double().train()
    network.stem.norm.eval()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    statistics = network.stages[0].norm.running_mean.clone()
    inject_srtg(network, ["stem"], example=clips.double(), settings=RecursionSettings(warmup_steps=3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(network.stages[0].norm.running_mean, statistics)
    assert network.stem.training
    assert not network.stem.norm.training
    assert network.stem.srtg.training
    assert {p.dtype for p in network.stem.srtg.parameters()} == {torch.float64}
    assert network.stem.srtg.gate.steps.dtype == torch.long
    assert network.stem.srtg.gate.steps == 0
    first = network.stem.srtg.state_dict()
    remove_srtg(network)
    inject_srtg(network, ["stem"], channels=4, settings=RecursionSettings(warmup_steps=3))
    again = network.stem.srtg.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first), "the same seed, the same weights"


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99", "101")
def test_refusals_change_nothing(network, clips) -> None:
    before = everything(network)

    def half(network: nn.Module, names: list[str], **how) -> list[str]:
        return inject_class_regularisation(network, dict.fromkeys(names, 0.5), **how)

    for inject in (inject_srtg, half):
        with pytest.raises(UnknownName, match=r"module 'stages.2' is not known. Did you mean 'stages.1"):
            inject(network, ["stem", "stages.2"], example=clips)
        with pytest.raises(UnknownName, match="module '' is not known"):
            inject(network, [""], example=clips)
        with pytest.raises(BadValue, match="Give channels, or an example clip"):
            inject(network, ["stem"])
        with pytest.raises(BadValue, match="'stages': is a list of modules"):
            inject(network, ["stages"], channels=4)
        with pytest.raises(BadValue, match="'unused': the example clip never came by"):
            inject(network, ["stem", "unused"], example=clips)
        with pytest.raises(BadValue, match=r"\(2, 5\): Linear has no map B x C x T x H x W here"):
            inject(network, ["fc"], example=clips)
        with pytest.raises(BadValue, match=r"'stages.0': its number of channels is not given"):
            inject(network, ["stem", "stages.0"], channels={"stem": 4})
        with pytest.raises(BadValue, match="must have a whole number of channels"):
            inject(network, ["stem"], channels=0)
        with pytest.raises(BadValue, match="at least one module must be named"):
            inject(network, [], channels=4)
    with pytest.raises(UnknownName, match="place of a recursion"):
        inject_srtg(network, ["stem"], channels=4, where="inside")
    with pytest.raises(UnknownName, match=r"'fcc' is not known. Did you mean 'fc'"):
        inject_class_regularisation(network, {"stem": 0.5}, "fcc", channels=4)
    with pytest.raises(BadValue, match="no weights of classes"):
        inject_class_regularisation(network, {"stem": 0.5}, "stem.conv", channels=4)
    with pytest.raises(BadValue, match=r"must lie in \[0, 1\]"):
        inject_class_regularisation(network, {"stem": 0.5, "stages.0": 2}, example=clips)
    with pytest.raises(UnknownName, match=r"module with a part 'srtg' 'stem' is not known. Known: none"):
        remove_srtg(network, ["stem"])
    assert same(everything(network), before)
    inject_srtg(network, ["stem"], channels=4)
    with pytest.raises(BadValue, match="'stem': has a part 'srtg' already"):
        inject_srtg(network, ["stem"], channels=4)
    with pytest.raises(UnknownName, match="Did you mean 'stem'"):
        remove_srtg(network, ["stemm"])


def test_a_wrong_number_of_channels_is_told_when_a_clip_comes(network, clips) -> None:
    inject_srtg(network, ["stem"], channels=7)
    with pytest.raises(BadValue, match=r"\(2, 4, 4, 6, 6\): this recursion wants B x 7 x T x H x W"):
        network(clips)
