"""Sizes and options as people type them."""

from __future__ import annotations

import pytest

from secondlook.cli._words import height_width, options
from secondlook.errors import BadValue


def test_sizes() -> None:
    assert height_width("") == (None, None)
    assert height_width(" 56X72 ") == (56, 72)
    for wrong in ("112", "0x5", "5x0", "axb", "5x5x5", "-5x5"):
        with pytest.raises(BadValue, match="HEIGHTxWIDTH"):
            height_width(wrong)


def test_options() -> None:
    given = ["layers=2", "then=concat", "grid=[4,2,2]", "on=true", "none=null", "text=a=b"]
    wanted = {"layers": 2, "then": "concat", "grid": [4, 2, 2], "on": True, "none": None, "text": "a=b"}
    assert options(given) == wanted
    for wrong in (["layers"], ["=3"], ["a=1", "a=2"]):
        with pytest.raises(BadValue):
            options(wrong)
