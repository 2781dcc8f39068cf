"""Soft nearest neighbours against a loop, the fixtures of section 12, both criteria, and numbers that are not small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.soft_nearest_neighbour import consistency, soft_nearest_neighbour

A = [(0, 0), (1, 0), (0, 2)]
B = [(0.1, 0), (1, 0.2), (0, 1.8)]
NEARLY_CONSTANT = [(0.01, 0), (0.011, 0.001), (0.012, 0)]


def clip(frames: list[tuple[float, ...]]) -> Tensor:
    return torch.tensor(frames, dtype=torch.float32).T[None]


def soft_by_hand(a_TC: np.ndarray, b_UC: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    out = []
    for a in a_TC:
        weights = np.array([np.exp(-sum((a - b) ** 2) / temperature) for b in b_UC])
        out.append(sum(w * b for w, b in zip(weights / weights.sum(), b_UC, strict=True)))
    return np.stack(out)


def found_by_hand(a_TC: np.ndarray, b_UC: np.ndarray, among_TC: np.ndarray, temperature: float) -> list[int]:
    soft_TC = soft_by_hand(a_TC, b_UC, temperature)
    return [min(range(len(among_TC)), key=lambda i: sum((soft - among_TC[i]) ** 2)) for soft in soft_TC]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "8")
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("criterion", ["index", "cycle"])
def test_twin(criterion: str, normalise: bool, temperature: float) -> None:
    torch.manual_seed(1)
    a_BCT = torch.randn(4, 5, 6)
    b_BCT = a_BCT + 0.3 * torch.randn(4, 5, 6)
    how = {"temperature": temperature, "normalise": normalise}
    soft_BCT, weights_BTU = soft_nearest_neighbour(a_BCT, b_BCT, **how)
    assert torch.allclose(weights_BTU.sum(2), torch.ones(4, 6))
    assert (weights_BTU >= 0).all()
    found = consistency(a_BCT, b_BCT, criterion=criterion, **how)
    for c in range(4):
        a_TC, b_TC = a_BCT[c].T.double().numpy(), b_BCT[c].T.double().numpy()
        if normalise:
            a_TC, b_TC = (x / np.sqrt((x**2).sum(1, keepdims=True)) for x in (a_TC, b_TC))
        np.testing.assert_allclose(soft_BCT[c].T, soft_by_hand(a_TC, b_TC, temperature), atol=1e-5)
        np.testing.assert_allclose(soft_BCT[c].T, weights_BTU[c].numpy() @ b_TC, atol=1e-5)
        index = criterion == "index"
        of_a = found_by_hand(a_TC, b_TC, b_TC if index else a_TC, temperature)
        of_b = found_by_hand(b_TC, a_TC, a_TC if index else b_TC, temperature)
        assert [x[c].tolist() for x in found.indices] == [of_a, of_b]
        assert found.per_frame_A[c].tolist() == [i == t for t, i in enumerate(of_a)]
        assert found.per_frame_B[c].tolist() == [i == t for t, i in enumerate(of_b)]
        assert bool(found.consistent[c]) == (of_a == of_b == list(range(6)))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "8", "10")
def test_fixture() -> None:
    there, back = soft_nearest_neighbour(clip(A), clip(B)), soft_nearest_neighbour(clip(B), clip(A))
    np.testing.assert_allclose(there.soft_BCT[0].T, [(0.3272, 0.1021), (0.7079, 0.1536), (0.0163, 1.7439)], atol=1e-4)
    np.testing.assert_allclose(there.weights_BTU[0, 0], [0.7160, 0.2556, 0.0283], atol=1e-4)
    np.testing.assert_allclose(back.soft_BCT[0].T, [(0.3062, 0.0250), (0.7231, 0.0217), (0.0142, 1.8944)], atol=1e-4)
    found = consistency(clip(A), clip(B))
    assert [x.tolist() for x in found.indices] == [[[0, 1, 2]], [[0, 1, 2]]]
    assert found.consistent.tolist() == [True]
    swapped = consistency(clip(A), clip([B[1], B[0], B[2]]))
    assert [x.tolist() for x in swapped.indices] == [[[1, 0, 2]], [[1, 0, 2]]]
    assert swapped.per_frame_A.tolist() == swapped.per_frame_B.tolist() == [[False, False, True]]
    assert swapped.consistent.tolist() == [False]
    constant = consistency(clip(A), clip(NEARLY_CONSTANT))
    assert [x.tolist() for x in constant.indices] == [[[1, 1, 1]], [[0, 0, 0]]]
    assert constant.consistent.tolist() == [False]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "9")
def test_identical_sequences() -> None:
    """Consistent from a spacing d of x + 3 x^4 = 1, x = exp(-d^2), on: about 0.71."""
    near, far = clip([(0, 0), (0.1, 0), (0.2, 0)]), clip([(0, 0), (10, 0), (20, 0)])
    assert consistency(near, near).indices[0].tolist() == [[1, 1, 1]]
    assert not consistency(near, near).consistent
    assert consistency(far, far).indices[0].tolist() == [[0, 1, 2]]
    assert consistency(far, far).consistent
    x = min(np.linspace(0, 1, 100_001), key=lambda x: abs(x + 3 * x**4 - 1))
    edge = float(np.sqrt(-np.log(x)))
    assert 0.70 < edge < 0.72
    for d, expected in ((edge - 0.01, False), (edge + 0.01, True)):
        frames = clip([(0, 0), (d, 0), (2 * d, 0)])
        assert consistency(frames, frames).consistent.tolist() == [expected]
    assert not consistency(far, far.flip(2)).consistent
    assert not consistency(far, far[:, :, [1, 0, 2]]).consistent


def test_a_permuted_copy_is_consistent_where_frames_must_only_come_back() -> None:
    far = clip([(0, 0), (10, 0), (20, 0)])
    assert consistency(far, far.flip(2), criterion="cycle").consistent.tolist() == [True]
    longer = clip([(0, 0), (10, 0), (20, 0), (20.1, 0)])
    found = consistency(far, longer, criterion="cycle")
    assert found.per_frame_A.tolist() == [[True] * 3]
    assert found.per_frame_B.shape == (1, 4)
    assert not found.consistent, "both of two like frames cannot come back"


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "10")
def test_one_direction_is_not_enough() -> None:
    a, b = clip([(0, 0), (10, 0), (20, 0)]), clip([(0, 0), (0.2, 0), (20, 0)])
    one_way = consistency(a, b)
    assert one_way.per_frame_A.all()
    assert one_way.per_frame_B.tolist() == [[True, False, True]]
    assert one_way.consistent.tolist() == [False]
    other_way = consistency(b, a)
    assert other_way.per_frame_B.all()
    assert other_way.consistent.tolist() == [False]
    assert consistency(a, a).consistent.tolist() == [True]


def test_temperature_and_length_open_what_a_small_scale_closes() -> None:
    near = clip([(0.1, 0), (0, 0.1), (-0.1, 0)])
    assert not consistency(near, near).consistent
    assert consistency(near, near, temperature=1e-3).consistent
    assert consistency(near, near, normalise=True).consistent


def test_one_frame_finds_itself() -> None:
    assert consistency(torch.randn(3, 4, 1), torch.randn(3, 4, 1)).consistent.all()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "16")
@pytest.mark.parametrize("scale", [1e4, 1e6, 1e9])
def test_far_apart(scale: float) -> None:
    torch.manual_seed(0)
    a_BCT = scale * torch.randn(2, 512, 8)
    soft_BCT, weights_BTU = soft_nearest_neighbour(a_BCT, a_BCT + 1)
    assert soft_BCT.isfinite().all()
    assert weights_BTU.isfinite().all()
    assert consistency(a_BCT, a_BCT + 1).consistent.all()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "16")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Also of differences from frame to frame that a product in half precision would not see."""
    torch.manual_seed(0)
    a_BCT = 300 * torch.randn(2, 512, 8)
    offset = 1000 + 2 * torch.randn(2, 16, 8)
    with torch.autocast("cpu", dtype=dtype):
        assert consistency(a_BCT.to(dtype), a_BCT.to(dtype)).consistent.all()
        soft_BCT = soft_nearest_neighbour(a_BCT.to(dtype), a_BCT.to(dtype)).soft_BCT
        within = consistency(offset, offset)
        assert torch.is_autocast_enabled("cpu")
    assert soft_BCT.dtype == torch.float32
    assert soft_BCT.isfinite().all()
    assert torch.equal(within.indices[0], consistency(offset, offset).indices[0])
    assert soft_nearest_neighbour(a_BCT.double(), a_BCT.double()).soft_BCT.dtype == torch.float64


def test_it_can_be_learned_through_but_the_decision_cannot() -> None:
    a_BCT = torch.randn(1, 3, 4, requires_grad=True)
    soft_nearest_neighbour(a_BCT, a_BCT).soft_BCT.sum().backward()
    assert a_BCT.grad.isfinite().all()
    assert not consistency(a_BCT, a_BCT).consistent.requires_grad


def test_refusals() -> None:
    a_BCT = torch.randn(1, 3, 4)
    with pytest.raises(UnknownName, match="Did you mean 'cycle'"):
        consistency(a_BCT, a_BCT, criterion="cycles")
    for bad in (0, -1.0, float("nan"), "warm"):
        with pytest.raises(BadValue, match="must be above 0"):
            consistency(a_BCT, a_BCT, temperature=bad)
    with pytest.raises(BadValue, match="need as many"):
        consistency(a_BCT, a_BCT[:, :, :2])
    with pytest.raises(BadValue, match="B x C x T"):
        soft_nearest_neighbour(a_BCT, a_BCT[:, :2])
    with pytest.raises(BadValue, match="B x C x T"):
        soft_nearest_neighbour(a_BCT, a_BCT[0])
