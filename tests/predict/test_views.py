"""Views are fused by averaging probabilities or logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondlook.errors import BadValue
from secondlook.predict.views import Views, fuse


def slow_softmax(logits: list[float]) -> list[float]:
    parts = [math.exp(z - max(logits)) for z in logits]
    return [p / sum(parts) for p in parts]


def slow_mean_of_probabilities(logits_VK: NDArray[np.float64]) -> list[float]:
    of_views = [slow_softmax(view) for view in logits_VK.tolist()]
    return [sum(column) / len(column) for column in zip(*of_views, strict=True)]


@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 2**16), st.floats(0.1, 50))
def test_the_softmax_of_the_fused_is_the_mean_of_softmaxes(views: int, classes: int, seed: int, scale: float) -> None:
    logits_VK = np.random.default_rng(seed).normal(size=(views, classes)) * scale
    fused_K = fuse(logits_VK, "probabilities")
    assert fused_K.dtype == np.float32
    np.testing.assert_allclose(slow_softmax(fused_K.tolist()), slow_mean_of_probabilities(logits_VK), atol=1e-5)


def test_the_two_rules_can_disagree() -> None:
    """One sure view against two unsure ones: it wins by logits, and loses by probabilities."""
    logits_VK = np.array([[20.0, 0.0], [-1.0, 1.0], [-1.0, 1.0]])
    assert fuse(logits_VK, "logits").argmax() == 0
    assert fuse(logits_VK, "probabilities").argmax() == 1
    np.testing.assert_allclose(fuse(logits_VK, "logits"), logits_VK.mean(0))


def test_one_view_is_given_back_as_it_is() -> None:
    logits_VK = np.array([[3.0, -1.0, 0.5]], np.float32)
    assert fuse(logits_VK).tolist() == logits_VK[0].tolist()


def test_large_logits_stay_finite() -> None:
    assert np.isfinite(fuse(np.array([[1e4, -1e4], [-1e4, 1e4]]))).all()


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0]])
def test_the_order_of_views_has_no_say(order: list[int]) -> None:
    logits_VK = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(fuse(logits_VK[order]), fuse(logits_VK), rtol=1e-6)


def test_nothing_and_unknown_rules_are_refused() -> None:
    with pytest.raises(BadValue, match=r"at least one view"):
        fuse(np.zeros((0, 3)))
    with pytest.raises(BadValue, match=r"'max': views are fused by probabilities or logits"):
        fuse(np.zeros((1, 3)), "max")  # type: ignore[arg-type]


def test_views_are_read_and_written() -> None:
    assert Views.parse("10x3") == Views(10, 3)
    assert str(Views(10, 3)) == "10x3"
    assert Views(10, 3).total == 30
    for wrong in ("10", "x3", "0x1", "10x0", "-1x3", "10*3", ""):
        with pytest.raises(BadValue, match=r"--views"):
            Views.parse(wrong)
