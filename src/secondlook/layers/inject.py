"""Injection: Squeeze and Recursion, or Class Regularisation, into any 3D network by module name, and out again.

`srtg-mtnet-classreg-visualisation`, items 57 and 101. What is injected becomes a child of the named module, `srtg` or
`class_regularisation`, and a forward hook applies it to what that module gives; a plain `nn.Sequential` just gets one
more step. So every name of the network stays what it was, weights that fitted it still fit, copies and state dicts
carry what was injected, and removal leaves the network as it was. Where both stand at one module, the one injected
first comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.class_regularisation import ClassRegularisation, check
from secondlook.layers.squeeze_recursion import RecursionSettings, SqueezeRecursion

SRTG = "srtg"
CLASS_REGULARISATION = "class_regularisation"
Where = Literal["output", "input"]


def inject_srtg(
    network: nn.Module,
    module_names: Sequence[str],
    *,
    channels: int | Mapping[str, int] | None = None,
    example: Tensor | None = None,
    where: Where = "output",
    settings: RecursionSettings | None = None,
    seed: int = 0,
) -> list[str]:
    """Puts Squeeze and Recursion with a temporal gate behind modules, in place; gives the names of what was put in.

    Args:
        network: any network in which the modules give (or, for `where="input"`, take) a map `B x C x T x H x W`.
        module_names: such as `layer1.0`, as `named_modules` has them; a block's shortcut or activation may be named
            too, which is how the placements of the source are had in a network that was not built here.
        channels: C at the modules, one for all or by name.
        example: a clip as the network takes it, from which C is found by one pass in evaluation mode; it is needed
            where `channels` is not given.
        where: behind the module, or before it (the source's `start`; its first argument is the map).
        settings: cell, layers, gates and the rest; the defaults when left out.
        seed: of the new weights. Torch's global generator is left alone.

    Raises:
        UnknownName: if there is no such module; names the nearest. Nothing has been changed then.
        BadValue: if C cannot be found, or a module has a recursion already or can have none. Likewise.
    """
    settings = settings or RecursionSettings()
    if where not in ("output", "input"):
        raise UnknownName("place of a recursion", str(where), ("output", "input"))
    targets = _targets(network, module_names, SRTG)
    widths = _widths(network, targets, channels, example, where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {name: settings.make(widths[name]) for name in targets}
    for name, target in targets.items():
        _put(network, target, SRTG, made[name], _srtg_after if where == "output" else _srtg_before, where)
    return [f"{name}.{SRTG}" for name in targets]


def inject_class_regularisation(
    network: nn.Module,
    rates: Mapping[str, float],
    classifier: str = "fc",
    *,
    channels: int | Mapping[str, int] | None = None,
    example: Tensor | None = None,
    selection: str = "sum",
    range: str = "one_sided",
    seed: int = 0,
) -> list[str]:
    """Puts Class Regularisation behind modules, in place; gives the names of what was put in.

    Each adds a map from the classifier's D channels to the module's C: `D C` weights and C biases. The source's rates
    are 0.9, 0.8, 0.7 and 0.6 behind four stages.

    Args:
        network: any network in which the modules give a map `B x C x T x H x W`.
        rates: affection rate by name of a module, as `named_modules` has them.
        classifier: name of the last linear layer, or of a convolution with a kernel of 1 in its place.
        channels: see `inject_srtg`.
        example: see `inject_srtg`.
        selection: see `ClassRegularisation`.
        range: see `ClassRegularisation`.
        seed: see `inject_srtg`.

    Raises:
        UnknownName: if there is no such module or classifier; names the nearest. Nothing has been changed then.
        BadValue: if C cannot be found, a rate is not in [0, 1], or a module can have no such child. Likewise.
    """
    for rate in rates.values():
        check(rate, selection, range)
    last = _named(network, classifier, "In the networks of secondlook it is head.classifier.")
    targets = _targets(network, list(rates), CLASS_REGULARISATION)
    widths = _widths(network, targets, channels, example, "output")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {
            name: ClassRegularisation(widths[name], last, rates[name], selection=selection, range=range)
            for name in targets
        }
    for name, target in targets.items():
        _put(network, target, CLASS_REGULARISATION, made[name], _regularised, "output")
    return [f"{name}.{CLASS_REGULARISATION}" for name in targets]


def remove_srtg(network: nn.Module, module_names: Sequence[str] | None = None) -> list[str]:
    """Takes out what `inject_srtg` put in: behind the modules named, or all; gives the modules' names.

    Raises:
        UnknownName: if there is none at a module; names the nearest that has one. Nothing has been changed then.
    """
    return _remove(network, module_names, SRTG, SqueezeRecursion)


def remove_class_regularisation(network: nn.Module, module_names: Sequence[str] | None = None) -> list[str]:
    """Takes out what `inject_class_regularisation` put in; see `remove_srtg`."""
    return _remove(network, module_names, CLASS_REGULARISATION, ClassRegularisation)


# Hooks are functions of the file and find what they apply in the module itself, so that a copy applies its own.
def _srtg_after(module: nn.Module, inputs: Any, output: Any) -> Any:
    return module.get_submodule(SRTG)(_map_of(output, module))


def _srtg_before(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
    first = inputs[0] if inputs else None
    return (module.get_submodule(SRTG)(_map_of(first, module)), *inputs[1:])


def _regularised(module: nn.Module, inputs: Any, output: Any) -> Any:
    return module.get_submodule(CLASS_REGULARISATION)(_map_of(output, module))


def _map_of(value: Any, module: nn.Module) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim != 5:
        shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        rule = f"{type(module).__name__} has no map B x C x T x H x W here"
        raise BadValue(shown, rule, "Name a module of the 3D part of the network.")
    return value


def _named(network: nn.Module, name: str, cure: str = "") -> nn.Module:
    known: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    if not name or name not in known:
        raise UnknownName("module", name, [n for n in known if n], cure)
    return known[name]


def _targets(network: nn.Module, names: Sequence[str], child: str) -> dict[str, nn.Module]:
    if isinstance(names, str):
        names = [names]
    if not names:
        raise BadValue(list(names), "at least one module must be named")
    targets: dict[str, nn.Module] = {}
    for name in names:
        module = _named(network, name)
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            raise BadValue(name, "is a list of modules, which gives no map of its own", "Name one of those in it.")
        if hasattr(module, child) or module in targets.values():
            raise BadValue(name, f"has a part {child!r} already", "Remove it first.")
        targets[name] = module
    return targets


def _widths(
    network: nn.Module,
    targets: Mapping[str, nn.Module],
    channels: int | Mapping[str, int] | None,
    example: Tensor | None,
    where: Where,
) -> dict[str, int]:
    """C at each target."""
    if channels is not None:
        of = channels if isinstance(channels, Mapping) else dict.fromkeys(targets, channels)
        for name in targets:
            if name not in of:
                raise BadValue(name, "its number of channels is not given", "Add it to channels, or give an example.")
            if isinstance(of[name], bool) or not isinstance(of[name], int) or of[name] < 1:
                raise BadValue(of[name], f"{name} must have a whole number of channels, at least 1")
        return {name: of[name] for name in targets}
    if example is None:
        raise BadValue(None, "the modules' numbers of channels are not known", "Give channels, or an example clip.")
    found: dict[str, int] = {}
    handles = []
    for name, target in targets.items():

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            value = output if where == "output" else (inputs[0] if inputs else None)
            found[name] = _map_of(value, module).shape[1]

        handles.append(target.register_forward_hook(note))
    try:
        with _evaluating(network), torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    for name in targets:
        if name not in found:
            raise BadValue(name, "the example clip never came by", "Name a module that the network calls.")
    return found


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each module's own mode again afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _put(
    network: nn.Module, target: nn.Module, child: str, made: nn.Module, hook: Callable[..., Any], where: Where
) -> None:
    like = next((p for p in (*target.parameters(), *network.parameters()) if p.is_floating_point()), None)
    if like is not None:
        made.to(like.device, like.dtype)
    made.train(target.training)
    if not _is_chain(target):
        target.add_module(child, made)
        if where == "output":
            target.register_forward_hook(hook)
        else:
            target.register_forward_pre_hook(hook)
        return
    steps = list(target.named_children()) if where == "input" else []
    for name, _ in steps:
        delattr(target, name)
    target.add_module(child, made)
    for name, step in steps:
        target.add_module(name, step)


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _remove(network: nn.Module, names: Sequence[str] | None, child: str, kind: type[nn.Module]) -> list[str]:
    known = {
        name: module
        for name, module in network.named_modules(remove_duplicate=False)
        if name and isinstance(getattr(module, child, None), kind)
    }
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in known:
            raise UnknownName(f"module with a part {child!r}", name, known)
    for name in chosen:
        module = known[name]
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if any(hook is ours for ours in _OF[child])]:
                del hooks[key]
        if hasattr(module, child):  # not, where one module stands under two names
            delattr(module, child)
    return chosen


_OF: Mapping[str, tuple[Callable[..., Any], ...]] = {
    SRTG: (_srtg_after, _srtg_before),
    CLASS_REGULARISATION: (_regularised,),
}
