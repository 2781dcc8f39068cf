"""Clips made of numbers instead of files, and small networks whose explanations a hand can compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, HeatMap, ModelCard
from secondlook.video.clip import Clip
from secondlook.video.transform import Box, InputClip


@pytest.fixture
def make_clip() -> Callable[..., InputClip]:
    """An `InputClip` around a tensor; the source frame has the input's size unless told otherwise."""

    def make(
        x_CTHW: Tensor,
        height: int | None = None,
        width: int | None = None,
        box: Box | None = None,
        crop: str = "center",
    ) -> InputClip:
        _, frames, h, w = x_CTHW.shape
        height, width = height or h, width or w
        clip = Clip(
            np.zeros((frames, height, width, 3), np.uint8),
            np.arange(frames) * 2,
            np.arange(frames) / 5,
            frame_count=2 * frames,
            source_height=height,
            source_width=width,
            fps=10.0,
        )
        return InputClip(x_CTHW, clip, box or Box(0, 0, height, width), crop)

    return make


@pytest.fixture
def make_heat() -> Callable[..., HeatMap]:
    """A `HeatMap` around an array, one frame every 0.1 s."""

    def make(heat_THW: object, index: object = None) -> HeatMap:
        heat = np.asarray(heat_THW, dtype=np.float32)
        index_T = np.arange(len(heat)) if index is None else np.asarray(index)
        return HeatMap(heat, index_T, index_T / 10, "hand", 0)

    return make


class ScaleChannels(nn.Module):
    """`A_k = w_k x`: the "convolution" of the hand-computed network, one weight a channel."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return x_BCTHW * self.weight[:, None, None, None]


class HandNetwork(nn.Module):
    """`A = scale(x)`, `y_c = sum over k, t, i, j of v_ck u_t A_k(t, i, j)`: gradients are `v_ck u_t`."""

    def __init__(self, scale: tuple[float, ...], v_CK: list[list[float]], u_T: list[float]) -> None:
        super().__init__()
        self.conv = ScaleChannels(scale)
        self.v_CK, self.u_T = nn.Parameter(torch.tensor(v_CK)), torch.tensor(u_T)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return torch.einsum("bkthw,t,ck->bc", self.conv(x_BCTHW), self.u_T, self.v_CK)


class SmallNetwork(nn.Module):
    """Two 3D convolutions with in-place activations, dropout and normalisation: all that hooks can trip over."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(2, 4, 3, padding=1)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1)
        self.norm = nn.BatchNorm3d(6)
        self.act2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(6, classes)
        self.spare = nn.Conv3d(2, 4, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        features = self.act2(self.norm(self.conv2(self.act1(self.conv1(x_BCTHW)))))
        return self.classifier(self.dropout(self.pool(features).flatten(1)))


@pytest.fixture
def small() -> tuple[nn.Module, ModelCard]:
    """A seeded `SmallNetwork` with its card; normalisation statistics that are not the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallNetwork()
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    return model.eval(), card_of("act2", frames=4, size=8)


def card_of(*modules: str, layout: str = "BCTHW", frames: int = 2, size: int = 2) -> ModelCard:
    clip = ClipSpec(frames=frames, height=size, width=size, modality="luma_difference", mean=(0, 0), std=(1, 1))
    return ModelCard(
        "toy:toy", clip, ExplainPoints(tuple(ExplainPoint(m, layout=layout) for m in modules), "classifier")
    )
