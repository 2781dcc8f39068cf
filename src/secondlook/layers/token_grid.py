"""Token grid: a transformer's patch tokens shown as a map `B x C x T x H x W`, and the map as tokens again.

A hook on it sees the map, as on a convolution stage, and a gradient passes through; nothing is computed or copied.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from secondlook.errors import BadValue

Order = Literal["THW", "HWT", "HW"]


class TokenGrid(nn.Module):
    """`map[b, c, t, h, w] = tokens[b, n(t, h, w), c]`, a view of its input.

    Args:
        frames: T of the map.
        height: H of the map.
        width: W of the map.
        order: how a clip's tokens follow each other. `THW`: frame by frame, `n = (t H + h) W + w`. `HWT`: place by
            place, `n = (h W + w) T + t` (TimeSformer). `HW`: `n = h W + w`, the frames lie in the batch, `b T + t`.

    Raises:
        BadValue: if a size is below 1, or the order is none of these.
    """

    def __init__(self, frames: int, height: int, width: int, order: Order = "THW") -> None:
        super().__init__()
        if min(frames, height, width) < 1:
            raise BadValue((frames, height, width), "a grid of tokens has at least one place along T, H and W")
        if order not in get_args(Order):
            raise BadValue(order, f"the order of tokens is one of {', '.join(get_args(Order))}")
        self.frames, self.height, self.width, self.order = frames, height, width, order

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """The map, `map_BCTHW`."""
        t, h, w, c = self.frames, self.height, self.width, tokens_BNC.shape[2]
        if self.order == "HWT":
            return tokens_BNC.reshape(-1, h, w, t, c).permute(0, 4, 3, 1, 2)
        return tokens_BNC.reshape(-1, t, h, w, c).permute(0, 4, 1, 2, 3)

    def tokens(self, map_BCTHW: Tensor) -> Tensor:
        """The tokens of a map, `tokens_BNC`; undoes `forward`."""
        if self.order == "HWT":
            return map_BCTHW.permute(0, 3, 4, 2, 1).flatten(1, 3)
        tokens_BTHWC = map_BCTHW.permute(0, 2, 3, 4, 1)
        if self.order == "HW":
            return tokens_BTHWC.flatten(2, 3).flatten(0, 1)
        return tokens_BTHWC.flatten(1, 3)

    def extra_repr(self) -> str:
        """Sizes and order, for `print`."""
        return f"{self.frames} x {self.height} x {self.width}, order={self.order}"
