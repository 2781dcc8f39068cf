"""Inception-v1 in 3D: the network that I3D and S3D share, and the read-out of both.

Carreira, Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, figure 3; `late-temporal-bert`, section 1.8. The two
families differ in how they make a convolution and a pool; those are passed in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from string import ascii_lowercase

from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ExplainPoint, ExplainPoints
from secondlook.layers.inception import Inception, Parts, Widths, outputs
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._staged import CLASSIFIER


@dataclass(frozen=True)
class Plan:
    """Widths of a variant."""

    stem: tuple[int, int, int] = (64, 64, 192)
    """Of the convolutions before the modules: 7, 1 and 3 wide."""
    mixed: tuple[tuple[Widths, ...], ...] = (
        ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
        (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
    )
    """Of the modules between two pools."""

    @property
    def channels(self) -> int:
        """C of the features."""
        return outputs(self.mixed[-1][-1])

    @property
    def names(self) -> tuple[str, ...]:
        """The modules from input to head, without pools: `conv_1a`, ..., `mixed_3b`, ..., `mixed_5c`."""
        mixed = (f"mixed_{i}{b}" for i, row in enumerate(self.mixed, 3) for b in ascii_lowercase[1 : len(row) + 1])
        return ("conv_1a", "conv_2b", "conv_2c", *mixed)

    @property
    def points(self) -> ExplainPoints:
        """All of them."""
        return ExplainPoints(tuple(ExplainPoint(name) for name in self.names), CLASSIFIER)


TINY = Plan(
    (8, 8, 16), (((8, 8, 12, 4, 8, 4), (12, 8, 16, 4, 8, 4)), ((16, 12, 24, 4, 8, 8),), ((24, 16, 32, 8, 16, 8),))
)
"""The same structure with six times fewer channels and four modules."""


class InceptionNetwork(Recogniser):
    """Three convolutions, modules between pools, a head: `x_BCTHW -> logits_BK`.

    Args:
        in_channels: channels of the clips.
        plan: widths.
        parts: how convolutions and pools are made.
        head: a late temporal head.
        limits: which clips the network can take.
    """

    def __init__(
        self, in_channels: int, plan: Plan, parts: Parts, head: nn.Module, limits: Limits | None = None
    ) -> None:
        super().__init__(in_channels, head, limits)
        first, second, third = plan.stem
        modules = OrderedDict[str, nn.Module](
            conv_1a=parts.conv(in_channels, first, 7, 2),
            pool_2a=parts.pool((1, 3, 3), (1, 2, 2)),
            conv_2b=parts.conv(first, second, 1, 1),
            conv_2c=parts.conv(second, third, 3, 1),
            pool_3a=parts.pool((1, 3, 3), (1, 2, 2)),
        )
        if parts.gate:
            modules["conv_2c"].add_module("gate", parts.gate(third))
        names, width = iter(plan.names[3:]), third
        pools = {4: parts.pool((3, 3, 3), (2, 2, 2)), 5: parts.pool((2, 2, 2), (2, 2, 2))}
        for i, row in enumerate(plan.mixed, 3):
            if i in pools:
                modules[f"pool_{i}a"] = pools[i]
            for widths in row:
                modules[next(names)] = Inception(width, widths, parts)
                width = outputs(widths)
        del self.head  # and set again, so that modules stand in the order of the data
        for name, module in modules.items():
            self.add_module(name, module)
        self.head = head
        self._path = tuple(modules)

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map of the last module, `features_BCTHW`."""
        self.check(x_BCTHW)
        for name in self._path:
            x_BCTHW = getattr(self, name)(x_BCTHW)
        return x_BCTHW


class WindowPool(nn.Module):
    """Mean over all windows of 2 x 7 x 7 places of their means, `x_BCTHW -> BC`; a side that is shorter is one window.

    Places at the border lie in fewer windows: of three or more frames, the first and the last weigh half as much as the
    others. A map of one or two frames and at most 7 x 7 places is averaged as a whole.
    """

    window = (2, 7, 7)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The pooled map."""
        kernel = [min(size, window) for size, window in zip(x_BCTHW.shape[2:], self.window, strict=True)]
        return functional.avg_pool3d(x_BCTHW, kernel, 1).mean((2, 3, 4))


class WindowHead(nn.Module):
    """`logits_BK = W pool(features_BCTHW) + b`: the mean over windows of what a 1 x 1 x 1 convolution says of each.

    In training, one dropout mask serves all windows of a clip; in the releases each window has its own.

    Args:
        channels: C of the features.
        num_classes: K.
        dropout: share of the pooled features dropped in training.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.pool = WindowPool()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        logits_BK: Tensor = self.classifier(self.dropout(self.pool(features_BCTHW)))
        return logits_BK
