import numpy as np
import pytest
import torch
from torch import nn

from secondlook.cards import ClipSpec, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import temporal_mask
from secondlook.explain._methods import unsuitable
from secondlook.explain.temporal_mask import held, ladder, perturb
from secondlook.video.transform import to_input


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def card(frames=8, modality="rgb", size=4):
    numbers = {"rgb": ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))}.get(modality, ((0.45, 0.1), (0.25, 0.2)))
    spec = ClipSpec(
        frames=frames, height=size, width=size, short_side=size, modality=modality, mean=numbers[0], std=numbers[1]
    )
    return ModelCard("toy:toy", spec, ExplainPoints((), ""))


class Difference(nn.Module):
    """Reads what frame `later` has more than frame `earlier`, and nothing else of the clip."""

    def __init__(self, earlier, later):
        super().__init__()
        self.earlier, self.later = earlier, later

    def forward(self, x_BCTHW):
        read_B = (x_BCTHW[:, :, self.later] - x_BCTHW[:, :, self.earlier]).mean((1, 2, 3))
        return torch.stack([read_B, -read_B], dim=1)


def rising(frames=8):
    """Each frame brighter than the last by 1, so that every order of frames can be told."""
    return torch.arange(frames, dtype=torch.float32)[:, None, None].expand(3, frames, 4, 4).clone()


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("earlier", [0, 2, 5])
def test_reversal_finds_the_two_frames_whose_difference_is_read(make_clip, earlier):
    x_CTHW = torch.zeros(3, 8, 4, 4)
    x_CTHW[:, earlier + 1] = 1  # the rest of the clip stands still
    heat = temporal_mask.explain(Difference(earlier, earlier + 1), card(), make_clip(x_CTHW), 0, effect="reverse")
    assert heat.notes["frames"] == [earlier, earlier + 1]
    assert heat.notes["drop"] == pytest.approx(2)
    assert heat.notes["temporal"] is True
    assert heat.notes["grid"] == [8, 1, 1]
    hot_T = heat.heat_THW.mean((1, 2))
    assert hot_T[[earlier, earlier + 1]].min() > 0.8
    assert np.delete(hot_T, [earlier, earlier + 1]).max() < 0.4


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("later", [2, 4, 7])
def test_freezing_finds_the_frame_that_brings_the_difference(make_clip, later):
    x_CTHW = torch.zeros(3, 8, 4, 4)
    x_CTHW[:, later] = 1
    heat = temporal_mask.explain(Difference(later - 1, later), card(), make_clip(x_CTHW), 0, effect="freeze")
    assert heat.notes["frames"] == [later]
    assert heat.notes["drop"] == pytest.approx(1)
    hot_T = heat.heat_THW.mean((1, 2))
    assert int(hot_T.argmax()) == later
    assert np.delete(hot_T, later).max() < 0.4


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("effect", ["freeze", "reverse"])
def test_all_frames_between_two_far_ones_matter_where_the_clip_moves_on(make_clip, effect):
    """Brightness rises evenly, and the network reads first against last: only a long run takes it all."""
    heat = temporal_mask.explain(Difference(1, 6), card(), make_clip(rising()), 0, effect=effect, area_weight=0.05)
    needed = set(range(2, 7)) if effect == "freeze" else {1, 6}  # reversed, the frames in between may lie as they like
    assert needed <= set(heat.notes["frames"])
    assert heat.notes["drop"] >= 5


class OrderBlind(nn.Module):
    """Each frame on its own, averaged."""

    def forward(self, x_BCTHW):
        read_B = x_BCTHW.tanh().mean((1, 2, 3, 4))
        return torch.stack([read_B, -read_B], dim=1)


@pytest.mark.spec("label-reassessment", "X9")
def test_a_network_that_ignores_time_has_no_heat(make_clip):
    """Reversal changes nothing for it; freezing changes nothing where the clip stands still."""
    heat = temporal_mask.explain(OrderBlind(), card(), make_clip(random_input(3, 8, 4, 4)), 0, effect="reverse")
    assert not heat.heat_THW.any()
    assert heat.notes["drop"] == pytest.approx(0, abs=1e-6)
    still = random_input(3, 1, 4, 4).expand(3, 8, 4, 4).clone()
    heat = temporal_mask.explain(OrderBlind(), card(), make_clip(still), 0, effect="freeze")
    assert not heat.heat_THW.any()
    assert heat.notes["frames"] == []


def test_a_class_that_gains_has_no_heat(make_clip):
    """Every reversal speaks for this class: there are no frames that it needs in their order."""
    heat = temporal_mask.explain(Difference(0, 7), card(), make_clip(rising()), 1, effect="reverse")
    assert not heat.heat_THW.any()
    assert heat.notes["drop"] <= 0


