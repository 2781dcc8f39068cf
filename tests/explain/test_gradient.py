import numpy as np
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.explain import gradient, input_x_gradient, smooth_grad
from tests.explain.conftest import HandNetwork, card_of


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grid(heat):
    return heat.heat_THW * heat.notes["scale"]


def differences(model, x_CTHW, label):
    """The slope at every value of the input by central differences: no autograd."""
    with torch.no_grad():
        steps = 1e-5 * torch.eye(x_CTHW.numel(), dtype=torch.float64).reshape(-1, *x_CTHW.shape)
        slopes = [(model(x_CTHW + s) - model(x_CTHW - s))[:, label] / 2e-5 for s in steps.split(64)]
    return torch.cat(slopes).reshape(x_CTHW.shape).numpy()


@pytest.fixture
def network(small):
    return small[0].double(), small[1]


def test_gradient_is_that_of_finite_differences(network, make_clip):
    model, card = network
    x_CTHW = random_input(2, 4, 8, 8).double()
    slope = differences(model, x_CTHW, 1)
    ways = {"max_abs": np.abs(slope).max(0), "sum_abs": np.abs(slope).sum(0), "sum": slope.sum(0)}
    for channels, expected in ways.items():
        heat = gradient.explain(model, card, make_clip(x_CTHW), 1, channels=channels)
        np.testing.assert_allclose(grid(heat), expected, rtol=1e-3, atol=1e-8)
        assert heat.signed == (channels == "sum")
        assert heat.notes["grid"] == [4, 8, 8]
    default = gradient.explain(model, card, make_clip(x_CTHW), 1)
    np.testing.assert_allclose(grid(default), ways["max_abs"], rtol=1e-3, atol=1e-8)


def test_input_x_gradient_is_that_of_finite_differences(network, make_clip):
    model, card = network
    x_CTHW = random_input(2, 4, 8, 8).double()
    expected = (x_CTHW.numpy() * differences(model, x_CTHW, 2)).sum(0)
    heat = input_x_gradient.explain(model, card, make_clip(x_CTHW), 2)
    np.testing.assert_allclose(grid(heat), expected, rtol=1e-3, atol=1e-8)
    assert heat.notes["total"] == pytest.approx(expected.sum(), rel=1e-4)


def test_input_x_gradient_of_a_linear_network_sums_to_the_logit(make_clip):
    model = HandNetwork((1.0, 3.0), [[2.0, -1.0]], [1.0, 0.5])
    heat = input_x_gradient.explain(model, card_of("conv"), make_clip(random_input(2, 2, 3, 3)), 0)
    assert heat.notes["total"] == pytest.approx(heat.notes["logit"], rel=1e-5)


@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_smooth_grad_is_a_plain_loop_with_the_same_noise(network, make_clip, kind):
    model, card = network
    x_CTHW = random_input(2, 4, 8, 8).double()
    sigma = 0.2 * (x_CTHW.max() - x_CTHW.min())
    with torch.random.fork_rng():
        torch.manual_seed(7)
        noise = torch.normal(0.0, sigma.float().repeat(5, 2, 4, 8, 8))
    slopes = np.stack([differences(model, x_CTHW + e, 1) for e in noise])
    mean = {"smoothgrad": slopes.mean(0), "smoothgrad_sq": (slopes**2).mean(0), "vargrad": slopes.var(0)}[kind]
    options = {"samples": 5, "noise": 0.2, "kind": kind, "seed": 7, "at_once": 5}
    heat = smooth_grad.explain(model, card, make_clip(x_CTHW), 1, **options)
    np.testing.assert_allclose(grid(heat), np.abs(mean).sum(0), rtol=1e-3, atol=1e-8)
    assert heat.notes["sigma"] == pytest.approx(float(sigma))


def test_smooth_grad_depends_on_its_seed_and_on_nothing_else(network, make_clip):
    model, card = network
    clip = make_clip(random_input(2, 4, 8, 8).double())
    one = smooth_grad.explain(model, card, clip, 1, seed=1)
    torch.randn(3)
    np.testing.assert_array_equal(one.heat_THW, smooth_grad.explain(model, card, clip, 1, seed=1).heat_THW)
    assert not np.allclose(one.heat_THW, smooth_grad.explain(model, card, clip, 1, seed=2).heat_THW)


def test_bad_options_are_refused(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    for options, words in [({"samples": 0}, "at least 1"), ({"noise": 0.0}, "above 0"), ({"kind": "max"}, "vargrad")]:
        with pytest.raises(BadValue, match=words):
            smooth_grad.explain(model, card, clip, 0, **options)
    for method in (gradient, input_x_gradient, smooth_grad):
        with pytest.raises(BadValue, match="channels must be"):
            method.explain(model, card, clip, 0, channels="luma")
        with pytest.raises(BadValue, match="class index"):
            method.explain(model, card, clip, 3)


def test_switched_off_gradients_do_not_matter(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    expected = gradient.explain(model, card, clip, 0).heat_THW
    with torch.inference_mode():
        made_inside = make_clip(clip.x_CTHW.clone())
        np.testing.assert_array_equal(gradient.explain(model, card, made_inside, 0).heat_THW, expected)
