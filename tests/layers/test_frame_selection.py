"""Frame selection: the printed example, twins by hand, ties, odd and short clips, and what a static clip gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.frame_selection import (
    ENDS,
    KEEP,
    FrameSelection,
    kept,
    take_frames,
    triplet_cosine,
    triplet_cosine_numpy,
)

PRINTED = [(1, 0), (1, 0), (1, 0), (0, 1), (1, 0), (1, 0), (1, 0.1), (1, 0)]


def volume(frames: list[tuple[float, ...]], height: int = 2, width: int = 3) -> Tensor:
    """One clip whose frames' means are these vectors."""
    v_CT = torch.tensor(frames, dtype=torch.float64).T
    noise = torch.randn(len(v_CT), len(frames), height, width, dtype=torch.float64)
    return (v_CT[..., None, None] + noise - noise.mean((2, 3), keepdim=True))[None]


def even(frames: list[tuple[float, ...]]) -> Tensor:
    """One clip whose frames are the same everywhere."""
    return torch.tensor(frames, dtype=torch.float64).T[None, :, :, None, None].expand(-1, -1, -1, 2, 2).clone()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "29", "30")
def test_printed_example() -> None:
    """Section 12 of the specification."""
    found = triplet_cosine(volume(PRINTED))
    np.testing.assert_allclose(found.cosines_BT[0], [1, 1, 0, 0, 1, 0.9950, 0.9950], atol=1e-4)
    np.testing.assert_allclose(found.scores_BT[0], [2, 2, 1, 0, 1, 1.9950, 1.9901, 1.9901], atol=1e-4)
    assert triplet_cosine(even(PRINTED)).index_BK.tolist() == [[2, 3, 4, 6]]


def by_hand(x_CTHW: np.ndarray) -> tuple[list[float], list[float]]:
    v = x_CTHW.mean((2, 3)).T
    cosines = [float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b in itertools.pairwise(v)]
    ends = [cosines[0], *cosines, cosines[-1]]
    return cosines, [a + b for a, b in itertools.pairwise(ends)]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "29", "30")
