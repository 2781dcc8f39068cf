"""R3D with Squeeze and Recursion or Class Regularisation: placements, cells, gates, rates, totals, what may not be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.layers.class_regularisation import early_predictions, modules_beside_class_regularisation
from secondlook.layers.recurrent_cells import CELLS
from secondlook.layers.squeeze_recursion import SqueezeRecursion
from secondlook.layers.temporal_gate import TemporalGate, gate_statistics, reset_gate_statistics
from secondlook.models._count import parameters
from secondlook.train.freeze import freeze, trainable

BOTTLENECK = ("start", "top", "mid", "end", "res", "final")
BASIC = ("start", "mid", "res", "final")
DEPTHS = {"r3d-34": (3, 4, 6, 3), "r3d-50": (3, 4, 6, 3), "r3d-101": (3, 4, 23, 3), "wide-r3d-50": (3, 4, 6, 3)}
DEPTHS |= {"r2plus1d-34": (3, 4, 6, 3), "r2plus1d-50": (3, 4, 6, 3), "r2plus1d-101": (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    return catalog.find("models", "r3d").build(variant, classes, **options)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "7", "20")
@pytest.mark.parametrize(
    ("variant", "millions"),
    list(zip([v for v in DEPTHS if "wide" not in v], (83.90, 56.94, 107.17, 82.01, 55.04, 105.29), strict=True)),
)
def test_totals_of_the_specification_with_a_recurrence_in_every_block(variant: str, millions: float) -> None:
    """Section 11.2, 400 classes (which adds numbers rounded before, 107.18 and 105.30), and two LSTM layers a block."""
    with torch.device("meta"):
        network = make(variant, 400, srtg=True)
        assert round(parameters(network) / 1e6, 2) == millions
    for stage, (depth, width) in enumerate(zip(DEPTHS[variant], WIDTHS, strict=True), 1):
        blocks = network.get_submodule(f"layer{stage}")
        assert len(blocks) == depth
        for block in blocks:
            lstm = block.recursion.recursion.recurrent
            assert isinstance(lstm, nn.LSTM)
            assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (width, width, 2)
            assert isinstance(block.recursion.gate, TemporalGate)


def width_at(placement: str, before: int, inner: int, after: int) -> int:
    return {"start": before, "top": inner, "mid": inner}.get(placement, after)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "17")
@pytest.mark.parametrize(
    ("variant", "placement"),
    [(v, p) for v in ("r3d-50", "r2plus1d-50", "wide-r3d-50") for p in BOTTLENECK] + [("r3d-34", p) for p in BASIC],
)
def test_placements_are_as_wide_as_their_place(variant: str, placement: str) -> None:
    with torch.device("meta"), torch.no_grad():
        plain = parameters(make(variant, 7))
        network = make(variant, 7, srtg=True, placement=placement).eval()
        assert network(torch.empty(2, 3, 2, 64, 64)).shape == (2, 7)
    extra, before = 0, 64
    for depth, width in zip(DEPTHS[variant], WIDTHS, strict=True):
        for _ in range(depth):
            c = width_at(placement, before, width * (2 if variant.startswith("wide") else 1), width)
            extra += 16 * c * c + 16 * c
            before = width
    assert parameters(network) - plain == extra
    assert sum(isinstance(m, SqueezeRecursion) for m in network.modules()) == sum(DEPTHS[variant])


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "17", "98")
@pytest.mark.parametrize(
    ("variant", "placement"), [("tiny-bottleneck", p) for p in BOTTLENECK] + [("tiny", p) for p in BASIC]
)
def test_every_placement_trains_and_its_weights_fit_another(variant: str, placement: str) -> None:
    network = make(variant, 5, srtg=True, placement=placement, gates=False, fuse="residual")
    x_BCTHW = torch.randn(2, 2, 8, 33, 41)
    nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([0, 3])).backward()
    recurrent = [p for name, p in network.named_parameters() if ".recurrent." in name]
    assert len(recurrent) == 4 * 8
    assert all(p.grad.isfinite().all() for p in recurrent)
    assert any(p.grad.abs().sum() > 0 for p in recurrent)
    other = make(variant, 5, srtg=True, placement=placement, gates=False, fuse="residual")
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(x_BCTHW), network.eval()(x_BCTHW))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "18")
def test_final_is_the_default_and_its_names_stay() -> None:
    """After the last activation, so that what enters the recursion is never negative."""
    network = make("tiny", 5, srtg=True)
    assert network.state_dict().keys() == make("tiny", 5, srtg=True, placement="final").state_dict().keys()
    block = network.layer1[0]
    assert [name for name, _ in block.named_children()] == ["block", "recursion"]
    assert {n for n in network.state_dict() if n.startswith("layer1.0.recursion")} == {
        f"layer1.0.recursion.recursion.recurrent.{kind}_{of}_l{i}"
        for kind in ("weight", "bias")
        for of in ("ih", "hh")
        for i in (0, 1)
    }
    seen: list[torch.Tensor] = []
    block.recursion.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    network(torch.randn(1, 2, 8, 33, 41))
    assert (seen[0] >= 0).all()


def test_a_closed_network_is_the_plain_one() -> None:
    """All gates shut, as they are to begin with: the outputs are those of the blocks alone.

    Where a stage has one frame left, its gates are open to every clip.
    """
    gated = make("tiny", 5, srtg=True).eval()
    plain = make("tiny", 5).eval()
    plain.load_state_dict({n.replace(".block.", "."): t for n, t in gated.state_dict().items() if "recurrent" not in n})
    x_BCTHW = torch.randn(2, 2, 16, 33, 41)
    assert torch.equal(gated(x_BCTHW), plain(x_BCTHW))
    assert gate_statistics(gated) == {f"layer{i}.0.recursion": 0.0 for i in range(1, 5)}
    reset_gate_statistics(gated)
    gated(x_BCTHW[:, :, :4])
    assert [gate_statistics(gated)[f"layer{i}.0.recursion"] for i in (3, 4)] == [1.0, 1.0]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "4")
@pytest.mark.parametrize("cell", CELLS)
def test_cells_and_layers(cell: str) -> None:
    network = make("tiny", 5, srtg=True, cell=cell, recursion_layers=1, gates="evaluation", fuse="sigmoid")
    x_BCTHW = torch.randn(2, 2, 16, 33, 41)
    network(x_BCTHW).sum().backward()
    assert all(p.grad.abs().sum() > 0 for n, p in network.named_parameters() if n.startswith("layer4.0.recursion"))
    network.eval()(x_BCTHW)
    assert all(0 <= rate <= 1 for rate in gate_statistics(network).values())


def test_options_reach_their_gates() -> None:
    network = make(
        "tiny", 5, srtg=True, gate_criterion="cycle", gate_temperature=0.1, gate_normalise=True, gate_warmup_steps=7
    )
    gates = [m for m in network.modules() if isinstance(m, TemporalGate)]
    assert len(gates) == 4
    assert {(g.criterion, g.temperature, g.normalise, g.warmup_steps) for g in gates} == {("cycle", 0.1, True, 7)}
    assert sum(name.endswith("gate.steps") for name in network.state_dict()) == 4


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "53")
def test_rates_of_the_four_stages() -> None:
    network = make("tiny", 5, class_regularisation=True)
    stages = [network.get_submodule(f"layer{i}.class_regularisation") for i in range(1, 5)]
    assert [(s.rate, s.selection, s.range) for s in stages] == [(r, "sum", "one_sided") for r in (0.9, 0.8, 0.7, 0.6)]
    other = make(
        "tiny", 5, class_regularisation=True, class_rates=[1, 1, 0.5, 0], class_selection="max", class_range="two_sided"
    )
    stages = [other.get_submodule(f"layer{i}.class_regularisation") for i in range(1, 5)]
    assert [s.rate for s in stages] == [1, 1, 0.5, 0]
    assert {(s.selection, s.range) for s in stages} == {("max", "two_sided")}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "54", "56")
def test_class_regularisation_alone_is_trained_and_predicts_early() -> None:
    network = make("tiny", 5, class_regularisation=True, srtg=True)
    names = modules_beside_class_regularisation(network)
    assert names == ["stem", "layer1.0", "layer2.0", "layer3.0", "layer4.0", "head"]
    freeze(network, names)
    assert trainable(network)[0] == sum(64 * c + c for c in (16, 24, 40, 64))
    network(torch.randn(3, 2, 8, 33, 41))
    early = early_predictions(network)
    assert list(early) == ["layer1", "layer2", "layer3", "layer4"]
    assert all(class_B.shape == (3,) for class_B in early.values())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "17", "99")
def test_refusals() -> None:
    for placement in ("top", "end"):
        with pytest.raises(BadValue, match="basic block of two convolutions has no such place"):
            make("tiny", srtg=True, placement=placement)
    with pytest.raises(UnknownName, match="Did you mean 'start'"):
        make("tiny-bottleneck", srtg=True, placement="stard")
    with pytest.raises(UnknownName, match="recurrent cell"):
        make("tiny", srtg=True, cell="gruu")
    with pytest.raises(UnknownName, match="way to fuse"):
        make("tiny", srtg=True, fuse="add")
    with pytest.raises(UnknownName, match="criterion of a gate"):
        make("tiny", srtg=True, gate_criterion="soft")
    for rates in ([0.9, 0.8], 0.9, "none"):
        with pytest.raises(BadValue, match="class_rates must be four numbers"):
            make("tiny", class_regularisation=True, class_rates=rates)
    with pytest.raises(BadValue, match=r"must lie in \[0, 1\]"):
        make("tiny", class_regularisation=True, class_rates=(0.9, 0.8, 0.7, 1.6))
    with pytest.raises(UnknownName, match="Did you mean 'placement'"):
        make("tiny", srtg=True, placment="final")
