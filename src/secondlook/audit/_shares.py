"""A check of options that are shares."""

from __future__ import annotations

from secondlook.errors import BadValue


def share(name: str, value: float) -> float:
    """`value`, if it lies in [0, 1].

    Raises:
        BadValue: if it does not.
    """
    if not 0 <= value <= 1:
        raise BadValue(value, f"{name} must lie in [0, 1]")
    return value
