"""VideoMAE: a plain transformer over tubelets, pre-trained by filling in masked tubes (small, base, large, huge).

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training", NeurIPS
2022, sections 3 and 4; `attention-recognisers`, section 2.4 (b). Patches and blocks are those of the library
transformers (Apache-2.0). No class token: logits are read from the mean of all tokens. Positions are fixed sines, so
they are no parameters. Its masked pre-training: `secondlook pretrain`. Departs from the library's conversion of
`small`, which has 16 heads, in having the 6 it was trained with; from the release in the small constants of its
normalisations (the library's 1e-12, and 1e-5 before the classifier, for 1e-6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Size of a variant, and of the decoder it is pre-trained with."""

    channels: int
    depth: int
    heads: int
    decoder: tuple[int, int, int]
    """Channels, depth and heads."""
    patch: int = 16
    spread: float = 0.02
    """Standard deviation of a fresh weight."""


TUBELET = 2
"""Frames of a token."""
PLANS: Mapping[str, Plan] = {
    "small": Plan(384, 12, 6, (192, 4, 3)),
    "base": Plan(768, 12, 12, (384, 4, 6)),
    "large": Plan(1024, 24, 16, (512, 12, 8)),
    "huge": Plan(1280, 32, 16, (640, 12, 8)),
    "tiny": Plan(64, 4, 4, (48, 2, 3), patch=8, spread=0.125),
}
_CLIP = ClipSpec(frames=16, sampling="dense", stride=4, short_side=224, height=224, width=224)
CARDS: Mapping[str, ModelCard] = {
    name: ModelCard(
        f"videomae:{name}",
        TINY_CLIP if name == "tiny" else _CLIP,
        points(plan.depth, class_token=False),
        "Tong et al., NeurIPS 2022",
    )
    for name, plan in PLANS.items()
}
_PEERS = "MCG-NJU/VideoMAE; measured (peers.md, c1)"
FIGURES: tuple[Figure, ...] = (
    Figure("small", 400, (16, 224, 224), _PEERS, millions="22.03", gmac=56.88),
    Figure("base", 400, (16, 224, 224), _PEERS, millions="86.53", gmac=180.35),
    Figure("large", 400, (16, 224, 224), _PEERS, millions="304.27", gmac=596.8),
    Figure("huge", 400, (16, 224, 224), _PEERS, millions="632.12", gmac=1191.0),
)


class VideoMAE(TokenNetwork):
    """`T/2 H' W'` tokens, frame by frame; the logits are read from their mean."""

    attention_modules = ("attention.attention",)

    def encode(self, x_BCTHW: Tensor, masked_BN: Tensor) -> Tensor:
        """The tokens of the patches that are not masked, `visible_BVC`, after the last block.

        Args:
            x_BCTHW: clips.
            masked_BN: True where a patch is hidden; equally many in every clip.
        """
        self.check(x_BCTHW)
        tokens_BVC: Tensor = self.embeddings(x_BCTHW.transpose(1, 2), masked_BN)
        for block in self.blocks:
            tokens_BVC = self.pass_block(block, tokens_BVC)
        return tokens_BVC


class Embeddings(nn.Module):
    """Patches with fixed positions, `x_BTCHW -> tokens_BNC`; with a mask, those of the visible patches alone."""

    def __init__(self, patch_embeddings: nn.Module, positions_NC: Tensor) -> None:
        super().__init__()
        self.patch_embeddings = patch_embeddings
        self.register_buffer("position_embeddings", positions_NC, persistent=False)

    def forward(self, x_BTCHW: Tensor, masked_BN: Tensor | None = None) -> Tensor:
        """Tokens in the order of the patches."""
        tokens_BNC: Tensor = self.patch_embeddings(x_BTCHW)
        tokens_BNC = tokens_BNC + self.get_buffer("position_embeddings").to(tokens_BNC.dtype)
        return tokens_BNC if masked_BN is None else chosen(tokens_BNC, ~masked_BN)


class MeanTokenHead(nn.Module):
    """`logits_BK = W norm(mean_THW(features_BCTHW)) + b`."""

    def __init__(self, channels: int, num_classes: int, dropout: float, spread: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        truncated_normal_(self, spread)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        pooled_BC = self.norm(self.pool(features_BCTHW).flatten(1))
        logits_BK: Tensor = self.classifier(self.dropout(pooled_BC))
        return logits_BK


def chosen(tokens_BNC: Tensor, keep_BN: Tensor) -> Tensor:
    """The tokens where `keep_BN` is True, in order; equally many in every clip."""
    return tokens_BNC[keep_BN].reshape(tokens_BNC.shape[0], -1, tokens_BNC.shape[2])


def sines(places: int, channels: int) -> Tensor:
    """`p[n, 2i] = sin(n / 10000^(2i/C))`, `p[n, 2i+1] = cos(n / 10000^(2i/C))` (Vaswani et al., 2017, section 3.5)."""
    n_N1 = torch.arange(places, dtype=torch.float64).unsqueeze(1)
    i_C = torch.arange(channels)
    angle_NC = n_N1 / 10000.0 ** (2 * (i_C // 2).double() / channels)
    return torch.where(i_C % 2 == 0, angle_NC.sin(), angle_NC.cos()).float()


def config_of(plan: Plan, clip: tuple[int, int, int, int], attention: str) -> Any:
    """The library's configuration for clips of C, T, H, W.

    Raises:
        BadValue: if transformers is missing.
    """
    channels, frames, height, width = clip
    decoder_channels, decoder_depth, decoder_heads = plan.decoder
    return library("videomae")[0].VideoMAEConfig(
        image_size=(height, width),
        patch_size=plan.patch,
        num_channels=channels,
        num_frames=frames,
        tubelet_size=TUBELET,
        hidden_size=plan.channels,
        num_hidden_layers=plan.depth,
        num_attention_heads=plan.heads,
        intermediate_size=4 * plan.channels,
        decoder_hidden_size=decoder_channels,
        decoder_num_hidden_layers=decoder_depth,
        decoder_num_attention_heads=decoder_heads,
        decoder_intermediate_size=4 * decoder_channels,
        attn_implementation=attention,
    )


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised VideoMAE, `x_BCTHW -> logits_BK`, for clips of exactly the size asked for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`, on the map of the last tokens; its own classifier when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, a size that the patch does not divide, or if transformers is missing.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    shape = tokens_of(request, (TUBELET, plan.patch, plan.patch))
    clip = (request.in_channels, request.frames, request.height, request.width)
    config = config_of(plan, clip, attention_of(options))
    modeling = library("videomae")[1]
    patches = truncated_normal_(modeling.VideoMAEPatchEmbeddings(config), plan.spread)
    return VideoMAE(
        request,
        config,
        Embeddings(patches, sines(shape[0] * shape[1] * shape[2], plan.channels)),
        [plain_activations_(truncated_normal_(modeling.VideoMAELayer(config), plan.spread)) for _ in range(plan.depth)],
        nn.Identity(),
        shape,
        MeanTokenHead(plan.channels, num_classes, request.dropout, plan.spread),
    )
