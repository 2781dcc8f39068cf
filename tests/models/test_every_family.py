"""What every family promises, on each variant: shapes, gradients, explain points, channels, cards, names."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.models._staged import StagedNetwork
from secondlook.predict.weights import read_weights, save_weights

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish)

CARDS: dict[str, ModelCard] = {
    card.name: card for family in catalog.names("models") for card in catalog.find("models", family).CARDS.values()
}
TINY = [name for name, card in CARDS.items() if card.variant.startswith("tiny")]
KAIMING = [name for name in TINY if name.partition(":")[0] in ("tsm", "resnet2d", "resnet3d", "r2plus1d", "r3d")]
SHAPE = (6, 33, 41)
QUICK_ON_META = {"mtnet": {"cell": "rnn", "recursion_layers": 1}}
"""Options that change neither the explain points nor a shape; PyTorch runs a GRU on `meta` step by step."""


def make(name: str, num_classes: int = 5, seed: int = 0, **options) -> nn.Module:
    card = CARDS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return catalog.find("models", card.family).build(card.variant, num_classes, **options)


@functools.cache
def clip_size(name: str) -> tuple[int, int, int]:
    """6 odd frames, or those of the card where the network as its card has it cannot take them."""
    recipe = CARDS[name].clip
    return (recipe.frames, recipe.height, recipe.width) if make(name).limits.broken(*SHAPE) else SHAPE


def clip(name: str, batch: int = 2, shape: tuple[int, int, int] | None = None, channels: int = 2) -> torch.Tensor:
    """Noise, of the size that `clip_size` says unless told."""
    return torch.randn(batch, channels, *(shape or clip_size(name)), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", TINY)
class TestTiny:
    def test_logits_and_features(self, name: str) -> None:
        network = make(name).eval()
        x_BCTHW = clip(name)
        features = network.features(x_BCTHW)
        assert features.ndim == 5
        assert features.shape[0] == 2
        assert network(x_BCTHW).shape == (2, 5)
        assert torch.equal(network(x_BCTHW), network.head(network.for_head(x_BCTHW)))

    def test_gives_logits_in_training_and_evaluation(self, name: str) -> None:
        network, x_BCTHW = make(name), clip(name)
        for mode in (True, False):
            logits = network.train(mode)(x_BCTHW)
            assert logits.shape == (2, 5)
            assert not torch.allclose(logits.exp().sum(1), torch.ones(2)), "no log-softmax"
            assert not torch.allclose(logits.sum(1), torch.ones(2)), "no softmax"

    def test_a_gradient_reaches_every_parameter_and_the_input(self, name: str) -> None:
        network, x_BCTHW = make(name), clip(name).requires_grad_()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d) and not module.weight.any():
                nn.init.ones_(module.weight)  # what starts as the identity, such as a non-local block, is opened
        nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([0, 3])).backward()
        assert x_BCTHW.grad.abs().sum() > 0
        assert not [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]

    def test_one_clip_alone_is_as_in_the_batch(self, name: str) -> None:
        network, x_BCTHW = make(name).eval(), clip(name, batch=3)
        alone = torch.cat([network(x_BCTHW[i : i + 1]) for i in range(3)])
        assert torch.allclose(network(x_BCTHW), alone, atol=1e-5)

    def test_input_need_not_be_contiguous_and_is_left_alone(self, name: str) -> None:
        network, x_BCTHW = make(name).eval(), clip(name)
        strange = x_BCTHW.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
        assert not strange.is_contiguous()
        assert torch.allclose(network(strange), network(x_BCTHW), atol=1e-5)
        assert torch.equal(x_BCTHW, clip(name))

    @pytest.mark.parametrize("shape", [(1, 16, 16), (3, 31, 17), (7, 64, 48)])
    def test_odd_lengths_and_sizes(self, name: str, shape: tuple[int, int, int]) -> None:
        """Taken, or refused with the network's own rule; never a traceback from inside."""
        network = make(name).eval()
        rule = network.limits.broken(*shape)
        if rule:
            with pytest.raises(BadValue, match=re.escape(rule)):
                network(clip(name, 1, shape))
        else:
            assert network(clip(name, 1, shape)).isfinite().all()

    @pytest.mark.parametrize("channels", [2, 3, 20])
    def test_channels(self, name: str, channels: int) -> None:
        network = make(name, in_channels=channels).eval()
        assert network(clip(name, 1, channels=channels)).shape == (1, 5)
        with pytest.raises(BadValue, match=f"wants B x {channels} x T x H x W"):
            network(clip(name, 1, channels=channels + 1))
        with pytest.raises(BadValue, match="wants B x"):
            network(clip(name, 1, channels=channels)[0])

    def test_explain_points(self, name: str) -> None:
        network, x_BCTHW = make(name).eval(), clip(name)
        points = CARDS[name].explain
        seen: dict[str, torch.Tensor] = {}
        for point in points.stages:
            network.get_submodule(point.module).register_forward_hook(
                lambda _m, _i, output, module=point.module: seen.__setitem__(module, output)
            )
        network(x_BCTHW)
        features = network.features(x_BCTHW)
        for point in points.stages:
            output = seen[point.module]
            if point.layout == "(BT)CHW":
                assert output.ndim == 4
                assert output.shape[0] % x_BCTHW.shape[2] == 0
            else:
                assert output.ndim == 5
                assert output.shape[0] == 2
        if isinstance(network, StagedNetwork):
            last = seen[points.last().module]
            if points.last().layout == "(BT)CHW":
                last = last.reshape(2, -1, *last.shape[1:]).transpose(1, 2)
            assert torch.equal(last, features), "the last stage is what the head pools"
        classifier = network.get_submodule(points.classifier)
        assert isinstance(classifier, nn.Linear)
        assert classifier.out_features == 5

    def test_activations_are_modules_that_leave_their_input_alone(self, name: str) -> None:
        """Every norm's output, as a hook keeps it, must survive the activation that follows."""
        network = make(name).eval()
        kept, copies = [], []

        def keep(_module, _inputs, output: torch.Tensor) -> None:
            kept.append(output)
            copies.append(output.clone())

        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.register_forward_hook(keep)
        network(clip(name))
        assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
        assert any(isinstance(m, ACTIVATIONS) for m in network.modules())

    def test_is_small(self, name: str) -> None:
        assert sum(p.numel() for p in make(name, 10).parameters()) < 1_000_000

    def test_explain_points_reach_the_logits(self, name: str) -> None:
        network, x_BCTHW = make(name).eval(), clip(name, 1)
        seen: dict[str, torch.Tensor] = {}
        for point in CARDS[name].explain.stages:
            network.get_submodule(point.module).register_forward_hook(
                lambda _m, _i, output, module=point.module: seen.__setitem__(module, output)
            )
        logits = network(x_BCTHW.requires_grad_())
        for gradient in torch.autograd.grad(logits.square().sum(), list(seen.values())):
            assert gradient.abs().sum() > 0

    def test_repeats_from_a_seed(self, name: str) -> None:
        one, same, other = make(name, seed=1), make(name, seed=1), make(name, seed=2)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))

    def test_copies_and_reloads(self, name: str) -> None:
        network = make(name, seed=1).eval()
        fresh = make(name, seed=2).eval()
        fresh.load_state_dict(network.state_dict())
        x_BCTHW = clip(name)
        assert torch.equal(network(x_BCTHW), fresh(x_BCTHW))
        assert torch.equal(network(x_BCTHW), copy.deepcopy(network)(x_BCTHW))

    def test_no_two_parameters_share_memory_and_all_are_saved(self, name: str, tmp_path: Path) -> None:
        network, fresh = make(name, seed=1), make(name, seed=2)
        starts = [p.untyped_storage().data_ptr() for p in network.parameters()]
        assert len(set(starts)) == len(starts)
        save_weights(network, tmp_path / "w.safetensors")
        fresh.load_state_dict(read_weights(tmp_path / "w.safetensors"))
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), fresh.parameters(), strict=True))

    def test_dropout_reaches_the_head(self, name: str) -> None:
        network, x_BCTHW = make(name, dropout=0.5), clip(name)
        assert network.head.dropout.p == 0.5
        assert torch.equal(network.eval()(x_BCTHW), network(x_BCTHW))


