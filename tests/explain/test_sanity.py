"""Maps of randomised networks and of other classes."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from secondlook.errors import BadValue
from secondlook.explain import grad_cam
from secondlook.explain._sanity import MEASURES, cascade, compare, layers_from_the_top, randomise, sanity
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import HandNetwork, card_of
from tests.explain.test_no_trace import assert_same, lived_in, state_of


def test_the_cascade_goes_from_the_classifier_to_the_input(small):
    model, card = small
    groups = layers_from_the_top(model, card)
    assert [name for name, _ in groups] == ["classifier", "spare", "norm", "conv2", "conv1"]
    assert sorted(n for _, names in groups for n in names) == sorted(n for n, _ in model.named_parameters())
    tsm = find_card("tsm:tiny")
    names = [name for name, _ in layers_from_the_top(build_model(tsm, 3), tsm)]
    assert names[0] == tsm.explain.classifier
    stages = [p.module for p in reversed(tsm.explain.stages)]
    assert [n for n in names if n in stages] == [s for s in stages if s in names]


def test_each_level_randomises_more_and_the_users_network_is_untouched(small):
    model, card = small
    lived_in(model)
    before = state_of(model)
    own = copy.deepcopy(model.state_dict())
    changed = []
    for _name, random in cascade(model, card, seed=0, levels=5):
        assert random is not model
        state = random.state_dict()
        changed.append({n for n, _ in model.named_parameters() if not torch.equal(state[n], own[n])})
    assert_same(before, state_of(model))
    assert changed[0] == {"classifier.weight", "classifier.bias"}
    assert all(a < b or a == b for a, b in pairwise(changed))
    assert {"conv1.weight", "conv2.weight"} <= changed[-1]
    x = torch.randn(1, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    last = list(cascade(model, card, seed=0, levels=1))
    assert [name for name, _ in last] == ["conv1"]
    assert not torch.equal(model.eval()(x), last[0][1].eval()(x))


def test_random_parameters_are_seeded_and_keep_their_scale(small):
    model, _ = small
    rng = torch.get_rng_state()
    one, other, third = copy.deepcopy(model), copy.deepcopy(model), copy.deepcopy(model)
    randomise(one, ["conv2.weight"], torch.Generator().manual_seed(5))
    randomise(other, ["conv2.weight"], torch.Generator().manual_seed(5))
    randomise(third, ["conv2.weight"], torch.Generator().manual_seed(6))
    assert torch.equal(one.conv2.weight, other.conv2.weight)
    assert not torch.equal(one.conv2.weight, third.conv2.weight)
    scale = one.conv2.weight.detach().std() / model.conv2.weight.detach().std()
    assert 0.85 < scale.item() < 1.15
    assert torch.equal(rng, torch.get_rng_state())


def test_rank_correlation_is_spearmans_of_the_absolute_heat():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 6)), rng.normal(size=(2, 5, 6))
    assert compare(a, b, signed=False)["rank"] == pytest.approx(spearmanr(abs(a).ravel(), abs(b).ravel())[0])
    assert compare(a, b, signed=True)["rank"] == pytest.approx(spearmanr(a.ravel(), b.ravel())[0])
    assert compare(a, -3 * a, signed=False) == pytest.approx({"rank": 1, "structure": 1})
    assert compare(a, np.zeros_like(a), signed=False) == {"rank": 0, "structure": 0}
    assert np.isnan(compare(np.zeros_like(a), a, signed=False)["rank"])


def test_structure_sees_edges_and_not_the_glow():
    """The same smooth glow under two unlike sets of edges: high rank correlation, low structure."""
    rng = np.random.default_rng(1)
    glow = 100 + 20 * np.add.outer(np.arange(16.0), np.arange(16.0))[None]
    a, b = glow + rng.normal(size=(1, 16, 16)) * 20, glow + rng.normal(size=(1, 16, 16)) * 20
    found = compare(a, b, signed=False)
    assert found["rank"] > 0.9
    assert found["structure"] < 0.8 * found["rank"]
    slow = np.concatenate([np.diff(a, axis=1).ravel(), np.diff(a, axis=2).ravel()])
    slow_b = np.concatenate([np.diff(b, axis=1).ravel(), np.diff(b, axis=2).ravel()])
    assert found["structure"] == pytest.approx(np.corrcoef(slow, slow_b)[0, 1])
    times = np.array([1.0, 4, 2])[:, None, None] * np.ones((3, 4, 4))
    assert compare(times, times, signed=False)["structure"] == pytest.approx(1)


def test_an_edge_detector_does_not_change_and_grad_cam_does(small, make_clip):
    model, card = small
    clip = make_clip(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))

    def edges(_model, _label):
        return np.abs(np.diff(clip.x_CTHW[0].numpy(), axis=-1, append=0))

    def cam(network, label):
        return grad_cam.explain(network, card, clip, label, layer="conv1").heat_THW

    blind, steps = sanity(model, card, 0, 1, edges, edges(model, 0))
    assert blind["parameters_rank"] == blind["class_rank"] == blind["classifier_rank"] == pytest.approx(1)
    assert len(steps) == 3
    seeing, _ = sanity(model, card, 0, 1, cam, cam(model, 0), seed=1)
    assert seeing["parameters_rank"] < 0.9
    assert set(seeing) == set(MEASURES)
    assert sanity(model, card, 0, 1, cam, cam(model, 0), seed=1)[0] == seeing
    alone, _ = sanity(model, card, 0, -1, cam, cam(model, 0), levels=1)
    assert np.isnan(alone["class_rank"])
    assert np.isnan(alone["classifier_rank"])


def test_mistakes_are_sentences(small):
    model, card = small
    with pytest.raises(BadValue, match="at least 1 level"):
        next(cascade(model, card, levels=0))
    with pytest.raises(BadValue, match="no parameters"):
        next(cascade(torch.nn.ReLU(), card))
    network = HandNetwork((1.0, 2.0), [[1.0, 2.0]], [1.0, 1.0])
    assert [n for n, _ in layers_from_the_top(network, card_of("conv"))] == ["conv", "v_CK"]
