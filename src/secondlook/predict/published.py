"""Weights published by other code bases -> our networks, with a report of what matched.

Key layouts: `../shared/design/peers.md`, table d. Files are read without running code from them: safetensors, or
`torch.load(weights_only=True)`.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from secondlook.errors import BadValue, MissingFile, UnknownName

_CLASSIFIER = "head.classifier."
_WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.")
_DAMAGED = (  # what the two readers raise for files that are cut off or overwritten
    *(SafetensorError, RuntimeError, EOFError, ValueError, LookupError),
    *(AttributeError, TypeError, AssertionError, OSError, struct.error),
)


@dataclass(frozen=True)
class Source:
    """A code base whose names we know."""

    about: str
    renames: tuple[tuple[str, str], ...]
    """Regular expressions and their replacements, applied in order to each name without `module.`."""
    recognise: Callable[[frozenset[str]], bool]
    """Whether a set of names is of this layout."""
    caution: str = ""
    """What its names cannot tell."""


_LAST = (
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^fc\.", _CLASSIFIER),
)
_RESNET_2D = (
    (r"^conv1\.", "stem.conv."),
    (r"^bn1\.", "stem.norm."),
    (r"^(layer\d\.\d+)\.net\.", r"\1.block."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"^(layer\d\.\d+(?:\.block)?)\.conv1\.(?:net\.)?weight$", r"\1.conv1.conv.weight"),
    *_LAST,
)

SOURCES: Mapping[str, Source] = {
    "secondlook": Source("a run of secondlook", (), lambda names: f"{_CLASSIFIER}weight" in names),
    "tsm": Source(
        "the TSM release (mit-han-lab/temporal-shift-module)",
        ((r"^base_model\.", ""), (r"^new_fc\.", _CLASSIFIER), *_RESNET_2D),
        lambda names: any(name.startswith("base_model.") for name in names),
        "Names tell neither the share of shifted channels nor the direction; the release's are one eighth, both ways.",
    ),
    "torchvision-2d": Source(
        "torchvision's 2D ResNet (ImageNet)",
        _RESNET_2D,
        lambda names: {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= names,
    ),
    "torchvision-r2plus1d": Source(
        "torchvision's R(2+1)D (IG-65M's releases have the same names)",
        (
            (r"^stem\.0\.", "stem.spatial."),
            (r"^stem\.1\.", "stem.norm1."),
            (r"^stem\.3\.", "stem.temporal."),
            (r"^stem\.4\.", "stem.norm2."),
            (r"\.conv(\d)\.0\.0\.", r".conv\1.spatial."),
            (r"\.conv(\d)\.0\.1\.", r".conv\1.norm."),
            (r"\.conv(\d)\.0\.3\.", r".conv\1.temporal."),
            (r"\.conv(\d)\.1\.", r".norm\1."),
            *_LAST,
        ),
        lambda names: {"stem.0.weight", "stem.3.weight"} <= names,
        "The SRTG repository gives these very names and shapes to a network with a further max-pool after the stem; "
        "names cannot tell the two apart, so check where the file comes from.",
    ),
    "torchvision-r3d": Source(
        "torchvision's R3D",
        (
            (r"^stem\.0\.", "stem.conv."),
            (r"^stem\.1\.", "stem.norm."),
            (r"\.conv(\d)\.0\.weight$", r".conv\1.weight"),
            (r"\.conv(\d)\.1\.", r".norm\1."),
            *_LAST,
        ),
        lambda names: {"stem.0.weight", "layer1.0.conv1.0.weight"} <= names,
    ),
}
"""Name -> layout, in the order in which they are tried."""


@dataclass(frozen=True)
class MatchReport:
    """What became of each tensor of a file and of a network."""

    path: str
    source: str
    """The layout it was read by: a name in `SOURCES`."""
    assumed: bool
    """The layout was recognised by its names, not given."""
    matched: tuple[str, ...]
    """Tensors of the network that hold the file's values."""
    missing: tuple[str, ...]
    """Tensors of the network that the file has not; they keep their fresh values."""
    unexpected: tuple[str, ...]
    """Tensors of the file that the network has not."""
    reshaped: tuple[str, ...]
    """Tensors of another shape in the file, left at their fresh values: `name: file's shape, network's shape`."""
    reinitialised: tuple[str, ...]
    """Tensors of the classifier that keep their fresh values, because the file has another number of classes."""
    adapted: tuple[str, ...] = ()
    """First-layer tensors whose input channels were averaged to fit (also counted as matched)."""
    notes: tuple[str, ...] = ()
    """Sentences a reader should know."""

    @property
    def complete(self) -> bool:
        """Nothing but the classifier is fresh, and nothing of the file is left over."""
        return not (self.missing or self.unexpected or self.reshaped)

    def words(self) -> str:
        """The report for people."""
        total = len(self.matched) + len(self.missing) + len(self.reshaped) + len(self.reinitialised)
        how = "taken for" if self.assumed else "read as"
        lines = [f"{self.path}, {how} {SOURCES[self.source].about}: {len(self.matched)} of {total} tensors matched."]
        for names, what in (
            (self.reinitialised, "Other number of classes; the classifier keeps fresh values"),
            (self.adapted, "Other input channels; each is the mean of the file's"),
            (self.reshaped, "Of another shape, left fresh"),
            (self.missing, "Not in the file, left fresh"),
            (self.unexpected, "In the file only, not used"),
        ):
            if names:
                more = f" and {len(names) - 6} more" if len(names) > 6 else ""
                lines.append(f"{what}: {', '.join(names[:6])}{more}.")
        return "\n".join([*lines, *self.notes])


