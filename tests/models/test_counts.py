"""Parameters and multiply-accumulates: against printed numbers, and the counter against formulas by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.cards import ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.models._count import Cost, clip_shape, cost, cost_of, on_meta, parameters
from secondlook.models._memory import activation_memory
from secondlook.models._recogniser import Limits
from secondlook.predict.weights import find_card


def counted(name: str, num_classes: int, frames: int, size: int) -> Cost:
    family, _, variant = name.partition(":")
    card: ModelCard = catalog.find("models", family).CARDS[variant]
    return cost_of(replace(card, clip=replace(card.clip, frames=frames, height=size, width=size)), num_classes)


@pytest.mark.parametrize(
    ("name", "millions", "gmac"), [("resnet3d:18", 33.371, 40.697), ("r2plus1d:18", 31.505, 40.519)]
)
def test_torchvision_prints_the_same(name: str, millions: float, gmac: float) -> None:
    c = counted(name, 400, 16, 112)
    assert round(c.parameters / 1e6, 3) == pytest.approx(millions, abs=5e-4)
    assert round(c.macs / 1e9, 3) == gmac


@pytest.mark.parametrize(
    ("name", "classes", "frames", "gmac", "millions"),
    [("tsm:r50", 400, 8, 32.70, 24.328), ("tsm:r50", 400, 16, 65.41, 24.328), ("tsm:r50", 174, 8, 32.70, 23.87)],
)
def test_tsm_costs_what_its_release_does(name: str, classes: int, frames: int, gmac: float, millions: float) -> None:
    c = counted(name, classes, frames, 224)
    assert c.macs / 1e9 == pytest.approx(gmac, rel=0.005)
    assert c.parameters / 1e6 == pytest.approx(millions, rel=0.0005)


@pytest.mark.spec("late-temporal-bert", "F32")
def test_r2plus1d_34_of_ig65m() -> None:
    """Per-convolution middle widths (288, 576, 1152 where torchvision has 230, 460, 921), 45/64 stem, 63,518,138."""
    c = counted("r2plus1d:34", 51, 32, 112)
    assert c.parameters == 63_518_138
    assert c.macs / 1e9 == pytest.approx(152.36, abs=0.005)
    assert c.stages[0].output == (64, 32, 56, 56)
    assert [s.output for s in c.stages[1:5]] == [
        (64, 32, 56, 56),
        (128, 16, 28, 28),
        (256, 8, 14, 14),
        (512, 4, 7, 7),
    ]
    with torch.device("meta"):
        network = catalog.find("models", "r2plus1d").build("34", 51)
    assert network.stem.spatial.out_channels == 45
    assert network.stem.temporal.out_channels == 64
    firsts = [stage[0] for stage in (network.layer2, network.layer3, network.layer4)]
    assert [block.conv1.spatial.out_channels for block in firsts] == [230, 460, 921]
    assert [block.conv2.spatial.out_channels for block in firsts] == [288, 576, 1152]
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm3d)} == {1e-3}


@pytest.mark.parametrize(("name", "blocks"), [("10", 4), ("18", 8), ("34", 16)])
@pytest.mark.parametrize("family", ["resnet3d", "r2plus1d"])
def test_depths(family: str, name: str, blocks: int) -> None:
    """10, 18 and 34 count the convolutions of the branches, the stem and the classifier."""
    with torch.device("meta"):
        network = catalog.find("models", family).build(name, 5)
    assert sum(len(getattr(network, f"layer{i}")) for i in (1, 2, 3, 4)) == blocks
    assert 2 * blocks + 2 == int(name)


@pytest.mark.parametrize("name", ["resnet3d:tiny", "r2plus1d:tiny", "tsm:tiny"])
def test_the_tiny_ones_stay_cheap(name: str) -> None:
    family, _, variant = name.partition(":")
    c = cost_of(catalog.find("models", family).CARDS[variant], 10)
    assert c.parameters < 0.5e6
    assert c.macs < 0.3e9


class Toy(nn.Module):
    """One of each: a strided convolution, a grouped one, and a linear layer, with things that must not count."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2)), nn.BatchNorm3d(8), nn.ReLU())
        self.b = nn.Conv3d(8, 12, 3, padding=1, groups=4, bias=False)
        self.classifier = nn.Linear(12, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.b(self.a(x)).mean((2, 3, 4)))


POINTS = ExplainPoints((ExplainPoint("a"), ExplainPoint("b")), "classifier")


