"""Settings of a training: typed, checked, saved as JSON beside the weights they led to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from secondlook.errors import BadValue, UnknownName
from secondlook.video.multigrid import Multigrid
from secondlook.video.perturb import Methods

Optimizer = Literal["sgd", "adam", "adamw", "swats"]
Schedule = Literal["cosine", "step", "plateau", "none"]
Monitor = Literal["top1", "loss", "top1_top3"]
Precision = Literal["32", "bf16", "16"]
Distillation = Literal["none", "bert", "mars", "mers", "hinton"]
Crop = Literal["auto", "none", "random", "multi_scale", "zoom"]

DEFAULT_LEARNING_RATE: Mapping[str, float] = {"sgd": 0.01, "adam": 0.001, "adamw": 0.001, "swats": 0.001}

FREE = (
    "devices",
    "nodes",
    "checkpoint_steps",
    "workers",
    "cache",
    "timeout_s",
    "record_dynamics",
    "root",
    "teacher",
    "teacher_videos",
    "embeddings",
)
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
    """`sgd` has momentum 0.9; `swats` is Adam that becomes SGD."""
    switch_tolerance: float = 1e-9
    """When `swats` switches: a larger one, earlier."""
    learning_rate: float | None = None
    """At its peak; None: 0.01 for sgd, 0.001 for the others."""
    weight_decay: float = 1e-4
    """Of weight matrices and kernels; biases and the scales of normalisations are left alone."""
    schedule: Schedule = "cosine"
    """`cosine`: down to 0 along half a cosine. `step`: times `rate_decay` at each milestone. `plateau`: times
    `rate_decay` when the monitored number was no better than its best for more than `patience` epochs. `none`: stays
    as it is."""
    milestones: tuple[int, ...] = ()
    """Epochs after which `step` lowers the learning rate."""
    rate_decay: float = 0.1
    patience: int = 5
    monitor: Monitor = "top1"
    """What says which epoch is the best, and when there is a plateau: validation `top1`, `loss`, or the mean of top-1
    and top-3."""
    warmup_epochs: float = 1.0
    """The learning rate rises from near 0 in a straight line over this many epochs."""
    warmup_steps: int = 0
    """The same in steps; where it is not 0 it is what holds."""
    label_smoothing: float = 0.0
    dropout: float | None = None
    """Share of features dropped before the classifier; None: as the model's card says."""
    frames: int | None = None
    """T; None: as the model's card says, as for all of the input recipe below."""
    height: int | None = None
    width: int | None = None
    short_side: int | None = None
    frame_size: tuple[int, int] | None = None
    """Height and width of the frames before the crop, whatever their shape (`video.presets`)."""
    fit: str | None = None
    sampling: str | None = None
    start: str | None = None
    """Sampling `normal_start`: a start outside the first half is drawn again (`resample`), or moved in (`clip`)."""
    rest: str | None = None
    """Sampling `normal_start`: the frames after the start are a `stride` apart, or `uniform`ly drawn."""
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
    perturb: float = 0.0
    """Augmentation: share of clips that are blurred, shifted in colour or turned a little (`video.perturb`)."""
    perturb_methods: Methods = "srtg"
    """What may then happen to it: a set of `perturb.METHODS`."""
    multigrid: Multigrid = "none"
    """Batches of fewer frames and pixels and as many more clips (`video.multigrid`): `long` within an epoch, `short`
    from step to step, or `both`."""
    checkpoint_steps: int = 0
    """Optimiser steps from one checkpoint within an epoch to the next; 0: at the end of epochs, and on ctrl-C."""
    record_dynamics: bool = True
    """Write what the network said of each training video in each epoch (`dynamics.parquet`)."""
    precision: Precision = "32"
    devices: int = 1
    nodes: int = 1
    """Machines with so many devices each."""
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
    teacher: Path | None = None
    """Run folder of a frozen network that is learned from beside the labels."""
    teacher_videos: Path | None = None
    """Videos table that the teacher's clips are read from, found by `video_id`; None: the same files."""
    distillation: Distillation = "none"
    """What is learned from the teacher: `distillation.WEIGHTS` names the kinds."""
    distillation_weight: float | None = None
    """Lambda; None: that of the source."""
    distillation_reduction: str = "mean"
    """Of squared errors: `sum`, `mean`, or the axes to average over, such as `batch+tokens`."""
    distillation_adapter: bool = False
    """Let a linear layer bring the student's features to the teacher's width; it is not exported."""
    temperature: float = 4.0
    """T of soft labels (`hinton`)."""
    embeddings: Path | None = None
    """Table of label vectors: the head `hybrid` learns them beside the labels."""
    embedding_weight: float = 5.0
    """Of the embedding's loss; 0: the classifier alone learns."""
    soft_targets: bool = False
    """Learn the share of votes of each label of a labels table, instead of its sets."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{_words(name)} must be at least 1")
        for name in ("weight_decay", "warmup_epochs", "warmup_steps", "patience", "checkpoint_steps", "jitter",
                     "workers", "seed", "embedding_weight"):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise BadValue(getattr(self, name), f"{_words(name)} must not be negative")
        for name in ("label_smoothing", "dropout"):
            if not 0 <= (getattr(self, name) or 0.0) < 1:
                raise BadValue(getattr(self, name), f"{_words(name)} must lie in [0, 1)")
        if not 0 <= self.flip <= 1:
            raise BadValue(self.flip, "flip is the share of clips that are mirrored and must lie in [0, 1]")
        if not 0 <= self.perturb <= 1:
            raise BadValue(self.perturb, "perturb is the share of clips that are perturbed and must lie in [0, 1]")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise BadValue(self.learning_rate, "learning rate must be positive")
        if not self.timeout_s > 0:
            raise BadValue(self.timeout_s, "the time allowed for decoding must be positive", "Give it in seconds.")
        self._check_schedule()
        words = {"optimizer": Optimizer, "schedule": Schedule, "monitor": Monitor, "precision": Precision, "crop": Crop,
                 "multigrid": Multigrid, "distillation": Distillation, "perturb_methods": Methods}  # fmt: skip
        for name, kind in words.items():
            if getattr(self, name) not in get_args(kind):
                raise UnknownName(name, str(getattr(self, name)), get_args(kind))
        if self.init is not None and self.weights:
            raise BadValue(str(self.init), "a run cannot start from another run and from a published file", "Drop one.")
        self._check_teacher()

    def _check_schedule(self) -> None:
        if not 0 < self.rate_decay < 1:
            raise BadValue(self.rate_decay, "rate decay must lie in (0, 1)", "The usual is 0.1.")
        if not self.switch_tolerance > 0:
            raise BadValue(self.switch_tolerance, "switch tolerance must be positive")
        if list(self.milestones) != sorted(set(self.milestones)) or any(epoch < 1 for epoch in self.milestones):
            raise BadValue(list(self.milestones), "milestones are epochs from 1 on, each later than the one before")
        if (self.schedule == "step") != bool(self.milestones):
            raise BadValue(self.schedule, "the schedule step and milestones come together",
                           "Give --schedule step --milestones 40,70.")  # fmt: skip

    def _check_teacher(self) -> None:
        if (self.teacher is not None) != (self.distillation != "none"):
            raise BadValue(self.distillation if self.teacher is None else str(self.teacher),
                           "a teacher and what is learned from it come together",
                           "Give --teacher RUN and --distillation bert, mars, mers or hinton.")  # fmt: skip
        if self.teacher is None and self.teacher_videos is not None:
            raise BadValue(str(self.teacher_videos), "videos of a teacher need a teacher", "Give --teacher RUN.")
        if self.distillation_weight is not None and not self.distillation_weight > 0:
            raise BadValue(self.distillation_weight, "the distillation weight must be positive")
        if not self.temperature > 0:
            raise BadValue(self.temperature, "temperature must be positive")
        if self.teacher is not None and self.multigrid != "none":
            raise BadValue(self.multigrid, "multigrid does not shrink a teacher's clips", "Leave --multigrid out.")
        if self.soft_targets and (self.label_smoothing or self.swap_left_right):
            raise BadValue("soft_targets", "are neither smoothed nor swapped", "Leave the other out.")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warming up."""
        return self.learning_rate or DEFAULT_LEARNING_RATE[self.optimizer]

    @property
    def clip(self) -> dict[str, Any]:
        """What is asked of the input recipe, by the names of `ClipSpec`."""
        names = ("frames", "height", "width", "short_side", "frame_size", "fit", "sampling", "stride", "modality",
                 "start", "rest")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()} | {
            "freeze": [*self.freeze],
            "milestones": [*self.milestones],
            "frame_size": self.frame_size and [*self.frame_size],
        }

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
        paths = {
            k: Path(data[k])
            for k in ("cache", "root", "init", "teacher", "teacher_videos", "embeddings")
            if data.get(k) is not None
        }
        size = data.get("frame_size")
        lists = {name: tuple(data.get(name, ())) for name in ("freeze", "milestones")}
        return cls(**{**data, **paths, **lists, "frame_size": tuple(size) if size else None})


def _words(name: str) -> str:
    return name.replace("_", " ")
