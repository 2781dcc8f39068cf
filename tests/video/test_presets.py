"""Frame sizes before the crop, and normalisation, of the architectures of the source."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.predict.weights import find_card, with_clip
from secondlook.video.augment import Augment, augment
from secondlook.video.presets import with_frame_size
from secondlook.video.transform import crop_box, crop_names, to_input, working_size

LARGE = ("i3d:rgb", "mfnet:3d", "rep_flow:50", "modified_resnet:50", "tsm:r50", "resnet2d:18")
SMALL = ("hara:101", "hara:resnext101", "r2plus1d:34")


def clip_of(name: str) -> ClipSpec:
    return find_card(name).clip


@pytest.mark.spec("late-temporal-bert", "F24")
@pytest.mark.parametrize("name", [*LARGE, *SMALL])
def test_frames_are_256_by_340_before_224_and_half_of_it_before_112(name: str) -> None:
    side, size = (224, (256, 340)) if name in LARGE else (112, (128, 170))
    spec = replace(with_frame_size(clip_of(name)), frames=2)
    assert (spec.height, spec.width) == (side, side)
    assert spec.mean == clip_of(name).mean
    for shape in ((240, 320), (120, 200), (90, 60)):  # whatever the frame's own shape
        assert working_size(spec).of(*shape) == size
        frames_THWC = np.zeros((2, *shape, 3), np.uint8)
        assert to_input(frames_THWC, spec).shape == (3, 2, side, side)
        x_CTHW, _ = augment(frames_THWC, 0, spec, Augment(), torch.Generator().manual_seed(0))
        assert x_CTHW.shape == (3, 2, side, side)
        right = crop_box(spec, *shape, "bottom_right")
        assert right.left + right.width == pytest.approx(shape[1])
        assert right.width == pytest.approx(side * shape[1] / size[1])
    assert len(crop_names(spec, 10)) == 10


def test_other_crops_have_no_preset() -> None:
    with pytest.raises(BadValue, match="224x224 or 112x112"):
        with_frame_size(ClipSpec(height=96, width=96))
    with pytest.raises(BadValue, match="has no crop"):
        with_frame_size(ClipSpec(fit="squash"))
    with pytest.raises(BadValue, match="does not fit in frame_size"):
        ClipSpec(height=112, width=112, frame_size=(100, 170))


def test_a_smaller_clip_has_a_smaller_frame() -> None:
    card = replace(find_card("i3d:rgb"), clip=with_frame_size(clip_of("i3d:rgb")))
    assert with_clip(card, height=112, width=112).clip.frame_size == (128, 170)


@pytest.mark.spec("late-temporal-bert", "F27")
@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("i3d:rgb", (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),  # range -1..1
        ("hara:resnext101", (-114.8, -107.7, -99.5), (140.2, 147.3, 155.5)),  # range 0..255, less the mean
        ("mfnet:3d", (-2.07, -1.95, -1.74), (2.19, 2.30, 2.52)),
        ("r2plus1d:34", (-1.895, -1.782, -1.736), (2.490, 2.734, 2.873)),  # of Kinetics
        ("resnet2d:18", (-2.118, -2.036, -1.804), (2.249, 2.429, 2.640)),  # of ImageNet
    ],
)
def test_normalisation_is_stored_with_each_architecture(
    name: str, black: tuple[float, ...], white: tuple[float, ...]
) -> None:
    """Mean, standard deviation and value range travel as JSON with the card; nobody retypes them."""
    card = ModelCard.from_dict(json.loads(json.dumps(find_card(name).to_dict())))
    assert card == find_card(name)
    spec = replace(card.clip, frames=1)
    for value, want_C in ((0, black), (255, white)):
        frames_THWC = np.full((1, spec.short_side, spec.short_side, 3), value, np.uint8)
        x_CTHW = to_input(frames_THWC, spec)
        np.testing.assert_allclose(x_CTHW.amax((1, 2, 3)), want_C, atol=0.06)
        np.testing.assert_allclose(x_CTHW.amin((1, 2, 3)), want_C, atol=0.06)
