"""Extremal and meaningful perturbation: masks found by descent."""

import numpy as np
import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.explain import extremal_perturbation, meaningful_perturbation
from secondlook.explain._mask_search import search, share, stretch
from secondlook.explain.extremal_perturbation import area_constraint, areas_of, smooth_maximum
from secondlook.explain.meaningful_perturbation import roughness
from tests.explain.conftest import card_of

BOX = (slice(4, 6), slice(8, 16), slice(16, 24))


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class ReadsOneBlock(nn.Module):
    """How much of the clip's detail in one box is left, steeply at first as a classifier would."""

    def __init__(self, x_CTHW):
        super().__init__()
        self.x_CTHW = x_CTHW

    def forward(self, x_BCTHW):
        alike = x_BCTHW[:, :, *BOX] * self.x_CTHW[:, *BOX]
        read_B = 3 * torch.tanh(2 * alike.mean((1, 2, 3, 4)))
        return torch.stack([read_B, -read_B, 0 * read_B], dim=1)


@pytest.fixture(scope="module")
def x_CTHW():
    return random_input(2, 8, 28, 28)


@pytest.fixture
def known(x_CTHW, make_clip):
    return ReadsOneBlock(x_CTHW), card_of("x", frames=8, size=28), make_clip(x_CTHW)


def inside_and_outside(heat):
    truth = np.zeros(heat.heat_THW.shape, bool)
    truth[BOX] = True
    return heat.heat_THW[truth].mean(), heat.heat_THW[~truth].mean()


@pytest.mark.parametrize("mode", ["preserve", "delete", "both"])
def test_extremal_perturbation_finds_the_block(known, mode):
    heat = extremal_perturbation.explain(*known, 0, areas="0.05", mode=mode)
    inside, outside = inside_and_outside(heat)
    assert inside > 0.95
    assert outside < 0.05
    assert heat.notes["area"] == pytest.approx([0.05], abs=0.01)
    assert heat.notes["score_kept"][0] > 0.9 * heat.notes["score_whole"]
    assert heat.notes["score_deleted"][0] < 0.1 * heat.notes["score_whole"]
    assert not heat.signed


def test_extremal_perturbation_takes_several_areas(known):
    """Each area is searched for on its own: the joint heat is the mean of the single ones."""
    model, card, clip = known
    joint = extremal_perturbation.explain(model, card, clip, 0, areas="0.05,0.2")
    singles = [extremal_perturbation.explain(model, card, clip, 0, areas=a) for a in ("0.05", "0.2")]
    mean = sum(h.heat_THW * h.notes["scale"] for h in singles) / 2
    np.testing.assert_allclose(joint.heat_THW * joint.notes["scale"], mean, atol=1e-3)
    assert joint.notes["area"] == pytest.approx([0.05, 0.2], abs=0.03)


def test_meaningful_perturbation_finds_the_block(known):
    heat = meaningful_perturbation.explain(*known, 0)
    inside, outside = inside_and_outside(heat)
    assert inside > 0.9
    assert outside < 0.2
    assert heat.notes["area"] < 0.25
    assert heat.notes["score_deleted"] < 0.15 * heat.notes["score_whole"]
    assert heat.notes["score_kept"] > 0.9 * heat.notes["score_whole"]


def test_more_weight_on_the_area_gives_less_of_it(known):
    small, large = (meaningful_perturbation.explain(*known, 0, area_weight=w).notes["area"] for w in (2.0, 0.3))
    assert small < large


def test_the_network_is_asked_about_the_mask_that_is_noted(known, x_CTHW):
    """`score_kept` and `score_deleted` again from the heat: it is the mask, divided by its maximum."""
    from secondlook.explain._blocks import fill, replace

    model, card, clip = known
    heat = extremal_perturbation.explain(model, card, clip, 0)
    keep = torch.from_numpy(heat.heat_THW * heat.notes["scale"])[None]
    blurred = fill(x_CTHW[None], card.clip, "blur")
    for name, mask in (("score_kept", keep), ("score_deleted", 1 - keep)):
        assert heat.notes[name][0] == pytest.approx(float(model(replace(x_CTHW[None], blurred, mask))[0, 0]), rel=1e-4)
    assert heat.notes["area"][0] == pytest.approx(float(keep.mean()), rel=1e-4)
    assert heat.notes["score_empty"] == pytest.approx(float(model(blurred)[0, 0]), rel=1e-4)


