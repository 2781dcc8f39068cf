"""Weights published by other code bases -> our networks, with a report of what matched.

Each file in `checkpoints/` knows one code base's names. Files are read without running code from them: safetensors, or
`torch.load(weights_only=True)`.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from secondlook import catalog
from secondlook.checkpoints._layout import CLASSIFIER, Layout
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.models._recogniser import Limits
from secondlook.predict import fingerprint

_WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "module")
_PREFIXES = ("module.", "model.", "backbone.")
_DAMAGED = (  # what the two readers raise for files that are cut off or overwritten
    *(SafetensorError, RuntimeError, EOFError, ValueError, LookupError),
    *(AttributeError, TypeError, AssertionError, OSError, struct.error),
)


@dataclass(frozen=True)
class MatchReport:
    """What became of each tensor of a file and of a network."""

    path: str
    source: str
    """The layout it was read by: a file in `checkpoints/`."""
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
    inflated: tuple[str, ...] = ()
    """2D kernels that were repeated along time (also counted as matched)."""
    stretched: tuple[str, ...] = ()
    """Positions that were fitted to clips of another length (also counted as matched)."""
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
        lines = [f"{self.path}, {how} {layout_of(self.source).about}: {len(self.matched)} of {total} tensors matched."]
        for names, what in (
            (self.reinitialised, "Other number of classes; the classifier keeps fresh values"),
            (self.adapted, "Other input channels; each is the mean of the file's"),
            (self.inflated, "2D kernels, repeated along time and divided by its length"),
            (self.stretched, "Positions for clips of another length, fitted"),
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
        source: a file in `checkpoints/`, or `auto` to tell it from the names in the file.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it would run code, is no file of weights, has names of no known layout, or fits fewer than half
            of the layers before the classifier, or has a fingerprint beside it (`FILE.fingerprint.json`) that the
            network does not give. The network is then as it was.
        UnknownName: if there is no such source.
    """
    known = catalog.names("checkpoints")
    if source not in ("auto", *known):
        raise UnknownName("source of weights", source, ("auto", *known))
    file = read_state(path)
    used = recognise(file, path) if source == "auto" else source
    layout = layout_of(used)
    caution = layout.caution({name: tuple(tensor.shape) for name, tensor in file.items()}) if layout.caution else ""
    if layout.prepare:
        file = layout.prepare(file)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = _first_convolution(model)
    filled: dict[str, Tensor] = {}
    other_shape: dict[str, str] = {}
    unexpected, reinitialised, adapted, inflated, stretched = [], [], [], [], []
    for published, tensor in file.items():
        name = own_name(layout.rename(published), own)
        if name in own and tensor.ndim == 4 and own[name].ndim == 5 and tensor.shape[2:] == own[name].shape[3:]:
            tensor = inflate(tensor, own[name].shape[2])
            inflated.append(name)
        if layout.adapt and name in own and tensor.shape != own[name].shape:
            fitted = layout.adapt(name, tensor, tuple(own[name].shape))
            if fitted is not None:
                tensor = fitted
                stretched.append(name)
        if name not in own or name in filled:
            unexpected.append(published)
        elif tensor.shape == own[name].shape:
            filled[name] = tensor
        elif name.startswith(CLASSIFIER) and tensor.shape[1:] == own[name].shape[1:]:
            reinitialised.append(name)
        elif name == first and _same_but_channels(tensor, own[name]):
            filled[name] = adapt_channels(tensor, own[name].shape[1])
            adapted.append(name)
        else:
            other_shape[name] = f"{name}: {tuple(tensor.shape)}, {tuple(own[name].shape)}"
    layers = {name for name, tensor in own.items() if tensor.ndim > 1 and not name.startswith(CLASSIFIER)}
    fit = len(layers & filled.keys())
    if 2 * fit < len(layers) or not fit:
        rule = f"read as {layout.about}, it fits {fit} of this network's {len(layers)} layers, fewer than half"
        raise BadValue(str(path), rule, "Build the family and variant that the weights are of.")
    expected = fingerprint.beside(Path(path))
    model.load_state_dict({**own, **filled})
    notes = [caution] if caution else []
    changed = adapted or inflated or stretched
    if expected and len(filled) == len(own) and not changed and _can_take(model, expected):
        try:
            notes.append(f"Its fingerprint matches (logits within {fingerprint.check(model, expected, path):.1g}).")
        except BadValue:
            model.load_state_dict(own)
            raise
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
        inflated=tuple(inflated),
        stretched=tuple(stretched),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class FileFacts:
    """What a file of weights is, told by its names."""

    source: str
    tensors: int
    values: int
    classes: int | None
    """Of its classifier; None if it has none."""


