"""Which clips pass, what a closed and an inactive gate do, open rates, and warm-ups that a stop does not disturb."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers import temporal_gate
from secondlook.layers.squeeze_recursion import RecursionSettings, SqueezeRecursion
from secondlook.layers.temporal_gate import TemporalGate, gate_statistics, reset_gate_statistics


class Same(nn.Module):
    """A recurrence whose hidden states are what it reads."""

    def forward(self, s_BCT: Tensor) -> Tensor:
        return s_BCT


def apart(clips: int = 1, frames: int = 5) -> Tensor:
    """Clips whose frames' means are far from one another, B x C x T x H x W with C = T."""
    a_BCTHW = torch.randn(clips, frames, frames, 3, 3)
    return a_BCTHW + (3 * torch.eye(frames) - a_BCTHW.mean((3, 4)))[..., None, None]


def still(clips: int = 1, frames: int = 5) -> Tensor:
    """Clips of equal frames."""
    return torch.randn(clips, frames, 1, 3, 3).expand(-1, -1, frames, -1, -1).clone()


@pytest.fixture
def nothing_is_compared(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("an inactive gate compares nothing")

    monkeypatch.setattr(temporal_gate, "consistency", refuse)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "11", "12", "14")
def test_an_identity_recurrence_opens_the_gate_for_the_clip_that_moves() -> None:
    torch.manual_seed(0)
    block = SqueezeRecursion(5)
    block.recursion = Same()
    a_BCTHW = torch.cat([apart(), still(), apart()])
    before = a_BCTHW.clone()
    out = block(a_BCTHW)
    for b in (0, 2):
        assert torch.equal(out[b], a_BCTHW[b] * a_BCTHW[b].mean((2, 3))[..., None, None])
        assert not torch.equal(out[b], a_BCTHW[b])
    assert torch.equal(out[1], a_BCTHW[1])
    assert torch.equal(a_BCTHW, before)
    alone = torch.cat([block(a_BCTHW[b : b + 1]) for b in range(3)])
    assert torch.equal(alone, out), "no clip's gate depends on its neighbours"


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "12")
def test_a_new_recurrence_leaves_the_gate_closed_and_learns_nothing() -> None:
    """The risk that the specification names: hidden states near 0 for every frame."""
    torch.manual_seed(0)
    block = SqueezeRecursion(5)
    a_BCTHW = apart(4)
    out = block(a_BCTHW)
    assert torch.equal(out, a_BCTHW)
    out.sum().backward()
    assert all(p.grad.abs().sum() == 0 for p in block.parameters())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "13")
@pytest.mark.parametrize("settings", [{"gates": False}, {"gates": "evaluation"}, {"warmup_steps": 1}])
def test_an_inactive_gate_compares_nothing_and_always_fuses(settings, nothing_is_compared) -> None:
    torch.manual_seed(0)
    block = RecursionSettings(**settings).make(5)
    a_BCTHW = torch.cat([apart(), still()])
    out = block(a_BCTHW)
    assert torch.equal(out, block.fuse(a_BCTHW, block.recursion(a_BCTHW.mean((3, 4)))))
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())
    assert all(math.isnan(rate) for rate in gate_statistics(block).values())


def test_gates_in_evaluation_only() -> None:
    block = RecursionSettings(gates="evaluation").make(5)
    a_BCTHW = still()
    assert not torch.equal(block.train()(a_BCTHW), a_BCTHW)
    assert torch.equal(block.eval()(a_BCTHW), a_BCTHW)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "15")
