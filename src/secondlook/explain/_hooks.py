"""Reads what a module gives out, and the gradient of a class score there, and leaves no trace in the network.

Shapes: B batch, T frames, C channels of the input, K classes, h and w the module's own grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import ExplainPoint, ModelCard
from secondlook.errors import BadValue, UnknownName


@dataclass
class Watched:
    """Outputs of the watched modules, filled by the next forward pass."""

    outputs: dict[str, Tensor] = field(default_factory=dict)
    """Module name -> its output of the last call, part of the graph from there to the logits."""
    calls: dict[str, int] = field(default_factory=dict)
    """Module name -> how often it ran (a module that is used twice gives its last output)."""

    def output(self, module: str) -> Tensor:
        """What a watched module gave out.

        Raises:
            BadValue: if it did not run.
        """
        if module not in self.outputs:
            raise BadValue(module, "this module does not run when the network predicts", "Name one that does.")
        return self.outputs[module]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, autograd on, and no parameter asks for a gradient: the state every method works in.

    On leaving, also by an exception, every module's training flag and every parameter's `requires_grad` are what they
    were. `grad` of parameters is never touched (`gradient` uses `torch.autograd.grad`).
    """
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as undo:
        for parameter in asking:
            undo.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        if any(module.training for module in model.modules()):
            for module in model.modules():
                undo.callback(setattr, module, "training", module.training)
            model.eval()
        undo.enter_context(torch.inference_mode(False))
        undo.enter_context(torch.enable_grad())
        yield


@contextmanager
def watch(model: nn.Module, modules: Sequence[str]) -> Iterator[Watched]:
    """`evaluating`, and what the named modules give out is kept, ready to be differentiated.

    Nothing is spent on gradients of what comes before the first watched module. What follows a watched module gets a
    copy of its output: an activation that works in place cannot overwrite what is kept. The copy has the same values,
    so predictions do not change. On leaving, also by an exception, the hooks are removed.

    Args:
        model: any network.
        modules: dotted names, as `get_submodule` takes them.

    Raises:
        UnknownName: if the network has no module of that name.
        BadValue: during the forward pass, if a module gives out something other than a tensor.
    """
    found = {name: find_module(model, name) for name in modules}
    watched = Watched()

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise BadValue(name, f"gives out {type(output).__name__}, not a tensor", "Name a module inside it.")
            kept: Tensor = output if output.requires_grad else output.detach().requires_grad_()
            watched.outputs[name] = kept
            watched.calls[name] = watched.calls.get(name, 0) + 1
            return kept.clone()

        return hook

    with evaluating(model), ExitStack() as undo:
        for name, module in found.items():
            undo.callback(module.register_forward_hook(keep(name)).remove)
        yield watched


def logits_of(model: nn.Module, x_BCTHW: Tensor) -> Tensor:
    """`logits_BK` of the network, checked.

    Raises:
        BadValue: if the network gives out anything else.
    """
    logits_BK = model(x_BCTHW)
    if not isinstance(logits_BK, Tensor) or logits_BK.ndim != 2 or len(logits_BK) != len(x_BCTHW):
        shape = tuple(logits_BK.shape) if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
        raise BadValue(shape, "a network must give logits, one row a clip and one column a class")
    return logits_BK


def as_batch(model: nn.Module, x_CTHW: Tensor) -> Tensor:
    """One clip as a batch of its own, on the network's device."""
    return x_CTHW.to(next(model.parameters(), torch.empty(0)).device)[None]


def clip_logits(model: nn.Module, x_CTHW: Tensor) -> npt.NDArray[np.float32]:
    """`logits_K` of one clip; the network is left as it was."""
    with evaluating(model), torch.no_grad():
        logits_K: npt.NDArray[np.float32] = logits_of(model, as_batch(model, x_CTHW))[0].float().cpu().numpy()
    return logits_K


def gradient(score: Tensor, at: Tensor, module: str) -> Tensor:
    """Gradient of a score (one number) at a watched output.

    Raises:
        BadValue: if the score does not depend on that output.
    """
    found = torch.autograd.grad(score, [at], allow_unused=True)[0] if score.requires_grad else None
    if found is None:
        raise BadValue(module, "the class score does not depend on this module", "Name a layer between input and head.")
    return found


def find_module(model: nn.Module, name: str) -> nn.Module:
    """A module by its dotted name.

    Raises:
        UnknownName: with the nearest names.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in modules:
        raise UnknownName("module", name, [n for n in modules if n])
    return modules[name]


def explained_logit(logits_BK: Tensor, label: int) -> Tensor:
    """The logit of a class, summed over the clips of a batch (clips do not mix, so its gradient is each clip's own).

    Raises:
        BadValue: if the label is not a class of the network.
    """
    if not 0 <= label < logits_BK.shape[1]:
        raise BadValue(label, f"a class index must be from 0 to {logits_BK.shape[1] - 1}")
    return logits_BK[:, label].sum()


def predicted_notes(logits_K: Tensor, label: int) -> dict[str, float | int]:
    """What every method notes of the prediction: `logit` and `confidence` of the class, index of the best."""
    confidence_K = logits_K.detach().float().softmax(0)
    return {
        "logit": float(logits_K[label].detach()),
        "confidence": float(confidence_K[label]),
        "predicted": int(confidence_K.argmax()),
    }


def point_of(card: ModelCard, layer: str = "", pathway: str = "") -> tuple[str, ExplainPoint | None]:
    """The module to read, and the card's explain point of that name, if it has one.

    Args:
        card: the network's card.
        layer: dotted name of any module; empty: the last stage of the card.
        pathway: with no layer: the last stage of this pathway (`slow`, `fast`).

    Raises:
        BadValue: if the card names no stage, or none of this pathway.
    """
    if layer:
        return layer, next((p for p in card.explain.stages if p.module == layer), None)
    if not card.explain.stages:
        raise BadValue(card.name, "the card names no explain point", "Name a module with --layer.")
    point = card.explain.last(pathway) if pathway else card.explain.stages[-1]
    return point.module, point


def fold(output: Tensor, point: ExplainPoint | None, batch: int, frames: int, module: str) -> Tensor:
    """A module's output as `A_BCThw`.

    Args:
        output: what the module gave out.
        point: the card's explain point of this name, if it has one; its layout is then known.
        batch: clips in the batch.
        frames: frames of a clip, to recognise an output that has time folded into the batch.
        module: name, for the error.

    Raises:
        BadValue: if the output has no places (pooled, or a vector).
    """
    if output.ndim == 5 and (point is None or point.layout == "BCTHW"):
        return output
    known = point is not None and point.layout == "(BT)CHW" and output.ndim == 4 and len(output) % batch == 0
    if known or (point is None and output.ndim == 4 and len(output) == batch * frames):
        return output.reshape(batch, -1, *output.shape[1:]).transpose(1, 2)
    rule = f"its output has shape {tuple(output.shape)}: no channels over frames, rows and columns"
    raise BadValue(module, rule, "Name a layer before the pooling.")
