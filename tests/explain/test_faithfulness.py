"""Perturbation on networks whose curves a hand can compute."""

import numpy as np
import pytest
import torch
from torch import nn

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.explain import _faithfulness
from secondlook.explain._faithfulness import Curve, Perturbed, Perturbing
from secondlook.explain._ground_truth import baseline_heat
from tests.explain.test_no_trace import assert_same, lived_in, state_of

SPEC = ClipSpec(frames=2, height=4, width=4, short_side=4, mean=(0, 0, 0), std=(1, 1, 1))
HOW = Perturbing(steps=8, blocks=(2, 2, 2), fill="mean", draws=3, subsets=12, batch=5)


class BlocksNetwork(nn.Module):
    """The logit of class 1 is `gain` times the mean of a few places; class 0 is always 0."""

    def __init__(self, places_THW: torch.Tensor, gain: float = 8.0) -> None:
        super().__init__()
        self.register_buffer("weight_THW", gain * places_THW / places_THW.sum())

    def forward(self, x_BCTHW):
        logit_B = (x_BCTHW.mean(1) * self.weight_THW).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(logit_B), logit_B], dim=1)


def corner():
    """Two of the eight 1 x 2 x 2 blocks: top left, in both frames."""
    places = torch.zeros(2, 4, 4)
    places[:, :2, :2] = 1
    return places


def perturbed(how=HOW, places=None, x=None, **options):
    network = BlocksNetwork(corner() if places is None else places)
    return Perturbed(network, SPEC, torch.ones(3, 2, 4, 4) if x is None else x, 1, how, **options)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


