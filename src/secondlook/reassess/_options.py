"""Options of a rule: a frozen dataclass, filled from names and values as a person types them."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from secondlook.errors import BadValue, UnknownName

T = TypeVar("T")


def parse(texts: Sequence[str]) -> dict[str, str]:
    """Options written as `name=value`; `-` in a name reads as `_`.

    Raises:
        BadValue: if there is no `=`, or a name comes twice.
    """
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise BadValue(text, "an option must be written as name=value")
        if name in options:
            raise BadValue(text, f"option {name} is given twice")
        options[name] = value.strip()
    return options


def read(kind: type[T], options: Mapping[str, Any]) -> T:
    """The dataclass `kind` with these options set.

    Raises:
        UnknownName: if it has no such option.
        BadValue: if a value is none of those its `Literal` names, or not the number its type says.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in hints:
            raise UnknownName("option", name, hints)
        hint = hints[name]
        allowed = typing.get_args(hint)
        if allowed:
            if value not in allowed:
                raise BadValue(value, f"{name} must be one of {', '.join(allowed)}")
            values[name] = value
            continue
        try:
            values[name] = hint(value)
        except ValueError:
            raise BadValue(value, f"{name} must be a number ({hint.__name__})") from None
    return kind(**values)
