"""Reads the softmax weights of every attention a network computes, whatever its family, and leaves no trace in it.

The forward pass runs under a mode that sees every call of `scaled_dot_product_attention`, of a softmax whose outcome is
then multiplied by something, and of `nn.MultiheadAttention`. Of the fused ones queries and keys are kept, not weights:
a large network's weights would not fit into memory, and are reckoned again piece by piece where they are asked for.

Shapes: M groups of tokens that see each other (clips, or clips x frames, or clips x places), H heads, Q queries, K
keys, d dimensions of a query, R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from secondlook.errors import BadValue
from secondlook.explain._hooks import evaluating

Fuse = Literal["mean", "max", "min"]
AT_ONCE = 2**25
"""Weights that are held at once (128 MiB in float32)."""
_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
_PRODUCTS = {torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm}


@dataclass(frozen=True)
class Attention:
    """One attention of a forward pass: how much every query looks at every key."""

    module: str
    """Dotted name of the innermost module that computed it."""
    attends: str
    """`all`, `time` or `space`: the attribute of that name of the module, which tokens see each other; or empty."""
    shape: tuple[int, int, int, int]
    """M, H, Q, K."""
    rows: Callable[[int, int], Tensor]
    """`rows(start, stop)`: the weights of these queries, `M x H x (stop - start) x K`; each row sums to 1."""

    def weights(self) -> Tensor:
        """All of them, `weights_MHQK`."""
        return self.rows(0, self.shape[2])

    def times(self, rows_RMQ: Tensor, fuse: str = "mean") -> Tensor:
        """`sum over q of rows[r, m, q] A[m, q, k]`, with A fused over the heads; `R x M x K`.

        Args:
            rows_RMQ: how much weight each query has.
            fuse: `mean` over heads; or `max` or `min`, whose rows are scaled to sum to 1 again.
        """
        groups, heads, queries, keys = self.shape
        step = max(1, AT_ONCE // max(1, groups * heads * keys))
        total_RMK = rows_RMQ.new_zeros((len(rows_RMQ), groups, keys))
        for start in range(0, queries, step):
            stop = min(start + step, queries)
            fused_MqK = fused(self.rows(start, stop).to(rows_RMQ.dtype), fuse)
            total_RMK += torch.einsum("rmq,mqk->rmk", rows_RMQ[:, :, start:stop], fused_MqK)
        return total_RMK


def fused(weights_MHQK: Tensor, fuse: str = "mean") -> Tensor:
    """One matrix of several heads, `weights_MQK`; its rows sum to 1.

    Raises:
        BadValue: if there is no such way.
    """
    check_fuse(fuse)
    if fuse == "mean":
        return weights_MHQK.mean(1)
    chosen_MQK = weights_MHQK.amax(1) if fuse == "max" else weights_MHQK.amin(1)
    total_MQ1 = chosen_MQK.sum(-1, keepdim=True)
    return torch.where(total_MQ1 > 0, chosen_MQK / total_MQ1.clamp_min(1e-30), weights_MHQK.mean(1))


def check_fuse(fuse: str) -> None:
    """Refuses a way to fuse heads that does not exist.

    Raises:
        BadValue: naming those that do.
    """
    if fuse not in get_args(Fuse):
        raise BadValue(fuse, f"heads must be fused by one of {', '.join(get_args(Fuse))}")


@contextmanager
def attending(model: nn.Module) -> Iterator[list[Attention]]:
    """`evaluating`, and every attention of the forward passes inside is listed, in order of computation.

    On leaving, also by an exception, hooks and mode are gone.
    """
    inside: list[nn.Module] = []
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, _inputs: Any) -> None:
        inside.append(module)

    def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        inside.pop()

    def where() -> tuple[str, str] | None:
        if not inside:
            return None
        return names[inside[-1]], next((str(m.attends) for m in reversed(inside) if hasattr(m, "attends")), "")

    with evaluating(model), ExitStack() as undo:
        for module in names:
            undo.callback(module.register_forward_pre_hook(enter).remove)
            undo.callback(module.register_forward_hook(leave).remove)
        mode = undo.enter_context(_Reading(where))
        yield mode.found


class _Reading(TorchFunctionMode):
    """Sees torch's functions being called."""

    def __init__(self, where: Callable[[], tuple[str, str] | None]) -> None:
        super().__init__()
        self.found: list[Attention] = []
        self._where = where
        self._softmaxes: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is functional.multi_head_attention_forward:
            return self._multi_head(args, given)
        output = func(*args, **given)
        if func is functional.scaled_dot_product_attention:
            self._fused(*args, **given)
        elif func in _SOFTMAX and output.ndim >= 3:
            self._softmaxes[output.data_ptr()] = output.detach()
        elif func in _PRODUCTS and isinstance(args[0], Tensor):
            weights = self._softmaxes.pop(args[0].data_ptr(), None)
            if weights is not None and weights.shape == args[0].shape and args[1].shape[-2] == weights.shape[-1]:
                self._keep(weights)
        return output

    def _keep(self, weights: Tensor) -> None:
        weights_MHQK = _four(weights.detach())
        shape = tuple(weights_MHQK.shape)
        self._add(shape, lambda start, stop: weights_MHQK[:, :, start:stop])

    def _add(self, shape: Sequence[int], rows: Callable[[int, int], Tensor]) -> None:
        groups, heads, queries, keys = shape
        if here := self._where():  # not outside the network
            self.found.append(Attention(*here, (groups, heads, queries, keys), rows))

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        query_MHQd, key_MHKd = _four(query.detach()), _four(key.detach())
        if key_MHKd.shape[1] != query_MHQd.shape[1]:
            key_MHKd = key_MHKd.repeat_interleave(query_MHQd.shape[1] // key_MHKd.shape[1], 1)
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        queries, keys = query.shape[-2], key.shape[-2]
        mask = None if attn_mask is None else attn_mask.detach().expand(*query.shape[:-1], keys)
        if is_causal:
            mask = (
                torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril().expand(*query.shape[:-1], keys)
            )
        mask_MHQK = None if mask is None else _four(mask)

        def rows(start: int, stop: int) -> Tensor:
            with torch.no_grad():
                scores = (query_MHQd[:, :, start:stop] @ key_MHKd.transpose(-1, -2)).float() * factor
                if mask_MHQK is not None:
                    part = mask_MHQK[:, :, start:stop]
                    scores = scores.masked_fill(~part, float("-inf")) if part.dtype == torch.bool else scores + part
                return torch.softmax(scores, -1)

        self._add((*query_MHQd.shape[:3], keys), rows)

    def _multi_head(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wanted, average = kwargs.get("need_weights", True), kwargs.get("average_attn_weights", True)
        kwargs |= {"need_weights": True, "average_attn_weights": False}
        output, weights = functional.multi_head_attention_forward(*args, **kwargs)
        assert weights is not None
        self._keep(weights if weights.ndim == 4 else weights[None])
        if not wanted:
            return output, None
        return output, (weights.mean(-3) if average else weights)


def _four(x: Tensor) -> Tensor:
    """`M x H x . x .`: further axes before the heads are groups; without heads there is one."""
    if x.ndim < 4:
        return x.reshape(-1, 1, *x.shape[-2:])
    return x.reshape(-1, *x.shape[-3:])