def facts(path: str | Path, source: str = "auto") -> FileFacts:
    """Tells a file's code base and number of classes.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it would run code, is no file of weights, or has names of no known layout.
        UnknownName: if there is no such source.
    """
    file = read_state(path)
    used = recognise(file, path) if source == "auto" else source
    layout = layout_of(used)
    for name, tensor in (layout.prepare(dict(file)) if layout.prepare else file).items():
        if layout.rename(name) == f"{CLASSIFIER}weight":
            return FileFacts(used, len(file), sum(t.numel() for t in file.values()), tensor.shape[0])
    return FileFacts(used, len(file), sum(t.numel() for t in file.values()), None)


def layout_of(source: str) -> Layout:
    """The names of one code base: a file in `checkpoints/`."""
    layout: Layout = catalog.find("checkpoints", source).LAYOUT
    return layout


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution's weight for another number of input channels: each is the mean of the old ones."""
    return weight.mean(dim=1, keepdim=True).expand(-1, channels, *weight.shape[2:]).clone()


def inflate(weight_OIHW: Tensor, frames: int) -> Tensor:
    """A 2D kernel for T frames, `w_OITHW = w_OIHW / T` (`late-temporal-bert`, section 1.3).

    On a still video it gives, away from the first and last frames, what the 2D kernel gives on one.
    """
    return weight_OIHW.unsqueeze(2).expand(-1, -1, frames, -1, -1).div(frames)


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


def recognise(file: Mapping[str, Tensor], path: str | Path) -> str:
    """The code base whose names a file has.

    Raises:
        BadValue: if there is none, or the network that has such names is none of ours.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in file.items()}
    layouts = {name: layout_of(name) for name in catalog.names("checkpoints")}
    for name, layout in layouts.items():
        if layout.recognise(shapes):
            rule = layout.refuse(shapes) if layout.refuse else ""
            if rule:
                raise BadValue(str(path), rule, f"Use weights of {layout.about}.")
            return name
    known = "; ".join(layout.about for layout in layouts.values())
    rule = f"has names of no known source (such as {', '.join(sorted(shapes)[:3])})"
    raise BadValue(str(path), rule, f"Known: {known}.")


def own_name(name: str, own: Mapping[str, Tensor]) -> str:
    """The name itself, or that of the convolution which a family here wraps in a module (`conv1.conv` for `conv1`)."""
    wrapped = re.sub(r"\.(conv\d)\.(weight|bias)$", r".\1.conv.\2", name)
    return wrapped if name not in own and wrapped in own else name


def _can_take(model: nn.Module, expected: fingerprint.Fingerprint) -> bool:
    """Whether a network was built for clips like that of a fingerprint."""
    limits: Limits | None = getattr(model, "limits", None)
    return limits is None or not limits.broken(*expected.shape[1:])


def _first_convolution(model: nn.Module) -> str:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and not name.startswith("head."):
            return f"{name}.weight"
    return ""


def _same_but_channels(a: Tensor, b: Tensor) -> bool:
    return a.ndim == b.ndim and a.shape[0] == b.shape[0] and a.shape[2:] == b.shape[2:]
