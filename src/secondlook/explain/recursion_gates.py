"""How cyclically consistent each time step is at a temporal gate, and which gates of the network stand open.

A gate compares two sequences of T steps, pooled activations a and hidden states h (`layers.temporal_gate`). Step t of a
finds step `i_t`, step t of h finds `j_t`; the gate is open where all find themselves. Shown is, at one gate,

    c_t = 1 - (|i_t - t| + |j_t - t|) / (2 (T - 1))

1 where both directions come back to t; time alone, on a grid `T x 1 x 1`. Stergiou and Poppe, "Learn to cycle", Pattern
Recognition Letters 2021, section 3; `srtg-mtnet-classreg-visualisation`, section 2.3. The source draws matches
(`_match_figure`) and has no such number. It is the same for every class.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import UnknownName
from secondlook.explain._hooks import evaluating, explained_logit, logits_of, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.layers.soft_nearest_neighbour import consistency
from secondlook.layers.temporal_gate import TemporalGate, gate_counts, restore_gate_counts
from secondlook.video.grid import Caption
from secondlook.video.transform import InputClip


class GateState(NamedTuple):
    """What one gate did to a batch of clips."""

    name: str
    """The module that holds it."""
    open_B: Tensor
    """Whether it let the recursion through: true also where it was not active."""
    found_BT: Tensor
    """Step that each step of the activations finds."""
    back_BT: Tensor
    """Step that each step of the hidden states finds."""
    criterion: str
    """`index` or `cycle`; see `soft_nearest_neighbour.consistency`."""


def explain(model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, layer: str = "") -> HeatMap:
    """Consistency of each time step at a gate; needs no gradient.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: input with its place in the source video.
        label: class index; it does not change the map.
        layer: dotted name of the module that holds the gate; empty: the last gate.

    Returns:
        Notes: `gates`, from input to head: name, `open`, `criterion`, `found` and `back` (see `GateState`) and
        `error` (`|i_t - t| + |j_t - t|` for each step); `open_gates` (how many), `temporal`, and what was predicted.

    Raises:
        BadValue: if the network has no gate, or the label is no class of it.
        UnknownName: if no such module holds a gate.
    """
    must_suit("recursion_gates", model, card)
    names = list(_gates(model))
    if layer and layer not in names:
        raise UnknownName("module with a temporal gate", layer, names)
    logits_BK, states = gate_states(model, clip.x_CTHW.to(next(model.parameters()).device)[None])
    explained_logit(logits_BK, label)
    chosen = next(s for s in reversed(states) if s.name == (layer or states[-1].name))
    return heat_map(
        consistency_of(chosen)[0].cpu().numpy()[:, None, None],
        clip,
        method="recursion_gates",
        label=label,
        module=chosen.name,
        temporal=True,
        gates=[_note(state) for state in states],
        open_gates=sum(bool(state.open_B[0]) for state in states),
        **predicted_notes(logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks without a temporal gate."""
    return "" if _gates(model) else "it has no temporal gate (build it with srtg, or inject one)"


def draw(
    folder: Path,
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    heat: HeatMap,
    frames_THWC: npt.NDArray[np.uint8],
    options: Mapping[str, Any],
    caption: Caption,
) -> dict[str, Path]:
    """`matches`: which step each step finds at the gate that is shown, errors marked."""
    from secondlook.explain._match_figure import match_figure

    return {"matches": match_figure(heat, frames_THWC, folder / "matches.png")}


def gate_states(model: nn.Module, x_BCTHW: Tensor) -> tuple[Tensor, list[GateState]]:
    """`logits_BK`, and every gate in the order in which they ran. The gates' own counts stay what they were."""
    states: list[GateState] = []

    def keep(name: str) -> Any:
        def hook(gate: TemporalGate, inputs: tuple[Tensor, Tensor], open_B: Tensor) -> None:
            found = consistency(
                *inputs, criterion=gate.criterion, temperature=gate.temperature, normalise=gate.normalise
            )
            states.append(GateState(name, open_B, *found.indices, gate.criterion))

        return hook

    counts = gate_counts(model)
    with evaluating(model), torch.no_grad(), ExitStack() as undo:
        undo.callback(restore_gate_counts, model, counts)
        for name, gate in _gates(model).items():
            undo.callback(gate.register_forward_hook(keep(name)).remove)
        return logits_of(model, x_BCTHW), states


def error_of(state: GateState) -> Tensor:
    """`|i_t - t| + |j_t - t|` of each step, `error_BT`."""
    here_T = torch.arange(state.found_BT.shape[1], device=state.found_BT.device)
    return (state.found_BT - here_T).abs() + (state.back_BT - here_T).abs()


def consistency_of(state: GateState) -> Tensor:
    """`c_BT`: 1 where both directions come back to the step, 0 where both end at the other end of the clip."""
    steps = state.found_BT.shape[1]
    return 1 - error_of(state).float() / max(1, 2 * (steps - 1))


def _note(state: GateState) -> dict[str, Any]:
    return {
        "name": state.name,
        "open": bool(state.open_B[0]),
        "criterion": state.criterion,
        "found": state.found_BT[0].tolist(),
        "back": state.back_BT[0].tolist(),
        "error": error_of(state)[0].tolist(),
    }


def _gates(model: nn.Module) -> dict[str, TemporalGate]:
    """Every gate by the name of the module that holds it (as `gate_statistics` has them)."""
    return {
        name.removesuffix("gate").rstrip("."): module
        for name, module in model.named_modules()
        if isinstance(module, TemporalGate)
    }
