"""Reads what a network computes on its way to its logits, by hooks: the pooled features, the tokens of a BERT head.

Shapes: B clips, T frames of the features, N tokens, C channels, D dimensions of a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.heads.bert import BertHead


class Tap:
    """Keeps what passed through a module in the last forward pass; `take` gives it once.

    Args:
        module: where to listen.
        of: what to keep: `input` or `output` of the module.
        then: applied to what is kept.
    """

    def __init__(self, module: nn.Module, of: str, then: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self._kept: Tensor | None = None
        self._then = then
        if of == "input":
            self._handle = module.register_forward_pre_hook(self._before)
        else:
            self._handle = module.register_forward_hook(self._after)

    def _before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._kept = inputs[0]

    def _after(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._kept = output

    def take(self) -> Tensor:
        """What was kept, which is then forgotten."""
        kept, self._kept = self._kept, None
        assert kept is not None, "no forward pass since the last call"
        return self._then(kept)

    def close(self) -> None:
        """Stops listening."""
        self._handle.remove()


def pooled_tap(network: nn.Module, card: ModelCard) -> Tap:
    """Listens to the vector that the classifier reads, `f_BC`, before dropout.

    Places that a classifier reads one by one are averaged.
    """
    parent, _, _ = card.explain.classifier.rpartition(".")
    before = getattr(network.get_submodule(parent), "dropout", None)
    if not isinstance(before, nn.Dropout):
        before = network.get_submodule(card.explain.classifier)
    return Tap(before, "input", lambda x: x if x.ndim == 2 else x.flatten(1, -2).mean(1))


def bert_outputs_tap(network: nn.Module) -> Tap:
    """Listens to the frames' tokens after a BERT head's encoder, `y_BTD`.

    Raises:
        BadValue: if the network has no BERT head, or two.
    """
    head = bert_head(network)
    if head is None:
        rule = "has no BERT head, whose outputs this distillation teaches"
        raise BadValue(type(network).__name__, rule, "Give --head bert (or frab), or --distillation mars.")
    frames = head.frames
    return Tap(head.encoder, "output", lambda y_BND: y_BND[:, -frames:])


def bert_head(network: nn.Module) -> BertHead | None:
    """The network's BERT head, at whatever depth; None if there is none.

    Raises:
        BadValue: if there are two.
    """
    found = [module for module in network.modules() if isinstance(module, BertHead)]
    if len(found) > 1:
        raise BadValue(len(found), "BERT heads in one network: nothing says which is meant", "Take early fusion.")
    return found[0] if found else None
