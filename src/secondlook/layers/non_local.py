"""Non-local block: every place of a clip looks at every other, `z = norm(W y) + x` (Wang et al.).

Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, section 3.2 (embedded Gaussian);
`late-temporal-bert`, section 1.11: `y_i = sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j)`. The softmax is not scaled, as
printed; `scaled=True` divides by the root of the width, as PySlowFast does.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.residual import Sum


class NonLocal(nn.Module):
    """`x_BCTHW -> z_BCTHW`; with `norm` it starts as the identity.

    Args:
        channels: C.
        inner: width of theta, phi and g; half of C when left out.
        pool: phi and g read maps that are max-pooled by 2 in height and width.
        pool_last: phi and g come first and their outputs are pooled, as in the TSM release; with the same weights,
            that is another function.
        norm: a batch normalisation after W, whose scale starts at 0.
        bias: the four 1 x 1 x 1 convolutions have biases.
        scaled: divide the products by the root of `inner` before the softmax.

    Raises:
        BadValue: if there is nothing to attend with.
    """

    initialises_itself = True

    def __init__(
        self,
        channels: int,
        inner: int | None = None,
        *,
        pool: bool = True,
        pool_last: bool = False,
        norm: bool = True,
        bias: bool = True,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        width = channels // 2 if inner is None else inner
        if channels < 1 or width < 1:
            raise BadValue((channels, width), "a non-local block needs at least one channel outside and inside")
        self.theta = nn.Conv3d(channels, width, 1, bias=bias)
        self.phi = nn.Conv3d(channels, width, 1, bias=bias)
        self.g = nn.Conv3d(channels, width, 1, bias=bias)
        self.out = nn.Conv3d(width, channels, 1, bias=bias)
        self.pool: nn.Module = nn.MaxPool3d((1, 2, 2), ceil_mode=True) if pool else nn.Identity()
        self.pool_last = pool_last
        self.norm: nn.Module = nn.BatchNorm3d(channels) if norm else nn.Identity()
        self.sum = Sum()
        self.scale = width**-0.5 if scaled else 1.0
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(conv.weight, 0.0, 0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        if isinstance(self.norm, nn.BatchNorm3d):
            nn.init.zeros_(self.norm.weight)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The input and, added to it, what each place gathers from all."""
        if self.pool_last:
            maps = (self.theta(x_BCTHW), self.pool(self.phi(x_BCTHW)), self.pool(self.g(x_BCTHW)))
        else:
            pooled = self.pool(x_BCTHW)
            maps = (self.theta(x_BCTHW), self.phi(pooled), self.g(pooled))
        theta_BND, phi_BMD, g_BMD = (x.flatten(2).transpose(1, 2).unsqueeze(1) for x in maps)
        y = functional.scaled_dot_product_attention(theta_BND, phi_BMD, g_BMD, scale=self.scale)
        y_BDTHW = y.squeeze(1).transpose(1, 2).reshape(-1, y.shape[-1], *x_BCTHW.shape[2:])
        z_BCTHW: Tensor = self.sum(self.norm(self.out(y_BDTHW)), x_BCTHW)
        return z_BCTHW
