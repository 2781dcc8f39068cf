"""Options of the methods: what each is called, of what type, and what a word on the command line stands for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName

_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_TYPES = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Option:
    """One keyword of a method."""

    name: str
    default: Any
    choices: tuple[str, ...] = ()
    """The words it may be, where the method's signature says so."""

    def words(self) -> str:
        """As a list shows it: `weights=channel (channel, channel_time)`."""
        shown = str(self.default).lower() if isinstance(self.default, bool) else self.default
        return f"{self.name}={shown}" + (f" ({', '.join(self.choices)})" if self.choices else "")


def options_of(method: str) -> dict[str, Option]:
    """The keywords of a method, by name.

    Raises:
        UnknownName: if there is no such method.
    """
    explain = catalog.find("explain", method).explain
    hints = get_type_hints(explain)
    found = {}
    for parameter in inspect.signature(explain).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            hint = hints.get(parameter.name)
            choices = get_args(hint) if get_origin(hint) is Literal else ()
            found[parameter.name] = Option(parameter.name, parameter.default, tuple(map(str, choices)))
    return found


def value_of(option: Option, text: str) -> Any:
    """What a word stands for, by the type of the option's default.

    Raises:
        BadValue: with the type, and the choices where there are any.
    """
    text = text.strip()
    kind = type(option.default)
    if kind is bool:
        if text.lower() in (*_YES, *_NO):
            return text.lower() in _YES
    elif kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    elif not option.choices or text in option.choices:
        return text
    must = f"one of {', '.join(option.choices)}" if option.choices else _TYPES.get(kind, kind.__name__)
    raise BadValue(text, f"{option.name} must be {must}", f"Left out it is {option.default!r}.")


def given_options(methods: Sequence[str], texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["steps=20", "channels=sum"]` for each method: those of its own keywords that were given.

    Args:
        methods: names of methods.
        texts: `NAME=VALUE`; with several methods each gets what it knows.

    Raises:
        UnknownName: for a method that is not there, or a name that none of the methods knows.
        BadValue: for a text without `=`, a name given twice, or a value of the wrong type.
    """
    known = {method: options_of(method) for method in methods}
    found: dict[str, dict[str, Any]] = {method: {} for method in methods}
    seen = set()
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise BadValue(text, "an option is written NAME=VALUE", "For example --option steps=20.")
        if name in seen:
            raise BadValue(text, f"{name} is given twice", "Give it once.")
        seen.add(name)
        having = [method for method in methods if name in known[method]]
        if not having:
            names = dict.fromkeys(n for options in known.values() for n in options)
            raise UnknownName(
                f"option of {', '.join(methods)}", name, names, "`secondlook explain RUN --list` shows all."
            )
        for method in having:
            found[method][name] = value_of(known[method][name], value)
    return found
