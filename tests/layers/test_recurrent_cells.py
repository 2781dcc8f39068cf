"""Cells against NumPy, frame by frame: torch's own, the printed equations, peepholes."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.recurrent_cells import CELLS, LiteralLSTMLayer, recurrent
from secondlook.layers.squeeze_recursion import Recursion, SqueezeRecursion

State = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def printed_lstm(state: State, layer: int, x_TC: np.ndarray) -> np.ndarray:
    """Equations 4.1 to 4.5: every gate a matrix over [h, x]; with peepholes f and i see the old cell, o the new."""
    w_f, w_i, w_c, w_o = np.split(state[f"layers.{layer}.weight"], 4)
    b_f, b_i, b_c, b_o = np.split(state[f"layers.{layer}.bias"], 4)
    p_f, p_i, p_o = state.get(f"layers.{layer}.peephole", np.zeros((3, 1)))
    h, c, out = np.zeros(x_TC.shape[1]), np.zeros(x_TC.shape[1]), []
    for x in x_TC:
        hx = np.concatenate([h, x])
        f, i = sigmoid(w_f @ hx + b_f + p_f * c), sigmoid(w_i @ hx + b_i + p_i * c)
        c = f * c + i * np.tanh(w_c @ hx + b_c)
        h = sigmoid(w_o @ hx + b_o + p_o * c) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def printed_gru(state: State, layer: int, x_TC: np.ndarray) -> np.ndarray:
    """Equations 5.8 to 5.11."""
    w_z, w_r, w_h = np.split(state[f"layers.{layer}.weight"], 3)
    b_z, b_r, b_h = np.split(state[f"layers.{layer}.bias"], 3)
    h, out = np.zeros(x_TC.shape[1]), []
    for x in x_TC:
        z, r = sigmoid(w_z @ np.concatenate([h, x]) + b_z), sigmoid(w_r @ np.concatenate([h, x]) + b_r)
        h = z * h + (1 - z) * np.tanh(w_h @ np.concatenate([r * h, x]) + b_h)
        out.append(h)
    return np.stack(out)


def of_torch(state: State, layer: int) -> tuple[np.ndarray, ...]:
    return tuple(state[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))


def torch_lstm(state: State, layer: int, x_TC: np.ndarray) -> np.ndarray:
    w, u, b, d = of_torch(state, layer)
    h, c, out = np.zeros(x_TC.shape[1]), np.zeros(x_TC.shape[1]), []
    for x in x_TC:
        i, f, g, o = np.split(w @ x + u @ h + b + d, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def torch_gru(state: State, layer: int, x_TC: np.ndarray) -> np.ndarray:
    """The reset gate stands behind the recurrent product."""
    w, u, b, d = of_torch(state, layer)
    h, out = np.zeros(x_TC.shape[1]), []
    for x in x_TC:
        (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(w @ x + b, 3), np.split(u @ h + d, 3)
        z = sigmoid(z_x + z_h)
        h = z * h + (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        out.append(h)
    return np.stack(out)


def torch_rnn(state: State, layer: int, x_TC: np.ndarray) -> np.ndarray:
    w, u, b, d = of_torch(state, layer)
    h, out = np.zeros(x_TC.shape[1]), []
    for x in x_TC:
        h = np.tanh(w @ x + u @ h + b + d)
        out.append(h)
    return np.stack(out)


TWINS: dict[str, Callable[[State, int, np.ndarray], np.ndarray]] = {
    "lstm": torch_lstm,
    "gru": torch_gru,
    "rnn": torch_rnn,
    "lstm-literal": printed_lstm,
    "lstm-peephole": printed_lstm,
    "gru-literal": printed_gru,
}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "4", "5")
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_twin(cell: str, layers: int) -> None:
    torch.manual_seed(layers)
    module = Recursion(5, cell, layers)
    s_BCT = 2 * torch.randn(2, 5, 7)
    h_BCT = module(s_BCT).detach().numpy()
    state = {name: p.detach().double().numpy() for name, p in module.recurrent.named_parameters()}
    for s_CT, h_CT in zip(s_BCT.double().numpy(), h_BCT, strict=True):
        x_TC = s_CT.T
        for layer in range(layers):
            x_TC = TWINS[cell](state, layer, x_TC)
        np.testing.assert_allclose(h_CT, x_TC.T, atol=1e-5)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "4")
@pytest.mark.parametrize("cell", CELLS)
def test_two_layers_unless_said_otherwise_and_every_weight_learns(cell: str) -> None:
    torch.manual_seed(0)
    block = SqueezeRecursion(4, cell, gate=False)
    stacked = block.recursion.recurrent
    assert (stacked.num_layers if hasattr(stacked, "num_layers") else len(stacked.layers)) == 2
    block(torch.randn(2, 4, 5, 2, 3)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())


def test_weights_of_the_printed_cells() -> None:
    """One bias a gate, so `8 C` fewer than torch's LSTM of two layers; peepholes add 3 C a layer (table 5.7: ~ 0)."""
    count = {cell: sum(p.numel() for p in recurrent(cell, 6, 2).parameters()) for cell in CELLS}
    assert count["lstm"] == 16 * 36 + 16 * 6
    assert count["lstm-literal"] == 16 * 36 + 8 * 6
    assert count["lstm-peephole"] == count["lstm-literal"] + 2 * 3 * 6
    assert count["gru-literal"] == 12 * 36 + 6 * 6


def test_the_two_readings_of_a_gru_differ_only_by_where_they_reset() -> None:
    """With the same weights, they agree while the state is 0, and no longer."""
    printed, own = recurrent("gru-literal", 3, 1), recurrent("gru", 3, 1)
    with torch.no_grad():
        z, r, n = printed.layers[0].weight.chunk(3)
        order = torch.cat([r, z, n])
        own.weight_hh_l0.copy_(order[:, :3])
        own.weight_ih_l0.copy_(order[:, 3:])
        b_z, b_r, b_n = printed.layers[0].bias.chunk(3)
        own.bias_ih_l0.copy_(torch.cat([b_r, b_z, b_n]))
        own.bias_hh_l0.zero_()
        x_BTC = torch.randn(2, 4, 3)
        ours, theirs = printed(x_BTC)[0], own(x_BTC)[0]
    assert torch.allclose(ours[:, 0], theirs[:, 0], atol=1e-6)
    assert not torch.allclose(ours[:, 1:], theirs[:, 1:], atol=1e-6)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
@pytest.mark.parametrize("cell", [cell for cell in CELLS if "-" in cell])
def test_cells_can_be_scripted(cell: str) -> None:
    module, x_BTC = recurrent(cell, 3, 2), torch.randn(2, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(module)
    assert torch.allclose(scripted(x_BTC)[0], module(x_BTC)[0], atol=1e-6)


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'lstm-peephole'"):
        recurrent("lstm_peephole", 4, 2)
    with pytest.raises(BadValue, match="at least one layer"):
        recurrent("gru", 4, 0)
    with pytest.raises(BadValue, match="at least one layer"):
        recurrent("gru", 4, "two")
    with pytest.raises(BadValue, match="at least one channel"):
        recurrent("gru", 0, 1)
    assert LiteralLSTMLayer(3).peephole is None
