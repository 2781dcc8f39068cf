"""(2+1)D convolution: a 3 x 3 x 3 kernel factorised into 1 x 3 x 3 in space, then 3 x 1 x 1 in time.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018, section 3.5;
`late-temporal-bert`, section 1.9.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Norm


def midplanes(channels_in: int, channels_out: int) -> int:
    """Channels M between the two factors, so that they have as many weights as the 3 x 3 x 3 kernel they replace.

    `M = floor(27 I O / (9 I + 3 O))` for I channels in and O out.
    """
    if channels_in < 1 or channels_out < 1:
        raise BadValue((channels_in, channels_out), "a convolution needs at least one channel on either side")
    return (27 * channels_in * channels_out) // (9 * channels_in + 3 * channels_out)


class FactorisedConv(nn.Module):
    """`temporal(act(norm(spatial(x))))`, `x_BCTHW -> BCTHW`.

    Args:
        channels_in: I.
        channels_out: O.
        channels_mid: M; `midplanes(I, O)` keeps the number of weights.
        stride: (in time, in space).
        norm: makes the normalisation between the factors.
    """

    def __init__(
        self, channels_in: int, channels_out: int, channels_mid: int, stride: tuple[int, int], norm: Norm
    ) -> None:
        super().__init__()
        time, space = stride
        self.spatial = nn.Conv3d(channels_in, channels_mid, (1, 3, 3), (1, space, space), (0, 1, 1), bias=False)
        self.norm = norm(channels_mid)
        self.act = nn.ReLU()
        self.temporal = nn.Conv3d(channels_mid, channels_out, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Space first, then time."""
        out: Tensor = self.temporal(self.act(self.norm(self.spatial(x_BCTHW))))
        return out