@pytest.mark.spec("layerwise-relevance", "R6")
def test_the_perfect_order_has_the_area_a_hand_computes():
    """Logits 8, 4, 0, 0, ...: gone with the first two of eight blocks."""
    perfect = corner().numpy()
    deletion, insertion = perturbed().curves(perfect)
    np.testing.assert_allclose(deletion.share_S, np.arange(9) / 8)
    np.testing.assert_allclose(deletion.logit_S, [8, 4, 0, 0, 0, 0, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(deletion.confidence_S, sigmoid([8, 4, 0, 0, 0, 0, 0, 0, 0]), atol=1e-6)
    y = sigmoid([8, 4, 0, 0, 0, 0, 0, 0, 0])
    assert deletion.area == pytest.approx(sum((a + b) / 2 / 8 for a, b in zip(y[1:], y[:-1], strict=True)), abs=1e-6)
    np.testing.assert_allclose(insertion.logit_S, [0, 4, 8, 8, 8, 8, 8, 8, 8], atol=1e-5)
    assert insertion.logit_area == pytest.approx((2 + 6 + 6 * 8) / 8, abs=1e-5)


@pytest.mark.spec("layerwise-relevance", "R6")
def test_perfect_beats_random_beats_worst():
    case = perturbed()
    perfect, _ = case.measure(corner().numpy())
    worst, _ = case.measure(-corner().numpy())
    orders = [np.random.default_rng(i).permutation(8) for i in range(60)]
    areas = [case.deletion(order).area for order in orders]
    assert perfect["deletion_area"] == pytest.approx(min(areas), abs=1e-6) or perfect["deletion_area"] < min(areas)
    for name in ("deletion_gain", "insertion_gain", "deletion_logit_gain", "insertion_logit_gain"):
        assert perfect[name] > 0.02
        assert worst[name] < -0.02
    random = np.mean([c.area for c in case.random])
    assert perfect["deletion_gain"] == pytest.approx(random - perfect["deletion_area"])
    assert perfect["insertion_gain"] == pytest.approx(perfect["insertion_area"] - random)
    assert perfect["deletion_over_centre"] == pytest.approx(case.centre[0].area - perfect["deletion_area"])


def slow_curve(network, x, filler, heat, index, steps):
    """Deletion by a loop over steps and blocks, one clip at a time."""
    count = index.max() + 1
    means = [heat[index == b].mean() for b in range(count)]
    order = sorted(range(count), key=lambda b: -means[b])
    values = []
    for step in range(steps + 1):
        changed = x.clone()
        for b in order[: round(count * step / steps)]:
            changed[:, torch.from_numpy(index == b)] = filler[:, torch.from_numpy(index == b)]
        with torch.no_grad():
            values.append(float(network(changed[None]).softmax(1)[0, 1]))
    return values


@pytest.mark.spec("layerwise-relevance", "R6")
@pytest.mark.parametrize("kind", ["blur", "mean", "black"])
def test_curves_equal_a_slow_loop(kind):
    from secondlook.explain._blocks import block_grid, fill

    generator = torch.Generator().manual_seed(3)
    x = torch.rand(3, 2, 4, 4, generator=generator)
    network = BlocksNetwork(torch.rand(2, 4, 4, generator=generator))
    heat = np.random.default_rng(4).normal(size=(2, 4, 4))
    how = Perturbing(steps=4, blocks=(2, 2, 2), fill=kind, batch=3)
    found = Perturbed(network, SPEC, x, 1, how)
    _, curves = found.measure(heat)
    filler = fill(x[None], SPEC, kind)[0]
    index = block_grid(2, 4, 4, (2, 2, 2)).numpy()
    np.testing.assert_allclose(curves["deletion"], slow_curve(network, x, filler, heat, index, 4), atol=1e-6)
    inserted = slow_curve(network, filler, x, heat, index, 4)
    np.testing.assert_allclose(curves["insertion"], inserted, atol=1e-6)
    frames = np.broadcast_to(np.arange(2)[:, None, None], (2, 4, 4))
    np.testing.assert_allclose(curves["frames"], slow_curve(network, x, filler, heat, frames, 2), atol=1e-6)


@pytest.mark.spec("layerwise-relevance", "R6")
def test_random_insertion_is_random_deletion_backwards():
    """The mean over all 24 orders of four blocks is the same, so one set of random orders serves both."""
    from itertools import permutations

    case = perturbed(Perturbing(steps=4, blocks=(1, 2, 2), fill="mean"), torch.rand(2, 4, 4))
    orders = [np.array(order) for order in permutations(range(4))]
    deletions = np.mean([case.deletion(o).area for o in orders])
    insertions = np.mean([case.deletion(o[::-1]).reversed().area for o in orders])
    assert deletions == pytest.approx(insertions, abs=1e-6)


@pytest.mark.spec("layerwise-relevance", "R6")
def test_sensitivity_n_is_1_for_a_linear_network_with_input_times_gradient():
    generator = torch.Generator().manual_seed(0)
    x, places = torch.randn(3, 2, 4, 4, generator=generator), torch.rand(2, 4, 4, generator=generator)
    case = perturbed(places=places, x=x)
    heat = (x.mean(0) * case._model.weight_THW).numpy()
    assert case.sensitivity_n(heat) == pytest.approx(1, abs=1e-5)
    assert case.sensitivity_n(-heat) == pytest.approx(-1, abs=1e-5)
    assert abs(case.sensitivity_n(np.random.default_rng(1).normal(size=(2, 4, 4)))) < 0.9
    assert np.isnan(case.sensitivity_n(np.ones((2, 4, 4))))


@pytest.mark.spec("layerwise-relevance", "R6")
def test_frames_are_deleted_whole():
    """Only the second frame counts; heat that says when, the same in every place, finds it."""
    places = torch.zeros(2, 4, 4)
    places[1] = 1
    case = perturbed(places=places)
    good, curves = case.measure(np.broadcast_to(np.array([0.0, 1.0])[:, None, None], (2, 4, 4)))
    bad, _ = case.measure(np.broadcast_to(np.array([1.0, 0.0])[:, None, None], (2, 4, 4)))
    np.testing.assert_allclose(curves["frames"], sigmoid([8, 0, 0]), atol=1e-6)
    assert good["frame_deletion_area"] < bad["frame_deletion_area"]
    assert good["frame_deletion_gain"] >= 0 >= bad["frame_deletion_gain"]


def test_equal_heat_is_ordered_at_random_and_the_seed_decides():
    flat = np.ones((2, 4, 4))
    first = perturbed(seed=1)
    order = first.hottest_first(first.heat_of_blocks(flat))
    assert sorted(order) == list(range(8))
    assert list(order) != list(range(8))
    again = perturbed(seed=1)
    assert first.measure(flat)[1] == again.measure(flat)[1]
    assert not np.array_equal(order, perturbed(seed=2).hottest_first(np.ones(8)))


def test_the_centre_prior_and_its_curves_are_there():
    case = perturbed()
    curves = case.baseline_curves()
    assert {len(curves[name]) for name in curves if "frames" not in name} == {9}
    assert case.measure(baseline_heat("centre", (2, 4, 4)))[0]["deletion_over_centre"] == 0


def test_fall_without_a_mask():
    confidence, logit = perturbed().fall_without(corner().numpy())
    assert logit == pytest.approx(8, abs=1e-5)
    assert confidence == pytest.approx(sigmoid(8) - 0.5, abs=1e-6)
    assert perturbed().fall_without(1 - corner().numpy())[1] == pytest.approx(0, abs=1e-5)


def test_batches_do_not_matter_and_few_blocks_make_short_curves():
    one = perturbed(Perturbing(steps=8, blocks=(2, 2, 2), fill="mean", batch=1))
    other = perturbed(Perturbing(steps=8, blocks=(2, 2, 2), fill="mean", batch=64))
    heat = np.random.default_rng(0).random((2, 4, 4))
    np.testing.assert_equal(one.measure(heat), other.measure(heat))
    alone = perturbed(Perturbing(steps=8, blocks=(1, 1, 1), fill="mean"))
    assert len(alone.curves(heat)[0].share_S) == 2
    assert np.isfinite(alone.curves(heat)[0].area)


def test_no_trace_in_the_network(small, make_clip):
    model, card = small
    lived_in(model)
    before = state_of(model)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    Perturbed(model, card.clip, x, 0).measure(np.ones((4, 8, 8)))
    assert_same(before, state_of(model))


def test_mistakes_are_sentences():
    with pytest.raises(BadValue, match="from 0 to 1"):
        Perturbed(BlocksNetwork(corner()), SPEC, torch.ones(3, 2, 4, 4), 2, HOW).measure(np.ones((2, 4, 4)))
    with pytest.raises(BadValue, match="on the network's input"):
        perturbed().measure(np.ones((2, 4, 5)))
    with pytest.raises(BadValue, match="steps"):
        Perturbing(steps=0)
    with pytest.raises(BadValue, match="subsets"):
        Perturbing(subsets=2)
    with pytest.raises(BadValue, match="blur, mean, black"):
        perturbed(Perturbing(fill="noise"))
    assert set(perturbed().measure(corner().numpy())[0]) == set(_faithfulness.MEASURES)


def test_a_curve_backwards():
    curve = Curve(np.array([0, 0.25, 1]), np.array([1.0, 0.5, 0]), np.array([3.0, 2, 1]))
    back = curve.reversed()
    np.testing.assert_allclose(back.share_S, [0, 0.75, 1])
    assert back.area == pytest.approx(curve.area)
