"""ViViT: joint attention over space-time tubelets and a class token, its "model 1" (base).

Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sections 3.2 (tubelets) and 3.3 (model 1). Embedding and
blocks are those of the library transformers (Apache-2.0), where GELU is approximated by a tanh. Departs from the
library in the start of its positions and class token: small normal values as in the paper's code, where the library
has zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.models._figures import Figure
from secondlook.models._request import request_of
from secondlook.models._staged import TINY_CLIP
from secondlook.models._tokens import (
    ClassTokenHead,
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

    channels: int = 768
    depth: int = 12
    heads: int = 12
    tubelet: tuple[int, int, int] = (2, 16, 16)
    """T x H x W of a token."""
    spread: float = 0.02
    """Standard deviation of a fresh weight."""


PLANS: Mapping[str, Plan] = {"base": Plan(), "tiny": Plan(64, 4, 4, (2, 8, 8), spread=0.125)}
_CLIP = ClipSpec(
    frames=32, sampling="dense", stride=2, short_side=256, height=224, width=224, mean=(0.5,) * 3, std=(0.5,) * 3
)
CARDS: Mapping[str, ModelCard] = {
    name: ModelCard(
        f"vivit:{name}",
        TINY_CLIP if name == "tiny" else _CLIP,
        points(plan.depth, class_token=True),
        "Arnab et al., ICCV 2021",
    )
    for name, plan in PLANS.items()
}
FIGURES: tuple[Figure, ...] = (
    Figure("base", 400, (32, 224, 224), "transformers; measured (peers.md, c1)", millions="88.954", gmac=451.52),
)


class ViViT(TokenNetwork):
    """A class token and `T/2 H' W'` patch tokens, frame by frame; the logits are read from the class token."""

    attention_modules = ("attention",)


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised ViViT, `x_BCTHW -> logits_BK`, for clips of exactly the size asked for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`, on the map of the last patch tokens; its own classifier when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, a size that the patch does not divide, or if transformers is missing.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    shape = tokens_of(request, plan.tubelet)
    chosen = attention_of(options)
    configuration, modeling = library("vivit")
    config = configuration.VivitConfig(
        image_size=(request.height, request.width),
        tubelet_size=plan.tubelet,
        num_channels=request.in_channels,
        num_frames=request.frames,
        hidden_size=plan.channels,
        num_hidden_layers=plan.depth,
        num_attention_heads=plan.heads,
        intermediate_size=4 * plan.channels,
        attn_implementation=chosen,
    )
    embeddings = modeling.VivitEmbeddings(config)
    nn.init.trunc_normal_(embeddings.cls_token, std=plan.spread)
    nn.init.trunc_normal_(embeddings.position_embeddings, std=plan.spread)
    return ViViT(
        request,
        config,
        truncated_normal_(embeddings, plan.spread),
        [plain_activations_(truncated_normal_(modeling.VivitLayer(config), plan.spread)) for _ in range(plan.depth)],
        nn.LayerNorm(plan.channels, eps=config.layer_norm_eps),
        shape,
        ClassTokenHead(plan.channels, num_classes, request.dropout, plan.spread),
        class_token=True,
    )
