"""Losses against slow twins in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from secondlook.errors import BadValue
from secondlook.train.losses import LabelSets, cross_entropy, is_correct, k_hot_cross_entropy, rare_class_bias


def slow_cross_entropy(logits: list[float], label: int, smoothing: float) -> float:
    total = sum(math.exp(z) for z in logits)
    k = len(logits)
    return -sum(
        ((1 - smoothing) * (i == label) + smoothing / k) * math.log(math.exp(z) / total) for i, z in enumerate(logits)
    )


def slow_k_hot(logits: list[float], target: list[float]) -> float:
    loss = 0.0
    for z, y in zip(logits, target, strict=True):
        p = 1 / (1 + math.exp(-z))
        loss -= y * math.log(p) + (1 - y) * math.log(1 - p)
    return loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_its_twin(smoothing: float) -> None:
    logits_BK = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label_B = torch.tensor([0, 1, 2, 3, 4, 0])
    twin = [slow_cross_entropy(z, y, smoothing) for z, y in zip(logits_BK.tolist(), label_B.tolist(), strict=True)]
    torch.testing.assert_close(cross_entropy(logits_BK, label_B, smoothing), torch.tensor(twin, dtype=torch.float64))


def test_k_hot_cross_entropy_is_its_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BK = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    target_BK = torch.randint(0, 2, (6, 5), generator=generator).double()
    twin = [slow_k_hot(z, y) for z, y in zip(logits_BK.tolist(), target_BK.tolist(), strict=True)]
    torch.testing.assert_close(k_hot_cross_entropy(logits_BK, target_BK), torch.tensor(twin, dtype=torch.float64))


def test_labels_of_a_set_do_not_exclude_each_other() -> None:
    """With two labels held, the best logits are high for both: the softmax loss cannot say that."""
    target_BK = torch.tensor([[1.0, 1.0, 0.0]])
    both = k_hot_cross_entropy(torch.tensor([[9.0, 9.0, -9.0]]), target_BK)
    one = k_hot_cross_entropy(torch.tensor([[9.0, -9.0, -9.0]]), target_BK)
    assert both < 0.01 < one


def test_correct_is_argmax_in_the_set() -> None:
    logits_BK = torch.tensor([[3.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 1.0, 3.0]])
    target_BK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert is_correct(logits_BK, target_BK).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("classes", [2, 24, 174])
def test_at_the_rare_class_bias_a_sigmoid_says_one_in_k(classes: int) -> None:
    assert 1 / (1 + math.exp(-rare_class_bias(classes))) == pytest.approx(1 / classes)
    logits_BK = torch.full((1, classes), rare_class_bias(classes))
    target_BK = torch.nn.functional.one_hot(torch.tensor([0]), classes).float()
    assert k_hot_cross_entropy(logits_BK, target_BK).item() <= 1 + math.log(classes)


def test_sets_become_rows_of_ones() -> None:
    sets = LabelSets([[1], [], [0, 2]], 3)
    assert sets.k_hot(torch.tensor([2, 0, 1, 2])).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_a_label_outside_the_space_is_refused() -> None:
    with pytest.raises(BadValue, match=r"3: a label must lie in 0\.\.2"):
        LabelSets([[0], [3]], 3)
