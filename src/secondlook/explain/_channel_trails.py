"""Follows channels through a forward pass: which earlier layer, and which of its channels, each channel comes from.

A *trail* lies beside every tensor: for each layer it comes from, whole numbers of the tensor's own shape (axes along
which nothing changes have length 1) that say which channel of that layer stands at each place, -1 for none. What an
operation does to the numbers is what it does to the places: views, permutations, concatenations move them, pointwise
operations, norms and pools leave them where they are. An operation that mixes channels ends a trail, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True, eq=False)
class Route:
    """The channels of one layer, as they stand in a tensor."""

    layer: int
    """Number of the layer."""
    index: Tensor
    """Channel of that layer at each place, -1 for none; as many axes as the tensor, each of its length or of 1."""


@dataclass(frozen=True, eq=False)
class Trail:
    """All that is known of where a tensor comes from."""

    routes: tuple[Route, ...] = ()
    lost: frozenset[str] = frozenset()
    """Why some of it cannot be followed further."""
    bounded: bool = False
    """Behind a sigmoid, tanh or softmax: a factor of this kind only rescales what it is multiplied with."""


def _names(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


SAME = _names(
    "clone detach alias _to_copy copy lift_fresh contiguous relu native_dropout _softmax _log_softmax",
    "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit _batch_norm_no_update",
    "_native_batch_norm_legit_no_training _batch_norm_with_update native_layer_norm native_group_norm _fused_rms_norm",
)
VIEWS = _names(
    "permute transpose t unsqueeze squeeze expand slice select split split_with_sizes unbind narrow unfold diagonal",
    "transpose_ unsqueeze_ squeeze_ t_",
)
RESHAPES = _names("view _unsafe_view reshape _reshape_alias")
MOVES = _names(
    "index index_select gather roll flip repeat as_strided",
    "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle",
)
REDUCTIONS = _names("mean sum amax amin max min prod logsumexp var std var_mean linalg_vector_norm norm")
ALONG = _names("cumsum cumprod sort topk")
BOUNDED = _names("sigmoid sigmoid_ tanh tanh_ hardsigmoid hardsigmoid_ _softmax")


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, `trails` holds the trail of every tensor that comes from one with a trail.

    Args:
        watcher: called with each tensor whose places are those of its inputs (pointwise, norm) and with its trail.
    """

    def __init__(self, watcher: Callable[[Tensor, Trail], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trails: Any = WeakTensorKeyDictionary()
        self._watcher = watcher

    def trail(self, value: object) -> Trail | None:
        """The trail of a tensor, if it has one."""
        found: Trail | None = self.trails.get(value) if isinstance(value, Tensor) else None
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs an operation as it is, then writes the trails of what it gave."""
        before = self._given(args)
        shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()  # before an in-place change
        result = func(*args, **(kwargs or {}))
        if before:
            self._pass_on(func, args, kwargs or {}, shape, result)
        return result

    def _given(self, args: Sequence[Any]) -> bool:
        flat = [a for arg in args for a in (arg if isinstance(arg, list | tuple) else (arg,))]
        return any(self.trail(a) is not None for a in flat)

    def _pass_on(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], shape: Any, result: Any) -> None:
        name = func.overloadpacket.__name__
        first = self.trail(args[0]) if args else None
        outputs = list(result) if isinstance(result, list | tuple) else [result]
        if name.endswith("_like") or name.startswith(("new_", "empty", "zero_", "fill_")):
            return
        whole = result._base if isinstance(result, Tensor) and result is args[0] else None
        if whole is not None and _layers(self.trail(args[1]) if len(args) > 1 else None) - _layers(first):
            self.trails[whole] = Trail((), frozenset({"a part of it is overwritten in place"}))
        if name == "copy_":
            self._write(outputs[0], self.trail(args[1]) or Trail())
        elif torch.Tag.pointwise in func.tags and isinstance(result, Tensor):
            self._write(result, self._pointwise(name, args, kwargs, result), places=True)
        elif name in SAME and first is not None:
            self._write(outputs[0], replace(first, bounded=first.bounded or name in BOUNDED), places=True)
        elif name in ("cat", "stack"):
            self._write(result, self._joined(name, args, kwargs))
        elif first is None:
            if name not in MOVES:  # there it is that of an index
                self._write(outputs[0], Trail((), frozenset({f"{name.strip('_')} mixes channels"})))
        elif name in VIEWS | RESHAPES | MOVES:
            for output, trail in zip(outputs, _moved(func, name, first, args, kwargs, shape, outputs), strict=True):
                self._write(output, trail)
        else:
            self._write(outputs[0], _shrunk(name, first, args, shape, outputs[0]))

    def _pointwise(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor) -> Trail:
        parts = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.dtype != torch.bool]
        known = [(a, trail) for a in parts if (trail := self.trail(a)) is not None]
        if name.rstrip("_") in ("mul", "div") and len(known) > 1:
            known = _without_gates(known, result)
        aligned = [
            Route(r.layer, r.index[(None,) * (result.ndim - r.index.ndim)]) for _, trail in known for r in trail.routes
        ]
        lost = frozenset[str]().union(*(trail.lost for _, trail in known))
        bounded = name in BOUNDED or (len(parts) == 1 and any(trail.bounded for _, trail in known))
        return Trail(_merged(aligned), lost, bounded)

    def _joined(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Trail:
        tensors = [t for t in args[0] if t.numel()]
        dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        trails = [self.trail(t) or Trail() for t in tensors]
        lost = frozenset[str]().union(*(t.lost for t in trails))
        axes = tensors[0].ndim + (name == "stack")
        dim %= axes
        opened = [
            [Route(r.layer, r.index.unsqueeze(dim) if name == "stack" else r.index) for r in t.routes] for t in trails
        ]
        sizes = [1 if name == "stack" else t.shape[dim] for t in tensors]
        single = name == "cat" and all(s == 1 for s in sizes) and all(r.index.numel() == 1 for t in opened for r in t)
        if not single and all(r.index.shape[dim] == 1 for t in opened for r in t):  # along time or places
            return Trail(_merged([r for t in opened for r in t]), lost)
        routes = []
        for place, own in enumerate(opened):
            for route in own:
                around = list(route.index.shape)
                parts = [route.index.new_full((*around[:dim], s, *around[dim + 1 :]), -1) for s in sizes]
                parts[place] = route.index.expand(*around[:dim], sizes[place], *around[dim + 1 :])
                routes.append(Route(route.layer, torch.cat(parts, dim)))
        return Trail(_merged(routes), lost)

    def _write(self, output: object, trail: Trail, *, places: bool = False) -> None:
        if not isinstance(output, Tensor):
            return
        self.trails[output] = trail
        if places:
            self._watcher(output, trail)


def _layers(trail: Trail | None) -> set[int]:
    return {route.layer for route in trail.routes} if trail else set()


def _without_gates(known: list[tuple[Tensor, Trail]], result: Tensor) -> list[tuple[Tensor, Trail]]:
    """Factors that only rescale are left out: smaller than the product, or behind a sigmoid where another is not."""
    whole = [(a, trail) for a, trail in known if a.numel() == result.numel()] or known
    return [(a, trail) for a, trail in whole if not trail.bounded] or whole


def _merged(routes: Sequence[Route]) -> tuple[Route, ...]:
    """Routes of one layer that nowhere contradict each other become one."""
    kept: list[Route] = []
    for route in routes:
        for at, other in enumerate(kept):
            if other.layer != route.layer:
                continue
            one, two = other.index, route.index
            if bool(((one == two) | (one < 0) | (two < 0)).all()):
                kept[at] = Route(route.layer, torch.maximum(one, two))
                break
        else:
            kept.append(route)
    return tuple(kept)


def _moved(
    func: Any,
    name: str,
    trail: Trail,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    shape: tuple[int, ...],
    outputs: Sequence[Tensor],
) -> list[Trail]:
    """The trails after an operation that only moves numbers about."""
    routes: list[list[Route]] = [[] for _ in outputs]
    for route in trail.routes:
        if name in RESHAPES:
            found = [reshaped(route.index, shape, tuple(outputs[0].shape))]
        else:
            plain = getattr(torch.ops.aten, name.rstrip("_"))
            plain = plain if name.endswith("_") else func
            given = plain(route.index.expand(shape), *args[1:], **kwargs)
            parts = list(given) if isinstance(given, list | tuple) else [given]
            found = [_contracted(p, by_value=name in MOVES) for p in parts]
        for own, index in zip(routes, found, strict=True):
            if bool((index >= 0).any()):
                own.append(Route(route.layer, index))
    return [Trail(tuple(own), trail.lost, trail.bounded) for own in routes]


def _contracted(index: Tensor, *, by_value: bool) -> Tensor:
    """Axes along which nothing changes get the length 1."""
    for axis in range(index.ndim):
        if index.shape[axis] > 1:
            first = index.narrow(axis, 0, 1)
            if index.stride(axis) == 0 or (by_value and bool((index == first).all())):
                index = first
    return index


def reshaped(index: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """The numbers after their tensor was reshaped; only axes that are merged with others are written out."""
    sizes_before, sizes_after = list(index.shape), []
    i = j = 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        from_old = from_new = 1
        if i < len(old):
            from_old, i = old[i], i + 1
        if j < len(new):
            from_new, j = new[j], j + 1
        while from_old != from_new:
            if from_old < from_new:
                from_old, i = from_old * old[i], i + 1
            else:
                from_new, j = from_new * new[j], j + 1
        if all(s == 1 for s in index.shape[start_i:i]):
            sizes_after += [1] * (j - start_j)
        else:
            sizes_before[start_i:i] = old[start_i:i]
            sizes_after += new[start_j:j]
    return _contracted(index.expand(sizes_before).reshape(sizes_after), by_value=True)


def _shrunk(name: str, trail: Trail, args: Sequence[Any], shape: tuple[int, ...], output: object) -> Trail:
    """The trail after a pooling, resizing, padding or reduction; lost where it runs over channels."""
    lost = Trail((), trail.lost | {f"{name.strip('_')} mixes channels"}) if trail.routes else trail
    if not isinstance(output, Tensor):
        return lost
    if name == "constant_pad_nd":
        return replace(trail, routes=tuple(Route(r.layer, _padded(r.index, args[1])) for r in trail.routes))
    if name in REDUCTIONS | ALONG:
        given = args[1] if len(args) > 1 and not isinstance(args[1], Tensor) else None
        over = [given] if isinstance(given, int) else list(given or range(len(shape)))
        over = [d % max(len(shape), 1) for d in over] if name not in ALONG or len(args) > 1 else [len(shape) - 1]
    elif any(word in name for word in ("pool", "upsample", "pad", "interpolate")):
        axes = next((n for n in (1, 2, 3) if f"{n}d" in name), 0)
        over = list(range(len(shape) - axes, len(shape))) if axes else list(range(len(shape)))
    else:
        return lost
    if any(r.index.shape[d] > 1 for r in trail.routes for d in over):
        return lost
    if output.ndim == len(shape):
        return trail
    gone = tuple(sorted(over))
    return replace(trail, routes=tuple(Route(r.layer, r.index.squeeze(gone)) for r in trail.routes))


def _padded(index: Tensor, pad: Sequence[int]) -> Tensor:
    kept = [p if index.shape[index.ndim - 1 - n // 2] > 1 else 0 for n, p in enumerate(pad)]
    return torch.constant_pad_nd(index, kept, -1)
