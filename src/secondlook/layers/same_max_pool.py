"""Max-pooling with TensorFlow's "same" padding: `ceil(n / stride)` values out, without a padded copy of the input."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.same_padding import same_padding

Sides = tuple[int, int, int]
"""Along time, height and width."""


class SameMaxPool3d(nn.Module):
    """Maximum of each window, places outside the clip left out, `x_BCTHW -> BCTHW`.

    Ports that pad with zeros instead agree where nothing is negative, as after a rectifier.

    Args:
        kernel: T x H x W.
        stride: along each of them.

    Raises:
        BadValue: for a window of even width that moves by one place; nothing here needs it.
    """

    def __init__(self, kernel: Sides, stride: Sides) -> None:
        super().__init__()
        if any(k % 2 == 0 and s == 1 for k, s in zip(kernel, stride, strict=True)):
            raise BadValue((kernel, stride), "a window that moves by one place must be of odd width")
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The pooled clip, each side `ceil` of what it was over the stride."""
        sides = x_BCTHW.shape[2:]
        # The end lacks as many places as the start or one more: `ceil_mode` lets the last window stick out over that
        # one, and drops a window that would start outside.
        before = tuple(same_padding(n, k, s)[0] for n, k, s in zip(sides, self.kernel, self.stride, strict=True))
        return functional.max_pool3d(x_BCTHW, self.kernel, self.stride, before, ceil_mode=True)

    def extra_repr(self) -> str:
        """Its window, for printing."""
        return f"kernel={self.kernel}, stride={self.stride}"
