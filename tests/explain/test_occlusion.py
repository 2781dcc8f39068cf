import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from secondlook.errors import BadValue
from secondlook.explain import occlusion
from secondlook.explain._blocks import fill
from tests.explain.conftest import card_of


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grid_of(model, card, x_CTHW, make_clip, **options):
    """The grid of blocks itself: read where no interpolation hides it."""
    seen = {}
    real = occlusion.heat_map
    occlusion.heat_map = lambda heat, *args, **notes: seen.update(heat=heat) or real(heat, *args, **notes)
    try:
        heat = occlusion.explain(model, card, make_clip(x_CTHW), 1, **options)
    finally:
        occlusion.heat_map = real
    return seen["heat"], heat


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("kind", ["mean", "blur", "black"])
def test_blocks_are_a_slow_loop(small, make_clip, kind, score):
    """Sizes that do not divide: 4 frames in 3, 8 rows in 3, 8 columns in 2."""
    model, card = small
    x_CTHW = random_input(2, 4, 8, 8)
    found, heat = grid_of(model, card, x_CTHW, make_clip, blocks="3x3x2", fill=kind, score=score, at_once=5)
    read = lambda logits: float((logits.softmax(1) if score == "probability" else logits)[0, 1])  # noqa: E731
    other = fill(x_CTHW[None], card.clip, kind)[0]
    expected = np.zeros((3, 3, 2))
    with torch.no_grad():
        for t, h, w in np.ndindex(3, 3, 2):
            covered = x_CTHW.clone()
            for place in np.ndindex(4, 8, 8):
                if (place[0] * 3 // 4, place[1] * 3 // 8, place[2] * 2 // 8) == (t, h, w):
                    covered[(slice(None), *place)] = other[(slice(None), *place)]
            expected[t, h, w] = read(model(x_CTHW[None])) - read(model(covered[None]))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert heat.signed
    assert heat.notes["grid"] == [3, 3, 2]


@pytest.mark.parametrize("overlap", [1, 2])
def test_captums_occlusion_agrees_where_windows_fit(small, make_clip, overlap):
    model, card = small
    x_CTHW = random_input(2, 4, 8, 8)
    found, _ = grid_of(model, card, x_CTHW, make_clip, blocks="2x2x4", overlap=overlap)
    window, stride = (2, 2, 4, 2), (2, 2 // overlap, 4 // overlap, 2 // overlap)
    with torch.no_grad():
        expected = Occlusion(model).attribute(x_CTHW[None], window, strides=stride, target=1, baselines=0)[0, 0]
    for axis, repeats in enumerate(stride[1:]):
        found = np.repeat(found, repeats, axis=axis)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


class Corner(nn.Module):
    """Reads one block: for class 0 its mean, for class 1 the opposite."""

    def forward(self, x_BCTHW):
        read_B = x_BCTHW[:, :, 2:4, 4:, :4].mean((1, 2, 3, 4))
        return torch.stack([read_B, -read_B], dim=1)


def test_a_network_that_reads_one_block(make_clip):
    clip = make_clip(random_input(2, 4, 8, 8).abs())
    heat = occlusion.explain(Corner(), card_of("x", frames=4, size=8), clip, 0, blocks="2x2x2")
    assert heat.notes["scale"] == pytest.approx(float(clip.x_CTHW[:, 2:, 4:, :4].mean()), rel=1e-5)
    assert heat.heat_THW[3, 7, 0] == 1
    assert (heat.heat_THW[0] == 0).all()
    against = occlusion.explain(Corner(), card_of("x", frames=4, size=8), clip, 1, blocks="2x2x2")
    np.testing.assert_allclose(against.heat_THW, -heat.heat_THW)
    assert against.signed


def test_clips_in_one_pass_do_not_matter(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    one, other = (occlusion.explain(model, card, clip, 1, at_once=n) for n in (1, 64))
    np.testing.assert_allclose(one.heat_THW, other.heat_THW, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": "4x4"}, "time x rows x columns"),
        ({"blocks": "0x4x4"}, "at least 1"),
        ({"overlap": 0}, "at least 1"),
        ({"fill": "grey"}, "blur, mean, black"),
        ({"score": "loss"}, "logit, probability"),
    ],
)
def test_bad_options_are_refused(small, make_clip, options, words):
    with pytest.raises(BadValue, match=words):
        occlusion.explain(*small, make_clip(random_input(2, 4, 8, 8)), 0, **options)
