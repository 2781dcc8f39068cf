"""The transformer encoder: by plain loops, against PyTorch's own, and its masks and attention weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.transformer_encoder import (
    EncoderLayer,
    ReleasedLayerNorm,
    SelfAttention,
    TokenEmbedding,
    TransformerEncoder,
)


@torch.no_grad()
def attention_by_hand(layer: SelfAttention, x_ND: Tensor, seen_N: list[bool]) -> tuple[Tensor, list[list[list[float]]]]:
    """One token after the other; what is not seen takes no part in the sum. Gives the weights as well."""
    size = x_ND.shape[1] // layer.heads
    q, k, v = (x_ND @ w.T + b for w, b in zip(layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3), strict=True))
    rows, weights = [], []
    for h in range(layer.heads):
        part = slice(h * size, (h + 1) * size)
        row, of_head = [], []
        for i in range(len(x_ND)):
            e = [
                math.exp(float(q[i, part] @ k[j, part]) / math.sqrt(size)) if seen_N[j] else 0.0
                for j in range(len(x_ND))
            ]
            of_head.append([a / sum(e) for a in e])
            row.append(sum(a * v[j, part] for j, a in enumerate(of_head[-1])))
        rows.append(torch.stack(row))
        weights.append(of_head)
    return torch.cat(rows, 1) @ layer.out.weight.T + layer.out.bias, weights


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("seen", [[True] * 5, [True, False, True, True, False]])
@pytest.mark.spec("late-temporal-bert", "F58")
def test_attention(heads: int, seen: list[bool]) -> None:
    layer = SelfAttention(8, heads)
    x = torch.randn(2, 5, 8)
    seen_BN = torch.tensor([seen, [True] * 5])
    y = layer(x, seen_BN)
    assert layer.weights_BHNN is None, "nothing is kept on the usual path"
    layer.keep_weights = True
    assert torch.allclose(layer(x, seen_BN), y, atol=1e-6)
    for clip, of_clip in enumerate((seen, [True] * 5)):
        by_hand, weights = attention_by_hand(layer, x[clip], of_clip)
        assert torch.allclose(y[clip], by_hand, atol=1e-5)
        assert torch.allclose(layer.weights_BHNN[clip], torch.tensor(weights), atol=1e-6)
    assert torch.equal(layer.weights_BHNN[0][:, :, ~torch.tensor(seen)], torch.zeros(heads, 5, seen.count(False)))


@pytest.mark.parametrize("hidden", [8, 32])
def test_layer_is_pytorchs_with_its_norms_first(hidden: int) -> None:
    ours = EncoderLayer(8, 2, hidden, dropout=0.0, ffn_dropout=0.0).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, hidden, 0.0, "gelu", batch_first=True, norm_first=True)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    pairs = [
        (theirs.self_attn.in_proj_weight, ours.attention.qkv.weight),
        (theirs.self_attn.in_proj_bias, ours.attention.qkv.bias),
        (theirs.self_attn.out_proj.weight, ours.attention.out.weight),
        (theirs.self_attn.out_proj.bias, ours.attention.out.bias),
        (theirs.linear1.weight, ours.ffn.fc1.weight),
        (theirs.linear1.bias, ours.ffn.fc1.bias),
        (theirs.linear2.weight, ours.ffn.fc2.weight),
        (theirs.linear2.bias, ours.ffn.fc2.bias),
        (theirs.norm1.weight, ours.norm1.weight),
        (theirs.norm1.bias, ours.norm1.bias),
        (theirs.norm2.weight, ours.norm2.weight),
        (theirs.norm2.bias, ours.norm2.bias),
    ]
    with torch.no_grad():
        for a, b in pairs:
            a.copy_(b)
        x = torch.randn(3, 5, 8)
        assert torch.allclose(ours(x), theirs.train()(x), atol=1e-4)
    assert len(pairs) == len(list(ours.parameters()))


def test_released_norm() -> None:
    norm = ReleasedLayerNorm(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 6)
    for clip in range(2):
        for n in range(3):
            token = x[clip, n]
            mean = float(token.sum()) / 6
            deviation = math.sqrt(float(((token - mean) ** 2).sum()) / 5)
            expected = norm.weight * (token - mean) / (deviation + 1e-6) + norm.bias
            assert torch.allclose(norm(x)[clip, n], expected, atol=1e-5)
    assert not torch.allclose(norm(x), nn.functional.layer_norm(x, (6,), norm.weight, norm.bias), atol=1e-3)


def test_released_activation_is_the_tanh_form() -> None:
    layer = EncoderLayer(8, 2, 8, dropout=0.0, ffn_dropout=0.0, as_released=True)
    x = torch.linspace(-4, 4, 41)
    by_hand = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert torch.allclose(layer.ffn.act(x), by_hand, atol=1e-6)
    exact = EncoderLayer(8, 2, 8, dropout=0.0, ffn_dropout=0.0).ffn.act
    assert torch.allclose(exact(x), x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), atol=1e-6)


def test_weights_of_all_layers_and_nothing_stays() -> None:
    encoder = TransformerEncoder(3, 8, 2, 32).eval()
    x = torch.randn(2, 5, 8, requires_grad=True)
    y = encoder(x)
    weights_BLHNN = encoder.attention_weights(x)
    assert weights_BLHNN.shape == (2, 3, 2, 5, 5)
    assert torch.allclose(weights_BLHNN.sum(-1), torch.ones(2, 3, 2, 5), atol=1e-6)
    assert torch.autograd.grad(weights_BLHNN[..., 0].sum(), x)[0].abs().sum() > 0, "they can be differentiated"
    assert torch.equal(encoder(x), y)
    assert not any(m.keep_weights or m.weights_BHNN is not None for m in encoder.modules() if hasattr(m, "qkv"))


def test_embedding() -> None:
    embed = TokenEmbedding(4, 6)
    x = torch.randn(3, 4, 6)
    out = embed(x)
    assert out.shape == (3, 5, 6)
    assert torch.allclose(out[1, 0], embed.class_token[0, 0] + embed.positions[0, 0])
    assert torch.allclose(out[:, 1:], x + embed.positions[:, 1:])
    assert TokenEmbedding(4, 6, class_token=False, positions=False)(x) is x
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        big = TokenEmbedding(40, 300)
    assert big.positions.std().item() == pytest.approx(0.02, rel=0.05)
    assert big.class_token.std().item() == pytest.approx(0.02, rel=0.2)


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(BadValue, match="3: attention heads must divide the width of the tokens, 8"):
        SelfAttention(8, 3)
