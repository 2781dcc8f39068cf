"""Transformer encoder: tokens that look at each other, with a learned class token and learned positions.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017; Devlin et al., "BERT", NAACL 2019; `late-temporal-bert`,
sections 1.19 and 1.20. The normalisations stand before their branches, as in the late temporal BERT's code
(artest08/LateTemporalModeling3DCNN, after codertimo/BERT-pytorch). A layer has `12 D^2 + 13 D` weights where
`hidden = 4 D`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.residual import Sum


class ReleasedLayerNorm(nn.LayerNorm):
    """`weight (x - mean) / (deviation + 1e-6) + bias`, with the unbiased deviation, as the code named above has it.

    A layer normalisation divides by `sqrt(variance + eps)` with the biased variance: at D = 512 the two differ by one
    part in a thousand.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The normalised tokens."""
        centred = input - input.mean(-1, keepdim=True)
        return self.weight * centred / (input.std(-1, keepdim=True) + 1e-6) + self.bias


class TokenEmbedding(nn.Module):
    """`tokens_BND -> x_BMD`: a class token before them (M = N + 1, or M = N without), a learned vector for each place.

    Args:
        tokens: N.
        width: D.
        class_token: put a learned token first.
        positions: add a learned vector for each place; without, the order of the tokens is lost.
        dropout: share of the sums dropped in training.
    """

    def __init__(
        self, tokens: int, width: int, *, class_token: bool = True, positions: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, width)) if class_token else None
        self.positions = nn.Parameter(torch.empty(1, tokens + class_token, width)) if positions else None
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens as the encoder reads them."""
        x_BMD = tokens_BND
        if self.class_token is not None:
            x_BMD = torch.cat((self.class_token.expand(x_BMD.shape[0], -1, -1), x_BMD), 1)
        if self.positions is not None:
            x_BMD = x_BMD + self.positions
        out: Tensor = self.dropout(x_BMD)
        return out


class SelfAttention(nn.Module):
    """`out(softmax(q k^T / sqrt(D / heads)) v)` for each head, `x_BND -> BND`.

    Args:
        width: D.
        heads: D is a multiple of it.
        dropout: share of the attention weights dropped in training.

    Raises:
        BadValue: if the heads do not divide the width.
    """

    attends: Literal["all", "time", "space"] = "all"
    """Which of a clip's tokens it is given in a row: all; those of one place, frame after frame; those of one frame."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise BadValue(heads, f"attention heads must divide the width of the tokens, {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.softmax = nn.Softmax(-1)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, width)
        self.keep_weights = False
        """Reckon the attention weights one by one, by `softmax`, and keep them in `weights_BHNN`; slower."""
        self.weights_BHNN: Tensor | None = None
        """Of the last pass with `keep_weights`, before dropout; each row sums to 1."""

    def forward(self, x_BND: Tensor, seen_BN: Tensor | None = None) -> Tensor:
        """What each token gathers from those that are seen (all, if not given)."""
        q_BHND, k_BHND, v_BHND = self.qkv(x_BND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if seen_BN is None else seen_BN[:, None, None]
        if self.keep_weights:
            scores_BHNN = q_BHND @ k_BHND.transpose(-1, -2) * q_BHND.shape[-1] ** -0.5
            if mask is not None:
                scores_BHNN = scores_BHNN.masked_fill(~mask, float("-inf"))
            self.weights_BHNN = self.softmax(scores_BHNN)
            y_BHND = self.dropout(self.weights_BHNN) @ v_BHND
        else:
            share = self.dropout.p if self.training else 0.0
            y_BHND = functional.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND, mask, share)
        out: Tensor = self.out(y_BHND.transpose(1, 2).flatten(2))
        return out


class EncoderLayer(nn.Module):
    """`y = x + attention(norm1(x))`, then `y + W2 gelu(W1 norm2(y) + b1) + b2`.

    Args:
        width: D.
        heads: D is a multiple of it.
        hidden: width of the feed-forward branch.
        dropout: share dropped in training of the attention weights and of each branch.
        ffn_dropout: share dropped in training inside the feed-forward branch.
        as_released: normalise as `ReleasedLayerNorm` does, and take the tanh approximation of GELU.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, *, dropout: float, ffn_dropout: float, as_released: bool = False
    ) -> None:
        super().__init__()
        norm = ReleasedLayerNorm if as_released else nn.LayerNorm
        self.norm1 = norm(width)
        self.attention = SelfAttention(width, heads, dropout)
        self.dropout1 = nn.Dropout(dropout)
        self.sum1 = Sum()
        self.norm2 = norm(width)
        self.ffn = nn.Sequential(
            OrderedDict[str, nn.Module](
                fc1=nn.Linear(width, hidden),
                act=nn.GELU(approximate="tanh" if as_released else "none"),
                dropout=nn.Dropout(ffn_dropout),
                fc2=nn.Linear(hidden, width),
            )
        )
        self.dropout2 = nn.Dropout(dropout)
        self.sum2 = Sum()

    def forward(self, x_BND: Tensor, seen_BN: Tensor | None = None) -> Tensor:
        """The tokens, each changed by what it saw."""
        x_BND = self.sum1(self.dropout1(self.attention(self.norm1(x_BND), seen_BN)), x_BND)
        out: Tensor = self.sum2(self.dropout2(self.ffn(self.norm2(x_BND))), x_BND)
        return out


class TransformerEncoder(nn.Module):
    """Encoder layers one after the other, `x_BND -> BND`.

    Args:
        layers: how many.
        width: D.
        heads: attention heads a layer.
        hidden: width of the feed-forward branches.
        dropout: see `EncoderLayer`.
        ffn_dropout: see `EncoderLayer`.
        as_released: see `EncoderLayer`.
    """

    initialises_itself = True

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        hidden: int,
        *,
        dropout: float = 0.1,
        ffn_dropout: float = 0.1,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout=dropout, ffn_dropout=ffn_dropout, as_released=as_released)
            for _ in range(layers)
        )

    def forward(self, x_BND: Tensor, seen_BN: Tensor | None = None) -> Tensor:
        """The tokens after the last layer; `seen_BN` is false where no token may look."""
        for layer in self.layers:
            x_BND = layer(x_BND, seen_BN)
        return x_BND

    def attention_weights(self, x_BND: Tensor, seen_BN: Tensor | None = None) -> Tensor:
        """How much each token looks at each other, `weights_BLHNN`: layer, head, from, to; each row sums to 1."""
        attentions = [m for m in self.modules() if isinstance(m, SelfAttention)]
        before = [attention.keep_weights for attention in attentions]
        kept = []
        try:
            for attention in attentions:
                attention.keep_weights = True
            self(x_BND, seen_BN)
        finally:
            for attention, keep in zip(attentions, before, strict=True):
                if attention.weights_BHNN is not None:
                    kept.append(attention.weights_BHNN)
                attention.keep_weights, attention.weights_BHNN = keep, None
        return torch.stack(kept, 1)
