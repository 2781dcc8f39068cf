import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.explain._over_time import iou, over_time


@pytest.mark.spec("label-reassessment", "X8")
def test_area_centroid_amount_and_peak_by_hand(make_heat):
    heat = make_heat([[[0, 0, 0, 0], [0, 0, 0, 0]], [[1, 0, 0, 1], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0.4, 0.6, -9]]])
    found = over_time(heat)
    np.testing.assert_allclose(found.area_T, [0, 2 / 8, 1 / 8])
    np.testing.assert_allclose(found.amount_T, [0, 2 / 3, 1 / 3], rtol=1e-6)
    assert np.isnan(found.centroid_T2[0]).all()
    np.testing.assert_allclose(found.centroid_T2[1:], [[0.5, 2.0], [1.5, 0.4 * 1.5 + 0.6 * 2.5]], rtol=1e-6)
    assert found.peak == 1
    np.testing.assert_allclose(over_time(heat, 0.3).area_T, [0, 2 / 8, 2 / 8])


def test_no_heat_is_no_area():
    from secondlook.cards import HeatMap

    found = over_time(HeatMap(np.zeros((2, 3, 3), np.float32), np.arange(2), np.arange(2.0), "hand", 0))
    assert not found.area_T.any()
    assert not found.amount_T.any()
    assert found.peak == 0


@pytest.mark.spec("label-reassessment", "X8")
def test_agreement_of_two_maps_over_their_common_frames(make_heat):
    """Slow and fast pathway: the fast one has every frame, the slow one every second."""
    fast = make_heat([[[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]])
    slow = make_heat([[[4, 0, 0, 0]], [[0, 4, 4, 4]]], index=[0, 2])
    # frame 0: 1 of 2; frame 2: 2 of 3
    assert iou(fast, slow) == iou(slow, fast) == pytest.approx(3 / 5)
    assert iou(fast, fast) == 1
    assert np.isnan(iou(make_heat(np.zeros((1, 2, 2))), make_heat(np.zeros((1, 2, 2)))))


def test_bad_questions(make_heat):
    one = make_heat(np.ones((2, 2, 2)))
    with pytest.raises(BadValue, match="one size"):
        iou(one, make_heat(np.ones((2, 2, 3))))
    with pytest.raises(BadValue, match="in common"):
        iou(one, make_heat(np.ones((2, 2, 2)), index=[7, 8]))
    for threshold in (0, -1, 1.5):
        with pytest.raises(BadValue, match="threshold"):
            over_time(one, threshold)
