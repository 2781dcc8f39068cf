"""Feature gating of S3D-G: each channel is scaled by a gate that reads the clip's mean of all channels.

Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification", ECCV 2018
(S3D-G); `late-temporal-bert`, section 1.9. A squeeze-and-excitation gate without the squeeze: one square matrix.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.squeeze_excitation import Product


class FeatureGating(nn.Module):
    """`x * sigmoid(W mean_THW(x) + b)`, `x_BCTHW -> BCTHW`.

    The TensorFlow source has no bias, PyTorch ports have one.

    Args:
        channels: C.
        bias: whether the gate has one.

    Raises:
        BadValue: if there is no channel.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        if channels < 1:
            raise BadValue(channels, "a gate needs at least one channel")
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.weigh = nn.Linear(channels, channels, bias=bias)
        self.gate = nn.Sigmoid()
        self.product = Product()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The clip with its channels scaled, each by a number between 0 and 1."""
        gate_BC = self.gate(self.weigh(self.pool(x_BCTHW).flatten(1)))
        scaled_BCTHW: Tensor = self.product(x_BCTHW, gate_BC[:, :, None, None, None])
        return scaled_BCTHW
