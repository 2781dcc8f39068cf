"""Where the numbered blocks of published MobileNetV2 files stand in our network."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACES = {
    0: "stem",
    1: "stem.block",
    **{i: f"layer1.{i - 2}" for i in (2, 3)},
    **{i: f"layer2.{i - 4}" for i in range(4, 7)},
    **{i: f"layer3.{i - 7}" for i in range(7, 14)},
    **{i: f"layer4.{i - 14}" for i in range(14, 19)},
}
"""`features.{i}` -> our module."""


def mobilenet_rules(first: Mapping[str, str], others: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Rules for the names of a MobileNetV2 whose layers are `features.0` to `features.18`.

    Args:
        first: what follows `features.1.conv.` -> its name in our block, for the block that does not widen.
        others: the same for `features.2.conv.` to `features.17.conv.`; a longer name before its beginning.
    """
    inside = [(rf"^features\.1\.conv\.{re.escape(name)}\.", f"features.1.{ours}.") for name, ours in first.items()]
    inside += [(rf"^(features\.\d+)\.conv\.{re.escape(name)}\.", rf"\1.{ours}.") for name, ours in others.items()]
    inside += [(r"^(features\.(?:0|18))\.0\.", r"\1.conv."), (r"^(features\.(?:0|18))\.1\.", r"\1.norm.")]
    return (*inside, *((rf"^features\.{i}\.", f"{place}.") for i, place in _PLACES.items()))
