"""Every explainer on every family's tiny network: a finite map of the right shape, and no trace left behind."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import gradient, watch
from secondlook.explain._methods import unsuitable
from secondlook.explain._options import options_of
from secondlook.predict.weights import build_model, find_card, with_clip
from tests.explain.conftest import SmallNetwork

METHODS = catalog.names("explain")
FAMILIES = tuple(f for f in catalog.names("models") if "tiny" in catalog.find("models", f).CARDS)


REPEATED = ("resnet3d", "timesformer")
"""Families on which each method is run twice."""
QUICK = {"steps": 2, "samples": 2, "at_once": 8, "blocks": "2x2x2", "cells": "2x3x3"}
"""Options that make slow methods coarse, where they have them: what is tested here holds for any."""


@functools.cache
def card_of(family: str) -> ModelCard:
    """The tiny card with half the frames and fewer pixels, where a network can be built for such clips."""
    card = find_card(f"{family}:tiny")
    shorter = with_clip(card, frames=8, height=48, width=56)
    try:
        limits = build_model(shorter, 4, seed=1).limits
    except BadValue:
        return card
    return card if limits.broken(8, 48, 56) else shorter


@functools.cache
def network_of(family: str) -> tuple[ModelCard, nn.Module, torch.Tensor, torch.Tensor]:
    """Card, network, a clip `x_CTHW` and its `logits_BK`; the network is copied before it is used."""
    card = card_of(family)
    clip = card.clip
    model = build_model(card, 4, seed=1).eval()
    seeded = torch.Generator().manual_seed(2)
    x_CTHW = torch.randn(clip.channels, clip.frames, clip.height, clip.width, generator=seeded)
    with torch.no_grad():
        return card, model, x_CTHW, model(x_CTHW[None])


def quick(method: str) -> dict[str, object]:
    known = options_of(method)
    return {k: v for k, v in QUICK.items() if k in known and isinstance(known[k].default, type(v))}


def state_of(model: nn.Module) -> dict[str, object]:
    """All that an explainer could leave behind."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "training": [m.training for m in model.modules()],
        "asking": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "hooks": [len(getattr(m, h)) for m in model.modules() for h in hooks],
        "numbers": copy.deepcopy(model.state_dict()),
        "grad_enabled": torch.is_grad_enabled(),
        "rng": torch.get_rng_state(),
    }


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    for name in ("training", "asking", "hooks", "grad_enabled"):
        assert one[name] == other[name], name
    for a, b in zip(one["grads"], other["grads"], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert one["numbers"].keys() == other["numbers"].keys()
    assert all(torch.equal(one["numbers"][k], other["numbers"][k]) for k in one["numbers"])
    assert torch.equal(one["rng"], other["rng"])


def lived_in(model: nn.Module) -> nn.Module:
    """Training mode but for one module, some parameters frozen, some with gradients: nothing an explainer may reset."""
    model.train()
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm | nn.ReLU)).eval()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    return model


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "69")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_family(method, family, make_clip):
    card, built, x_CTHW, before_BK = network_of(family)
    model = lived_in(copy.deepcopy(built))
    clip = make_clip(x_CTHW, 90, 120)
    state = state_of(model)
    if unsuitable(method, model, card):
        with pytest.raises(BadValue):
            catalog.find("explain", method).explain(model, card, clip, 2)
        assert_same(state, state_of(model))
        return
    heat = catalog.find("explain", method).explain(model, card, clip, 2, **quick(method))
    assert_same(state, state_of(model))
    assert heat.heat_THW.shape == (card.clip.frames, 90, 120)
    assert np.isfinite(heat.heat_THW).all()
    assert np.abs(heat.heat_THW).max() in (0, 1)
    assert heat.method == method
    assert heat.label == 2
    if family in REPEATED:
        again = catalog.find("explain", method).explain(model, card, clip, 2, **quick(method))
        np.testing.assert_array_equal(heat.heat_THW, again.heat_THW)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x_CTHW[None]), before_BK, rtol=0, atol=0)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "100")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["forward", "hook", "backward", "label"])
def test_no_trace_after_an_exception(method, where, small, make_clip):
    """In the head, inside our own hook (output is no tensor), in the backward pass, and after a good forward pass."""
    model, card = small

    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, gradient):
            raise RuntimeError("made to fail")

    class Fails(SmallNetwork):
        def forward(self, x_BCTHW):
            if where == "forward":
                self.act2(self.conv2(self.act1(self.conv1(x_BCTHW))))
                raise RuntimeError("made to fail")
            features = super().forward(x_BCTHW)
            return Bad.apply(features) if where == "backward" else features

    failing = Fails()
    failing.load_state_dict(model.state_dict())
    if where == "hook":
        failing.act2.forward = lambda x: (x.relu(), 0)
    lived_in(failing)
    state = state_of(failing)
    clip = make_clip(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    try:
        catalog.find("explain", method).explain(failing, card, clip, 99 if where == "label" else 0, **quick(method))
    except (RuntimeError, BadValue, TypeError, AttributeError) as error:
        said = str(error)
    else:  # a method without a backward pass, say, gets through
        said = ""
    expected = {"forward": "made to fail", "label": "class index"}.get(where, "")
    assert expected in said or unsuitable(method, failing, card)
    assert_same(state, state_of(failing))


@pytest.mark.spec("label-reassessment", "X5")
@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_the_same_with_hooks_on(family):
    card = card_of(family)
    spec = card.clip
    model = build_model(card, 4, seed=1).eval()
    x_BCTHW = torch.randn(
        2, spec.channels, spec.frames, spec.height, spec.width, generator=torch.Generator().manual_seed(3)
    )
    with torch.no_grad():
        plain_BK = model(x_BCTHW)
    with watch(model, [p.module for p in card.explain.stages]) as watched:
        hooked_BK = model(x_BCTHW)
        for point in card.explain.stages:
            assert gradient(hooked_BK[:, 1].sum(), watched.outputs[point.module], point.module).any()
            hooked_BK = model(x_BCTHW)
    assert torch.equal(plain_BK, hooked_BK.detach())


def test_hooks_go_when_a_later_name_is_unknown(small):
    model, _ = small
    state = state_of(lived_in(model))
    with pytest.raises(UnknownName), watch(model, ["conv1", "conv9"]):
        pass
    assert_same(state, state_of(model))


def test_a_module_that_runs_twice_gives_its_last_output(small):
    model, _ = small
    x_BCTHW = torch.randn(1, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with watch(model, ["conv1"]) as watched:
        model(torch.zeros_like(x_BCTHW))
        model(x_BCTHW)
    assert watched.calls["conv1"] == 2
    torch.testing.assert_close(watched.outputs["conv1"].detach(), model.conv1(x_BCTHW).detach())