@pytest.mark.parametrize("frames", [2, 3, 5, 8, 13])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("keep", KEEP)
def test_twins(frames: int, ends: str, keep: str) -> None:
    """Each clip of a batch by itself, against the formulas by hand and against the twin in NumPy."""
    x_BCTHW = torch.randn(5, 6, frames, 3, 4, dtype=torch.float64)
    found = triplet_cosine(x_BCTHW, ends=ends, keep=keep)
    other = triplet_cosine(x_BCTHW.contiguous(memory_format=torch.channels_last_3d), ends=ends, keep=keep)
    assert torch.equal(other.index_BK, found.index_BK)
    assert found.index_BK.shape == (5, max(1, frames // 2))
    assert (found.index_BK.diff(dim=1) > 0).all()
    for b, x_CTHW in enumerate(x_BCTHW.numpy()):
        cosines, scores = by_hand(x_CTHW)
        np.testing.assert_allclose(found.cosines_BT[b], cosines, atol=1e-6)
        inside = slice(1, -1) if ends == "exclude" else slice(None)
        np.testing.assert_allclose(found.scores_BT[b][inside], scores[inside], atol=1e-6)
        candidates = range(frames)[inside] if frames > 2 else range(frames)
        sign = -1 if keep == "largest" else 1
        if frames > 2:
            wanted = sorted(sorted(candidates, key=lambda t: sign * scores[t])[: frames // 2])
            assert found.index_BK[b].tolist() == wanted
        numpy_scores, numpy_index = triplet_cosine_numpy(x_CTHW, ends=ends, keep=keep)
        np.testing.assert_allclose(found.scores_BT[b], numpy_scores, atol=1e-9)
        assert found.index_BK[b].tolist() == numpy_index.tolist()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "31")
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("changed", range(1, 7))
def test_one_changed_frame_in_a_static_clip(changed: int, ends: str) -> None:
    """It is selected, and so are its neighbours; of the frames that stay alike, the earlier ones."""
    frames = [(1.0, 0.0, 0.5)] * 8
    frames[changed] = (0.0, 1.0, 0.5)
    index = triplet_cosine(even(frames), ends=ends).index_BK[0].tolist()
    near = {t for t in (changed - 1, changed, changed + 1) if ends == "replicate" or 0 < t < 7}
    others = [t for t in range(8) if t not in near and (ends == "replicate" or 0 < t < 7)]
    assert index == sorted([*near, *others[: 4 - len(near)]])


def test_a_static_clip_gives_its_first_frames_even_where_sums_differ_in_their_last_bits() -> None:
    """And brightness alone is no change."""
    v_C = torch.rand(64) + 0.1
    x_BCTHW = v_C[None, :, None, None, None] * (1 + 1e-7 * torch.randn(1, 64, 8, 5, 5))
    assert triplet_cosine(x_BCTHW).index_BK.tolist() == [[0, 1, 2, 3]]
    brighter = v_C[None, :, None, None, None].double() * torch.arange(1, 9)[None, None, :, None, None]
    assert triplet_cosine(brighter).index_BK.tolist() == [[0, 1, 2, 3]]
    assert triplet_cosine(torch.zeros(1, 3, 6, 2, 2)).index_BK.tolist() == [[0, 1, 2]]


def test_nearly_parallel_frames_are_told_apart() -> None:
    """Angles of 1e-4, as slow video has: 1 - cos is 5e-9, which float32 does not have."""
    frames = [(1.0, 0.0)] * 8
    frames[5] = (1.0, 1e-4)
    assert triplet_cosine(even(frames).float()).index_BK.tolist() == [[0, 4, 5, 6]]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "32")
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize(("frames", "left"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3), (13, 6)])
def test_odd_and_short(frames: int, left: int, ends: str) -> None:
    x_BCTHW = torch.randn(2, 3, frames, 2, 2)
    found = triplet_cosine(x_BCTHW, ends=ends)
    assert kept(frames) == left
    assert found.index_BK.shape == (2, left)
    assert found.cosines_BT.shape == (2, frames - 1)
    assert found.scores_BT.shape == (2, frames)
    assert take_frames(x_BCTHW, found.index_BK).shape == (2, 3, left, 2, 2)
    if frames < 3:
        assert found.index_BK.tolist() == [[0], [0]], "two frames score alike"
    if frames == 3 and ends == "exclude":
        assert found.index_BK.tolist() == [[1], [1]]
    assert triplet_cosine_numpy(x_BCTHW[0].numpy(), ends=ends)[1].tolist() == found.index_BK[0].tolist()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "34")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_frames_are_copies_and_the_gradient_goes_back_to_them(layout: torch.memory_format) -> None:
    x_BCTHW = torch.randn(3, 4, 9, 3, 2).contiguous(memory_format=layout).requires_grad_()
    index_BK = FrameSelection()(x_BCTHW)
    out = take_frames(x_BCTHW, index_BK)
    assert out.is_contiguous(memory_format=layout)
    for b in range(3):
        for k, t in enumerate(index_BK[b].tolist()):
            assert torch.equal(out[b, :, k], x_BCTHW[b, :, t])
    upstream = torch.randn_like(out)
    out.backward(upstream)
    wanted = torch.zeros_like(x_BCTHW)
    for b in range(3):
        wanted[b, :, index_BK[b]] = upstream[b]
    assert torch.equal(x_BCTHW.grad, wanted)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'replicate'"):
        FrameSelection(ends="replicates")
    with pytest.raises(UnknownName, match="Did you mean 'lowest'"):
        triplet_cosine(torch.zeros(1, 1, 2, 1, 1), keep="lowes")
    with pytest.raises(BadValue, match="B x C x T x H x W"):
        triplet_cosine(torch.zeros(1, 2, 1, 1))
    with pytest.raises(BadValue, match="at least one frame"):
        triplet_cosine(torch.zeros(1, 2, 0, 1, 1))
