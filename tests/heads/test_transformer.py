"""The transformer head: tokens of a grid, projection, and the encoder that PyTorch has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from secondlook import catalog


def by_hand(head, features_BCTHW: Tensor, grid: tuple[int, int, int]) -> Tensor:
    pooled = nn.functional.adaptive_avg_pool3d(features_BCTHW, grid)
    rows = []
    for clip in pooled:
        places = [clip[:, t, h, w] for t in range(grid[0]) for h in range(grid[1]) for w in range(grid[2])]
        if isinstance(head.project, nn.Linear):
            places = [head.project.weight @ p + head.project.bias for p in places]
        tokens = torch.stack([head.embed.class_token[0, 0], *places]) + head.embed.positions[0]
        for layer in head.encoder.layers:
            x = layer.norm1(tokens)
            attended = nn.functional.multi_head_attention_forward(
                *(x[:, None],) * 3,
                x.shape[-1],
                layer.attention.heads,
                layer.attention.qkv.weight,
                layer.attention.qkv.bias,
                None,
                None,
                False,
                0.0,
                layer.attention.out.weight,
                layer.attention.out.bias,
                training=False,
            )[0][:, 0]
            tokens = tokens + attended
            inside = nn.functional.gelu(layer.norm2(tokens) @ layer.ffn.fc1.weight.T + layer.ffn.fc1.bias)
            tokens = tokens + inside @ layer.ffn.fc2.weight.T + layer.ffn.fc2.bias
        rows.append(head.classifier(head.norm(tokens[0])))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("options", "grid"),
    [
        ({}, (4, 1, 1)),
        ({"grid": [2, 2, 3]}, (2, 2, 3)),
        ({"grid": [4, 5, 2], "width": 32, "heads": 16, "fc": 20, "layers": 2}, (4, 5, 2)),
    ],
)
def test_tokens_of_a_grid(options: dict, grid: tuple[int, int, int]) -> None:
    head = catalog.find("heads", "transformer").build(8, 4, 3, **options).eval()
    features = torch.randn(2, 8, 4, 5, 6)
    assert torch.allclose(head(features), by_hand(head, features, grid), atol=1e-5)
    weights = head.attention_weights(features)
    tokens = grid[0] * grid[1] * grid[2] + 1
    assert weights.shape == (2, options.get("layers", 1), options.get("heads", 8), tokens, tokens)
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)


def test_the_grid_sees_where_things_are() -> None:
    """The default does not see a map turned about; a grid in space does."""
    features = torch.randn(2, 8, 4, 4, 4)
    turned = features.flip(-1)
    build = catalog.find("heads", "transformer").build
    blind, sees = build(8, 4, 3).eval(), build(8, 4, 3, grid=[4, 2, 2]).eval()
    assert torch.allclose(blind(features), blind(turned), atol=1e-5)
    nn.init.normal_(sees.embed.positions)
    assert not torch.allclose(sees(features), sees(turned), atol=1e-3)


def test_without_positions_the_order_is_lost() -> None:
    features = torch.randn(2, 8, 4, 2, 2)
    head = catalog.find("heads", "transformer").build(8, 4, 3, positions=False).eval()
    assert torch.allclose(head(features), head(features[:, :, [1, 3, 0, 2]]), atol=1e-5)


def test_widths() -> None:
    """8 heads with a width of 512, 16 heads: what section 2.2 names."""
    build = catalog.find("heads", "transformer").build
    with torch.device("meta"):
        narrow = build(2048, 8, 5, width=512)
        wide = build(512, 8, 5, heads=16, fc=512)
    assert narrow.project.out_features == narrow.classifier.in_features == 512
    assert isinstance(wide.project, nn.Identity)
    assert wide.encoder.layers[0].attention.heads == 16
    assert wide.encoder.layers[0].ffn.fc1.out_features == 512
