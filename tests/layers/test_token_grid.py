"""Tokens as a map: each token at its place, and back."""

from __future__ import annotations

import pytest
import torch

from secondlook.errors import BadValue
from secondlook.layers.token_grid import TokenGrid

T, H, W = 2, 3, 4


@pytest.mark.parametrize("order", ["THW", "HWT", "HW"])
def test_each_token_stands_at_its_place(order: str) -> None:
    grid = TokenGrid(T, H, W, order)
    folded = order == "HW"
    tokens = torch.randn(5 * T if folded else 5, H * W if folded else T * H * W, 6)
    found = grid(tokens)
    assert found.shape == (5, 6, T, H, W)
    for b in range(5):
        for t in range(T):
            for h in range(H):
                for w in range(W):
                    token = {
                        "THW": lambda: tokens[b, (t * H + h) * W + w],  # noqa: B023
                        "HWT": lambda: tokens[b, (h * W + w) * T + t],  # noqa: B023
                        "HW": lambda: tokens[b * T + t, h * W + w],  # noqa: B023
                    }[order]()
                    assert torch.equal(found[b, :, t, h, w], token)
    assert torch.equal(grid.tokens(found), tokens)
    assert found.data_ptr() == tokens.data_ptr(), "a view"


def test_a_gradient_passes() -> None:
    grid = TokenGrid(T, H, W)
    tokens = torch.randn(1, T * H * W, 6, requires_grad=True)
    found = grid(tokens)
    gradient_of_map, gradient = torch.autograd.grad(grid.tokens(found).square().sum(), [found, tokens])
    assert torch.equal(gradient_of_map, 2 * found)
    assert torch.equal(gradient, 2 * tokens)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadValue, match="at least one place"):
        TokenGrid(0, 3, 3)
    with pytest.raises(BadValue, match="one of THW, HWT, HW"):
        TokenGrid(1, 3, 3, "WHT")  # type: ignore[arg-type]
