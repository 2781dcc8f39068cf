"""A video fed to a network frame by frame, with what it says after each: nothing is kept but what the network keeps.

The frames are those of the model's recipe: its size, crop, modality and normalisation. One frame in `stride` is shown
to the network; see `default_stride`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from secondlook import catalog
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.models._streaming import Streams, VideoStream
from secondlook.predict.run import _device
from secondlook.predict.weights import LoadedModel
from secondlook.video.transform import check_file, cut, normalise, working_size
from secondlook.video.walk import Walk


@dataclass(frozen=True)
class Running:
    """What the network says of a video up to and with one of its frames."""

    frame: int
    """Index in the video."""
    time_s: float
    """When it is shown."""
    seen: int
    """Frames that the network has seen, this one too."""
    probability_K: npt.NDArray[np.float64]

    def top(self, names: tuple[str, ...], k: int) -> list[dict[str, Any]]:
        """The k most probable classes, best first, JSON-ready."""
        best = np.argsort(-self.probability_K, kind="stable")[:k].tolist()
        return [{"index": i, "name": names[i], "probability": float(self.probability_K[i])} for i in best]


class FrameInput:
    """Single frames -> the network's input, as `transform.to_input` makes it of a whole clip.

    Args:
        spec: the recipe. Where its modality needs the frame before, that one is kept.
    """

    def __init__(self, spec: ClipSpec) -> None:
        self._spec = spec
        self._before_1CHW: Tensor | None = None

    def __call__(self, frame_HWC: npt.NDArray[np.uint8]) -> Tensor:
        """`x_BCTHW` with B = T = 1."""
        frame_1CHW = cut(frame_HWC[None], self._spec)
        shown = frame_1CHW if self._before_1CHW is None else torch.cat((self._before_1CHW, frame_1CHW))
        if self._spec.modality != "rgb":
            self._before_1CHW = frame_1CHW
        return normalise(shown, self._spec)[None, :, -1:]


class LivePrediction:
    """A model at one video: iterate over it once, in a `with`, and get what it says after each frame it is shown.

    Args:
        model: of a run whose network can be fed frame by frame.
        path: a video, or a folder of frames.
        stride: one frame in so many is shown; `default_stride` when left out.
        start: index of the first one.
        limit: show at most so many.
        device: auto, cpu, cuda, ...

    Raises:
        BadValue: if the network needs the whole clip at once (names those that do not), a number cannot be, or the
            video cannot be used.
        MissingFile: if there is no such video.
    """

    def __init__(
        self,
        model: LoadedModel,
        path: str | Path,
        *,
        stride: int | None = None,
        start: int = 0,
        limit: int | None = None,
        device: str = "auto",
    ) -> None:
        for name, number, least in (("stride", stride, 1), ("start", start, 0), ("limit", limit, 1)):
            if number is not None and number < least:
                raise BadValue(number, f"{name} must be at least {least}")
        self._device = _device(device)
        self._stream = open_stream(model)
        self._spec = model.card.clip
        check_file(path, self._spec)
        self.walk = Walk(path, working_size(self._spec))
        """How the reading goes; its `errors` count what could not be read."""
        self.stride = stride or default_stride(self._spec, self.walk.frame_count)
        self._start, self._limit, self._model = start, limit, model

    def __enter__(self) -> LivePrediction:
        self._model.model.to(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        self.walk.__exit__(None, None, None)
        self._model.model.to("cpu")

    def __iter__(self) -> Iterator[Running]:
        make = FrameInput(self._spec)
        for shown in islice(self.walk.frames(self._start, self.stride), self._limit):
            logits_BK = self._stream.step(make(shown.frame_HWC).to(self._device))
            probability_K = torch.softmax(logits_BK[0].double().cpu(), 0).numpy()
            yield Running(shown.index, shown.time_s, self._stream.frames, probability_K)
        if not self._stream.frames:
            rule = f"is behind the last frame of {self.walk.path.name}, so that there is none to show"
            raise BadValue(self._start, rule, "Start earlier.")


def open_stream(model: LoadedModel) -> VideoStream:
    """A new stream of a model's network.

    Raises:
        BadValue: if it has none; names the models that do.
    """
    cure = f"Train one of {', '.join(streaming_models())}."
    if not isinstance(model.model, Streams):
        raise BadValue(model.card.name, "this network needs the whole clip at once", cure)
    try:
        return model.model.stream()
    except BadValue as error:
        raise BadValue(model.card.name, error.rule, cure) from None


def streaming_models() -> list[str]:
    """Names of the models that can be fed frame by frame."""
    families = {family: catalog.find("models", family) for family in catalog.names("models")}
    return [f"{family}:{v}" for family, module in families.items() for v in getattr(module, "STREAMS", ())]


def default_stride(spec: ClipSpec, frame_count: int | None) -> int:
    """One frame in how many is shown to the network, when nobody says.

    A recipe of dense clips has its stride. One of segments takes T frames spread over the video: then as many frames
    apart as lets at least T of them be seen, `max(1, floor(n / T))`; every frame where n is not known beforehand.
    """
    if spec.sampling != "segments":
        return spec.stride
    return max(1, (frame_count or 0) // spec.frames)
