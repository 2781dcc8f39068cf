"""Grad-CAM++, XGrad-CAM, HiRes-CAM and temporal Grad-CAM against nested loops, and on SlowFast's two pathways."""

import copy
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import grad_cam, grad_cam_plus_plus, hires_cam, temporal_grad_cam, xgrad_cam
from secondlook.explain._hooks import watch
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import HandNetwork, card_of
from tests.explain.test_grad_cam import grid, random_input

FAMILY = ("grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "temporal_grad_cam", "guided_grad_cam")
WEIGHTS = ("channel", "channel_time")


def random_layer(seed=0, positive=True):
    """Activations and slopes of two clips, three channels, 2 x 3 x 4 places."""
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(2, 3, 2, 3, 4))
    return (np.maximum(activations, 0) if positive else activations), rng.normal(size=(2, 3, 2, 3, 4))


def by_loops(activations, slopes, weight_of, weights):
    """`ReLU(sum_k w_k A_k)` of each clip; `weight_of(A_k, g_k)` sees the places that share a weight."""
    heat = np.zeros((len(activations), *activations.shape[2:]))
    for b, (clip, slope) in enumerate(zip(activations, slopes, strict=True)):
        for k in range(len(clip)):
            for t in range(clip.shape[1]):
                shared = (clip[k], slope[k]) if weights == "channel" else (clip[k, t], slope[k, t])
                heat[b, t] += weight_of(*shared) * clip[k, t]
    return heat


def plus_plus_weight(activations, slopes):
    """The derivatives of `Y = exp(y)` written out, as the source has them, with y = 0 so that Y = 1."""
    total = 0.0
    for slope in slopes.flat:
        first, second, third = slope, slope**2, slope**3
        below = 2 * second + activations.sum() * third
        total += (second / below if below else 0.0) * max(first, 0)
    return total


