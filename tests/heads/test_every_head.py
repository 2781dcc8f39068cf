"""What every late temporal head promises, alone and on several backbones: shapes, gradients, order, lengths, names."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secondlook import catalog
from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.heads._build import build_head, options_of

HEADS = [name for name in catalog.names("heads") if not hasattr(catalog.find("heads", name), "READS_PATHWAYS")]
"""Those that read one map, or the maps of the stages."""
BACKBONES = ("tsm", "resnet3d", "r2plus1d")
STAGES = (8, 8, 16, 24)
ANY_LENGTH = {"average", "hybrid", "single_frame", "lstm", "conv_gru", "non_local", "transformer"}
ORDER_BLIND = {"average", "hybrid", "single_frame", "non_local"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in HEADS} | {
    "frab": ("frab", {"width": 16}),
    "non_local + concat": ("non_local", {"then": "concat"}),
    "non_local + concat_fc": ("non_local", {"then": "concat_fc", "then_options": {"hidden": 7}}),
    "lstm, mean": ("lstm", {"read_out": "mean", "layers": 1, "hidden": 9}),
    "conv_gru, mean": ("conv_gru", {"read_out": "mean", "hidden": 5}),
    "bert, mean": ("bert", {"read_out": "mean", "heads": 1, "layers": 2}),
    "bert, as released": ("bert", {"as_released": True, "unit_tokens": True, "initialisation": "normal"}),
    "transformer, grid": ("transformer", {"grid": [2, 2, 1], "width": 32, "heads": 16, "fc": 12}),
    "dual fusion + bert": ("stage_fusion", {"stages": 2, "then": "bert"}),
    "quadruplet fusion + conv_gru": ("stage_fusion", {"stages": 4, "then": "conv_gru"}),
    "fusion + average": ("stage_fusion", {"then": "average"}),
}
"""Case -> (head, its options)."""


def build(case: str, frames: int = 4, dropout: float = 0.0, seed: int = 0) -> nn.Module:
    name, options = VARIANTS[case]
    channels = STAGES if getattr(catalog.find("heads", name), "READS_STAGES", False) else STAGES[-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_head(name, channels, frames, 5, dropout, options)


def given(head: nn.Module, frames: int = 4, batch: int = 2) -> Any:
    """Features, or the maps of four stages; `frames` in all of them."""
    generator = torch.Generator().manual_seed(1)
    sizes = zip(STAGES, (6, 5, 3, 2), strict=True)
    maps = [torch.randn(batch, c, frames, s, s + 1, generator=generator) for c, s in sizes]
    return maps if getattr(head, "reads_stages", False) else maps[-1]


def in_order(x: Any, order: list[int]) -> Any:
    return [m[:, :, order] for m in x] if isinstance(x, list) else x[:, :, order]


def leaves(x: Any) -> list[Tensor]:
    return x if isinstance(x, list) else [x]


def test_every_head_is_here() -> None:
    assert {name for name, _ in VARIANTS.values()} == set(HEADS)


@pytest.mark.parametrize("case", VARIANTS)
class TestAlone:
    @pytest.mark.spec("late-temporal-bert", "F49")
    def test_logits_from_features(self, case: str) -> None:
        head = build(case)
        for mode in (True, False):
            logits_BK = head.train(mode)(given(head))
            assert logits_BK.shape == (2, 5)
            assert logits_BK.isfinite().all()
            assert not torch.allclose(logits_BK.exp().sum(1), torch.ones(2)), "no log-softmax"

    def test_the_last_layer_is_the_classifier(self, case: str) -> None:
        head = build(case, dropout=0.25)
        assert isinstance(head.classifier, nn.Linear)
        assert head.classifier.out_features == 5
        assert head.dropout.p == 0.25
        nn.init.zeros_(head.classifier.weight)
        nn.init.constant_(head.classifier.bias, 3.0)
        assert torch.equal(head.eval()(given(head)), torch.full((2, 5), 3.0))
        names = [name for name, _ in head.named_parameters() if name.startswith("classifier")]
        assert names == ["classifier.weight", "classifier.bias"]
        assert not [name for name in head.state_dict() if name.endswith("then.classifier.weight")]

    def test_a_gradient_reaches_every_parameter_and_the_features(self, case: str) -> None:
        head = build(case)
        x = given(head)
        for leaf in leaves(x):
            leaf.requires_grad_()
        nn.functional.cross_entropy(head(x), torch.tensor([0, 3])).backward()
        beside = "embedding."  # of the hybrid head, which learns from its own loss
        silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not [n for n in silent if not n.startswith(beside)]
        read = leaves(x)[-getattr(head, "stages", 1) :]
        assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in read)

    def test_one_frame(self, case: str) -> None:
        head = build(case, frames=1)
        for mode in (True, False):
            assert head.train(mode)(given(head, frames=1)).isfinite().all()

    def test_one_clip_alone_is_as_in_the_batch(self, case: str) -> None:
        head = build(case).eval()
        x = given(head, batch=3)
        alone = [head([m[i : i + 1] for m in x] if isinstance(x, list) else x[i : i + 1]) for i in range(3)]
        assert torch.allclose(head(x), torch.cat(alone), atol=1e-5)

    def test_features_are_left_alone_and_need_not_be_contiguous(self, case: str) -> None:
        head = build(case).eval()
        x = given(head)
        before = head(x)
        turned = [m.transpose(1, 2).contiguous().transpose(1, 2) for m in leaves(x)]
        assert not turned[-1].is_contiguous()
        assert torch.allclose(head(turned if isinstance(x, list) else turned[0]), before, atol=1e-6)
        assert all(torch.equal(a, b) for a, b in zip(leaves(x), leaves(given(head)), strict=True))

    def test_dropout_acts_in_training_only(self, case: str) -> None:
        head = build(case, dropout=0.6)
        for module in head.modules():
            if isinstance(module, nn.Dropout) and module is not head.dropout:
                module.p = 0.0
            if isinstance(module, nn.BatchNorm3d):
                module.track_running_stats = False  # the batch's in both modes
                module.running_mean = module.running_var = None
            if hasattr(module, "mask"):
                module.mask = 0.0
        x = given(head)
        assert torch.equal(head.eval()(x), head(x))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            assert not torch.equal(head.train()(x), head(x))
        head.dropout.p = 0.0
        assert torch.allclose(head(x), head.eval()(x), atol=1e-5), "nothing else differs in training"

    def test_copies_repeats_and_reloads(self, case: str) -> None:
        one, other = build(case, seed=1).eval(), build(case, seed=2).eval()
        x = given(one)
        assert torch.equal(one(x), build(case, seed=1).eval()(x))
        assert not torch.equal(one(x), other(x))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(x), other(x))
        assert torch.equal(one(x), copy.deepcopy(one)(x))

    def test_another_length_works_or_is_refused_in_words(self, case: str) -> None:
        head = build(case).eval()
        name, options = VARIANTS[case]
        if options.get("then", name) in ANY_LENGTH:
            assert head(given(head, frames=7)).isfinite().all()
        else:
            with pytest.raises(BadValue, match="7: frames of features, and this head was built for 4"):
                head(given(head, frames=7))

    @pytest.mark.spec("late-temporal-bert", "F50")
    def test_order_of_frames(self, case: str) -> None:
        """Average, single frame and what ends in an average do not see it; all others do."""
        head = build(case).eval()
        for name, parameter in head.named_parameters():
            if name.endswith("positions"):
                parameter.data *= 20
        x = given(head)
        moved = (head(in_order(x, [3, 1, 0, 2])) - head(x)).abs().max() / head(x).std()
        name, options = VARIANTS[case]
        if options.get("then", name) in ORDER_BLIND:
            assert moved < 1e-5
        else:
            assert moved > 1e-3

    def test_unknown_option(self, case: str) -> None:
        name, _ = VARIANTS[case]
        with pytest.raises(UnknownName, match=f"option of the head {name}, 'dropuot' is not known"):
            build_head(name, STAGES, 4, 5, 0.0, {"dropuot": 0.5})
        with pytest.raises(UnknownName, match="'dropout' is not known"):
            build_head(name, STAGES, 4, 5, 0.0, {"dropout": 0.5})
        with pytest.raises(BadValue, match="a mapping from names to values"):
            build_head(name, STAGES, 4, 5, 0.0, ["layers"])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, [2]])
@pytest.mark.parametrize("name", HEADS)
def test_values_that_cannot_be(name: str, value: object) -> None:
    """Whatever is written as an option's value, the answer is a sentence or a head."""
    plugin = catalog.find("heads", name)
    channels = STAGES if getattr(plugin, "READS_STAGES", False) else STAGES[-1]
    for option in options_of(plugin):
        with contextlib.suppress(SecondlookError):
            build_head(name, channels, 4, 5, 0.0, {option: value})
    with pytest.raises(BadValue, match=r"dropout must lie in \[0, 1\)"):
        build_head(name, channels, 4, 5, 1.0, {})


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lstm", {"hidden": 0}, "hidden must be a whole number of at least 1"),
        ("lstm", {"read_out": "lost"}, "read-out 'lost' is not known. Did you mean 'last'"),
        ("conv_gru", {"kernel": 2}, "kernel must be odd"),
        ("concat_fc", {"activation": "rellu"}, "Did you mean 'relu'"),
        ("bert", {"heads": 7}, "attention heads must divide the width of the tokens, 24"),
        ("bert", {"mask": 1.0}, r"mask must lie in \[0, 1\)"),
        ("bert", {"layers": 0}, "layers must be a whole number"),
        ("bert", {"initialisation": "norml"}, "Did you mean 'normal'"),
        ("bert", {"positions": "yes"}, "positions must be true or false"),
        ("transformer", {"grid": [2, 2]}, "a grid is three numbers"),
        ("transformer", {"grid": 2}, "a grid is three numbers"),
        ("transformer", {"grid": [2, 0, 1]}, "each number of the grid must be a whole number"),
        ("non_local", {"then": "lstm"}, "head after the non-local block 'lstm' is not known"),
        ("non_local", {"then_options": {"hiden": 3}, "then": "concat_fc"}, "Did you mean 'hidden'"),
        ("stage_fusion", {"stages": 5}, "joins the last 2, 3 or 4 stages"),
        ("stage_fusion", {"then": "stage_fusion"}, "head after the fusion 'stage_fusion' is not known"),
        ("stage_fusion", {"then": "single_frame"}, "head after the fusion 'single_frame' is not known"),
    ],
)
def test_words(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SecondlookError, match=words):
        build_head(name, STAGES if name == "stage_fusion" else STAGES[-1], 4, 5, 0.0, options)


