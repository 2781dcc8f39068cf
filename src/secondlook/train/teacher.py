"""A trained network that teaches another: frozen, in evaluation mode, outside the student's weights; pairs that fit.

Shapes: B clips, K classes, C channels, N tokens (temporal positions of the features), D dimensions of a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.cards import CHANNELS
from secondlook.heads._pool import FramePool
from secondlook.labels import LabelSpace
from secondlook.predict.taps import Tap, bert_head, pooled_tap
from secondlook.predict.weights import LoadedModel, load_run, quick_on_cpu
from secondlook.train.settings import TrainSettings


class Teacher:
    """What a frozen network says of clips; never trained, never part of a student's checkpoint.

    Args:
        loaded: what `predict.weights.load_run` gives.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.card, self.labels, self.weights = loaded.card, loaded.labels, loaded.weights
        self.network = quick_on_cpu(loaded.model.eval().requires_grad_(requires_grad=False))
        self._pooled: Tap | None = None
        self._tokens: Tap | None = None
        self._pool = FramePool()

    @classmethod
    def of_run(cls, run: str | Path) -> Teacher:
        """The best weights of a run folder."""
        return cls(load_run(run))

    def logits(self, x_BCTHW: Tensor) -> Tensor:
        """`logits_BK`, over the teacher's own labels."""
        return self._run(x_BCTHW).float()

    def pooled(self, x_BCTHW: Tensor) -> Tensor:
        """What its classifier reads, `f_BC`."""
        self._pooled = self._pooled or pooled_tap(self.network, self.card)
        self._run(x_BCTHW)
        return self._pooled.take().float()

    def tokens(self, x_BCTHW: Tensor) -> Tensor:
        """Its features before any pooling over time, averaged over each frame, `z_BND`.

        Where it has a BERT head, what that head reads (after FRMB or FRAB); else the backbone's last map.
        """
        head = bert_head(self.network)
        if head is None:
            with torch.no_grad():
                features_BCTHW: Tensor = self._on(x_BCTHW).features(self._laid_out(x_BCTHW))  # type: ignore[operator]
                tokens_BND: Tensor = self._pool(features_BCTHW)
            return tokens_BND.float()
        self._tokens = self._tokens or Tap(head.pool, "output")
        self._run(x_BCTHW)
        return self._tokens.take().float()

    @torch.no_grad()
    def _run(self, x_BCTHW: Tensor) -> Tensor:
        logits_BK: Tensor = self._on(x_BCTHW)(self._laid_out(x_BCTHW))
        return logits_BK

    def _on(self, x_BCTHW: Tensor) -> nn.Module:
        if next(self.network.parameters()).device != x_BCTHW.device:
            self.network.to(x_BCTHW.device)
        return self.network

    @staticmethod
    def _laid_out(x_BCTHW: Tensor) -> Tensor:
        on_cpu = x_BCTHW.device.type == "cpu"
        return x_BCTHW.contiguous(memory_format=torch.channels_last_3d) if on_cpu else x_BCTHW


def columns_of(teacher: LabelSpace, student: LabelSpace) -> list[int] | None:
    """For each label of the student its column in the teacher's logits; None if the teacher lacks one."""
    at = {name: column for column, name in enumerate(teacher.names)}
    columns = [at.get(name, -1) for name in student.names]
    return None if -1 in columns else columns


@dataclass(frozen=True)
class Pair:
    """A student and a teacher whose tokens fit, as settings for `TrainSettings`."""

    about: str
    teacher: Mapping[str, Any]
    student: Mapping[str, Any] = field(default_factory=dict)

    def teacher_settings(self, **changes: Any) -> TrainSettings:
        """For training the teacher."""
        return TrainSettings(**{**self.teacher, **changes})

    def student_settings(self, teacher: Path, **changes: Any) -> TrainSettings:
        """For training the student with the teacher's run."""
        distillation = {"teacher": teacher, "distillation": "bert", "crop": "multi_scale"}
        return TrainSettings(**{**self.student, **distillation, **changes})


_RESNEXT: Mapping[str, Any] = {
    "model": "hara:resnext101", "head": "bert", "options": {"reduce_to": 512}, "frames": 64, "stride": 1,
    "sampling": "dense", "optimizer": "adamw", "learning_rate": 1e-5, "dropout": 0.8,
}  # fmt: skip
_FRAB: Mapping[str, Any] = {
    **_RESNEXT, "head": "frab", "options": {}, "head_options": {"groups": 32},
}  # fmt: skip
_MOTION = "flow" if "flow" in CHANNELS else "luma_difference"
"""Flow, or what is nearest to it among the modalities that clips can be read in."""
_FLOW: Mapping[str, Any] = {**_RESNEXT, "modality": _MOTION, "dropout": 0.7}
_R2PLUS1D: Mapping[str, Any] = {
    "model": "r2plus1d:34", "head": "bert", "frames": 32, "stride": 2, "sampling": "dense", "optimizer": "adamw",
    "learning_rate": 1e-5, "dropout": 0.8,
}  # fmt: skip
PAIRS: Mapping[str, Pair] = {
    "flow-to-rgb": Pair("RGB ResNeXt101-BERT (FRMB) from the same network on motion", _FLOW, _RESNEXT),
    "flow-to-rgb-frab": Pair("RGB ResNeXt101-BERT (FRAB) from ResNeXt101-BERT (FRMB) on motion", _FLOW, _FRAB),
    "r2plus1d-to-resnext": Pair("RGB ResNeXt101-BERT (FRAB), 64 frames, from R(2+1)D-34-BERT, 32x2", _R2PLUS1D, _FRAB),
}
"""Pairs of `late-temporal-bert`, sections 1.23 and 4.18."""