def test_open_rates_by_module_since_the_last_reset() -> None:
    network = nn.Sequential()
    for name in ("first", "second"):
        block = SqueezeRecursion(5)
        block.recursion = Same()
        network.add_module(name, block)
    network.add_module("free", SqueezeRecursion(5, gate=False))
    assert list(gate_statistics(network)) == ["first", "second"]
    assert all(math.isnan(rate) for rate in gate_statistics(network).values())
    network.first(torch.cat([apart(), still()]))
    network.first(still(2))
    network.second(apart(3))
    assert gate_statistics(network) == {"first": 0.25, "second": 1.0}
    with torch.inference_mode():
        network.second(still(1))
    network.second(still(1))
    assert gate_statistics(copy.deepcopy(network)) == {"first": 0.25, "second": 0.6}
    assert not any("opened" in name or "seen" in name for name in network.state_dict())
    reset_gate_statistics(network)
    network.first(apart())
    assert gate_statistics(network)["first"] == 1.0
    assert math.isnan(gate_statistics(network)["second"])
    gate = TemporalGate()
    gate(torch.randn(1, 2, 1), torch.randn(1, 2, 1))
    assert gate_statistics(gate) == {"": 1.0}


def test_a_warm_up_counts_training_steps() -> None:
    block = RecursionSettings(warmup_steps=3).make(5)
    a_BCTHW = still()

    def fuses() -> bool:
        return not torch.equal(block(a_BCTHW), a_BCTHW)

    block.eval()
    assert fuses(), "in evaluation too"
    block.train()
    with torch.no_grad():
        assert fuses()
    assert block.gate.steps == 0, "neither of these is a training step"
    assert [fuses() for _ in range(5)] == [True, True, True, False, False]
    assert block.gate.steps == 5
    assert not block.eval()(a_BCTHW).ne(a_BCTHW).any()
    assert list(SqueezeRecursion(5).gate.state_dict()) == [], "without a warm-up nothing is kept"


def trained(steps: int, stop: int | None) -> tuple[dict[str, Tensor], list[float]]:
    """A few steps, broken off after `stop` of them and taken up in a network that was built anew."""

    def start() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(5)
        network = nn.Sequential(nn.Conv3d(2, 5, 1), RecursionSettings(warmup_steps=3, temperature=1e-4).make(5))
        return network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)

    network, optimizer = start()
    losses = []
    for step in range(steps):
        if step == stop:
            file = io.BytesIO()
            torch.save([network.state_dict(), optimizer.state_dict()], file)
            network, optimizer = start()
            weights, moments = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
            network.load_state_dict(weights)
            optimizer.load_state_dict(moments)
        x_BCTHW = torch.randn(2, 2, 5, 3, 3, generator=torch.Generator().manual_seed(step))
        loss = (network(x_BCTHW) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return network.state_dict(), losses


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_resumed_warm_up_equals_an_uninterrupted_one(stop: int) -> None:
    (weights, losses), (resumed_weights, resumed_losses) = trained(6, None), trained(6, stop)
    assert losses == resumed_losses
    assert weights.keys() == resumed_weights.keys()
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)
    assert int(weights["1.gate.steps"]) == 6


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "16")
def test_stays_a_number() -> None:
    torch.manual_seed(0)
    gate = TemporalGate()
    for scale in (1.0, 1e4, 1e8):
        a_BCT = scale * 200 * torch.randn(2, 8, 6)
        assert gate(a_BCT, a_BCT.clone()).tolist() == [True, True]
    a_BCTHW = 60_000 * torch.rand(2, 8, 6, 4, 4)
    block = SqueezeRecursion(8)
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype=dtype):
            assert gate(a_BCT.to(torch.bfloat16), a_BCT.to(torch.bfloat16)).tolist() == [True, True]
            assert block(a_BCTHW.to(dtype)).isfinite().all()


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'index'"):
        TemporalGate("indices")
    with pytest.raises(BadValue, match="must be above 0"):
        TemporalGate(temperature=0)
    with pytest.raises(BadValue, match="whole number of steps"):
        TemporalGate(warmup_steps=-1)
    with pytest.raises(UnknownName, match="Did you mean 'evaluation'"):
        TemporalGate(when="evaluating")
    with pytest.raises(BadValue, match="true, false or 'evaluation'"):
        RecursionSettings(gates="sometimes")
    assert "warmup_steps=2" in repr(TemporalGate(when="evaluation", warmup_steps=2))
