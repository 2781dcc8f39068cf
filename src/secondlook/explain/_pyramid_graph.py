"""The graph of a class feature pyramid: layers, their chosen kernels, the links between them; as JSON and as DOT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

CLASS = "class"
"""Name of the top of the pyramid, which has one kernel, the class."""
TOGETHER = -1
"""Parent kernel of a link that all chosen kernels of the parent layer share (layer-wise)."""


@dataclass(frozen=True)
class PyramidLayer:
    """The chosen kernels of one layer."""

    name: str
    level: int
    """Layers on the longest way to the class, itself included; without places it does not count itself."""
    kind: str
    """`convolution` or `linear`."""
    channels: int
    """Kernels that the layer has."""
    grid: tuple[int, int, int] | None
    """t, h, w of what it gives out; None where it has no places."""
    kernels: tuple[int, ...]
    """The chosen ones, ascending."""
    strengths: tuple[float, ...]
    """In [0, 1], of each chosen kernel: the strongest link that leads to it."""
    end: str = ""
    """Why the pyramid does not go on below, or not on every way; empty where it does."""


@dataclass(frozen=True)
class Bundle:
    """The links between two layers, as columns."""

    parent: str
    child: str
    ones: int
    """One-valued layers that stand on this way so that it is as long as the longest: 0 where nothing is skipped."""
    parent_kernels: tuple[int, ...]
    """`TOGETHER` where the layer's chosen kernels were taken together."""
    child_kernels: tuple[int, ...]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Pyramid:
    """Which kernels of which layers speak for a class in a clip, from the class weights down."""

    label: int
    theta: float
    select: str
    mode: str
    depth: int
    top: int
    start: str
    """`weights` of the classifier, or `gradient` at a stage, where they cannot be followed to one."""
    layers: tuple[PyramidLayer, ...] = ()
    """By level, those nearest to the class first."""
    bundles: tuple[Bundle, ...] = ()
    end: str = ""
    """Why some of the classifier's input was not followed."""

    def layer(self, name: str) -> PyramidLayer:
        """A layer by its name."""
        return next(layer for layer in self.layers if layer.name == name)

    def parents(self, child: str) -> dict[str, dict[int, list[int]]]:
        """Parent layer -> its kernel -> the kernels of `child` that it leads to."""
        found: dict[str, dict[int, list[int]]] = {}
        for bundle in self.bundles:
            if bundle.child == child:
                own = found.setdefault(bundle.parent, {})
                for j, i in zip(bundle.parent_kernels, bundle.child_kernels, strict=True):
                    own.setdefault(j, []).append(i)
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pyramid:
        """Reads what `to_dict` wrote."""
        layers = [
            PyramidLayer(**_tuples(entry | {"grid": tuple(entry["grid"]) if entry["grid"] else None}))
            for entry in data["layers"]
        ]
        bundles = [Bundle(**_tuples(entry)) for entry in data["bundles"]]
        rest = {k: v for k, v in data.items() if k not in ("layers", "bundles")}
        return cls(**rest, layers=tuple(layers), bundles=tuple(bundles))

    def to_dot(self) -> str:
        """Text for Graphviz: a cluster a layer, a node a chosen kernel, a link with its strength as weight.

        A layer-wise link leaves the cluster's node `<layer>`.
        """
        lines = ["digraph pyramid {", "  rankdir=TB;", "  node [shape=circle];"]
        lines.append(f'  "{CLASS}:{self.label}" [label="class {self.label}", shape=box];')
        for number, layer in enumerate(self.layers):
            lines.append(f"  subgraph cluster_{number} {{")
            lines.append(f"    label={_quoted(layer.name)};")
            if any(b.parent == layer.name and TOGETHER in b.parent_kernels for b in self.bundles):
                lines.append(f"    {_quoted(layer.name)} [shape=box, level={layer.level}];")
            for j, strength in zip(layer.kernels, layer.strengths, strict=True):
                lines.append(f'    {_quoted(f"{layer.name}:{j}")} [label="{j}", strength={strength:.4f}];')
            lines.append("  }")
        for bundle in self.bundles:
            style = f", style=dashed, ones={bundle.ones}" if bundle.ones else ""
            for j, i, strength in zip(bundle.parent_kernels, bundle.child_kernels, bundle.strengths, strict=True):
                parent = bundle.parent if j == TOGETHER else f"{bundle.parent}:{j}"
                parent = f"{CLASS}:{self.label}" if bundle.parent == CLASS else parent
                target = _quoted(f"{bundle.child}:{i}")
                lines.append(f"  {_quoted(parent)} -> {target} [weight={strength:.4f}{style}];")
        return "\n".join([*lines, "}", ""])


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
