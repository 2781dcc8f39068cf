"""TimeSformer: attention over patches, divided between time and space (base, hr, large), or base-joint, base-space.

Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sections 3 and
4; `attention-recognisers`, section 2.3. Embedding and blocks are those of the library transformers (Apache-2.0).
Departs from the paper in its start: temporal attention and positions begin like all others, not at zero. Departs from
the library for space-only attention: the class tokens of all frames are averaged before the last normalisation, as in
the paper's code, where the library classifies every frame for itself; and in taking clips that are not square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ClipSpec, ModelCard
from secondlook.layers.token_grid import Order
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
    """Size and attention of a variant."""

    attention: str = "divided_space_time"
    """As the library names it: `divided_space_time`, `joint_space_time` or `space_only`."""
    channels: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    spread: float = 0.02
    """Standard deviation of a fresh weight."""


PLANS: Mapping[str, Plan] = {
    "base": Plan(),
    "base-joint": Plan("joint_space_time"),
    "base-space": Plan("space_only"),
    "hr": Plan(),
    "large": Plan(),
    "tiny": Plan(channels=64, depth=4, heads=2, patch=8, spread=0.125),
}
_CLIP = ClipSpec(
    frames=8, sampling="dense", stride=32, short_side=224, height=224, width=224, mean=(0.45,) * 3, std=(0.225,) * 3
)
_CLIPS: Mapping[str, ClipSpec] = {
    "hr": replace(_CLIP, frames=16, stride=16, short_side=448, height=448, width=448),
    "large": replace(_CLIP, frames=96, stride=4),
    "tiny": replace(TINY_CLIP, frames=8),
}
CARDS: Mapping[str, ModelCard] = {
    name: ModelCard(
        f"timesformer:{name}",
        _CLIPS.get(name, _CLIP),
        points(plan.depth, class_token=True),
        "Bertasius et al., ICML 2021",
        order_blind=plan.attention == "space_only",
    )
    for name, plan in PLANS.items()
}
_PEERS = "facebookresearch/TimeSformer; measured (peers.md, c1)"
FIGURES: tuple[Figure, ...] = (
    Figure("base", 400, (8, 224, 224), _PEERS, millions="121.566", gmac=195.83),
    Figure("base-joint", 400, (8, 224, 224), _PEERS, millions="86.112", gmac=179.56),
    Figure("base-space", 400, (8, 224, 224), _PEERS, millions="86.106", gmac=140.51),
    Figure("hr", 400, (16, 448, 448), _PEERS, millions="122.02", gmac=1702.7),
    Figure("large", 400, (96, 224, 224), _PEERS, millions="121.63", gmac=2379.9),
)


class TimeSformer(TokenNetwork):
    """A class token and `T H' W'` patch tokens, place by place; the logits are read from the class token."""

    def __init__(self, *args: Any, attention: str, **kwargs: Any) -> None:
        order: Order = "HW" if attention == "space_only" else "HWT"
        super().__init__(*args, order=order, class_token=True, **kwargs)
        self.attention = attention
        names = ("temporal_attention.attention.attn_drop",) if attention == "divided_space_time" else ()
        self.attention_modules = (*names, "attention.attention.attn_drop")

    def class_tokens(self, tokens_BNC: Tensor) -> Tensor:
        """The class token of each clip; with space-only attention the mean over that of its frames."""
        if self.attention != "space_only":
            return tokens_BNC[:, 0]
        frames = self.config.num_frames
        return tokens_BNC[:, 0].reshape(-1, frames, tokens_BNC.shape[2]).mean(1)


class SelfAttention(nn.Module):
    """`softmax(q k' / sqrt(d)) v` for each head, with the library's tensors; fused unless the configuration is eager.

    The library itself has plain products alone.
    """

    def __init__(self, config: Any, attends: Literal["all", "time", "space"]) -> None:
        super().__init__()
        self.config, self.attends = config, attends
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.attn_drop = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, tokens_BNC: Tensor, output_attentions: bool = False) -> tuple[Tensor]:
        """The tokens after attention, in a tuple as the library's blocks expect it."""
        heads = self.config.num_attention_heads
        q, k, v = self.qkv(tokens_BNC).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        if self.config._attn_implementation == "eager":
            weights = self.attn_drop((q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1))
            context = weights @ v
        else:
            drop = self.attn_drop.p if self.training else 0.0
            context = functional.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        return (context.transpose(1, 2).flatten(2),)


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised TimeSformer, `x_BCTHW -> logits_BK`, for clips of exactly the size asked for.

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
    shape = tokens_of(request, (1, plan.patch, plan.patch))
    chosen = attention_of(options)
    configuration, modeling = library("timesformer")

    def config(image_size: int | tuple[int, int]) -> Any:
        return configuration.TimesformerConfig(
            image_size=image_size,
            patch_size=plan.patch,
            num_channels=request.in_channels,
            num_frames=request.frames,
            hidden_size=plan.channels,
            num_hidden_layers=plan.depth,
            num_attention_heads=plan.heads,
            intermediate_size=4 * plan.channels,
            attention_type=plan.attention,
            attn_implementation=chosen,
        )

    embeddings = modeling.TimesformerEmbeddings(config((request.height, request.width)))
    for positions in ("cls_token", "position_embeddings", "time_embeddings"):
        if hasattr(embeddings, positions):
            nn.init.trunc_normal_(getattr(embeddings, positions), std=plan.spread)
    of_blocks = config(request.width)  # a block asks it for the tokens in a row
    blocks = [modeling.TimesformerLayer(of_blocks, i) for i in range(plan.depth)]
    for block in blocks:
        block.attention.attention = SelfAttention(of_blocks, "all" if plan.attention == "joint_space_time" else "space")
        if plan.attention == "divided_space_time":
            block.temporal_attention.attention = SelfAttention(of_blocks, "time")
    return TimeSformer(
        request,
        of_blocks,
        truncated_normal_(embeddings, plan.spread),
        [plain_activations_(truncated_normal_(block, plan.spread)) for block in blocks],
        nn.LayerNorm(plan.channels, eps=of_blocks.layer_norm_eps),
        shape,
        ClassTokenHead(plan.channels, num_classes, request.dropout, plan.spread),
        attention=plan.attention,
    )
