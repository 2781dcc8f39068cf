"""How much memory a network's activations take for one clip: kept for training, and at the peak of inference."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.multiprocessing import reductions
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WeakRef: Any = reductions.StorageWeakRef
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Memory:
    """Bytes of activations for one clip in 32-bit floats; weights, their gradients and workspaces are not in it."""

    training_bytes: int
    """All that autograd keeps from the forward for the backward pass, each storage once; the clip is in it."""
    inference_bytes: int
    """The most that is alive at once in a forward pass without gradients; the clip is in it."""


def activation_memory(network: nn.Module, x_CTHW: tuple[int, int, int, int]) -> Memory:
    """Measures a network on one clip, on the device `meta`: nothing is computed.

    Attention is taken to be the fused one, which keeps its operands, its output and one number a query and head, and
    never the matrix of all pairs. Normalisations read their running values, so that one clip is enough.

    Args:
        network: any recogniser; left as it was (one that is not on `meta` is copied there first).
        x_CTHW: shape of the clip.
    """
    own = [*network.parameters(), *network.buffers()]
    if any(not t.is_meta for t in own):
        network = copy.deepcopy(network).to("meta")
        own = [*network.parameters(), *network.buffers()]
    modes = {module: module.training for module in network.modules()}
    weights = {t.untyped_storage()._cdata for t in own}
    try:
        with torch.random.fork_rng(devices=[]), _fused_attention():
            return Memory(_kept(network, x_CTHW, weights), _peak(network, x_CTHW, weights))
    finally:
        for module, training in modes.items():
            module.training = training


def _kept(network: nn.Module, x_CTHW: tuple[int, ...], weights: set[int]) -> int:
    network.train()
    for module in network.modules():
        if isinstance(module, _NORMS):
            module.eval()
    kept: dict[int, Tensor] = {}

    def keep(saved: Tensor) -> Tensor:
        kept.setdefault(saved.untyped_storage()._cdata, saved)
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        logits_BK = network(torch.empty(1, *x_CTHW, device="meta"))
    total: int = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)
    del logits_BK  # until here it held the graph, so that no storage's address was used twice
    return total


def _peak(network: nn.Module, x_CTHW: tuple[int, ...], weights: set[int]) -> int:
    network.eval()
    with torch.no_grad(), _Alive(weights) as alive:
        network(torch.empty(1, *x_CTHW, device="meta"))
    return int(alive.peak)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows which storages are alive, and keeps the largest sum of their sizes."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._weights = weights
        self._storages: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._storages = {k: v for k, v in self._storages.items() if not v[0].expired()}
        for value in tree_leaves(out):
            if isinstance(value, Tensor) and (place := value.untyped_storage()._cdata) not in self._weights:
                storage = value.untyped_storage()
                self._storages.setdefault(place, (_WeakRef(storage), storage.nbytes()))
        self.peak = max(self.peak, sum(size for _, size in self._storages.values()))
        return out


@contextmanager
def _fused_attention() -> Iterator[None]:
    """On `meta`, attention falls back to one that makes the matrix of all pairs; here the fused one stands in for it.

    It is put in its module, not in a `TorchFunctionMode`: such a mode is off inside `nn.MultiheadAttention`.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        attended: Tensor = _Attention.apply(query, key, value)  # type: ignore[no-untyped-call]
        return attended

    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with mock.patch.object(functional, "scaled_dot_product_attention", attend):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1]))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # never called: nothing is computed on `meta`
        raise NotImplementedError
