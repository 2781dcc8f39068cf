"""Multi-temporal block (MTBlock): a widening bottleneck of multi-temporal convolutions, weighted by a recursion (GRU).

Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, section 5.3.2, figure 5.2;
`srtg-mtnet-classreg-visualisation`, section 2.9. Squeeze and Recursion over all channels of the block, without a gate,
stands once in each block, before the sum (`final`: after the last activation, the source does not say). The figure
shows a sequence of multi-temporal convolutions; the text describes the 3 x 3 x 3 one alone, and so it is here, unless
`all_multi_temporal`.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from secondlook.errors import UnknownName
from secondlook.layers.multi_temporal import MultiTemporalConv, MultiTemporalOptions
from secondlook.layers.residual import Sum, shortcut
from secondlook.layers.squeeze_recursion import SqueezeRecursion

PLACES = ("before", "final")
"""Where the recursion stands: before the sum, on what the last convolution gives; after the last activation."""


class MultiTemporalBlock(nn.Module):
    """`act(recursion(norm(conv3(conv2(act(norm(conv1(x))))))) + shortcut(x))`, conv2 multi-temporal.

    Args:
        channels_in: of the input.
        inner: of the 3 x 3 x 3 convolution.
        channels: of the output.
        stride: (in time, in space).
        cell: of the recursion.
        recursion_layers: of the recursion, one upon the other.
        recursion_place: a name in `PLACES`.
        all_multi_temporal: the 1 x 1 x 1 convolutions are multi-temporal as well.
        options: of the multi-temporal convolutions.

    Raises:
        UnknownName: for a place, cell or pooling that does not exist; names the nearest.
        BadValue: for a number that cannot be.
    """

    def __init__(
        self,
        channels_in: int,
        inner: int,
        channels: int,
        stride: tuple[int, int] = (1, 1),
        *,
        cell: str = "gru",
        recursion_layers: int = 2,
        recursion_place: str = "before",
        all_multi_temporal: bool = False,
        **options: Unpack[MultiTemporalOptions],
    ) -> None:
        super().__init__()
        if recursion_place not in PLACES:
            raise UnknownName("place of the recursion", recursion_place, PLACES)
        steps = (stride[0], stride[1], stride[1])
        pointwise = _without_depthwise(options)
        self.conv1: nn.Module = nn.Conv3d(channels_in, inner, 1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm3d(inner)
        self.act1: nn.Module = nn.ReLU()
        self.conv2 = MultiTemporalConv(inner, inner, 3, steps, **options)
        self.conv3: nn.Module = nn.Conv3d(inner, channels, 1, bias=False)
        self.norm3: nn.Module = nn.BatchNorm3d(channels)
        if all_multi_temporal:  # these normalise and activate by themselves
            self.conv1, self.norm1, self.act1 = (
                MultiTemporalConv(channels_in, inner, 1, **pointwise), nn.Identity(), nn.Identity(),
            )  # fmt: skip
            self.conv3, self.norm3 = MultiTemporalConv(inner, channels, 1, **pointwise), nn.Identity()
        self.recursion_place = recursion_place
        self.recursion = SqueezeRecursion(channels, cell, recursion_layers, gate=False)
        self.shortcut = shortcut(nn.Conv3d, channels_in, channels, steps, nn.BatchNorm3d)
        self.sum = Sum()
        self.act3 = nn.ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One residual step."""
        y = self.conv2(self.act1(self.norm1(self.conv1(x_BCTHW))))
        y = self.norm3(self.conv3(y))
        around = self.shortcut(x_BCTHW)
        out: Tensor
        if self.recursion_place == "final":
            out = self.recursion(self.act3(self.sum(y, around)))
        else:
            out = self.act3(self.sum(self.recursion(y), around))
        return out


def _without_depthwise(options: MultiTemporalOptions) -> MultiTemporalOptions:
    """Of the 1 x 1 x 1 convolutions, which mix channels and change their number: in streams, and of all of them."""
    split = options.get("depthwise", False) or options.get("split_input", False)
    return {**options, "depthwise": False, "split_input": split}
