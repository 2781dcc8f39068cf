"""Networks that can be fed a video piece by piece: what they offer, and the stream that all of them give.

Such a network is causal: its features at a frame know that frame and those before it, and its logits depend on the mean
of the features over space and time alone. Then the frames seen so far need not be kept: of them, each layer that looks
back keeps what the next frames need (`layers._remembering`), and the stream keeps the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads.average import AverageHead
from secondlook.layers._remembering import Remembering
from secondlook.models._recogniser import Recogniser


class VideoStream(Protocol):
    """A video, or a batch of them, on its way through a network."""

    @property
    def frames(self) -> int:
        """Frames seen."""

    def step(self, x_BCTHW: Tensor) -> Tensor:
        """`logits_BK` of all that was seen up to and with these new frames (T = 1 or more)."""


@runtime_checkable
class Streams(Protocol):
    """A network that can be fed a video piece by piece."""

    def stream(self) -> VideoStream:
        """A new video. Several may be on their way through one network.

        Raises:
            BadValue: if this network, as it was built, looks into the future, or is in training mode.
        """


class Stream:
    """Feeds a video to a causal network; its memory does not grow with the number of frames.

    After each step the logits are those of `network(everything seen so far)`. Several streams may share a network.

    Args:
        network: in evaluation mode; its `features` are causal.
        classify: logits of the mean of the features, `mean_BC -> logits_BK`.

    Raises:
        BadValue: if the network is in training mode.
    """

    def __init__(self, network: Recogniser, classify: Callable[[Tensor], Tensor]) -> None:
        self._network, self._classify = network, classify
        self._check_rest()
        self._layers = [m for m in network.modules() if isinstance(m, Remembering)]
        self._past: list[Any] = [None] * len(self._layers)
        self._shape: tuple[int, ...] = ()
        self._mean_BC: Tensor | None = None
        self._frames = 0

    @property
    def frames(self) -> int:
        """Frames seen."""
        return self._frames

    @property
    def memory_bytes(self) -> int:
        """What is kept of the frames seen."""
        kept = [t for past in self._past for t in (past if isinstance(past, tuple) else (past,))] + [self._mean_BC]
        return sum(t.untyped_storage().nbytes() for t in kept if isinstance(t, Tensor))

    @torch.no_grad()
    def step(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of the video up to and with the frames given now (T = 1 or more).

        Raises:
            BadValue: if the network cannot take such frames, or they are not of the size of those before.
        """
        self._check_rest()
        self._network.check(x_BCTHW)
        shape = (x_BCTHW.shape[0], *x_BCTHW.shape[3:])
        if self._shape and shape != self._shape:
            rule = f"all frames of a stream have one size; those before were B x H x W = {self._shape}"
            raise BadValue(shape, rule, "Open a new stream.")
        new = x_BCTHW.shape[2]
        features_BCTHW = self._features(x_BCTHW)
        mean_BC = features_BCTHW.mean((2, 3, 4))
        self._frames += new
        self._mean_BC = mean_BC if self._mean_BC is None else torch.lerp(self._mean_BC, mean_BC, new / self._frames)
        self._shape = shape
        return self._classify(self._mean_BC)

    def _features(self, x_BCTHW: Tensor) -> Tensor:
        for layer, past in zip(self._layers, self._past, strict=True):
            layer.past, layer.remember = past, True
        try:
            features_BCTHW = self._network.features(x_BCTHW)
            self._past = [_alone(layer.last) for layer in self._layers]
        finally:
            for layer in self._layers:
                layer.past = layer.last = None
                layer.remember = False
        return features_BCTHW

    def _check_rest(self) -> None:
        if self._network.training:
            raise BadValue("training mode", "a stream needs fixed normalisations", "Call `.eval()` first.")


def _alone(kept: Any) -> Any:
    """The same without the larger tensor that it is a part of."""
    if isinstance(kept, tuple):
        return tuple(_alone(part) for part in kept)
    return kept.clone() if isinstance(kept, Tensor) else kept


def linear_classifier(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """What the head `average` makes of the mean of the features.

    Raises:
        BadValue: if it is another head, which needs all frames at once.
    """
    if not isinstance(head, AverageHead):
        rule = "this head needs all frames at once, so that its network cannot be fed frame by frame"
        raise BadValue(type(head).__name__, rule, "Take the head `average`.")
    return head.classifier
