"""A picture of what a masked autoencoder makes of hidden patches: input, what was left to see, what it filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from secondlook.cards import ClipSpec
from secondlook.models import _masked_autoencoder as masked
from secondlook.models.videomae import TUBELET, VideoMAE
from secondlook.video.sheet import FAINT, Sheet

_GREY = 0.5
"""Of hidden patches, in [0, 1]."""
_LEGIBLE = 96
"""Smaller frames are drawn a whole number of times larger, up to about this side in pixels."""


class Reconstructions(Callback):
    """Draws `path` after every epoch, from the example clips that the module keeps.

    Args:
        path: a PNG file.
        spec: the model's input recipe.
    """

    def __init__(self, path: Path, spec: ClipSpec) -> None:
        self.path, self.spec = path, spec

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the picture."""
        module: Any = pl_module
        if trainer.is_global_zero and module.example_BCTHW is not None:
            x_BCTHW = module.example_BCTHW
            masked_BN = module.mask(len(x_BCTHW), 0)
            networks = module.encoder[0], module.decoder
            seen, filled = fill_in(*networks, x_BCTHW.to(module.device), masked_BN, module.grid)
            title = f"hidden {module.ratio:.0%}, epoch {trainer.current_epoch + 1}"
            part = self.path.with_name(self.path.name + ".part")
            strips(x_BCTHW, seen, filled, self.spec, title).image.save(part, format="PNG")
            part.replace(self.path)


@torch.no_grad()
def fill_in(
    encoder: VideoMAE, decoder: masked.Decoder, x_BCTHW: Tensor, masked_BN: Tensor, grid: masked.Grid
) -> tuple[Tensor, Tensor]:
    """Clips with hidden patches not a number, and with hidden patches as predicted, both `x_BCTHW` on the CPU.

    A patch is predicted with mean 0 and deviation 1; it is shown with those of the true one.
    """
    training = encoder.training, decoder.training
    encoder.eval(), decoder.eval()
    try:
        predicted_BMP = decoder(encoder.encode(x_BCTHW, masked_BN.to(x_BCTHW.device)), masked_BN.to(x_BCTHW.device))
    finally:
        encoder.train(training[0]), decoder.train(training[1])
    clip = x_BCTHW.shape[1:]
    pixels_BNP = masked.patches(x_BCTHW.cpu(), grid)
    filled_BNP, seen_BNP = pixels_BNP.clone(), pixels_BNP.clone()
    filled_BNP[masked_BN] = predicted_BMP.cpu().float().flatten(0, 1)
    filled_BNP[masked_BN] = masked.restored(filled_BNP, pixels_BNP, clip[0])[masked_BN]
    seen_BNP[masked_BN] = float("nan")
    return masked.clips_of(seen_BNP, grid, clip), masked.clips_of(filled_BNP, grid, clip)


def strips(x_BCTHW: Tensor, seen_BCTHW: Tensor, filled_BCTHW: Tensor, spec: ClipSpec, title: str) -> Sheet:
    """Three rows a clip, one column a time position."""
    scale = max(1, _LEGIBLE // min(x_BCTHW.shape[3:]))
    columns, (height, width) = x_BCTHW.shape[2] // TUBELET, (n * scale for n in x_BCTHW.shape[3:])
    names = ("input", "visible", "filled in")
    sheet = Sheet(columns, 3 * len(x_BCTHW), width, height, left=70, title=title)
    for b, clips in enumerate(zip(x_BCTHW, seen_BCTHW, filled_BCTHW, strict=True)):
        for r, (name, x_CTHW) in enumerate(zip(names, clips, strict=True)):
            x, y = sheet.corner(0, 3 * b + r)
            sheet.text((x - 8, y + height / 2), name, 12, FAINT, "rm")
            for column, pixels_HWC in enumerate(_pictures(x_CTHW[:, ::TUBELET], spec)):
                sheet.picture(column, 3 * b + r, pixels_HWC.repeat(scale, 0).repeat(scale, 1))
    return sheet


def _pictures(x_CTHW: Tensor, spec: ClipSpec) -> NDArray[np.uint8]:
    """Frames before the recipe's scale and shift, `pixels_THWC`; of brightness and its change the brightness."""
    mean, std = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in (spec.mean, spec.std))
    light_CTHW = (x_CTHW * std + mean).nan_to_num(_GREY).clamp(0, 1)
    if len(light_CTHW) != 3:
        light_CTHW = light_CTHW[:1].expand(3, -1, -1, -1)
    pixels: NDArray[np.uint8] = (light_CTHW * 255).round().byte().permute(1, 2, 3, 0).contiguous().numpy()
    return pixels
