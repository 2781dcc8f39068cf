import numpy as np
import pytest
import torch
from torch import nn

from secondlook.cards import ClipSpec, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import integrated_gradients
from tests.explain.conftest import HandNetwork, card_of


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grid(heat):
    return heat.heat_THW * heat.notes["scale"]


def test_linear_network_by_hand(make_clip):
    """`y = sum of 2 u_t x_1 - 3 u_t x_2`: every pixel adds its own term, for any number of steps."""
    model = HandNetwork((1.0, 3.0), [[2.0, -1.0]], [1.0, 0.5])
    x_CTHW = random_input(2, 2, 3, 3)
    for steps in (1, 10):
        heat = integrated_gradients.explain(model, card_of("conv", size=3), make_clip(x_CTHW), 0, steps=steps)
        expected = (2 * x_CTHW[0] - 3 * x_CTHW[1]) * torch.tensor([1.0, 0.5])[:, None, None]
        np.testing.assert_allclose(grid(heat), expected, rtol=1e-4, atol=1e-6)
        assert heat.notes["completeness_error"] == pytest.approx(0, abs=1e-4)
        assert heat.notes["gained"] == pytest.approx(heat.notes["logit"], rel=1e-4)


class Products(nn.Module):
    """`y = x_1 x_2^2` at every place: not linear, not symmetric."""

    def forward(self, x_BCTHW):
        return (x_BCTHW[:, 0] * x_BCTHW[:, 1] ** 2).sum((1, 2, 3))[:, None]


def test_products_by_hand(make_clip):
    """From 0 to (a, b): x_1 gets a b^2 / 3, x_2 gets 2 a b^2 / 3 (integrals of t^2 ab^2 and 2 t^2 ab^2)."""
    x_CTHW = random_input(2, 2, 3, 3)
    clip, card = make_clip(x_CTHW), card_of("none", size=3)
    heat = integrated_gradients.explain(Products(), card, clip, 0, steps=5)
    a, b = x_CTHW
    np.testing.assert_allclose(grid(heat), a * b**2, rtol=1e-4, atol=1e-6)
    assert heat.notes["completeness_error"] == pytest.approx(0, abs=1e-4)
    each = integrated_gradients.explain(Products(), card, clip, 0, steps=5, channels="max_abs")
    np.testing.assert_allclose(grid(each), (2 * a * b**2 / 3).abs(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", ["black", "mean", "blur"])
def test_the_error_of_completeness_is_what_is_noted_and_shrinks(small, make_clip, baseline):
    model, _ = small
    model = model.double()
    spec = ClipSpec(frames=4, height=8, width=8, modality="luma_difference", mean=(0.4, 0), std=(0.2, 0.5))
    card = ModelCard("toy:toy", spec, ExplainPoints((), "classifier"))
    clip = make_clip(random_input(2, 4, 8, 8).double())
    errors = []
    for steps in (2, 60):
        heat = integrated_gradients.explain(model, card, clip, 1, steps=steps, baseline=baseline)
        total = grid(heat).sum()
        assert total - heat.notes["gained"] == pytest.approx(heat.notes["completeness_error"], abs=1e-4)
        errors.append(abs(heat.notes["completeness_error"]))
    assert errors[1] < 0.02 * abs(heat.notes["gained"])
    assert errors[1] < errors[0]
    if baseline == "black":
        with torch.no_grad():
            black = torch.stack([torch.full((4, 8, 8), -2.0), torch.zeros(4, 8, 8)]).double()
            gained = model(clip.x_CTHW[None])[0, 1] - model(black[None])[0, 1]
        assert heat.notes["gained"] == pytest.approx(float(gained), rel=1e-5)


def test_points_in_one_pass_do_not_matter(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    one, other = (integrated_gradients.explain(model, card, clip, 1, at_once=n) for n in (1, 10))
    np.testing.assert_allclose(one.heat_THW, other.heat_THW, atol=1e-5)


def test_bad_options_are_refused(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    with pytest.raises(BadValue, match="at least 1"):
        integrated_gradients.explain(model, card, clip, 0, steps=0)
    with pytest.raises(BadValue, match="blur, mean, black"):
        integrated_gradients.explain(model, card, clip, 0, baseline="white")
