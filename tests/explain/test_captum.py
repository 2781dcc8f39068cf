import warnings

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop

from secondlook.errors import BadValue
from secondlook.explain._captum import asked, over_channels, seeded


def clip_of(make_clip, seed=0):
    return make_clip(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed)))


def test_channels_are_joined_as_said():
    values = torch.tensor([[1.0, -3.0], [2.0, 2.0]])[None, :, None, None]
    assert over_channels(values, "sum").flatten().tolist() == [3, -1]
    assert over_channels(values, "sum_abs").flatten().tolist() == [3, 5]
    assert over_channels(values, "max_abs").flatten().tolist() == [2, 3]
    with pytest.raises(BadValue, match="sum, sum_abs, max_abs"):
        over_channels(values, "mean")


def test_hooks_left_in_the_network_are_removed_and_its_own_stay(small, make_clip):
    model, _ = small
    own = model.act1.register_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="made to fail"), asked(model, clip_of(make_clip), 0) as question:  # noqa: PT012
        model.apply(GuidedBackprop(model)._register_hooks)
        assert len(model.act1._forward_hooks) == 2
        assert question.x_BCTHW.is_leaf
        raise RuntimeError("made to fail")
    assert list(model.act1._forward_hooks) == [own.id]
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_the_clip_is_left_alone_and_captums_warnings_are_not_passed_on(small, make_clip):
    model, _ = small
    clip = clip_of(make_clip)
    before = clip.x_CTHW.clone()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with asked(model, clip, 1) as question:
            GuidedBackprop(model).attribute(question.x_BCTHW, target=1)
            question.x_BCTHW.requires_grad_()
    assert not said
    assert not clip.x_CTHW.requires_grad
    assert torch.equal(clip.x_CTHW, before)


def test_a_seed_repeats_and_leaves_the_generator():
    before = torch.get_rng_state()
    draws = []
    for seed in (3, 3, 4):
        with seeded(seed):
            draws.append(torch.randn(5).numpy())
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.allclose(draws[0], draws[2])
    with pytest.raises(RuntimeError), seeded(0):
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())
