import numpy as np
import pytest
import torch
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.explain._project import heat_map, project
from secondlook.video.transform import Box


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (4, 7, 7), (8, 2, 5), (3, 1, 6)])
@pytest.mark.parametrize("frames", [1, 4, 8])
def test_equals_trilinear_upsampling_where_the_box_is_the_frame(shape, frames):
    """Twin: PyTorch's trilinear interpolation (`align_corners=False`)."""
    heat_thw = np.random.default_rng(0).random(shape, dtype=np.float32)
    made = project(heat_thw, frames, (0, 0, 20, 30), 20, 30)
    twin = functional.interpolate(
        torch.from_numpy(heat_thw)[None, None], (frames, 20, 30), mode="trilinear", align_corners=False
    )
    np.testing.assert_allclose(made, twin[0, 0], rtol=1e-5, atol=1e-6)


def slow(heat_hw, box, height, width):
    """One pixel at a time: where is its centre in the box, and what lies there between the cell centres."""
    top, left, box_height, box_width = box
    rows, columns = heat_hw.shape
    made = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v, u = (y + 0.5 - top) / box_height, (x + 0.5 - left) / box_width
            if not (0 <= v <= 1 and 0 <= u <= 1):
                continue
            r, c = min(max(v * rows - 0.5, 0), rows - 1), min(max(u * columns - 0.5, 0), columns - 1)
            r0, c0 = int(r), int(c)
            r1, c1 = min(r0 + 1, rows - 1), min(c0 + 1, columns - 1)
            above = heat_hw[r0, c0] * (1 - (c - c0)) + heat_hw[r0, c1] * (c - c0)
            below = heat_hw[r1, c0] * (1 - (c - c0)) + heat_hw[r1, c1] * (c - c0)
            made[y, x] = above * (1 - (r - r0)) + below * (r - r0)
    return made


@pytest.mark.parametrize("box", [(2, 3, 8, 9), (-4, 1.5, 20, 6.25), (0.5, 0.5, 11, 15), (3, 3, 1, 1), (50, 50, 4, 4)])
def test_equals_the_slow_way_for_any_box(box):
    heat_hw = np.random.default_rng(1).random((3, 4))
    np.testing.assert_allclose(project(heat_hw[None], 1, box, 12, 16)[0], slow(heat_hw, box, 12, 16), atol=1e-6)


def test_nothing_outside_the_box_and_a_constant_inside():
    made = project(np.ones((2, 3, 3)), 4, (10, 20, 30, 40), 60, 80)
    inside = np.zeros((60, 80), bool)
    inside[10:40, 20:60] = True
    np.testing.assert_allclose(made[:, inside], 1, rtol=1e-6)
    assert not made[:, ~inside].any()


def test_maximum_becomes_one_and_the_scale_is_kept(make_clip):
    clip = make_clip(torch.zeros(2, 3, 4, 4), 8, 8, Box(0, 0, 8, 8))
    heat_thw = np.random.default_rng(2).random((3, 4, 4)) * 7 - 2
    heat = heat_map(heat_thw, clip, method="hand", label=1, further="fact")
    assert np.abs(heat.heat_THW).max() == 1
    assert heat.signed
    np.testing.assert_allclose(heat.heat_THW * heat.notes["scale"], project(heat_thw, 3, (0, 0, 8, 8), 8, 8), rtol=1e-5)
    assert heat.notes["further"] == "fact"
    assert heat.notes["grid"] == [3, 4, 4]
    np.testing.assert_array_equal(heat.frame_index_T, clip.clip.frame_index_T)
    zero = heat_map(np.zeros((3, 4, 4)), clip, method="hand", label=1)
    assert not zero.heat_THW.any()
    assert not zero.signed
    assert zero.notes["scale"] == 0


@pytest.mark.parametrize("shape", [(2, 2), (0, 2, 2), (1, 2, 2, 2)])
def test_only_a_grid_over_time_and_place_is_projected(shape):
    with pytest.raises(BadValue, match="t x h x w"):
        project(np.zeros(shape), 1, (0, 0, 4, 4), 4, 4)