@pytest.mark.parametrize("family", BACKBONES)
@pytest.mark.parametrize("case", VARIANTS)
def test_on_a_backbone(case: str, family: str) -> None:
    """Any head on any backbone: logits, a step of training, and the card's explain points."""
    name, options = VARIANTS[case]
    module = catalog.find("models", family)
    network = module.build("tiny", 5, name, frames=6, in_channels=3, dropout=0.1, head_options=options)
    x_BCTHW = torch.randn(2, 3, 6, 24, 20, generator=torch.Generator().manual_seed(2))
    loss = nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([1, 4]))
    loss.backward()
    classifier = network.get_submodule(module.CARDS["tiny"].explain.classifier)
    assert classifier.weight.grad.abs().sum() > 0
    assert network.stem[0].weight.grad.abs().sum() > 0
    logits_BK = network.eval()(x_BCTHW)
    assert logits_BK.shape == (2, 5)
    assert torch.equal(logits_BK, network(x_BCTHW))


@pytest.mark.parametrize("family", catalog.names("models"))
@pytest.mark.spec("late-temporal-bert", "F49")
def test_any_head_on_any_backbone(family: str) -> None:
    """Every pair gives logits, or is refused in words: fusion without stages, one frame where a network needs more."""
    module = catalog.find("models", family)
    variant = next(name for name in module.CARDS if name.startswith("tiny"))
    clip = module.CARDS[variant].clip
    refused = set()
    for name in HEADS:
        try:
            network = module.build(variant, 5, name).eval()
            with torch.no_grad():
                logits_BK = network(torch.zeros(2, clip.channels, clip.frames, clip.height, clip.width))
        except BadValue:
            refused.add(name)
        else:
            assert logits_BK.shape == (2, 5)
    assert refused <= {"single_frame", "stage_fusion"}


def test_unknown_head_option_through_a_family() -> None:
    with pytest.raises(UnknownName, match=r"option of the head bert, 'layer' is not known.+Did you mean 'layers'"):
        catalog.find("models", "tsm").build("tiny", 5, "bert", head_options={"layer": 2})
    with pytest.raises(UnknownName, match=r"option of the head average, 'layers' is not known"):
        catalog.find("models", "tsm").build("tiny", 5, head_options={"layers": 2})
