"""Perturbed clips: how often, how strongly, every frame alike, against a twin that goes pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.video.augment import Augment, augment
from secondlook.video.perturb import EACH, METHODS, Method, Methods, Perturbation, draw, perturb

ONE_OF_EACH = (
    Perturbation(sigma=0.8),
    Perturbation(mean_blur=True),
    Perturbation(shift_C=(-15, 1, 9)),
    Perturbation(brightness=1.1),
    Perturbation(contrast=0.85),
    Perturbation(angle=7.0),
    Perturbation(corners_42=((0.05, 0.02), (-0.03, 0.0), (-0.05, -0.04), (0.01, -0.05))),
)
SPEC = ClipSpec(frames=2, short_side=32, height=24, width=24, mean=(0, 0, 0), std=(1, 1, 1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 9, width: int = 12, frames: int = 2) -> Tensor:
    one = torch.randint(0, 256, (1, 3, height, width), generator=generator(5), dtype=torch.uint8)
    return one.repeat(frames, 1, 1, 1)


def sampled(x_HW: np.ndarray, row: float, column: float) -> float:
    """Bilinear, borders repeated."""
    height, width = x_HW.shape
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = min(int(row), height - 2), min(int(column), width - 2)
    b, a = row - top, column - left
    upper = (1 - a) * x_HW[top, left] + a * x_HW[top, left + 1]
    return float((1 - b) * upper + b * ((1 - a) * x_HW[top + 1, left] + a * x_HW[top + 1, left + 1]))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "75")
@pytest.mark.parametrize(("methods", "p"), [("srtg", 0.8), ("mtnet", 0.7)])
def test_shares_of_clips_and_of_methods(methods: Methods, p: float) -> None:
    one, times = generator(1), 4000
    drawn = [draw(p, methods, one) for _ in range(times)]
    known = METHODS[methods]
    # a clip that is to be perturbed and gets no method is one of 0.6^M
    assert np.mean([bool(d.methods) for d in drawn]) == pytest.approx(p * (1 - (1 - EACH) ** len(known)), abs=0.025)
    for method in get_args(Method):
        share = np.mean([method in d.methods for d in drawn])
        assert share == pytest.approx(p * 0.4 if method in known else 0.0, abs=0.025)
    both = np.mean([{"rotation", "perspective"} <= set(d.methods) for d in drawn])
    assert both == pytest.approx(p * 0.16, abs=0.02)  # methods are independent within a perturbed clip
    assert not any(draw(0.0, methods, one).methods for _ in range(50))


def test_strengths_stay_in_their_ranges() -> None:
    one = generator(2)
    drawn = [draw(1.0, methods, one) for _ in range(1500) for methods in get_args(Methods)]
    shifts = {s for d in drawn if d.shift_C for s in d.shift_C}
    assert shifts == {*range(-15, 0), *range(1, 16)}
    angles = [d.angle for d in drawn if d.angle is not None]
    assert -10 <= min(angles) < -9 < 9 < max(angles) <= 10
    moves = np.abs([d.corners_42 for d in drawn if d.corners_42])
    assert 0.04 < moves.max() <= 0.05
    assert all(1.0 <= d.brightness <= 1.15 for d in drawn if d.brightness)
    assert all(0.85 <= d.contrast <= 1.115 for d in drawn if d.contrast)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "75")
@pytest.mark.parametrize("what", ONE_OF_EACH, ids=lambda what: what.methods[0])
def test_every_frame_is_perturbed_alike(what: Perturbation) -> None:
    x_TCHW = picture()
    found_TCHW = perturb(x_TCHW, what)
    assert len(what.methods) == 1
    assert found_TCHW.shape == x_TCHW.shape
    assert found_TCHW.dtype == torch.uint8
    assert torch.equal(found_TCHW[0], found_TCHW[1])
    assert not torch.equal(found_TCHW, x_TCHW)


def test_nothing_chosen_changes_nothing() -> None:
    assert torch.equal(perturb(picture(), Perturbation()), picture())
    turned_TCHW = perturb(picture(), Perturbation(angle=0.0))
    assert torch.equal(turned_TCHW, picture())


def test_blurs_and_colours_by_hand() -> None:
    x_CHW = picture(frames=1)[0].double().numpy()
    padded = np.pad(x_CHW, ((0, 0), (3, 3), (3, 3)), mode="edge")
    weights = np.array([math.exp(-(d**2) / (2 * 0.8**2)) for d in range(-3, 4)])
    weights /= weights.sum()
    blurred, boxed = np.zeros_like(x_CHW), np.zeros_like(x_CHW)
    for row in range(9):
        for column in range(12):
            patch = padded[:, row : row + 7, column : column + 7]
            blurred[:, row, column] = (patch * weights[:, None] * weights).sum((1, 2))
            boxed[:, row, column] = patch[:, 2:5, 2:5].mean((1, 2))
    shifted = x_CHW + np.array([-15, 1, 9])[:, None, None]
    wanted = {0: blurred, 1: boxed, 2: shifted, 3: x_CHW * 1.1, 4: x_CHW.mean() + 0.85 * (x_CHW - x_CHW.mean())}
    for number, want in wanted.items():
        found = perturb(picture(frames=1), ONE_OF_EACH[number])[0].double().numpy()
        assert np.abs(found - want.clip(0, 255)).max() <= 0.51


def test_a_turn_by_hand() -> None:
    """Each pixel is read where a turn of the opposite sense about the middle takes it."""
    x_HW = picture(frames=1)[0, 0].double().numpy()
    found = perturb(picture(frames=1), Perturbation(angle=7.0))[0, 0].double().numpy()
    cos, sin = math.cos(math.radians(7)), math.sin(math.radians(7))
    for row in range(9):
        for column in range(12):
            y, x = row - 4.0, column - 5.5
            want = sampled(x_HW, 4.0 + sin * x + cos * y, 5.5 + cos * x - sin * y)
            assert abs(found[row, column] - want) <= 0.51


def test_perspective_takes_corners_where_it_says() -> None:
    """A bright blob near a corner moves by about as much as the corner does."""
    x_TCHW = torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    x_TCHW[:, :, 0:6, 0:6] = 255
    moved = Perturbation(corners_42=((0.05, 0.03), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)))
    found_HW = perturb(x_TCHW, moved)[0, 0].double()
    found_HW[:3, :] = found_HW[:, :5] = 0  # what the repeated border fills
    assert found_HW[3:8, 5:9].mean() > 200
    assert found_HW[12:, 14:].max() == 0


def test_augment_perturbs_after_the_crop_and_is_repeatable() -> None:
    frames_THWC = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), dtype=np.uint8), 2, axis=0)
    plain, chosen = Augment("random"), Augment("random", perturb=1.0)
    changed = 0
    for seed in range(30):
        x_CTHW, _ = augment(frames_THWC, 0, SPEC, chosen, generator(seed))
        again_CTHW, _ = augment(frames_THWC, 0, SPEC, chosen, generator(seed))
        assert torch.equal(x_CTHW, again_CTHW)
        assert torch.equal(x_CTHW[:, 0], x_CTHW[:, 1])
        assert x_CTHW.shape == (3, 2, 24, 24)
        unperturbed_CTHW, _ = augment(frames_THWC, 0, SPEC, plain, generator(seed))  # the same crop
        changed += not torch.equal(x_CTHW, unperturbed_CTHW)
        never_CTHW, _ = augment(frames_THWC, 0, SPEC, replace(chosen, perturb=0.0), generator(seed))
        assert torch.equal(never_CTHW, unperturbed_CTHW)
    assert 20 <= changed <= 30


def test_words_for_what_cannot_be() -> None:
    for p in (-0.1, 1.1):
        with pytest.raises(BadValue, match="perturb is a probability"):
            Augment(perturb=p)
        with pytest.raises(BadValue, match="perturb is a probability"):
            draw(p, "srtg", generator())
    with pytest.raises(BadValue, match="srtg, mtnet"):
        Augment(perturb_methods="x3d")  # type: ignore[arg-type]
    flow = ClipSpec(modality="flow", mean=(0.5, 0.5), std=(0.2, 0.2))
    with pytest.raises(BadValue, match=r"flow is motion.*Leave --perturb out"):
        Augment(perturb=0.5).check(flow)
    chosen = Augment.for_labels(LabelSpace.from_names(["run", "sit"]), perturb=0.7, perturb_methods="mtnet")
    assert (chosen.perturb, chosen.perturb_methods) == (0.7, "mtnet")
