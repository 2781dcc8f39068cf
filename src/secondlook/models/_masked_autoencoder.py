"""VideoMAE's pre-training: tubes of patches are hidden, a small decoder fills in their pixels.

Tong et al., "VideoMAE", NeurIPS 2022, sections 3.1 to 3.3; He et al., "Masked Autoencoders Are Scalable Vision
Learners", CVPR 2022 (normalised targets); `attention-recognisers`, section 2.4 (b). Only visible patches pass the
encoder; the decoder, the library's (transformers, Apache-2.0), gets them and one learned token for each hidden one.

Shapes: B clips, N patches of a clip (V visible, M hidden), P pixels of a patch: frames x height x width x channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.models._tokens import attention_of, library, plain_activations_, truncated_normal_
from secondlook.models.videomae import PLANS, TUBELET, VideoMAE, chosen, config_of, sines

Grid = tuple[int, int, int]
"""T, H, W in patches."""


class Decoder(nn.Module):
    """Pixels of the hidden patches from the encoder's tokens of the visible ones.

    Args:
        variant: of the encoder.
        clip: C, T, H, W of the clips.
        attention: `sdpa` or `eager`.
    """

    def __init__(self, variant: str, clip: tuple[int, int, int, int], attention: str = "sdpa") -> None:
        super().__init__()
        plan = PLANS[variant]
        config = config_of(plan, clip, attention_of({"attention": attention}))
        width = config.decoder_hidden_size
        self.norm = nn.LayerNorm(plan.channels, eps=config.layer_norm_eps)
        self.encoder_to_decoder = nn.Linear(plan.channels, width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder = plain_activations_(library("videomae")[1].VideoMAEDecoder(config))
        _, t, h, w = clip
        places = (t // TUBELET) * (h // plan.patch) * (w // plan.patch)
        self.register_buffer("position_embeddings", sines(places, width), persistent=False)
        truncated_normal_(self, plan.spread)
        nn.init.trunc_normal_(self.mask_token, std=plan.spread)
        nn.init.trunc_normal_(
            self.get_parameter("decoder.head.weight"), std=0.02
        )  # the first guess is near the mean of each patch

    def forward(self, visible_BVC: Tensor, masked_BN: Tensor) -> Tensor:
        """The normalised pixels of the hidden patches in order, `pixels_BMP`."""
        visible_BVD = self.encoder_to_decoder(self.norm(visible_BVC))
        positions_BND = self.get_buffer("position_embeddings").to(visible_BVD.dtype).expand(len(masked_BN), -1, -1)
        hidden_BMD = self.mask_token + chosen(positions_BND, masked_BN)
        tokens_BND = torch.cat((visible_BVD + chosen(positions_BND, ~masked_BN), hidden_BMD), 1)
        pixels_BMP: Tensor = self.decoder(tokens_BND, hidden_BMD.shape[1]).logits
        return pixels_BMP


def reconstruction_loss(
    encoder: VideoMAE, decoder: Decoder, x_BCTHW: Tensor, masked_BN: Tensor, grid: Grid
) -> tuple[Tensor, Tensor]:
    """Mean squared difference of the hidden patches' normalised pixels, `loss_B`, and the prediction, `pixels_BMP`."""
    predicted_BMP = decoder(encoder.encode(x_BCTHW, masked_BN), masked_BN)
    target_BMP = chosen(normalised(patches(x_BCTHW, grid), x_BCTHW.shape[1]), masked_BN)
    return (predicted_BMP.float() - target_BMP).square().mean((1, 2)), predicted_BMP


def tube_mask(clips: int, grid: Grid, ratio: float, generator: torch.Generator) -> Tensor:
    """Hides the same places in all frames of a clip, other places in each clip: `masked_BN`, True where hidden.

    Args:
        clips: B.
        grid: T, H, W in patches.
        ratio: share that is hidden; of `H W` places `floor(ratio H W)` are.
        generator: what is drawn from.

    Raises:
        BadValue: if nothing or everything would be hidden.
    """
    frames, places = grid[0], grid[1] * grid[2]
    hidden = int(ratio * places)
    if not 0 < hidden < places:
        rule = f"of {places} places {hidden} would be hidden; some must be, and some must not"
        raise BadValue(ratio, rule, "Give another share, or larger clips.")
    order_BN = torch.rand(clips, places, generator=generator).argsort(1)
    masked_BN = (order_BN < hidden).repeat(1, frames)
    return masked_BN


def patches(x_BCTHW: Tensor, grid: Grid) -> Tensor:
    """Pixels by patch, `pixels_BNP`, in the order of the tokens; within a patch by frame, row, column, channel."""
    b, c, *sizes = x_BCTHW.shape
    t, h, w = grid
    inside = [size // count for size, count in zip(sizes, grid, strict=True)]
    cut = x_BCTHW.reshape(b, c, t, inside[0], h, inside[1], w, inside[2])
    return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


def clips_of(pixels_BNP: Tensor, grid: Grid, clip: Sequence[int]) -> Tensor:
    """Undoes `patches`, `x_BCTHW`; `clip` is C, T, H, W."""
    c, *sizes = clip
    inside = [size // count for size, count in zip(sizes, grid, strict=True)]
    return pixels_BNP.reshape(-1, *grid, *inside, c).permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(-1, *clip)


def normalised(pixels_BNP: Tensor, channels: int) -> Tensor:
    """Each patch and channel with mean 0 and deviation 1, `(x - mean) / (std + 1e-6)`, the target of pre-training.

    A scale and shift of a channel, as the input recipe's, falls out; so it needs no mean and deviation of the recipe.
    """
    pixels_BNSC = _by_channel(pixels_BNP, channels)
    mean, deviation = _spread(pixels_BNSC)
    return ((pixels_BNSC - mean) / deviation).flatten(2)


def restored(predicted_BNP: Tensor, pixels_BNP: Tensor, channels: int) -> Tensor:
    """Predicted pixels with the mean and deviation of the true patch, which the network is not asked for."""
    mean, deviation = _spread(_by_channel(pixels_BNP, channels))
    return (_by_channel(predicted_BNP, channels) * deviation + mean).flatten(2)


def _by_channel(pixels_BNP: Tensor, channels: int) -> Tensor:
    return pixels_BNP.float().reshape(*pixels_BNP.shape[:2], -1, channels)


def _spread(pixels_BNSC: Tensor) -> tuple[Tensor, Tensor]:
    return pixels_BNSC.mean(2, keepdim=True), pixels_BNSC.std(2, keepdim=True) + 1e-6
