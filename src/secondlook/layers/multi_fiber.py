"""Multi-fiber unit: convolutions in separate groups of channels (fibers), and a multiplexer that lets the fibers talk.

Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018, section 3.1 and figure 2;
`late-temporal-bert`, section 1.14. Normalisation and activation come before each convolution.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Sum


class Multiplexer(nn.Module):
    """`x + conv2(act2(norm2(conv1(act1(norm1(x))))))`, two 1 x 1 x 1 convolutions over all fibers, `BCTHW -> BCTHW`.

    With C channels and C / k between, its kernels have `2 C^2 / k` weights: k / 2 times fewer than one full
    1 x 1 x 1 convolution.

    Args:
        channels: C.
        hidden: channels between the two; the source takes a quarter of the unit's inner width.

    Raises:
        BadValue: if either is below 1.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        if channels < 1 or hidden < 1:
            raise BadValue((channels, hidden), "a multiplexer needs at least one channel outside and inside")
        self.norm1 = nn.BatchNorm3d(channels)
        self.act1 = nn.ReLU()
        self.conv1 = nn.Conv3d(channels, hidden, 1, bias=False)
        self.norm2 = nn.BatchNorm3d(hidden)
        self.act2 = nn.ReLU()
        self.conv2 = nn.Conv3d(hidden, channels, 1, bias=False)
        self.sum = Sum()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The input and, added to it, what each fiber hears from all."""
        y = self.conv2(self.act2(self.norm2(self.conv1(self.act1(self.norm1(x_BCTHW))))))
        heard_BCTHW: Tensor = self.sum(x_BCTHW, y)
        return heard_BCTHW


class MultiFiberUnit(nn.Module):
    """`conv2(act2(norm2(conv1(act1(norm1(multiplexer(x))))))) + shortcut(x)`, `BCTHW -> BCTHW`.

    `conv1` is 3 x 3 x 3 in fibers and has the stride. In the first unit of a stage, `conv2` is 1 x 1 x 1 over all
    fibers and the shortcut is a 1 x 1 x 1 convolution, normalised and activated before it too; in the others `conv2` is
    1 x 3 x 3 in fibers and the shortcut is the input itself.

    Args:
        channels_in: of the input.
        inner: of `conv1`'s output.
        channels: of the output.
        fibers: groups of the channels.
        stride: T x H x W.
        first: of its stage.

    Raises:
        BadValue: if the fibers do not divide the channels, or a unit that is not the first changes the shape.
    """

    def __init__(
        self,
        channels_in: int,
        inner: int,
        channels: int,
        fibers: int,
        stride: tuple[int, int, int] = (1, 1, 1),
        *,
        first: bool = False,
    ) -> None:
        super().__init__()
        if fibers < 1 or any(c < 1 or c % fibers for c in (channels_in, inner, channels)):
            rule = f"{fibers} fibers need numbers of channels that are multiples of {fibers}"
            raise BadValue((channels_in, inner, channels), rule)
        if not first and (channels_in != channels or stride != (1, 1, 1)):
            raise BadValue((channels_in, channels, stride), "only the first unit of a stage changes the shape")
        self.multiplexer = Multiplexer(channels_in, inner // 4)
        self.norm1 = nn.BatchNorm3d(channels_in)
        self.act1 = nn.ReLU()
        self.conv1 = nn.Conv3d(channels_in, inner, 3, stride, 1, groups=fibers, bias=False)
        self.norm2 = nn.BatchNorm3d(inner)
        self.act2 = nn.ReLU()
        if first:
            self.conv2 = nn.Conv3d(inner, channels, 1, bias=False)
        else:
            self.conv2 = nn.Conv3d(inner, channels, (1, 3, 3), padding=(0, 1, 1), groups=fibers, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(
                OrderedDict[str, nn.Module](
                    norm=nn.BatchNorm3d(channels_in),
                    act=nn.ReLU(),
                    conv=nn.Conv3d(channels_in, channels, 1, stride, bias=False),
                )
            )
        self.sum = Sum()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One residual step."""
        y = self.conv1(self.act1(self.norm1(self.multiplexer(x_BCTHW))))
        y = self.conv2(self.act2(self.norm2(y)))
        out: Tensor = self.sum(y, self.shortcut(x_BCTHW))
        return out
