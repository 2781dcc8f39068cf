"""The non-local head: the block by plain loops, then another head's own rule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from secondlook import catalog


@torch.no_grad()
def block_by_hand(head, x_CTHW: Tensor) -> Tensor:
    """`z_i = W sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j) + x_i`, place by place."""
    places = x_CTHW.flatten(1).T

    def linear(conv, x: Tensor) -> Tensor:
        return conv.weight.flatten(1) @ x + conv.bias

    block = head.block
    out = []
    for x_i in places:
        scores = [float(linear(block.theta, x_i) @ linear(block.phi, x_j)) for x_j in places]
        weights = [math.exp(s - max(scores)) for s in scores]
        y = sum((w / sum(weights)) * linear(block.g, x_j) for w, x_j in zip(weights, places, strict=True))
        out.append(linear(block.out, y) + x_i)
    return torch.stack(out).T.reshape(x_CTHW.shape)


@pytest.mark.parametrize("then", ["average", "concat", "concat_fc"])
@pytest.mark.parametrize("inner", [None, 2])
def test_block_then_head(then: str, inner: int | None) -> None:
    head = catalog.find("heads", "non_local").build(4, 2, 3, then=then, inner=inner).eval()
    for parameter in head.block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 4, 2, 2, 3)
    z = block_by_hand(head, x[0])[None]
    if then == "average":
        read = z.mean((2, 3, 4))
    else:
        read = z.mean((3, 4)).transpose(1, 2).flatten(1)
        if then == "concat_fc":
            read = (read @ head.then.fc.weight.T + head.then.fc.bias).clamp(min=0)
    assert torch.allclose(head(x), read @ head.classifier.weight.T + head.classifier.bias, atol=1e-5)


def test_four_convolutions_of_the_features_width() -> None:
    head = catalog.find("heads", "non_local").build(512, 16, 51)
    assert sum(p.numel() for p in head.block.parameters()) == 4 * (512 * 512 + 512)


def test_with_a_normalisation_it_starts_as_the_head_alone() -> None:
    head = catalog.find("heads", "non_local").build(4, 2, 3, norm=True).eval()
    x = torch.randn(2, 4, 2, 3, 3)
    expected = x.mean((2, 3, 4)) @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(x), expected, atol=1e-6)


def test_pooled_keys() -> None:
    head = catalog.find("heads", "non_local").build(4, 2, 3, pool=True).eval()
    x = torch.randn(2, 4, 2, 4, 4)
    assert head(x).shape == (2, 3)
    assert not torch.allclose(head(x), catalog.find("heads", "non_local").build(4, 2, 3).eval()(x))
