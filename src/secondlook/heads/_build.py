"""A head by its name, its options checked: the unknown is named with the nearest, what cannot be is refused."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName


def options_of(plugin: ModuleType) -> tuple[str, ...]:
    """Names of what a head's `build` takes beyond channels, frames, classes and dropout."""
    parameters = inspect.signature(plugin.build).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "dropout")


def build_head(
    name: str,
    channels: int | Sequence[int],
    frames: int,
    num_classes: int,
    dropout: float,
    options: Mapping[str, Any] | None,
) -> nn.Module:
    """The head `name`.

    Args:
        name: a file in `heads/`.
        channels: C of the features; a sequence of the stages' channels for a head that reads stages.
        frames: T of the features.
        num_classes: K.
        dropout: share of the features dropped in training before the classifier.
        options: what the head takes beyond.

    Raises:
        UnknownName: if there is no such head, or it has no such option; names the nearest.
        BadValue: if an option has a value that cannot be.
    """
    plugin = catalog.find("heads", name)
    known = options_of(plugin)
    if not isinstance(options, Mapping | None):
        raise BadValue(options, "options of a head are a mapping from names to values", 'For example {"layers": 2}.')
    for option in options or {}:
        if option not in known:
            raise UnknownName(f"option of the head {name},", str(option), known)
    head: nn.Module = plugin.build(channels, frames, num_classes, dropout=dropout, **(options or {}))
    return head


def heads_over_one_map() -> list[str]:
    """Names of the heads that may follow something inside another head: of any map, in training and evaluation."""
    plugins = {name: catalog.find("heads", name) for name in catalog.names("heads") if name != "single_frame"}
    other = ("READS_STAGES", "READS_PATHWAYS", "EMBEDS")
    return [n for n, p in plugins.items() if not any(hasattr(p, mark) for mark in other)]


def parts(head: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A head taken apart: what gives the vector that it classifies, its dropout, and its classifier."""
    dropout, classifier = head.get_submodule("dropout"), head.get_submodule("classifier")
    head.dropout, head.classifier = nn.Identity(), nn.Identity()
    return head, dropout, classifier


def whole(value: object, name: str) -> int:
    """The value, if it is a whole number of at least 1.

    Raises:
        BadValue: if not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValue(value, f"{name} must be a whole number of at least 1")
    return value


def share(value: object, name: str) -> float:
    """The value, if it is a share in [0, 1).

    Raises:
        BadValue: if not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise BadValue(value, f"{name} must lie in [0, 1)")
    return float(value)


def flag(value: object, name: str) -> bool:
    """The value, if it is true or false.

    Raises:
        BadValue: if not.
    """
    if not isinstance(value, bool):
        raise BadValue(value, f"{name} must be true or false")
    return value


def choice(value: object, name: str, known: Iterable[str]) -> str:
    """The value, if it is one of those known.

    Raises:
        UnknownName: if not; names the nearest.
    """
    if value not in (names := tuple(known)):
        raise UnknownName(name, str(value), names)
    return str(value)
