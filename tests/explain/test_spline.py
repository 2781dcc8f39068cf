import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import CubicSpline

from secondlook.explain._spline import resize, spline_matrix

RNG = np.random.default_rng(0)


def twin(values, points, axis=0):
    """SciPy's periodic cubic spline through the values and their mirror image, which together are one period."""
    cells = values.shape[axis]
    period = np.concatenate([values, np.flip(values, axis), values.take([0], axis)], axis)
    at = ((np.arange(points) + 0.5) * cells / points - 0.5) % (2 * cells)
    return CubicSpline(np.arange(2 * cells + 1), period, axis=axis, bc_type="periodic")(at)


def enlarged_twin(values_thw, size_THW):
    """Rows, columns, then time."""
    return twin(twin(twin(values_thw, size_THW[1], 1), size_THW[2], 2), size_THW[0], 0)


@pytest.mark.parametrize(("cells", "points"), [(1, 5), (2, 7), (3, 3), (4, 16), (7, 56), (9, 4)])
def test_matrix_is_the_mirrored_cubic_spline(cells, points):
    values = RNG.normal(size=cells)
    np.testing.assert_allclose(spline_matrix(cells, points) @ values, twin(values, points), atol=1e-10)


@pytest.mark.parametrize("cells", [4, 7, 16])
def test_scipys_zoom_is_the_same_but_for_its_first_coefficient(cells):
    """Which SciPy reckons approximately on a short axis: its curve then misses the values themselves a little."""
    values = RNG.normal(size=cells)
    zoomed = ndimage.zoom(values, 5, order=3, mode="reflect", grid_mode=True)
    np.testing.assert_allclose(spline_matrix(cells, 5 * cells) @ values, zoomed, atol=1e-4)


@pytest.mark.parametrize("rows", [None, range(3, 8)])
def test_resize_is_one_axis_after_the_other(rows):
    values_Nthw = RNG.normal(size=(3, 2, 4, 5))
    expected = np.stack([enlarged_twin(values_thw, (8, 8, 15)) for values_thw in values_Nthw])
    found = resize(torch.from_numpy(values_Nthw), (8, 8, 15), rows)
    np.testing.assert_allclose(found, expected[:, :, slice(None) if rows is None else slice(3, 8)], atol=1e-10)


def test_one_cell_is_constant_and_the_same_size_changes_nothing():
    values_Nthw = torch.from_numpy(RNG.normal(size=(2, 1, 3, 4)))
    torch.testing.assert_close(resize(values_Nthw, (6, 3, 4)), values_Nthw.expand(-1, 6, -1, -1))