def load_published(model: nn.Module, path: str | Path, source: str = "auto") -> MatchReport:
    """Fills a network with the tensors of another code base's file that fit it, and says which.

    A first convolution for another number of channels gets, for each channel, the mean over the file's channels
    (`late-temporal-bert`, section 1.4). A classifier for another number of classes stays as it was built.

    Args:
        model: a network from `models/`, freshly built.
        path: `.safetensors`, or a file of `torch.save`.
        source: a name in `SOURCES`, or `auto` to tell it from the names in the file.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it would run code, is no file of weights, has names of no known layout, or fits fewer than half
            of the layers before the classifier. The network is then as it was.
        UnknownName: if there is no such source.
    """
    if source not in ("auto", *SOURCES):
        raise UnknownName("source of weights", source, ("auto", *SOURCES))
    file = read_state(path)
    used = _recognise(frozenset(file), path) if source == "auto" else source
    own = model.state_dict()
    first = _first_convolution(model)
    filled: dict[str, Tensor] = {}
    other_shape: dict[str, str] = {}
    unexpected, reinitialised, adapted = [], [], []
    for published, tensor in file.items():
        name = rename(published, used)
        if name not in own or name in filled:
            unexpected.append(published)
        elif tensor.shape == own[name].shape:
            filled[name] = tensor
        elif name.startswith(_CLASSIFIER) and tensor.shape[1:] == own[name].shape[1:]:
            reinitialised.append(name)
        elif name == first and _same_but_channels(tensor, own[name]):
            filled[name] = adapt_channels(tensor, own[name].shape[1])
            adapted.append(name)
        else:
            other_shape[name] = f"{name}: {tuple(tensor.shape)}, {tuple(own[name].shape)}"
    layers = {name for name, tensor in own.items() if tensor.ndim > 1 and not name.startswith(_CLASSIFIER)}
    fit = len(layers & filled.keys())
    if 2 * fit < len(layers) or not fit:
        rule = f"read as {SOURCES[used].about}, it fits {fit} of this network's {len(layers)} layers, fewer than half"
        raise BadValue(str(path), rule, "Build the family and variant that the weights are of.")
    model.load_state_dict({**own, **filled})
    return MatchReport(
        path=str(path),
        source=used,
        assumed=source == "auto",
        matched=tuple(filled),
        missing=tuple(name for name in own if name not in {*filled, *reinitialised, *other_shape}),
        unexpected=tuple(unexpected),
        reshaped=tuple(other_shape.values()),
        reinitialised=tuple(reinitialised),
        adapted=tuple(adapted),
        notes=tuple(_notes(file, used)),
    )


def rename(published: str, source: str) -> str:
    """Our name of the tensor that `source` calls `published`."""
    name = published
    for pattern, replacement in SOURCES[source].renames:
        name = re.sub(pattern, replacement, name)
    return name


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution's weight for another number of input channels: each is the mean of the old ones."""
    return weight.mean(dim=1, keepdim=True).expand(-1, channels, *weight.shape[2:]).clone()


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without wrapper and `module.`, `model.`, `backbone.`; runs no code from the file.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it would run code, or is no file of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Download the weights first.")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            with warnings.catch_warnings():
                # torch warns of pickle protocols other than 2; what its safe reader cannot read, it refuses below.
                warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        rule = "is no plain file of tensors: reading it could run any code"
        cure = "If you trust it, save its tensors alone with safetensors.torch.save_file."
        raise BadValue(str(path), rule, cure) from error
    except _DAMAGED as error:
        raise BadValue(str(path), "is not a readable file of weights", "Download it again.") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {k: v for k, v in named if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise BadValue(str(path), "holds no tensors by name", "A file of `torch.save(model.state_dict(), path)` does.")
    for prefix in _PREFIXES:
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(bare) == len(tensors):  # no two names become one
            tensors = bare
    return tensors


def _recognise(names: frozenset[str], path: str | Path) -> str:
    if {"stem.0.weight", "layer1.0.conv1.0.0.weight"} <= names and "stem.3.weight" not in names:
        rule = "has the names of the SRTG repository's R3D, whose stem ends in a max-pool that ours has not"
        raise BadValue(str(path), rule, "Use weights in torchvision's layout.")
    for name, source in SOURCES.items():
        if source.recognise(names):
            return name
    known = "; ".join(source.about for source in SOURCES.values())
    rule = f"has names of no known source (such as {', '.join(sorted(names)[:3])})"
    raise BadValue(str(path), rule, f"Known: {known}.")


def _notes(names: Iterable[str], source: str) -> list[str]:
    notes = [SOURCES[source].caution] if SOURCES[source].caution else []
    if source == "tsm" and not any(".net." in name for name in names):
        notes.append("No convolution of the file was shifted: it is a TSN; build with shift_fraction=0 to run it so.")
    return notes


def _first_convolution(model: nn.Module) -> str:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            return f"{name}.weight"
    return ""


def _same_but_channels(a: Tensor, b: Tensor) -> bool:
    return a.ndim == b.ndim and a.shape[0] == b.shape[0] and a.shape[2:] == b.shape[2:]
