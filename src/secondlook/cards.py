"""What travels with a model: its input recipe, where it can be explained, and the heat map an explainer gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, MissingFile

Modality = Literal["rgb", "luma_difference", "flow"]
CHANNELS: Mapping[str, int] = {"rgb": 3, "luma_difference": 2, "flow": 2}
"""Channels of the input tensor by modality. `luma_difference` is brightness, then its change from the frame before;
`flow` is motion across, then down, of a table that `secondlook flow` made."""


@dataclass(frozen=True)
class ClipSpec:
    """The input recipe of a model: which frames of a video, at what size and scale, become `x_CTHW`."""

    frames: int = 8
    """T, the number of frames the network sees."""
    sampling: Literal["segments", "dense", "normal_start"] = "segments"
    """`segments`: the video is cut in T equal parts, one frame from each. `dense`: T frames, `stride` apart.
    `normal_start`: a clip that starts in the first half of the video (`video.sample`)."""
    stride: int = 1
    """Distance in frames between two sampled frames (not for `segments`)."""
    short_side: int = 128
    """The short side is resized to this many pixels before cropping (`fit="crop"`)."""
    height: int = 112
    width: int = 112
    fit: Literal["crop", "squash"] = "crop"
    """`crop`: keep the aspect ratio and crop `height x width`. `squash`: resize the whole frame to it."""
    modality: Modality = "rgb"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Subtracted from each channel after pixels are scaled to [0, 1]."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    short_video: Literal["repeat_last", "loop"] = "repeat_last"
    """What fills the clip where the video has fewer frames than the recipe spans."""
    frame_size: tuple[int, int] | None = None
    """Height and width that every frame is resized to before cropping, whatever its shape (`fit="crop"`); None:
    `short_side` decides, and the shape is kept."""
    start: Literal["resample", "clip"] = "resample"
    """`normal_start` in training: how starts outside the first half are brought into it."""
    rest: Literal["stride", "uniform"] = "stride"
    """`normal_start`: the frames after the first are `stride` apart, or drawn uniformly."""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "short_side", "height", "width"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{name} of a clip must be at least 1")
        if self.frame_size is not None and (self.frame_size[0] < self.height or self.frame_size[1] < self.width):
            raise BadValue(self.frame_size, f"a crop of {self.height}x{self.width} does not fit in frame_size")
        if self.modality not in CHANNELS:
            raise BadValue(self.modality, f"modality must be one of {', '.join(CHANNELS)}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise BadValue((self.mean, self.std), f"{self.modality} needs {self.channels} values of mean and of std")

    @property
    def channels(self) -> int:
        """C of `x_CTHW`."""
        return CHANNELS[self.modality]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClipSpec:
        """Reads what `to_dict` wrote."""
        size = data.get("frame_size")
        read = {"mean": tuple(data["mean"]), "std": tuple(data["std"]), "frame_size": tuple(size) if size else None}
        return cls(**{**data, **read})


@dataclass(frozen=True)
class ExplainPoint:
    """A module whose output an explainer may read."""

    module: str
    """Dotted name in the network, as `get_submodule` takes it."""
    pathway: str = ""
    """Empty, or the pathway it belongs to ("slow", "fast")."""
    layout: Literal["BCTHW", "(BT)CHW"] = "BCTHW"
    """How the output lies: networks that fold time into the batch give `(BT)CHW`."""


@dataclass(frozen=True)
class ExplainPoints:
    """Where a network can be looked into."""

    stages: tuple[ExplainPoint, ...] = ()
    """From input to head; the last one of a pathway is its last convolution stage."""
    classifier: str = ""
    """Dotted name of the last linear layer."""

    def last(self, pathway: str = "") -> ExplainPoint:
        """The last stage of a pathway.

        Raises:
            BadValue: if the network names none.
        """
        found = [p for p in self.stages if p.pathway == pathway]
        if not found:
            raise BadValue(pathway, "the model's card names no explain point for this pathway")
        return found[-1]


@dataclass(frozen=True)
class ModelCard:
    """A network's name, input recipe and explain points. Saved in every checkpoint; nobody retypes it."""

    name: str
    """`family:variant`, for example `tsm:r18`: the file `models/tsm.py`, its variant `r18`."""
    clip: ClipSpec
    explain: ExplainPoints
    reference: str = ""
    """Paper, section."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was passed to `build` beyond variant, class count and head; JSON values."""
    head: str = ""
    """Late temporal head by name; empty: the family's own."""
    order_blind: bool = False
    """With its own head the network cannot tell a clip from its reversal."""

    @property
    def family(self) -> str:
        """The part before the colon: the file in `models/`."""
        return self.name.partition(":")[0]

    @property
    def variant(self) -> str:
        """The part after the colon."""
        return self.name.partition(":")[2]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelCard:
        """Reads what `to_dict` wrote."""
        explain = data["explain"]
        points = ExplainPoints(tuple(ExplainPoint(**p) for p in explain["stages"]), explain["classifier"])
        rest = {k: v for k, v in data.items() if k not in ("clip", "explain")}
        return cls(clip=ClipSpec.from_dict(data["clip"]), explain=points, **rest)


@dataclass(frozen=True)
class HeatMap:
    """How much each place of each sampled frame spoke for a class, in the video's own frame coordinates.

    Raises:
        BadValue: if the parts do not fit together, or a value is not finite.
    """

    heat_THW: npt.NDArray[np.float32]
    """One map a sampled frame, at the size of the video's frames; 0 outside what the network saw."""
    frame_index_T: npt.NDArray[np.int64]
    """Index in the video of each sampled frame (0 is the first)."""
    frame_time_s_T: npt.NDArray[np.float64]
    """Time in the video at which each sampled frame is shown, in seconds."""
    method: str
    label: int
    """Class index that was explained."""
    module: str = ""
    """Explain point it was read from; empty for methods that read the input."""
    signed: bool = False
    """True where negative values mean "spoke against"."""
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.heat_THW.ndim != 3:
            raise BadValue(self.heat_THW.shape, "a heat map is T x H x W")
        if not len(self.heat_THW) == len(self.frame_index_T) == len(self.frame_time_s_T):
            raise BadValue(self.heat_THW.shape, "needs one frame index and one time for each map")
        if not np.isfinite(self.heat_THW).all():
            raise BadValue(self.method, "gave a heat map with values that are not finite")

    def save(self, path: str | Path) -> None:
        """Writes `.npz` with every field; read it with `HeatMap.load` or `numpy.load` (no pickle)."""
        import json

        text = {"method": self.method, "label": self.label, "module": self.module, "signed": self.signed}
        with Path(path).open("wb") as file:  # given a name, numpy would add a suffix to it
            np.savez_compressed(
                file,
                heat_THW=self.heat_THW,
                frame_index_T=self.frame_index_T,
                frame_time_s_T=self.frame_time_s_T,
                about=np.array(json.dumps(text | {"notes": dict(self.notes)})),
            )

    @classmethod
    def load(cls, path: str | Path) -> HeatMap:
        """Reads what `save` wrote.

        Raises:
            MissingFile: if there is no such file.
        """
        import json

        if not Path(path).is_file():
            raise MissingFile(path, "Make it with `secondlook explain`.")
        with np.load(path, allow_pickle=False) as data:
            return cls(
                data["heat_THW"], data["frame_index_T"], data["frame_time_s_T"], **json.loads(str(data["about"]))
            )