def x_weight(activations, slopes):
    return (activations * slopes).sum() / activations.sum() if activations.sum() else 0.0


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("weights", WEIGHTS)
def test_grad_cam_plus_plus_twin(weights):
    activations, slopes = random_layer()
    expected = np.maximum(by_loops(activations, slopes, plus_plus_weight, weights), 0)
    found = grad_cam_plus_plus.cam(torch.from_numpy(activations), torch.from_numpy(slopes), weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected.any()


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("positive", [True, False])
def test_xgrad_cam_twin(weights, positive):
    activations, slopes = random_layer(positive=positive)
    expected = by_loops(activations, slopes, x_weight, weights)
    found = xgrad_cam.weighted(torch.from_numpy(activations), torch.from_numpy(slopes), weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_hires_cam_twin():
    activations, slopes = random_layer(positive=False)
    expected = np.zeros((2, 2, 3, 4))
    for b, k, t, i, j in np.ndindex(activations.shape):
        expected[b, t, i, j] += activations[b, k, t, i, j] * slopes[b, k, t, i, j]
    found = hires_cam.contributions(torch.from_numpy(activations), torch.from_numpy(slopes))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_slopes_too_small_for_a_cube_in_float32_count_in_grad_cam_plus_plus():
    """`g^3` of 1e-15 is 0 in float32; heat scales with the slopes where these are small against activations."""
    activations, slopes = (torch.from_numpy(a).float() for a in random_layer())
    one, other = (grad_cam_plus_plus.cam(activations, slopes * s) for s in (1e-15, 1e-17))
    assert one.any()
    torch.testing.assert_close(one, other * 100, rtol=1e-3, atol=0)


def test_a_silent_channel_has_no_weight():
    activations, slopes = random_layer()
    activations[:, 1] = 0
    for weights in WEIGHTS:
        for cam in (grad_cam_plus_plus.cam, xgrad_cam.weighted):
            assert cam(torch.from_numpy(activations), torch.from_numpy(slopes), weights).isfinite().all()
    flat = torch.tensor([[[[[1.0, -1.0]]]]])  # sums to 0, and the divisor of Grad-CAM++ can be 0
    assert xgrad_cam.weighted(flat, torch.ones_like(flat)).eq(0).all()
    assert grad_cam_plus_plus.cam(flat - 1, torch.ones_like(flat)).isfinite().all()


@pytest.mark.spec("label-reassessment", "X9")
def test_where_all_after_the_layer_is_linear_xgrad_and_hires_add_up_to_the_logit(make_clip):
    """`y_c = sum of v_k u_t A_k`: conservation. HiRes-CAM is exact in each place, XGrad-CAM only in its sum."""
    model = HandNetwork((1.0, 3.0), [[2.0, -1.0]], [1.0, 3.0])
    x_CTHW = random_input(2, 2, 3, 3).abs()
    slope_BCthw = torch.tensor([[2.0, 6.0], [-1.0, -3.0]])[None, :, :, None, None].expand(1, 2, 2, 3, 3)
    activations_BCthw = x_CTHW[None] * torch.tensor([1.0, 3.0])[:, None, None, None]
    logit = float(model(x_CTHW[None])[0, 0].detach())
    for weights in WEIGHTS:
        assert float(xgrad_cam.weighted(activations_BCthw, slope_BCthw, weights).sum()) == pytest.approx(logit, 1e-4)
    signed_thw = (activations_BCthw * slope_BCthw).sum(1)[0]
    assert float(signed_thw.sum()) == pytest.approx(logit, 1e-4)
    heat = hires_cam.explain(model, card_of("conv", size=3), make_clip(x_CTHW), 0)
    np.testing.assert_allclose(grid(heat, 2), signed_thw.relu(), rtol=1e-4, atol=1e-6)


def test_hires_cam_is_grad_cam_after_average_pooling(small, make_clip):
    """Slopes are then equal in all places, so a mean changes nothing; XGrad-CAM averages the same slopes."""
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    expected = grad_cam.explain(model, card, clip, 0).heat_THW
    assert expected.any()
    for method in (hires_cam, xgrad_cam):
        np.testing.assert_allclose(method.explain(model, card, clip, 0).heat_THW, expected, rtol=1e-3, atol=1e-5)


def test_grad_cam_plus_plus_finds_both_instances(make_clip):
    """Two things of different size, each in a channel of its own: the smaller one is not drowned by the larger."""
    model = HandNetwork((1.0, 1.0), [[1.0, 1.0]], [1.0])
    x_CTHW = torch.zeros(2, 1, 4, 4)
    x_CTHW[0, 0, :, :2] = 1  # 8 places
    x_CTHW[1, 0, 0, 3] = 1  # 1 place
    plain = grad_cam.explain(model, card_of("conv", size=4), make_clip(x_CTHW), 0).heat_THW[0]
    plus = grad_cam_plus_plus.explain(model, card_of("conv", size=4), make_clip(x_CTHW), 0).heat_THW[0]
    assert plain[0, 3] == pytest.approx(plain[0, 0])
    assert plus[0, 3] > 2 * plus[0, 0] > 0


@pytest.mark.parametrize("weights", WEIGHTS)
def test_temporal_grad_cam_is_what_grad_cam_holds_a_frame(small, make_clip, weights):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    heat = temporal_grad_cam.explain(model, card, clip, 0, weights=weights)
    frames = grad_cam.explain(model, card, clip, 0, weights=weights)
    assert heat.notes["temporal"] is True
    assert heat.notes["grid"] == [4, 1, 1]
    assert np.ptp(heat.heat_THW.reshape(4, -1), axis=1).max() < 1e-6
    amount_T = frames.heat_THW.sum((1, 2))  # upsampling with even factors keeps sums
    np.testing.assert_allclose(heat.heat_THW[:, 0, 0], amount_T / amount_T.max(), rtol=1e-4)
    assert np.ptp(heat.heat_THW[:, 0, 0]) > 0.01


@pytest.mark.spec("label-reassessment", "X3")
@pytest.mark.parametrize("method", [m for m in FAMILY if m != "temporal_grad_cam"])
def test_slow_and_fast_are_explained_each(method, make_clip):
    """The tiny SlowFast: each pathway has its own grid in time, its own channels and its own map."""
    card = find_card("slowfast:tiny")
    model = build_model(card, 4, seed=1).eval()
    clip = make_clip(random_input(card.clip.channels, 16, 64, 80))
    method = catalog.find("explain", method)
    heats = {p: method.explain(model, card, clip, 2, pathway=p) for p in ("slow", "fast")}
    assert [h.module for h in heats.values()] == ["slow.layer4", "fast.layer4"]
    if "guided" not in heats["slow"].method:
        assert [h.notes["grid"][0] for h in heats.values()] == [4, 16]
    assert not np.allclose(heats["slow"].heat_THW, heats["fast"].heat_THW)


@pytest.mark.spec("label-reassessment", "X3")
def test_slowfast_r50_at_full_size(make_clip):
    """32 frames of 224 x 224: 2048 x 8 x 7 x 7 and 256 x 32 x 7 x 7, both read and differentiated."""
    card = find_card("slowfast:50-8x8")
    model = build_model(card, 3)
    clip = make_clip(random_input(3, 32, 224, 224))
    modules = [card.explain.last(p).module for p in ("slow", "fast")]
    with watch(model, modules) as watched:
        logit = model(clip.x_CTHW[None])[0, 1]
        slopes = torch.autograd.grad(logit, [watched.outputs[m] for m in modules])
    expected = [(1, 2048, 8, 7, 7), (1, 256, 32, 7, 7)]
    assert [tuple(watched.outputs[m].shape) for m in modules] == expected
    assert [tuple(s.shape) for s in slopes] == expected
    for m, slope, frames in zip(modules, slopes, (8, 32), strict=True):
        heat = grad_cam_plus_plus.cam(watched.outputs[m].detach(), slope)
        assert heat.shape == (1, frames, 7, 7)
        assert slope.any()


class FoldedNetwork(nn.Module):
    """A 2D network over frames: time lies in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1)
        self.act = nn.ReLU()
        self.classifier = nn.Linear(5, 3)

    def forward(self, x_BCTHW):
        folded = self.act(self.conv(x_BCTHW.transpose(1, 2).flatten(0, 1)))
        return self.classifier(folded.amax((2, 3))).unflatten(0, (len(x_BCTHW), -1)).mean(1)


@pytest.mark.parametrize("method", FAMILY)
def test_any_layer_and_time_folded_into_the_batch(method, make_clip):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = FoldedNetwork()
    clip, explain = make_clip(random_input(2, 3, 6, 6)), catalog.find("explain", method).explain
    known = explain(model, card_of("act", layout="(BT)CHW", frames=3, size=6), clip, 2)
    found = explain(model, card_of(frames=3, size=6), clip, 2, layer="act")
    np.testing.assert_array_equal(known.heat_THW, found.heat_THW)
    assert known.notes["grid"] == ([3, 1, 1] if "temporal" in method else [3, 6, 6])
    assert explain(model, card_of("act", layout="(BT)CHW", frames=3, size=6), clip, 2, layer="conv").module == "conv"


@pytest.mark.parametrize("method", FAMILY)
def test_what_cannot_be_is_refused(method, small, make_clip):
    model, card = small
    clip, explain = make_clip(random_input(2, 4, 8, 8)), catalog.find("explain", method).explain
    if "weights" in inspect.signature(explain).parameters:
        with pytest.raises(BadValue, match="channel_time"):
            explain(model, card, clip, 0, weights="time")
    with pytest.raises(UnknownName, match="act2"):
        explain(model, card, clip, 0, layer="act3")
    with pytest.raises(BadValue, match="no channels over frames"):
        explain(model, card, clip, 0, layer="classifier")
    with pytest.raises(BadValue, match="class index"):
        explain(copy.deepcopy(model), card, clip, 3)
    with pytest.raises(BadValue, match="does not run"):
        explain(model, card, clip, 0, layer="spare")
