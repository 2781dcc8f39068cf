"""Words on the command line that stand for more than one value: HxW sizes, NAME=VALUE options."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from secondlook.errors import BadValue


def height_width(text: str) -> tuple[int | None, int | None]:
    """`112x112` as two numbers; nothing as (None, None).

    Raises:
        BadValue: if it is written otherwise.
    """
    if not text:
        return None, None
    match = re.fullmatch(r"0*([1-9]\d*)x0*([1-9]\d*)", text.strip().lower())
    if match is None:
        raise BadValue(text, "a size is written HEIGHTxWIDTH, in pixels", "For example --size 112x112.")
    return int(match[1]), int(match[2])


def numbers(text: str) -> tuple[int, ...]:
    """`40,70` as whole numbers; nothing as none.

    Raises:
        BadValue: if it is written otherwise.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal():
            raise BadValue(part, "is no whole number", "Join them by commas: 40,70.")
    return tuple(int(part) for part in parts)


def options(texts: Sequence[str]) -> dict[str, Any]:
    """`["layers=2", "then=concat"]` as `{"layers": 2, "then": "concat"}`: values are JSON where they can be, else text.

    Raises:
        BadValue: if one has no `=`, or a name comes twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadValue(text, "an option is written NAME=VALUE", "For example --head-option layers=2.")
        if name in found:
            raise BadValue(text, f"{name} is given twice", "Give it once.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