def test_counter_against_formulas_by_hand() -> None:
    network = Toy()
    c = cost(network, POINTS, (3, 6, 20, 14))
    positions = 6 * 10 * 7
    a, b, classifier = positions * 8 * 3 * 75, positions * 12 * (8 // 4) * 27, 12 * 7
    assert [s.macs for s in c.stages] == [a, b, classifier]
    assert c.macs == a + b + classifier
    weights = [8 * 3 * 75 + 8 + 2 * 8, 12 * 2 * 27, 12 * 7 + 7]
    assert [s.parameters for s in c.stages] == weights
    assert c.parameters == sum(weights) == parameters(network)
    assert [s.output for s in c.stages] == [(8, 6, 10, 7), (12, 6, 10, 7), (7,)]
    assert network.training, "the mode is put back"
    assert not network.a._forward_hooks


def test_counter_sees_attention() -> None:
    """PyTorch's fused attention would hide its products; the switch is put back afterwards."""

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
            self.classifier = nn.Linear(16, 3)

        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.layer(x_BCTHW.flatten(2).transpose(1, 2)).mean(1))

    c = cost(Attends(), ExplainPoints((), "classifier"), (16, 5, 1, 1))
    projections, products, feed_forward = 5 * 16 * 16 * 4, 2 * 5 * 5 * 16, 2 * 5 * 16 * 32
    assert c.macs == projections + products + feed_forward + 16 * 3
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_clip_that_does_not_fit_is_a_sentence() -> None:
    class Valid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    with pytest.raises(BadValue, match="cannot take such a clip"):
        cost(Valid(), ExplainPoints(), (3, 2, 8, 8))


def test_memory_against_a_count_by_hand() -> None:
    """Training keeps the clip, what the norm reads and its two numbers a channel, what the activation gives, and what
    the classifier reads."""
    clip, a, b, classifier = 3 * 6 * 20 * 14, 8 * 6 * 10 * 7, 12 * 6 * 10 * 7, 12
    network = Toy()
    weights = [p.clone() for p in network.parameters()]
    memory = activation_memory(network, (3, 6, 20, 14))
    assert memory.training_bytes == 4 * (clip + a + 2 * 8 + a + classifier)
    assert memory.inference_bytes == 4 * (clip + a + b)
    assert network.training
    assert all(torch.equal(p, w) for p, w in zip(network.parameters(), weights, strict=True)), "left as it was"


@pytest.mark.parametrize("name", ["tsm:tiny", "r2plus1d:tiny"])
def test_memory_is_what_autograd_keeps_on_a_cpu(name: str) -> None:
    """The same hooks around a real forward pass."""
    card = find_card(name)
    network = catalog.find("models", card.family).build(card.variant, 5)
    weights = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.Tensor] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
    ):
        logits = network(torch.zeros(1, *clip_shape(card)))
    real = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)
    assert logits.requires_grad
    assert real == activation_memory(network, clip_shape(card)).training_bytes


def test_memory_of_attention_grows_with_the_tokens_and_not_with_their_pairs() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)

        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            return self.layer(x_BCTHW.flatten(2).transpose(1, 2)).mean(1)

    short, long = (activation_memory(Attends(), (16, t, 1, 1)) for t in (100, 200))
    assert long.training_bytes == pytest.approx(2 * short.training_bytes, rel=0.01)
    assert long.inference_bytes == pytest.approx(2 * short.inference_bytes, rel=0.01)


def test_frozen_parameters_tokens_and_limits() -> None:
    network = on_meta(find_card("tsm:tiny"), 5)
    for p in network.stem.parameters():
        p.requires_grad = False
    network.limits = Limits(frames=12)
    c = cost(network, ExplainPoints(), (2, 12, 64, 64))
    assert c.frozen == parameters(network.stem)
    assert c.trainable == c.parameters - c.frozen
    assert (c.features, c.tokens) == ((96, 12, 4, 4), (12, 4, 4))
    assert c.limits.frames == 12
    assert cost(Toy(), ExplainPoints(), (3, 6, 20, 14)).features == ()


def test_stages_say_how_they_lie_and_in_which_pathway() -> None:
    points = ExplainPoints((ExplainPoint("a", "slow"), ExplainPoint("b", "fast")), "classifier")
    stages = cost(Toy(), points, (3, 6, 20, 14)).stages
    assert [(s.pathway, s.layout) for s in stages] == [("slow", "BCTHW"), ("fast", "BCTHW"), ("", "BK")]
    folded = cost_of(find_card("tsm:tiny"), 5).stages[1]
    assert (folded.layout, folded.output) == ("(BT)CHW", (24, 12, 16, 16))
