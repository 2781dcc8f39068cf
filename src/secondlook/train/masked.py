"""Masked pre-training of VideoMAE: the encoder learns from videos without labels; `train --init RUN` goes on from it.

The run folder is one of `train` (`checkpoint` says what is in it), but that its weights are those of a network whose
classifier knows no classes, and that there is `reconstructions.png`, what the network makes of hidden patches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.models._masked_autoencoder import Decoder, Grid, reconstruction_loss, tube_mask
from secondlook.models.videomae import PLANS, TUBELET, VideoMAE
from secondlook.predict.loader import COLUMNS, Batch
from secondlook.predict.weights import read_json, write_json
from secondlook.train._reconstructions import Reconstructions
from secondlook.train.checkpoint import Checkpoints, RunFolder
from secondlook.train.data import ClipData, Rows
from secondlook.train.fit import fit
from secondlook.train.module import Recogniser
from secondlook.train.optim import rate_factor
from secondlook.train.record import Curves, Progress, Unreadable, Watch, read_curves
from secondlook.train.settings import TrainSettings
from secondlook.train.start import card_of, start_model

NO_LABELS = LabelSpace.from_names(["no class yet: pre-trained without labels"], "pre-training")
"""The label space of such a run. No videos table has it: `train --init` starts a classifier anew, `predict` refuses."""


@dataclass(frozen=True)
class MaskedSettings(TrainSettings):
    """Everything a masked pre-training depends on, beside the videos table."""

    model: str = "videomae:base"
    weight_decay: float = 0.05
    mask_ratio: float = 0.9
    """Share of the places that is hidden, in all frames alike."""


@dataclass(frozen=True)
class PretrainResult:
    """What a pre-training led to."""

    run: Path
    epochs: int
    resumed: int
    """Of these, epochs that were there already."""
    last: Mapping[str, float]
    """Row of curves.csv of the last epoch; `train_loss` and `val_loss` are mean squared differences."""
    train_videos: int
    val_videos: int
    unreadable: int
    picture: Path
    notes: tuple[str, ...]
    clips_per_s: float


class MaskedModule(Recogniser):
    """A VideoMAE and its decoder in training.

    Each clip of each step gets a mask of its own, drawn from `(seed, epoch, step, device)`; in validation from
    `(seed, batch)`, the same in every epoch.

    Args:
        model: the encoder, with a classifier that is left alone.
        decoder: what fills in the hidden patches.
        grid: T, H, W of its clips in patches.
        settings: the pre-training's settings.
        steps_per_epoch: optimiser steps.
        about: what is kept in every checkpoint, JSON values.
    """

    def __init__(
        self,
        model: VideoMAE,
        decoder: Decoder,
        grid: Grid,
        settings: MaskedSettings,
        steps_per_epoch: int,
        about: dict[str, Any],
    ) -> None:
        super().__init__(model, settings, steps_per_epoch, about)
        model.head.requires_grad_(False)
        self.encoder: tuple[VideoMAE] = (model,)  # a tuple: it is a submodule already, as `model`
        self.decoder, self.ratio = decoder, settings.mask_ratio
        self.grid = grid
        self.example_BCTHW: Tensor | None = None
        """The first clips of validation, or of training where there is none, for a picture."""

    def mask(self, clips: int, *key: int) -> Tensor:
        """The mask of a batch on the CPU, `masked_BN`."""
        seed = int(np.random.SeedSequence((self.settings.seed, *key)).generate_state(1)[0])
        return tube_mask(clips, self.grid, self.ratio, torch.Generator().manual_seed(seed))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss over the clips that could be read; a batch without any moves no weight by its gradient."""
        if not len(batch.index_B):
            return torch.stack([p.sum() for p in self.parameters() if p.requires_grad]).sum() * 0.0
        loss_B = self._loss(batch, self.current_epoch, batch_idx, self.global_rank)
        self.train_loss.update(loss_B.detach())
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        return loss_B.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss of the clips that could be read."""
        if len(batch.index_B):
            self.val_loss.update(self._loss(batch, batch_idx))
            self.log("val_loss", self.val_loss, on_step=False, on_epoch=True)
            if batch_idx == 0:
                self.example_BCTHW = batch.x_BCTHW[:2].detach().cpu()

    def _loss(self, batch: Batch, *key: int) -> Tensor:
        if self.example_BCTHW is None:
            self.example_BCTHW = batch.x_BCTHW[:2].detach().cpu()
        masked_BN = self.mask(len(batch.x_BCTHW), *key).to(batch.x_BCTHW.device)
        return reconstruction_loss(self.encoder[0], self.decoder, batch.x_BCTHW, masked_BN, self.grid)[0]

    def configure_optimizers(self) -> Any:
        """AdamW with the paper's `betas = (0.9, 0.95)`, no decay of vectors, and the schedule in steps."""
        named = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        decayed = [p for name, p in named if p.ndim > 1 and not name.endswith("mask_token")]
        others = [p for name, p in named if p.ndim <= 1 or name.endswith("mask_token")]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.settings.peak_learning_rate, betas=(0.9, 0.95))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(self.settings, step, self.steps_per_epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def pretrain(
    videos: pa.Table,
    run: str | Path,
    settings: MaskedSettings,
    *,
    inputs: Mapping[str, str] | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> PretrainResult:
    """Pre-trains a VideoMAE on split `train` of a videos table, labels unread, or goes on with a run that was stopped.

    Args:
        videos: a videos table; rows without a label count too.
        run: folder to write.
        settings: see `MaskedSettings`.
        inputs: name and SHA-256 of other files the result depends on; a run goes on only with the same.
        restart: throw away the run that is in the folder.
        on_progress: called after every batch and epoch.

    Raises:
        BadValue: if settings, data or the folder's run do not fit.
        KeyboardInterrupt: after a ctrl-C, when everything is written.
    """
    family, _, variant = settings.model.partition(":")
    if family != "videomae":
        raise BadValue(settings.model, "only VideoMAE is pre-trained by masking", "Give --model videomae:base.")
    if settings.multigrid != "none":
        raise BadValue(settings.multigrid, "pre-training masks clips of one shape", "Leave multigrid out.")
    if settings.head:
        raise BadValue(settings.head, "pre-training has no head", "Give --head to `secondlook train --init`.")
    folder, card = RunFolder(Path(run)), card_of(settings)
    rows = _rows(videos)
    data = ClipData(videos, rows, card.clip, NO_LABELS, settings)
    batches = len(data.batches("train", world=settings.devices * settings.nodes))
    model, notes = start_model(card, NO_LABELS, settings, False)
    assert isinstance(model, VideoMAE)
    clip = card.clip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        decoder = Decoder(variant, (clip.channels, clip.frames, clip.height, clip.width))
    about = {"card": card.to_dict(), "labels": NO_LABELS.to_dict(), "settings": settings.to_dict()}
    steps = -(-batches // settings.accumulate)
    patch = PLANS[variant].patch
    grid = (clip.frames // TUBELET, clip.height // patch, clip.width // patch)
    module = MaskedModule(model, decoder, grid, settings, steps, about)
    module.mask(1, 0)  # refuses a share that hides nothing before anything is written
    done = folder.open(videos, settings, card, NO_LABELS, {**(inputs or {}), "pre-training": "masked tubes"}, restart)
    write_json(folder.path / "settings.json", {**read_json(folder.path / "settings.json"), "command": "pretrain"})
    unreadable = Unreadable(folder.path / "unreadable.csv", rows.unusable, rows.train, rows.val)
    curves, picture = Curves(folder.path / "curves.csv"), Reconstructions(folder.path / "reconstructions.png", clip)
    watch = [Watch(on_progress, batches, settings.epochs, curves)] if on_progress else []
    began_s = time.perf_counter()
    if done < settings.epochs:
        checkpoints = Checkpoints(folder, every=settings.checkpoint_steps)
        fit(module, data, folder, settings, [curves, unreadable, *watch, picture, checkpoints])
    clips = (settings.epochs - done) * len(rows.train)
    return PretrainResult(
        run=folder.path,
        epochs=settings.epochs,
        resumed=done,
        last=read_curves(curves.path)[-1],
        train_videos=len(rows.train),
        val_videos=len(rows.val),
        unreadable=unreadable.failed,
        picture=picture.path,
        notes=(*notes, *rows.notes, *data.notes),
        clips_per_s=clips / (time.perf_counter() - began_s),
    )


def _rows(videos: pa.Table) -> Rows:
    """All usable rows of the splits train and val; labels do not matter."""
    videos = videos.select([*COLUMNS, *(["frames"] if "frames" in videos.column_names else [])])
    usable = pc.is_in(videos["status"], value_set=pa.array(sorted(tables.USABLE)))
    train, val = (videos.filter(pc.and_(pc.equal(videos["split"], split), usable)) for split in ("train", "val"))
    if not len(train):
        there = ", ".join(repr(s) for s in sorted(videos["split"].unique().to_pylist())) or "none"
        raise BadValue("train", f"no usable video is in this split (splits of the table: {there})",
                       "Give `secondlook index` a split, or look at the column status.")  # fmt: skip
    known = pc.is_in(videos["split"], value_set=pa.array(["train", "val"]))
    return Rows(train, val, videos.filter(pc.and_(known, pc.invert(usable))), None, None, ())
