"""Recurrent layers of a relevance pass, written out step by step: gates are constants, signals pass.

Arras et al., "Explaining Recurrent Neural Network Predictions in Sentiment Analysis", 2017, section 2.2 ("signal takes
all"). torch runs LSTM, GRU and plain recurrent layers as one operation each; its values are kept, and the gradient goes
through the same cells made of single operations, each by its own rule. Packed sequences keep torch's own gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.explain._lrp_nodes import Handler, Mode, with_gradient_of

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, State, Sequence[Tensor]], State]
"""What the input gives to all gates, the last state, and `weight_hh, bias_hh, weight_hr` (where there are such) -> the
next state, its first part being the output."""


def lstm_cell(given: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    """`c' = f c + i tanh(n)`, `h' = o tanh(c')`; f, i and o are gates. A third weight projects h'."""
    h, c = state
    projected = weights[2:] if len(weights) > 2 else weights[1:] if _is_projection(weights) else ()
    bias = weights[1] if len(weights) > 1 and weights[1].ndim == 1 else None
    i, f, n, o = (given + functional.linear(h, weights[0], bias)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(n)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (functional.linear(h, projected[0]) if projected else h), c


def gru_cell(given: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    """`n = tanh(x_n + r h_n)`, `h' = (1 - z) n + z h`; r and z are gates."""
    (h,) = state
    r_x, z_x, n_x = given.chunk(3, -1)
    r_h, z_h, n_h = functional.linear(h, *weights).chunk(3, -1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    return ((1 - z) * torch.tanh(n_x + r * n_h) + z * h,)


def _plain_cell(activation: Callable[[Tensor], Tensor]) -> Cell:
    def cell(given: Tensor, state: State, weights: Sequence[Tensor]) -> State:
        return (activation(given + functional.linear(state[0], *weights)),)

    return cell


def _is_projection(weights: Sequence[Tensor]) -> bool:
    return len(weights) == 2 and weights[1].ndim == 2


def unrolled(
    cell: Cell, x: Tensor, states: State, flat: Sequence[Tensor], *, has_biases: bool, layers: int,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, State]:  # fmt: skip
    """Layers of cells as torch's recurrent operations have them.

    Args:
        cell: one step.
        x: T x B x C, or B x T x C.
        states: first states, each (layers x directions) x B x D.
        flat: weights of all layers and directions, in torch's order.
        has_biases: two a layer and direction.
        layers: one upon the other.
        bidirectional: a second direction, whose output stands beside the first one's.
        batch_first: B stands first.

    Returns:
        The last layer's outputs, and the last states.
    """
    directions = 2 if bidirectional else 1
    own = len(flat) // (layers * directions)
    sequence = x.transpose(0, 1) if batch_first else x
    ends: list[State] = []
    for layer in range(layers):
        sides = []
        for direction in range(directions):
            number = layer * directions + direction
            weight_ih, weight_hh, *rest = flat[number * own : (number + 1) * own]
            bias_ih, weights = (rest[0], [weight_hh, *rest[1:]]) if has_biases else (None, [weight_hh, *rest])
            given = functional.linear(sequence, weight_ih, bias_ih).unbind(0)
            state, outputs = tuple(s[number] for s in states), []
            for step in reversed(given) if direction else given:
                state = cell(step, state, weights)
                outputs.append(state[0])
            sides.append(torch.stack(outputs[::-1] if direction else outputs))
            ends.append(state)
        sequence = torch.cat(sides, -1) if bidirectional else sides[0]
    last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    return (sequence.transpose(0, 1) if batch_first else sequence), last


def _recurrent(cell: Cell) -> Handler:
    def handler(mode: Mode, func: Any, x: Tensor, *args: Any) -> Any:
        if isinstance(args[0], Tensor) and not args[0].is_floating_point():  # sizes of a packed sequence
            return func(x, *args)
        with torch.no_grad():
            values = func(x, *args)
        states, flat, has_biases, layers, _, _, bidirectional, batch_first = args
        first = states if isinstance(states, list | tuple) else (states,)
        with mode:
            out, last = unrolled(
                cell, x, tuple(first), flat, has_biases=has_biases, layers=layers, bidirectional=bidirectional,
                batch_first=batch_first,
            )  # fmt: skip
        return tuple(with_gradient_of(mode, v, w, "recurrence") for v, w in zip(values, (out, *last), strict=True))

    return handler


RECURRENT: Mapping[str, Handler] = {
    "lstm": _recurrent(lstm_cell),
    "gru": _recurrent(gru_cell),
    "rnn_tanh": _recurrent(_plain_cell(torch.tanh)),
    "rnn_relu": _recurrent(_plain_cell(torch.relu)),
}
"""Name of an operation -> its handler."""
