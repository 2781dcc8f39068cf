"""What a file of this room holds: how a code base names its tensors, and how to tell its files by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

CLASSIFIER = "head.classifier."
"""What every family here calls its last linear layer."""
Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of the tensors of a file, without wrapper and without `module.`, `model.`, `backbone.`."""


@dataclass(frozen=True)
class Layout:
    """A code base whose names we know. Each such file defines one, called `LAYOUT`."""

    about: str
    """Its name for people, with the repository."""
    rules: tuple[tuple[str, str], ...]
    """Regular expressions and their replacements, applied in order to each published name."""
    recognise: Callable[[Shapes], bool]
    """Whether a file is of this layout; at most one file of this room says so of any file."""
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    """Rewrites what a change of name cannot: splits fused tensors, folds normalisations, turns 1 x 1 convolutions into
    linear layers. Gets and gives published names; runs before `rules`."""
    adapt: Callable[[str, Tensor, tuple[int, ...]], Tensor | None] | None = None
    """A tensor (by our name) made to fit another shape, such as positions for longer clips; None if it cannot be."""
    refuse: Callable[[Shapes], str] | None = None
    """The rule broken by a file whose names are of this code base and whose network is none of ours; else empty."""
    caution: Callable[[Shapes], str] | None = None
    """What its names cannot tell of a file, in sentences; empty for nothing."""

    def rename(self, published: str) -> str:
        """Our name of a published tensor."""
        for pattern, replacement in self.rules:
            published = re.sub(pattern, replacement, published)
        return published


RESNET_TAIL = (
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^fc\.", CLASSIFIER),
)
"""What most ResNets share: `bn1`, `downsample.0`, `downsample.1`, `fc`."""
RESNET = ((r"^conv1\.", "stem.conv."), (r"^bn1\.", "stem.norm."), *RESNET_TAIL)
"""The same, with the stem's `conv1` and `bn1`."""
