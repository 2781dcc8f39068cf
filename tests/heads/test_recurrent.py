"""LSTM and ConvGRU heads against the same recurrences written step by step in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondlook import catalog
from secondlook.layers.conv_gru import ConvGru


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(head, tokens_TC: np.ndarray) -> np.ndarray:
    """States `h_TD` of the last layer; gates in PyTorch's order: input, forget, cell, output."""
    state = {name: p.detach().double().numpy() for name, p in head.lstm.named_parameters()}
    steps = tokens_TC
    for layer in range(head.lstm.num_layers):
        w, u = state[f"weight_ih_l{layer}"], state[f"weight_hh_l{layer}"]
        b = state[f"bias_ih_l{layer}"] + state[f"bias_hh_l{layer}"]
        h = c = np.zeros(u.shape[1])
        out = []
        for x in steps:
            i, f, g, o = np.split(w @ x + u @ h + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        steps = np.stack(out)
    return steps


@pytest.mark.parametrize("read_out", ["last", "mean"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.spec("late-temporal-bert", "F52")
def test_lstm(read_out: str, layers: int) -> None:
    head = catalog.find("heads", "lstm").build(6, 5, 3, hidden=4, layers=layers, read_out=read_out)
    features = torch.randn(2, 6, 5, 3, 2)
    for clip in range(2):
        steps = lstm_by_hand(head, features[clip].mean((2, 3)).T.double().numpy())
        read = steps[-1] if read_out == "last" else steps.mean(0)
        weight, bias = (p.detach().double().numpy() for p in head.classifier.parameters())
        assert np.allclose(head(features)[clip].detach().numpy(), weight @ read + bias, atol=1e-6)


def convolve(x_CHW: np.ndarray, weight_OCHW: np.ndarray) -> np.ndarray:
    """A convolution whose output has the size of its input, place by place."""
    pad = weight_OCHW.shape[-1] // 2
    padded = np.pad(x_CHW, ((0, 0), (pad, pad), (pad, pad)))
    height, width = x_CHW.shape[1:]
    out = np.zeros((len(weight_OCHW), height, width))
    size = weight_OCHW.shape[-1]
    for i in range(height):
        for j in range(width):
            patch = padded[:, i : i + size, j : j + size]
            out[:, i, j] = (weight_OCHW * patch).sum((1, 2, 3))
    return out


def conv_gru_by_hand(gru: ConvGru, x_CTHW: np.ndarray) -> np.ndarray:
    """The spec's equations with one kernel over `[x, h]` a gate."""
    d = gru.hidden
    of_input = gru.input.weight.detach().double().numpy()[:, :, 0].reshape(3, d, -1, *gru.gates.weight.shape[2:])
    of_state = torch.cat((gru.gates.weight, gru.candidate.weight)).detach().double().numpy()
    of_state = of_state.reshape(3, d, d, *of_state.shape[2:])
    w_z, w_r, w = (np.concatenate((a, b), 1) for a, b in zip(of_input, of_state, strict=True))
    b_z, b_r, b = (v[:, None, None] for v in gru.input.bias.detach().double().numpy().reshape(3, d))
    h = np.zeros((d, *x_CTHW.shape[2:]))
    states = []
    for t in range(x_CTHW.shape[1]):
        x = x_CTHW[:, t]
        xh = np.concatenate((x, h))
        z, r = sigmoid(convolve(xh, w_z) + b_z), sigmoid(convolve(xh, w_r) + b_r)
        new = np.tanh(convolve(np.concatenate((x, r * h)), w) + b)
        h = (1 - z) * h + z * new
        states.append(h)
    return np.stack(states, 1)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.spec("late-temporal-bert", "F52")
def test_conv_gru(kernel: int) -> None:
    gru = ConvGru(3, 4, kernel)
    x = torch.randn(2, 3, 4, 3, 4)
    states = gru(x).detach().numpy()
    assert states.shape == (2, 4, 4, 3, 4)
    for clip in range(2):
        assert np.allclose(states[clip], conv_gru_by_hand(gru, x[clip].double().numpy()), atol=1e-6)


@pytest.mark.parametrize("read_out", ["last", "mean"])
def test_conv_gru_head(read_out: str) -> None:
    head = catalog.find("heads", "conv_gru").build(3, 4, 5, hidden=6, read_out=read_out)
    features = torch.randn(2, 3, 4, 2, 3)
    states_BDTHW = head.gru(features)
    steps = states_BDTHW.mean((3, 4))
    read = steps[:, :, -1] if read_out == "last" else steps.mean(2)
    assert torch.allclose(head(features), read @ head.classifier.weight.T + head.classifier.bias, atol=1e-6)


def test_a_gru_is_causal_and_forgets_nothing_of_the_first_frame() -> None:
    gru = ConvGru(3, 4)
    x = torch.randn(1, 3, 5, 3, 3)
    other = x.clone()
    other[:, :, 2] += 1
    same, changed = gru(x), gru(other)
    assert torch.equal(same[:, :, :2], changed[:, :, :2])
    assert all((same[:, :, t] - changed[:, :, t]).abs().max() > 1e-5 for t in (2, 3, 4))


def test_one_bias_a_gate() -> None:
    assert sum(p.numel() for p in ConvGru(512, 196).parameters()) == 3 * (9 * (512 + 196) * 196 + 196)
