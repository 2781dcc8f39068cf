"""Class Regularisation against a loop; no gradient to the classifier; no effect where there must be none."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.layers.class_regularisation import ClassRegularisation


def test_twin() -> None:
    classifier = nn.Linear(6, 5)
    module = ClassRegularisation(4, classifier, 0.7)
    a_BCTHW = torch.randn(3, 4, 2, 3, 3)
    out = module(a_BCTHW).detach().numpy()
    w_KD, p_CD = classifier.weight.detach().numpy(), module.project.weight.detach().numpy()
    bias_C = module.project.bias.detach().numpy()
    for b, a in enumerate(a_BCTHW.numpy()):
        projected = [np.maximum(0, p_CD @ w + bias_C) for w in w_KD]
        best = max(range(5), key=lambda n: float((projected[n] * a.mean((1, 2, 3))).sum()))
        low, high = projected[best].min(), projected[best].max()
        scale = 0.7 + 0.3 * (projected[best] - low) / (high - low)
        np.testing.assert_allclose(out[b], a * scale[:, None, None, None], atol=1e-5)
        assert module.early_prediction_B[b] == best
        assert scale.min() >= 0.7
        assert scale.max() <= 1


def test_rate_one_and_equal_weights_change_nothing() -> None:
    a_BCTHW = torch.randn(2, 4, 2, 3, 3)
    assert torch.allclose(ClassRegularisation(4, nn.Linear(6, 5), 1.0)(a_BCTHW), a_BCTHW)
    flat = ClassRegularisation(4, nn.Linear(6, 5), 0.1)
    nn.init.zeros_(flat.project.weight)
    nn.init.constant_(flat.project.bias, -1.0)
    assert torch.equal(flat(a_BCTHW), a_BCTHW)


def test_learns_itself_and_leaves_the_classifier_alone() -> None:
    classifier = nn.Linear(6, 5)
    module = ClassRegularisation(4, classifier, 0.5)
    module(torch.rand(2, 4, 2, 3, 3)).square().sum().backward()
    assert classifier.weight.grad is None
    assert module.project.weight.grad.abs().sum() > 0
    assert {n for n, _ in module.named_parameters()} == {"project.weight", "project.bias"}


def test_a_copy_reads_the_copied_classifier() -> None:
    network = nn.Sequential(nn.Linear(6, 5))
    network.add_module("regularise", ClassRegularisation(4, network[0], 0.5))
    twin = copy.deepcopy(network)
    assert twin.regularise._classifier[0] is twin[0]


def test_refusal() -> None:
    with pytest.raises(BadValue, match=r"must lie in \[0, 1\]"):
        ClassRegularisation(4, nn.Linear(6, 5), 1.5)
