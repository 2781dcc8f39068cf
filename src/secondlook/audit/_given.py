"""Signals by name: which options and inputs each takes, options given as words, and what the signals say together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.audit._align import Aligned
    from secondlook.audit._scored import Scored

INPUTS = ("vectors", "embeddings", "run")
"""Keywords that are inputs: they have a flag of their own."""
_SHARED = (*INPUTS, "seed", "parts")
_TYPES = {int: "a whole number", float: "a number"}


def takes(signal: str) -> dict[str, inspect.Parameter]:
    """The keywords of a signal, inputs among them.

    Raises:
        UnknownName: if there is no such signal.
    """
    if signal not in catalog.names("audit"):
        raise UnknownName("signal", signal, catalog.names("audit"), "`secondlook list audit` shows all.")
    parameters = inspect.signature(catalog.find("audit", signal).score).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def given_options(signals: Sequence[str], texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["max_margin=0.2", "near_duplicates.threshold=0.9"]` for each signal: those of its keywords that were given.

    A name goes to every signal that knows it; with the signal's name before it, to that one.

    Raises:
        UnknownName: for a signal that is not there, or a name that none of them knows.
        BadValue: for a text without `=`, or a value of the wrong type.
    """
    known = {s: {n: p for n, p in takes(s).items() if n not in _SHARED} for s in signals}
    found: dict[str, dict[str, Any]] = {s: {} for s in signals}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadValue(text, "an option is NAME=VALUE", "For example -O max_margin=0.2.")
        signal, dot, plain = name.strip().rpartition(".")
        if dot and signal not in known:
            raise UnknownName("signal", signal, known)
        fits = [s for s in ([signal] if dot else signals) if plain in known[s]]
        if not fits:
            raise UnknownName("option", plain, [n for s in ([signal] if dot else signals) for n in known[s]])
        for s in fits:
            found[s][plain] = _value(s, known[s][plain], value.strip())
    return found


def _value(signal: str, parameter: inspect.Parameter, text: str) -> Any:
    hint = get_type_hints(catalog.find("audit", signal).score)[parameter.name]
    kind = type(parameter.default)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    elif not choices or text in choices:
        return text
    must = f"one of {', '.join(choices)}" if choices else _TYPES.get(kind, kind.__name__)
    raise BadValue(text, f"{parameter.name} of {signal} must be {must}", f"Left out it is {parameter.default!r}.")


def score_signals(
    aligned: Aligned, options: Mapping[str, Mapping[str, Any]], inputs: Mapping[str, Any], seed: int
) -> Scored:
    """What the signals say; together, by the options of `combined`, if there are several.

    Args:
        aligned: the videos and their models.
        options: the options of each signal by its name.
        inputs: what signals may take beside (`INPUTS`, by name); each is given what it takes.
        seed: for those that take one.

    Raises:
        BadValue: if a signal lacks what it needs.
    """
    known = {**inputs, "seed": seed}
    parts = {
        signal: catalog.find("audit", signal).score(
            aligned, **{name: known[name] for name in takes(signal) if name in known}, **given
        )
        for signal, given in options.items()
        if signal != "combined"
    }
    if len(parts) == 1:
        (alone,) = parts.values()
        return alone  # type: ignore[no-any-return]
    together: Scored = catalog.find("audit", "combined").score(aligned, parts=parts, **options["combined"])
    return together
