"""Recurrent cells of Squeeze and Recursion: torch's own, the LSTM and GRU as printed, and an LSTM with peepholes.

Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, equations 4.1 to 4.5 and 5.8 to
5.11, table 5.7; `srtg-mtnet-classreg-visualisation`, section 2.2. torch's GRU resets after the recurrent product, the
printed one before; torch's cells have two biases a gate, the printed ones have one. Equation 4.5 feeds its output gate
another layer's activation, a misprint: here all gates read the same. Shapes: B clips, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName


class LiteralLSTMLayer(nn.Module):
    """Equations 4.1 to 4.5, `x_BTC -> h_BTC`: with `[h, x]` the last state beside the input and `s` the logistic,

    `f = s(W_f [h, x] + b_f)`, `i = s(W_i [h, x] + b_i)`, `c' = f c + i tanh(W_c [h, x] + b_c)`,
    `o = s(W_o [h, x] + b_o)`, `h' = o tanh(c')`. With peepholes f and i also read `p c`, and o reads `p c'`, each
    with a vector p of its own (a diagonal matrix).

    Args:
        channels: C of input and state.
        peephole: the gates see the cell.
    """

    def __init__(self, channels: int, peephole: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4 * channels, 2 * channels))
        """W_f, W_i, W_c and W_o, one under the other, over `[h, x]`."""
        self.bias = nn.Parameter(torch.empty(4 * channels))
        self.peephole = nn.Parameter(torch.empty(3, channels)) if peephole else None
        """Diagonals of f, i and o."""
        _fill(self, channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states, from a state of zeros."""
        weight_h, weight_x = self.weight.chunk(2, 1)
        from_x_BTG = nn.functional.linear(x_BTC, weight_x, self.bias)
        h_BC = torch.zeros_like(x_BTC[:, 0])
        c_BC = torch.zeros_like(h_BC)
        states: list[Tensor] = []
        for x_BG in from_x_BTG.unbind(1):
            f_BC, i_BC, new_BC, o_BC = (x_BG + nn.functional.linear(h_BC, weight_h)).chunk(4, 1)
            if self.peephole is not None:
                f_BC, i_BC = f_BC + self.peephole[0] * c_BC, i_BC + self.peephole[1] * c_BC
            c_BC = torch.sigmoid(f_BC) * c_BC + torch.sigmoid(i_BC) * torch.tanh(new_BC)
            if self.peephole is not None:
                o_BC = o_BC + self.peephole[2] * c_BC
            h_BC = torch.sigmoid(o_BC) * torch.tanh(c_BC)
            states.append(h_BC)
        return torch.stack(states, 1)


class LiteralGRULayer(nn.Module):
    """Equations 5.8 to 5.11, `x_BTC -> h_BTC`:

    `z = s(W_z [h, x] + b_z)`, `r = s(W_r [h, x] + b_r)`, `n = tanh(W_n [r h, x] + b_n)`, `h' = z h + (1 - z) n`.

    Args:
        channels: C of input and state.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.empty(3 * channels, 2 * channels))
        """W_z, W_r and W_n, one under the other, over `[h, x]`."""
        self.bias = nn.Parameter(torch.empty(3 * channels))
        _fill(self, channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Hidden states, from a state of zeros."""
        weight_h, weight_x = self.weight.chunk(2, 1)
        gates, new = weight_h[: 2 * self.channels], weight_h[2 * self.channels :]
        from_x_BTG = nn.functional.linear(x_BTC, weight_x, self.bias)
        h_BC = torch.zeros_like(x_BTC[:, 0])
        states: list[Tensor] = []
        for x_BG in from_x_BTG.unbind(1):
            z_x, r_x, n_x = x_BG.chunk(3, 1)
            z_h, r_h = nn.functional.linear(h_BC, gates).chunk(2, 1)
            z_BC, r_BC = torch.sigmoid(z_x + z_h), torch.sigmoid(r_x + r_h)
            n_BC = torch.tanh(n_x + nn.functional.linear(r_BC * h_BC, new))
            h_BC = z_BC * h_BC + (1 - z_BC) * n_BC
            states.append(h_BC)
        return torch.stack(states, 1)


class Stacked(nn.Module):
    """Layers one upon the other, with the answer of torch's recurrent modules: `x_BTC -> (h_BTC, last h_BC)`."""

    def __init__(self, layer: Callable[[], nn.Module], layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer() for _ in range(layers))

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states of the last layer, and the last of them."""
        for layer in self.layers:
            x_BTC = layer(x_BTC)
        return x_BTC, x_BTC[:, -1]


CELLS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "lstm": lambda channels, layers: nn.LSTM(channels, channels, layers, batch_first=True),
    "gru": lambda channels, layers: nn.GRU(channels, channels, layers, batch_first=True),
    "rnn": lambda channels, layers: nn.RNN(channels, channels, layers, batch_first=True),
    "lstm-peephole": lambda channels, layers: Stacked(lambda: LiteralLSTMLayer(channels, peephole=True), layers),
    "lstm-literal": lambda channels, layers: Stacked(lambda: LiteralLSTMLayer(channels), layers),
    "gru-literal": lambda channels, layers: Stacked(lambda: LiteralGRULayer(channels), layers),
}


def recurrent(cell: str, channels: int, layers: int) -> nn.Module:
    """A recurrent network, `x_BTC -> (h_BTC, its last state)`, states of zeros to begin with.

    Args:
        cell: a name in `CELLS`; `lstm-peephole` and the literal ones step through T in Python.
        channels: C of input and state.
        layers: one upon the other.

    Raises:
        UnknownName: for another cell.
        BadValue: for less than one channel or layer.
    """
    if cell not in CELLS:
        raise UnknownName("recurrent cell", cell, CELLS)
    if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
        raise BadValue(layers, "a recursion needs at least one layer")
    if channels < 1:
        raise BadValue(channels, "a recursion needs at least one channel")
    return CELLS[cell](channels, layers)


def _fill(layer: nn.Module, channels: int) -> None:
    """As torch fills its cells: uniform within `1 / sqrt(C)`."""
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(channels**-0.5), channels**-0.5)
