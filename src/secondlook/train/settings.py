"""Settings of a training: typed, checked, saved as JSON beside the weights they led to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from secondlook.errors import BadValue, UnknownName

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "none"]
Precision = Literal["32", "bf16", "16"]
Crop = Literal["auto", "none", "random", "multi_scale", "zoom"]

DEFAULT_LEARNING_RATE: Mapping[str, float] = {"sgd": 0.01, "adamw": 0.001}

FREE = ("devices", "workers", "cache", "timeout_s", "root")
"""Settings that say how the work is done, not what comes out: a run may be continued with others."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything a training depends on, beside the videos table.

    Raises:
        BadValue: if a number is out of range, or two settings exclude each other.
        UnknownName: if a word is not one of those that are known.
    """

    model: str = "tsm:r18"
    """`family:variant`; `secondlook list models` shows the families."""
    head: str = ""
    """Late temporal head by name; empty: the family's own."""
    head_options: Mapping[str, Any] = field(default_factory=dict)
    """What the head takes beyond the defaults, such as `{"layers": 2}`; JSON values."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the family takes beyond the defaults, such as `{"shift_fraction": 0.25}`; JSON values."""
    freeze: tuple[str, ...] = ()
    """Modules that are not trained, such as `stem` and `layer1`; `backbone`: all but the head."""
    epochs: int = 30
    batch_size: int = 16
    """Clips of a step on each device, at most: an epoch is cut into batches that differ by one clip."""
    accumulate: int = 1
    """Steps whose gradients are summed up before the weights move."""
    optimizer: Optimizer = "adamw"
    """`sgd` has momentum 0.9."""
    learning_rate: float | None = None
    """At its peak; None: 0.01 for sgd, 0.001 for adamw."""
    weight_decay: float = 1e-4
    """Of weight matrices and kernels; biases and the scales of normalisations are left alone."""
    schedule: Schedule = "cosine"
    """`cosine`: down to 0 along half a cosine. `none`: stays."""
    warmup_epochs: float = 1.0
    """The learning rate rises from near 0 in a straight line over this many epochs."""
    label_smoothing: float = 0.0
    dropout: float | None = None
    """Share of features dropped before the classifier; None: as the model's card says."""
    frames: int | None = None
    """T; None: as the model's card says, as for all of the input recipe below."""
    height: int | None = None
    width: int | None = None
    short_side: int | None = None
    fit: str | None = None
    sampling: str | None = None
    stride: int | None = None
    modality: str | None = None
    crop: Crop = "auto"
    """Augmentation: which part of the frame is cut out (`video.augment.Augment`). `auto`: `multi_scale` where the
    recipe crops, `zoom` where it shows the whole frame."""
    flip: float = 0.0
    """Augmentation: share of clips that are mirrored; none of a directional dataset are, see `swap_left_right`."""
    swap_left_right: bool = False
    """Mirror clips of labels that differ only in the words left and right, and swap the label."""
    jitter: float = 0.0
    """Augmentation: strength of the changes of colour, the same for all frames of a clip."""
    precision: Precision = "32"
    devices: int = 1
    workers: int = 2
    """Processes that read videos, for each device; 0 reads in this one."""
    cache: Path | None = None
    """Folder of decoded frames; None decodes anew in every epoch."""
    timeout_s: float = 30.0
    """Decoding a video is cut off after this long."""
    root: Path | None = None
    """Folder the paths of the table are relative to, where the videos were moved."""
    seed: int = 0
    init: Path | None = None
    """Run folder whose best weights are the start."""
    weights: str | None = None
    """Published checkpoint whose weights are the start: a path, `https://...` or `hf:owner/name/file`."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "devices"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{_words(name)} must be at least 1")
        for name in ("weight_decay", "warmup_epochs", "jitter", "workers", "seed"):
            if not getattr(self, name) >= 0:
                raise BadValue(getattr(self, name), f"{_words(name)} must not be negative")
        for name in ("label_smoothing", "dropout"):
            if not 0 <= (getattr(self, name) or 0.0) < 1:
                raise BadValue(getattr(self, name), f"{_words(name)} must lie in [0, 1)")
        if not 0 <= self.flip <= 1:
            raise BadValue(self.flip, "flip is the share of clips that are mirrored and must lie in [0, 1]")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise BadValue(self.learning_rate, "learning rate must be positive")
        if not self.timeout_s > 0:
            raise BadValue(self.timeout_s, "the time allowed for decoding must be positive", "Give it in seconds.")
        words = {"optimizer": Optimizer, "schedule": Schedule, "precision": Precision, "crop": Crop}
        for name, kind in words.items():
            if getattr(self, name) not in get_args(kind):
                raise UnknownName(name, str(getattr(self, name)), get_args(kind))
        if self.init is not None and self.weights:
            raise BadValue(str(self.init), "a run cannot start from another run and from a published file", "Drop one.")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warming up."""
        return self.learning_rate or DEFAULT_LEARNING_RATE[self.optimizer]

    @property
    def clip(self) -> dict[str, Any]:
        """What is asked of the input recipe, by the names of `ClipSpec`."""
        names = ("frames", "height", "width", "short_side", "fit", "sampling", "stride", "modality")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()} | {"freeze": [*self.freeze]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainSettings:
        """Reads what `to_dict` wrote.

        Raises:
            UnknownName: if there is no such setting.
        """
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise UnknownName("setting", name, known)
        paths = {k: Path(data[k]) for k in ("cache", "root", "init") if data.get(k) is not None}
        return cls(**{**data, **paths, "freeze": tuple(data.get("freeze", ()))})


def _words(name: str) -> str:
    return name.replace("_", " ")
