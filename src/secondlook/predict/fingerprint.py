"""What a network says of one fixed clip: tells networks apart whose tensors have equal names and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, MissingFile


@dataclass(frozen=True)
class Fingerprint:
    """The logits of `waves` at a shape."""

    shape: tuple[int, int, int, int]
    """C, T, H, W of the clip."""
    logits_K: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """Reads what `to_dict` wrote."""
        return cls(tuple(data["shape"]), tuple(data["logits_K"]))


def waves(shape: tuple[int, int, int, int]) -> Tensor:
    """A clip that any language can compute, `x_BCTHW = sin(0.7 c + 0.5 t + 0.11 h + 0.13 w + 0.003 h w)`, B = 1."""
    c, t, h, w = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    return torch.sin(0.7 * c + 0.5 * t + 0.11 * h + 0.13 * w + 0.003 * h * w).float().unsqueeze(0)


@torch.no_grad()
def fingerprint(model: nn.Module, shape: tuple[int, int, int, int]) -> Fingerprint:
    """What a network says of `waves(shape)` in evaluation mode; the network is left as it was."""
    training = model.training
    try:
        logits_K = model.eval()(waves(shape))[0].double()
    finally:
        model.train(training)
    return Fingerprint(shape, tuple(logits_K.tolist()))


def difference(model: nn.Module, expected: Fingerprint) -> float:
    """Largest difference of the logits, as a share of the largest expected one.

    Raises:
        BadValue: if the network has another number of classes.
    """
    found = torch.tensor(fingerprint(model, expected.shape).logits_K)
    wanted = torch.tensor(expected.logits_K)
    if found.shape != wanted.shape:
        raise BadValue(len(wanted), f"the fingerprint has this many classes and the network {len(found)}")
    return ((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)).item()


def check(model: nn.Module, expected: Fingerprint, where: str | Path, tolerance: float = 1e-3) -> float:
    """The difference, if the network says what the fingerprint says.

    Raises:
        BadValue: if it says something else: the names fit, the network is another one.
    """
    apart = difference(model, expected)
    if not apart <= tolerance:
        rule = (
            f"its fingerprint does not match: every name fits, but the logits differ by {apart:.2g} of the largest "
            f"({tolerance:g} is allowed), so the published network computes something else"
        )
        raise BadValue(str(where), rule, "Build the variant and options that the weights are of.")
    return apart


def beside(path: Path) -> Fingerprint | None:
    """The fingerprint published with a file of weights, `FILE.fingerprint.json`, or None.

    Raises:
        BadValue: if that file is none.
    """
    note = path.with_name(path.name + ".fingerprint.json")
    return read(note) if note.is_file() else None


def read(path: Path) -> Fingerprint:
    """Reads a fingerprint from a JSON file with `shape` and `logits_K`.

    Raises:
        MissingFile: if there is none.
        BadValue: if it is no fingerprint.
    """
    if not path.is_file():
        raise MissingFile(path)
    try:
        found = Fingerprint.from_dict(json.loads(path.read_text(encoding="utf-8")))
        if len(found.shape) != 4 or not all(isinstance(v, float | int) for v in found.logits_K):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise BadValue(str(path), "is no fingerprint: JSON with shape (C, T, H, W) and logits_K") from None
    return found
