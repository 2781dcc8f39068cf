"""How Captum asks our networks: one clip on the network's device, the class checked, and nothing left behind.

Captum hangs hooks into a network, draws from the global random generator and warns of what it does; `asked` sees to it
that a network and its caller notice none of this, on every path.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.explain._hooks import as_batch, evaluating, explained_logit, logits_of, predicted_notes
from secondlook.video.transform import InputClip

Channels = Literal["sum", "sum_abs", "max_abs"]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Asked:
    """One clip as a network sees it, and what the network said."""

    model: nn.Module
    x_BCTHW: Tensor
    """The clip as a batch of one, on the network's device; a copy of its own, so that it may ask for gradients."""
    logits_BK: Tensor
    label: int

    @property
    def forward(self) -> Callable[[Tensor], Tensor]:
        """The network as Captum takes it: `x_BCTHW` -> `logits_BK`, checked."""
        return lambda x_BCTHW: logits_of(self.model, x_BCTHW)

    def notes(self) -> dict[str, Any]:
        """`logit`, `confidence` and `predicted` of the clip."""
        return dict(predicted_notes(self.logits_BK[0], self.label))


@contextmanager
def asked(model: nn.Module, clip: InputClip, label: int) -> Iterator[Asked]:
    """`evaluating`, with the clip on the network's device and its logits; hooks hung in meanwhile are removed.

    Captum's own warnings (that hooks are set, that an input will ask for gradients) are not passed on.

    Args:
        model: the network.
        clip: what is to be explained.
        label: class index.

    Raises:
        BadValue: if the label is not a class of the network.
    """
    before = {module: {name: set(getattr(module, name)) for name in _HOOKS} for module in model.modules()}
    try:
        with evaluating(model), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"captum\..*")
            x_BCTHW = as_batch(model, clip.x_CTHW).clone()
            with torch.no_grad():
                logits_BK = logits_of(model, x_BCTHW)
            explained_logit(logits_BK, label)
            yield Asked(model, x_BCTHW, logits_BK, label)
    finally:
        for module, hooks in before.items():
            for name in _HOOKS:
                for key in set(getattr(module, name)) - hooks[name]:
                    del getattr(module, name)[key]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global random generators (of every device) start from a seed; on leaving they are what they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def over_channels(values_BCTHW: Tensor, how: str) -> Tensor:
    """One number a place from one number a channel.

    Args:
        values_BCTHW: what a method gives for every value of the input.
        how: `sum` (signed; what the channels together say), `sum_abs` or `max_abs` (how much they say, either way).

    Returns:
        `heat_BTHW`, float32.

    Raises:
        BadValue: if there is no such way.
    """
    values_BCTHW = values_BCTHW.detach().float()
    if how == "sum":
        return values_BCTHW.sum(dim=1)
    if how == "sum_abs":
        return values_BCTHW.abs().sum(dim=1)
    if how == "max_abs":
        return values_BCTHW.abs().amax(dim=1)
    raise BadValue(how, f"channels must be one of {', '.join(get_args(Channels))}")
