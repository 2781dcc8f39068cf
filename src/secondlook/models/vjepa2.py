"""V-JEPA 2: an encoder trained to predict its own features, with an attentive probe as classifier (large, huge, giant).

Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning", 2025, sections 2
and 5 (attentive probe); positions are rotations of queries and keys, so a variant's weights fit clips of any size.
Patches, blocks and probe are those of the library transformers (Apache-2.0). Departs from it in taking clips that are
not square, each token rotated by its own row and column, and in leaving out the predictor of pre-training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.models._figures import Figure
from secondlook.models._request import request_of
from secondlook.models._staged import TINY_CLIP
from secondlook.models._tokens import (
    Options,
    TokenNetwork,
    attention_of,
    library,
    plain_activations_,
    points,
    tokens_of,
    truncated_normal_,
)


@dataclass(frozen=True)
class Plan:
    """Size of a variant."""

    channels: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    probe: int = 3
    """Self-attention blocks of the attentive probe."""
    patch: int = 16
    spread: float = 0.02
    """Standard deviation of a fresh weight."""


TUBELET = 2
"""Frames of a token."""
_LARGE, _HUGE, _GIANT = Plan(1024, 24, 16), Plan(1280, 32, 16), Plan(1408, 40, 22, mlp_ratio=48 / 11)
PLANS: Mapping[str, Plan] = {
    "large": _LARGE,
    "huge": _HUGE,
    "giant": _GIANT,
    "giant-384": _GIANT,
    "large-ssv2": _LARGE,
    "large-diving48": _LARGE,
    "giant-384-ssv2": _GIANT,
    "giant-384-diving48": _GIANT,
    "tiny": Plan(64, 4, 4, probe=1, patch=8, spread=0.125),
}
_CLIP = ClipSpec(frames=64, sampling="dense", stride=2, short_side=292, height=256, width=256)
_CLIP_384 = replace(_CLIP, short_side=438, height=384, width=384)
_CLIPS: Mapping[str, ClipSpec] = {
    "giant-384": _CLIP_384,
    "large-ssv2": replace(_CLIP, frames=16, stride=4),
    "large-diving48": replace(_CLIP, frames=32),
    "giant-384-ssv2": _CLIP_384,
    "giant-384-diving48": replace(_CLIP_384, frames=32),
    "tiny": TINY_CLIP,
}
CARDS: Mapping[str, ModelCard] = {
    name: ModelCard(
        f"vjepa2:{name}", _CLIPS.get(name, _CLIP), points(plan.depth, class_token=False), "Assran et al., 2025"
    )
    for name, plan in PLANS.items()
}
FIGURES: tuple[Figure, ...] = ()


class VJEPA2(TokenNetwork):
    """`T/2 H' W'` tokens, frame by frame; the logits are read by an attentive probe."""

    attention_modules = ("attention",)

    def __init__(self, *args: Any, places_N: Tensor | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_square = places_N is None
        if places_N is not None:
            self.register_buffer("places_N", places_N, persistent=False)

    def pass_block(self, block: nn.Module, tokens_BNC: Tensor) -> Tensor:
        """One block; where the clip is not square, every token is told its place."""
        if self.is_square:
            return super().pass_block(block, tokens_BNC)
        places_BN = self.get_buffer("places_N").expand(tokens_BNC.shape[0], -1)
        tokens: Tensor = block(tokens_BNC, places_BN)[0]
        return tokens


class AttentiveHead(nn.Module):
    """A learned query reads all tokens: `logits_BK = W probe(tokens_BNC) + b`, from `features_BCTHW`."""

    def __init__(self, pooler: nn.Module, channels: int, num_classes: int, dropout: float, spread: float) -> None:
        super().__init__()
        self.pooler = pooler
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        truncated_normal_(self, spread)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        pooled_BC = self.pooler(features_BCTHW.flatten(2).transpose(1, 2))
        logits_BK: Tensor = self.classifier(self.dropout(pooled_BC))
        return logits_BK


def places(shape: tuple[int, int, int]) -> Tensor | None:
    """Each token's number on the square grid that holds the map, `places_N`; None where the map is square itself.

    The library finds row and column of token n by dividing n by the side of a square; on the square of side
    `S = max(H, W)` the token at (t, h, w) is number `(t S + h) S + w`.
    """
    frames, height, width = shape
    if height == width:
        return None
    side = max(height, width)
    t, h, w = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return ((t * side + h) * side + w).flatten()


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised V-JEPA 2, `x_BCTHW -> logits_BK`, for clips of exactly the size asked for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`, on the map of the last tokens; the attentive probe when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, a size that the patch does not divide, or if transformers is missing.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    shape = tokens_of(request, (TUBELET, plan.patch, plan.patch))
    chosen = attention_of(options)
    configuration, modeling = library("vjepa2")
    config = configuration.VJEPA2Config(
        patch_size=plan.patch,
        crop_size=plan.patch * max(shape[1:]),
        frames_per_clip=request.frames,
        tubelet_size=TUBELET,
        hidden_size=plan.channels,
        in_chans=request.in_channels,
        num_attention_heads=plan.heads,
        num_hidden_layers=plan.depth,
        mlp_ratio=plan.mlp_ratio,
        num_pooler_layers=plan.probe,
        attn_implementation=chosen,
    )
    blocks = [
        modeling.VJEPA2Layer(
            config, hidden_size=plan.channels, num_attention_heads=plan.heads, mlp_ratio=plan.mlp_ratio
        )
        for _ in range(plan.depth)
    ]
    pooler = modeling.VJEPA2AttentivePooler(config)
    nn.init.trunc_normal_(pooler.query_tokens, std=plan.spread)
    return VJEPA2(
        request,
        config,
        truncated_normal_(modeling.VJEPA2Embeddings(config, hidden_size=plan.channels), plan.spread),
        [plain_activations_(truncated_normal_(block, plan.spread)) for block in blocks],
        nn.LayerNorm(plan.channels, eps=config.layer_norm_eps),
        shape,
        AttentiveHead(plain_activations_(pooler), plan.channels, num_classes, request.dropout, plan.spread),
        places_N=places(shape),
    )