@pytest.mark.parametrize("name", KAIMING)
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "24")
def test_convolutions_start_as_kaiming_says(name: str) -> None:
    """The same seed gives the same weights, another others; the spread is sqrt(2 / fan_out)."""
    one, same, other = make(name, seed=1), make(name, seed=1), make(name, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if a.ndim > 1)
    for m in one.modules():
        if isinstance(m, nn.Conv2d | nn.Conv3d) and m.weight.numel() > 5000:
            fan_out = m.out_channels * m.weight[0, 0].numel() / m.groups
            assert m.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", CARDS)
def test_card_goes_round_and_fits_its_network(name: str) -> None:
    card = CARDS[name]
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert card.reference
    with torch.device("meta"), torch.no_grad():
        options = {"in_channels": card.clip.channels, **QUICK_ON_META.get(card.family, {})}
        network = catalog.find("models", card.family).build(card.variant, 7, **options)
        shape = (card.clip.channels, card.clip.frames, card.clip.height, card.clip.width)
        assert network.eval()(torch.empty(2, *shape)).shape == (2, 7)
    for point in card.explain.stages:
        network.get_submodule(point.module)
    assert network.get_submodule(card.explain.classifier).out_features == 7


@pytest.mark.parametrize("family", catalog.names("models"))
class TestNames:
    def test_near_variant(self, family: str) -> None:
        module = catalog.find("models", family)
        near = next(iter(module.CARDS))
        with pytest.raises(UnknownName, match=rf"variant '{near}x' is not known.+Did you mean '{near}'"):
            module.build(near + "x", 3)

    def test_near_option(self, family: str) -> None:
        with pytest.raises(UnknownName, match=r"model option 'dropuot' is not known.+Did you mean 'dropout'"):
            catalog.find("models", family).build("tiny", 3, dropuot=0.5)

    def test_unknown_head(self, family: str) -> None:
        with pytest.raises(UnknownName, match=r"head 'avrage' is not known.+Did you mean 'average'"):
            catalog.find("models", family).build("tiny", 3, "avrage")

    def test_no_classes(self, family: str) -> None:
        with pytest.raises(BadValue, match="at least one class"):
            catalog.find("models", family).build("tiny", 0)
