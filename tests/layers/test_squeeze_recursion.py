"""Squeeze and Recursion against a hand-run LSTM; the gate against loops, and what opens it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.squeeze_recursion import Recursion, SqueezeRecursion, TemporalGate, found
from secondlook.models._count import parameters


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(recursion: Recursion, s_CT: np.ndarray) -> np.ndarray:
    """Equations 4.1 to 4.5, layer by layer, frame by frame; torch holds the gates in the order i, f, candidate, o."""
    state = {name: p.detach().double().numpy() for name, p in recursion.recurrent.named_parameters()}
    x_TC = s_CT.T
    for layer in range(2):
        w, u = state[f"weight_ih_l{layer}"], state[f"weight_hh_l{layer}"]
        bias = state[f"bias_ih_l{layer}"] + state[f"bias_hh_l{layer}"]
        h, c, out = np.zeros(len(s_CT)), np.zeros(len(s_CT)), []
        for x in x_TC:
            i, f, g, o = np.split(w @ x + u @ h + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        x_TC = np.stack(out)
    return x_TC.T


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "2", "3", "13")
def test_twin() -> None:
    """Input times hidden states over the mean of each frame and channel; without a gate always, and no consistency."""
    block = SqueezeRecursion(4, gate=False)
    a_BCTHW = torch.randn(2, 4, 5, 3, 2)
    out = block(a_BCTHW).detach().numpy()
    assert block.gate is None
    for b in range(2):
        squeezed = a_BCTHW[b].double().numpy().reshape(4, 5, 6).sum(2) / 6
        h_CT = lstm_by_hand(block.recursion, squeezed)
        np.testing.assert_allclose(out[b], a_BCTHW[b].numpy() * h_CT[:, :, None, None], atol=1e-5)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "1")
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 4), (7, 5, 2)])
@pytest.mark.parametrize("gate", [True, False])
def test_shape_stays(shape: tuple[int, int, int], gate: bool) -> None:
    assert SqueezeRecursion(4, gate=gate)(torch.randn(2, 4, *shape)).shape == (2, 4, *shape)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "6")
def test_weights() -> None:
    for channels in (4, 64):
        assert parameters(SqueezeRecursion(channels)) == 16 * channels**2 + 16 * channels


def found_by_hand(a_TC: np.ndarray, b_TC: np.ndarray) -> list[int]:
    indices = []
    for a in a_TC:
        weights = np.exp(-((a - b_TC) ** 2).sum(1))
        soft = (weights[:, None] * b_TC).sum(0) / weights.sum()
        indices.append(int(((soft - b_TC) ** 2).sum(1).argmin()))
    return indices


def test_found_twin() -> None:
    a_BTC, b_BTC = torch.randn(3, 6, 4), torch.randn(3, 6, 4)
    for b in range(3):
        assert found(a_BTC, b_BTC)[b].tolist() == found_by_hand(a_BTC[b].numpy(), b_BTC[b].numpy())


def spread(frames: int = 5) -> Tensor:
    """Frames far from one another, 1 x C x T."""
    return 3 * torch.eye(frames)[None]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "9", "10")
def test_what_opens_the_gate() -> None:
    gate, a_BCT = TemporalGate(), spread()
    assert gate(a_BCT, a_BCT.clone()).tolist() == [True]
    assert gate(a_BCT, a_BCT.flip(2)).tolist() == [False]
    assert gate(a_BCT, a_BCT[:, :, [1, 0, 2, 3, 4]]).tolist() == [False]
    static = torch.ones(1, 5, 5) + 1e-3 * a_BCT
    assert gate(static, static.clone()).tolist() == [False], "the soft match is the mean"
    merged = a_BCT.clone()
    merged[:, :, 1] = merged[:, :, 0]
    assert gate(a_BCT, merged).tolist() == [False], "one direction is not enough"
    assert gate(a_BCT[:, :, :1], torch.randn(1, 5, 1)).tolist() == [True], "one frame finds itself"


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "11", "12", "14", "15")
def test_each_clip_has_its_gate_and_a_closed_one_changes_nothing() -> None:
    block = SqueezeRecursion(5)
    a_BCTHW = torch.randn(2, 5, 5, 3, 3)
    s_BCT = a_BCTHW.mean((3, 4))
    a_BCTHW[0] += (spread()[0] - s_BCT[0])[..., None, None]  # the frames' means are far apart
    before = a_BCTHW.clone()

    class Identity(torch.nn.Module):
        def forward(self, s: Tensor) -> Tensor:
            return torch.stack([s[0], s[1].flip(1)])

    block.recursion = Identity()
    out = block(a_BCTHW)
    assert torch.allclose(out[0], a_BCTHW[0] * a_BCTHW[0].mean((2, 3))[..., None, None])
    assert torch.equal(out[1], a_BCTHW[1])
    assert torch.equal(a_BCTHW, before)
    assert block.gate.open_rate == 0.5


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "16")
def test_stays_a_number() -> None:
    a_BCT = 200 * torch.randn(2, 8, 6)
    assert torch.isfinite(torch.cdist(a_BCT, a_BCT)).all()
    assert TemporalGate()(a_BCT, a_BCT.clone()).tolist() == [True, True]
    assert TemporalGate()(a_BCT.half(), a_BCT.half()).tolist() == [True, True]


def test_a_gradient_reaches_the_recursion_through_an_open_gate() -> None:
    block = SqueezeRecursion(4, gate=False)
    block(torch.randn(1, 4, 3, 2, 2)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())


def test_refusals() -> None:
    assert SqueezeRecursion(4, "gru")(torch.randn(1, 4, 3, 2, 2)).shape == (1, 4, 3, 2, 2)
    with pytest.raises(UnknownName, match="Did you mean 'lstm'"):
        SqueezeRecursion(4, "lst")
    with pytest.raises(BadValue, match="at least one layer"):
        SqueezeRecursion(4, layers=0)
