import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.explain._blocks import BLUR, block_grid, fill, grid_shape, replace, smooth
from secondlook.video.transform import to_input

SPEC = ClipSpec(frames=4, height=6, width=8)


def clips(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_blocks_by_hand():
    index_THW = block_grid(2, 3, 4, (1, 2, 2))
    one = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]
    assert index_THW.tolist() == [one, one]


@pytest.mark.parametrize("shape", [(7, 5, 9), (1, 3, 4), (8, 8, 8)])
@pytest.mark.parametrize("blocks", [(4, 4, 4), (1, 1, 1), (3, 20, 2)])
def test_every_block_is_a_box_and_sizes_differ_by_one_at_most(shape, blocks):
    index_THW = block_grid(*shape, blocks)
    counts = grid_shape(*shape, blocks)
    assert index_THW.shape == shape
    assert index_THW.unique().tolist() == list(range(int(np.prod(counts))))
    for axis in range(3):
        part = index_THW.movedim(axis, 0)[:, 0, 0]
        sizes = torch.unique(part, return_counts=True)[1]
        assert len(sizes) == counts[axis]
        assert sizes.max() - sizes.min() <= 1
    for number, (t, h, w) in enumerate(np.ndindex(counts)):
        places = (index_THW == number).nonzero()
        box = places.max(0).values - places.min(0).values + 1
        assert len(places) == box.prod()
        assert [(places.min(0).values * torch.tensor(counts) // torch.tensor(shape)).tolist()] == [[t, h, w]] or any(
            n % c for n, c in zip(shape, counts, strict=True)
        )


def test_blocks_must_be_positive():
    with pytest.raises(BadValue, match="at least one block"):
        block_grid(4, 4, 4, (0, 2, 2))


def test_colours():
    x_BCTHW = clips(2, 3, 4, 6, 8)
    assert not fill(x_BCTHW, SPEC, "mean").any()
    black = fill(x_BCTHW, SPEC, "black")
    pixels = black * torch.tensor(SPEC.std)[:, None, None, None] + torch.tensor(SPEC.mean)[:, None, None, None]
    torch.testing.assert_close(pixels, torch.zeros_like(pixels), atol=1e-6, rtol=0)
    flow = ClipSpec(frames=4, height=6, width=8, modality="flow", mean=(0.5, 0.5), std=(0.1, 0.2))
    still_THWC = np.full((4, 6, 8, 3), 128, np.uint8)
    torch.testing.assert_close(fill(x_BCTHW[:1, :2], flow, "black")[0], to_input(still_THWC, flow))
    with pytest.raises(BadValue, match="blur, mean, black"):
        fill(x_BCTHW, SPEC, "grey")


def test_blur_is_scipys():
    x_BCTHW = clips(2, 3, 12, 20, 16).double()
    sigma = [0, 0, *(BLUR * n for n in x_BCTHW.shape[2:])]
    expected = gaussian_filter(x_BCTHW.numpy(), sigma, mode="nearest", radius=[0, 0, 4, 6, 5])
    np.testing.assert_allclose(fill(x_BCTHW, SPEC, "blur"), expected, atol=1e-12)


def test_blur_leaves_a_still_clip_of_one_colour():
    x_BCTHW = torch.full((1, 3, 4, 6, 8), 0.7)
    torch.testing.assert_close(fill(x_BCTHW, SPEC, "blur"), x_BCTHW)
    one_frame = clips(1, 3, 1, 6, 8)
    assert fill(one_frame, SPEC, "blur").shape == one_frame.shape
    assert smooth(one_frame, 0.0, 3) is one_frame


def test_replace_is_a_loop():
    x_BCTHW, other = clips(1, 3, 2, 2, 2), clips(1, 3, 2, 2, 2, seed=1)
    keep_BTHW = (clips(5, 2, 2, 2, seed=2) > 0).bool()
    found = replace(x_BCTHW, other, keep_BTHW)
    assert found.shape == (5, 3, 2, 2, 2)
    for b, t, h, w in np.ndindex(5, 2, 2, 2):
        source = x_BCTHW if keep_BTHW[b, t, h, w] else other
        assert torch.equal(found[b, :, t, h, w], source[0, :, t, h, w])