def freeze_loop(x_CTHW, mask_T):
    frames = [x_CTHW[:, 0]]
    for t in range(1, x_CTHW.shape[1]):
        frames.append((1 - mask_T[t]) * x_CTHW[:, t] + mask_T[t] * frames[-1])
    return torch.stack(frames, dim=1)


def reverse_loop(x_CTHW, mask_T):
    found, t, count = x_CTHW.clone(), 0, x_CTHW.shape[1]
    while t < count:
        end = t
        while end < count and mask_T[end] >= 0.1:
            end += 1
        for i in range(t, end):
            found[:, i] = (1 - mask_T[i]) * x_CTHW[:, i] + mask_T[i] * x_CTHW[:, t + end - 1 - i]
        if end == t:  # below the threshold: the frame stays
            end += 1
        t = end
    return found


@pytest.mark.parametrize(("effect", "loop"), [("freeze", freeze_loop), ("reverse", reverse_loop)])
def test_perturbed_clips_are_slow_loops(effect, loop):
    x_BCTHW = random_input(1, 3, 9, 4, 4)
    masks = random_input(20, 9, seed=1).mul(2).clamp(0, 1)
    masks[0], masks[1] = 0, 1
    found = perturb(x_BCTHW, masks, effect, card(9).clip)
    for m, mask_T in enumerate(masks):
        expected = loop(x_BCTHW[0], mask_T)
        if effect == "reverse":
            expected = torch.where((mask_T < 0.1)[:, None, None], x_BCTHW[0], expected)
        torch.testing.assert_close(found[m], expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(found[0], x_BCTHW[0])


def test_held_rows_are_weights():
    weights = held(random_input(5, 7).sigmoid())
    torch.testing.assert_close(weights.sum(2), torch.ones(5, 7))
    assert not weights.triu(1).any()


@pytest.mark.parametrize("effect", ["freeze", "reverse"])
def test_luma_difference_is_that_of_the_perturbed_video(effect):
    """Hard masks: the same as perturbing the frames and making the input of them anew."""
    spec = card(6, "luma_difference").clip
    frames = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    x_BCTHW = to_input(frames, spec)[None]
    order = {"freeze": [0, 1, 1, 1, 4, 5], "reverse": [0, 1, 3, 2, 4, 5]}[effect]
    mask = torch.tensor([[0, 0, 1, 1, 0, 0]]).float()
    expected = to_input(frames[order], spec)
    torch.testing.assert_close(perturb(x_BCTHW, mask, effect, spec)[0], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(perturb(x_BCTHW, 0 * mask, effect, spec), x_BCTHW)


def test_flow_is_stilled_and_turned_round():
    spec = card(4, "flow").clip
    frames = np.random.default_rng(0).integers(60, 196, (4, 4, 4, 3), dtype=np.uint8)
    x_BCTHW = to_input(frames, spec)[None]
    mask = torch.tensor([[0, 1, 1, 0]]).float()
    still = frames.copy()
    still[1:3] = 128
    torch.testing.assert_close(perturb(x_BCTHW, mask, "freeze", spec)[0], to_input(still, spec), atol=1e-5, rtol=1e-5)
    turned = frames.copy()
    turned[1:3] = 256 - frames[[2, 1]].astype(int)
    torch.testing.assert_close(perturb(x_BCTHW, mask, "reverse", spec)[0], to_input(turned, spec), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [2, 3, 8, 16, 50])
def test_the_ladder_reaches_every_frame_and_the_whole_clip(frames):
    for shortest in (1, 2):
        runs = ladder(frames, shortest)
        lengths = runs.sum(1)
        assert lengths.min() >= min(shortest, frames)
        assert runs.all(1).any()
        assert runs[lengths == lengths.min()].any(0).all()
        assert (runs.int().diff(dim=1).abs().sum(1) + runs[:, 0].int() + runs[:, -1].int() == 2).all()
        assert len(runs) == len(runs.unique(dim=0)) <= 64


def test_one_frame_and_bad_options_are_refused(make_clip):
    assert "one frame" in unsuitable("temporal_mask", OrderBlind(), card(1))
    with pytest.raises(BadValue, match="one frame"):
        temporal_mask.explain(OrderBlind(), card(1), make_clip(random_input(3, 1, 4, 4)), 0)
    clip = make_clip(rising())
    for options, words in [({"effect": "shuffle"}, "freeze, reverse"), ({"area_weight": -1.0}, "at least 0")]:
        with pytest.raises(BadValue, match=words):
            temporal_mask.explain(OrderBlind(), card(), clip, 0, **options)
    with pytest.raises(BadValue, match="at least one step"):
        temporal_mask.explain(Difference(2, 3), card(), clip, 0, steps=0)