def test_the_constraint_by_hand():
    """Four places, area 1/2: sorted (0.1, 0.4, 0.7, 1) against (0, 0, 1, 1)."""
    mask = torch.tensor([0.7, 0.1, 1.0, 0.4]).reshape(1, 1, 2, 2)
    by_hand = (0.1**2 + 0.4**2 + 0.3**2) / 4
    assert float(area_constraint(mask, torch.tensor([0.5]))[0]) == pytest.approx(by_hand)
    hard = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    assert float(area_constraint(hard, torch.tensor([0.5]))[0]) == 0


def test_the_smooth_maximum_is_a_loop():
    coarse = random_input(2, 1, 3, 1).sigmoid()
    found = smooth_maximum(coarse, (1, 6, 1))
    for m in range(2):
        for place in range(6):
            near = []
            for cell in range(3):
                away = abs((place + 0.5) / 2 - (cell + 0.5)) / 0.7
                near.append(np.exp(-2 * max(away - 0.5, 0) ** 2) * float(coarse[m, 0, cell, 0]))
            weights = np.exp(20 * np.array(near))
            assert float(found[m, 0, place, 0]) == pytest.approx((near * weights).sum() / weights.sum(), rel=1e-5)
    assert not smooth_maximum(torch.zeros(1, 2, 3, 3), (4, 9, 9)).any()
    assert smooth_maximum(torch.ones(1, 2, 3, 3), (4, 9, 9)).min() > 0.9


def test_roughness_by_hand():
    """2 x 1 x 2 cells: differences 0.5 and 0.5 across, 1 and 0 in time."""
    mask = torch.tensor([[[1.0, 0.5]], [[0.0, 0.5]]])[None]
    assert float(roughness(mask)[0]) == pytest.approx((0.5**3 + 0.5**3 + 1) / 4)
    assert float(roughness(torch.ones(1, 1, 1, 1))[0]) == 0


def test_stretching_keeps_means_and_ends():
    mask = random_input(2, 2, 3, 4).sigmoid()
    assert torch.equal(stretch(mask, (2, 3, 4)), mask)
    expected = nn.functional.interpolate(mask[:, None], (4, 9, 8), mode="trilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(stretch(mask, (4, 9, 8)), expected)


def test_the_best_mask_met_is_kept():
    """The rank is best at the start: all later masks are worse, and the start comes back."""
    start = torch.tensor([[0.5], [0.2]])

    def loss(mask, progress):
        return -mask.sum(1), torch.full((2,), progress) + 0 * mask.sum(1)

    assert torch.equal(search(start, loss, 5), start)
    target = torch.tensor([[0.9], [0.0]])
    found = search(start, lambda mask, _: ((mask - target).square().sum(1),) * 2, 40)
    torch.testing.assert_close(found, target, atol=0.02, rtol=0)


def test_share_is_the_score_in_units_of_what_the_clip_adds():
    assert share(torch.tensor([1.0, 3.0]), 1.0, 3.0).tolist() == [0, 1]
    assert share(torch.tensor([3.0, 1.0]), 3.0, 1.0).tolist() == [0, -1]
    assert torch.isfinite(share(torch.tensor([1.0]), 1.0, 1.0)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "at least one step"),
        ({"cells": "4,7,7"}, "time x rows x columns"),
        ({"fill": "grey"}, "blur, mean, black"),
    ],
)
def test_bad_options_are_refused(known, options, words):
    for method in (extremal_perturbation, meaningful_perturbation):
        with pytest.raises(BadValue, match=words):
            method.explain(*known, 0, **options)


def test_bad_areas_modes_and_weights_are_refused(known):
    assert areas_of("0.05,0.1") == [0.05, 0.1]
    for text in ("", "0", "1", "0.1;0.2", "a"):
        with pytest.raises(BadValue, match="above 0 and below 1"):
            areas_of(text)
    with pytest.raises(BadValue, match="preserve, delete, both"):
        extremal_perturbation.explain(*known, 0, mode="keep")
    with pytest.raises(BadValue, match="at least 0"):
        meaningful_perturbation.explain(*known, 0, area_weight=-1.0)
