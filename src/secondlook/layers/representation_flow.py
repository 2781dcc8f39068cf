"""Representation flow: TV-L1 optical flow between the feature maps of neighbouring frames, every number of it learned.

Piergiovanni, Ryoo, "Representation Flow for Action Recognition", CVPR 2019, section 3.1 and algorithm 1;
`late-temporal-bert`, sections 1.17 and 1.27 (TV-L1: A.9 to A.11 and the steps after them). Each channel has a flow of
its own, `u = (u_x, u_y)`, that brings map `a` to the next map `b`. Starting from `u = 0` and `p = 0`, a fixed number of
times, all with learnable kernels (`grad`, `D`, `div`) and learnable lambda, theta and tau:

* residual `rho = b + grad b . u - a`;
* data step `v = u + clamp(-rho / |grad b|^2, -lambda theta, lambda theta) grad b`, the three cases of A.11 in one;
* smoothness step `u = v + theta div p`, and `p = (p + (tau / theta) D u) / (1 + (tau / theta) |D u|)` for each
  component of u.

`grad` is the central difference, `D` the forward and `div` the backward difference, to begin with.

Departs from the release: maps are scaled to [0, 255] clip by clip, not over the batch, so that a clip's flow does not
depend on its neighbours; at the border, `grad` is that of `b` (the release takes that of `a`); and with
`across_channels`, where each kernel reads all channels as in the release's Kinetics model, kernels start as one channel
each, and horizontal kernels are horizontal (there, two of them became vertical).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue

_TINY = 1e-12


class RepresentationFlow(nn.Module):
    """`x_BCTHW -> flow_B(2C)T'HW` with T' = T - 1: C horizontal components, then C vertical ones, in places.

    Args:
        channels: C.
        iterations: how often the two steps are taken.
        across_channels: kernels see all channels, C x C x k weights; else each channel has its own, C x 1 x k.

    Raises:
        BadValue: if a number is below 1, or a clip has fewer than two frames.
    """

    def __init__(self, channels: int, iterations: int = 10, *, across_channels: bool = False) -> None:
        super().__init__()
        if channels < 1 or iterations < 1:
            raise BadValue((channels, iterations), "a flow needs at least one channel and one iteration")
        self.iterations = iterations
        self.groups = 1 if across_channels else channels
        per_group = channels // self.groups
        self.image_x, self.image_y = self._kernels(channels, per_group, (-0.5, 0.0, 0.5))
        self.flow_x, self.flow_y = self._kernels(channels, per_group, (-1.0, 1.0))
        self.divergence_x, self.divergence_y = self._kernels(channels, per_group, (-1.0, 1.0))
        self.lambda_ = nn.Parameter(torch.tensor(0.15))
        """How much the maps count against smoothness."""
        self.theta = nn.Parameter(torch.tensor(0.3))
        """How far the two steps may differ."""
        self.tau = nn.Parameter(torch.tensor(0.25))
        """Length of the smoothness step."""

    @staticmethod
    def _kernels(channels: int, per_group: int, taps: tuple[float, ...]) -> tuple[nn.Parameter, nn.Parameter]:
        one_each = torch.eye(channels)[:, :per_group] if per_group > 1 else torch.ones(channels, 1)
        across = one_each[:, :, None, None] * torch.tensor(taps)
        return nn.Parameter(across), nn.Parameter(across.transpose(2, 3).clone(memory_format=torch.contiguous_format))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Flow from each frame to the next."""
        batch, channels, frames, height, width = x_BCTHW.shape
        if frames < 2:
            raise BadValue(tuple(x_BCTHW.shape), "flow needs at least two frames")
        maps_BTCHW = scaled(x_BCTHW).transpose(1, 2)
        from_NCHW, to_NCHW = maps_BTCHW[:, :-1].flatten(0, 1), maps_BTCHW[:, 1:].flatten(0, 1)
        u_2NCHW = self._iterate(from_NCHW, to_NCHW)
        flow = u_2NCHW.reshape(2, batch, frames - 1, channels, height, width).permute(1, 0, 3, 2, 4, 5)
        return flow.flatten(1, 2)

    def _iterate(self, from_NCHW: Tensor, to_NCHW: Tensor) -> Tensor:
        limit, rate = self.lambda_ * self.theta, self.tau / self.theta
        grad_2NCHW = torch.stack(
            (
                self._conv(functional.pad(to_NCHW, (1, 1, 0, 0), mode="replicate"), self.image_x),
                self._conv(functional.pad(to_NCHW, (0, 0, 1, 1), mode="replicate"), self.image_y),
            )
        )
        squared_NCHW = grad_2NCHW.square().sum(0) + _TINY
        change_NCHW = to_NCHW - from_NCHW
        u_2NCHW = torch.zeros_like(grad_2NCHW)
        dual = torch.zeros_like(grad_2NCHW).expand(2, *grad_2NCHW.shape)  # direction x component x N C H W
        for iteration in range(self.iterations):
            if iteration:
                slope = self._slope(u_2NCHW)
                dual = (dual + rate * slope) / (1 + rate * (slope.square().sum(0) + _TINY).sqrt())
            rho_NCHW = change_NCHW + (grad_2NCHW * u_2NCHW).sum(0)
            pull_NCHW = torch.minimum(torch.maximum(-rho_NCHW / squared_NCHW, -limit), limit)
            u_2NCHW = u_2NCHW + pull_NCHW * grad_2NCHW
            if iteration:
                u_2NCHW = u_2NCHW + self.theta * self._divergence(dual)
        return u_2NCHW

    def _slope(self, u_2NCHW: Tensor) -> Tensor:
        """D u: differences to the next place on the right and below, 0 at the last one; direction x component."""
        u = u_2NCHW.flatten(0, 1)
        right = functional.pad(self._conv(u, self.flow_x), (0, 1))
        below = functional.pad(self._conv(u, self.flow_y), (0, 0, 0, 1))
        return torch.stack((right, below)).reshape(2, *u_2NCHW.shape)

    def _divergence(self, dual: Tensor) -> Tensor:
        """Div p: differences to the place before, p being 0 outside and at the last place; component first."""
        across, down = dual.flatten(1, 2)
        across = self._conv(functional.pad(across[..., :-1], (1, 1)), self.divergence_x)
        down = self._conv(functional.pad(down[..., :-1, :], (0, 0, 1, 1)), self.divergence_y)
        return (across + down).reshape(dual.shape[1:])

    def _conv(self, x: Tensor, kernel: Tensor) -> Tensor:
        height, width = (n - k + 1 for n, k in zip(x.shape[2:], kernel.shape[2:], strict=True))
        if height < 1 or width < 1:  # a map that is one place wide has no differences
            return x.new_zeros((*x.shape[:2], height, width))
        return functional.conv2d(x, kernel, groups=self.groups)

    def extra_repr(self) -> str:
        """What `print` shows."""
        channels, per_group = self.image_x.shape[:2]
        return f"channels={channels}, iterations={self.iterations}, across_channels={per_group > 1}"


def scaled(x_BCTHW: Tensor) -> Tensor:
    """Each clip's values brought to [0, 255], the range that lambda is meant for; a constant clip becomes 0."""
    low, high = (of(x_BCTHW, (1, 2, 3, 4), keepdim=True) for of in (torch.amin, torch.amax))
    return 255 * (x_BCTHW - low) / (high - low).clamp_min(1e-6)
