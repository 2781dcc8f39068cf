"""McNemar's test against the published tables and by hand."""

import numpy as np
import pytest

from secondlook.evaluate.paired import McNemar, mcnemar

# both right, only with class regularisation, only original, both wrong; chi2; p (srtg-mtnet 5.21, from Tab. 6.6)
PUBLISHED = {
    "r3d-50": (8112, 659, 576, 4314, "5.445", "1.96e-02"),
    "r(2+1)d-50": (8253, 654, 557, 4197, "7.610", "5.80e-03"),
    "wide-r3d-50": (8216, 703, 527, 4215, "24.898", "6.04e-07"),
    "r3d-101": (8775, 473, 134, 4279, "188.211", "7.81e-43"),
    "MTNet_S": (9516, 878, 707, 2560, "18.233", "1.95e-05"),
    "MTNet_M": (9931, 678, 538, 2514, "15.889", "6.72e-05"),
    "MTNet_L": (10176, 614, 496, 2375, "12.332", "4.45e-04"),
}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "79")
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_rows(name):
    both, only_a, only_b, neither, chi2, p = PUBLISHED[name]
    cases = [(True, True)] * both + [(True, False)] * only_a + [(False, True)] * only_b + [(False, False)] * neither
    right_a_N, right_b_N = np.array(cases).T
    found = mcnemar(right_a_N, right_b_N)
    assert (found.both, found.only_a, found.only_b, found.neither) == (both, only_a, only_b, neither)
    assert sum(vars(found).values()) == 13_661
    assert f"{found.chi2:.3f}" == chi2
    assert f"{found.p_chi2:.2e}" == p
    assert found.test == "chi2"
    assert found.p == found.p_chi2


def test_exact_by_hand():
    """1 against 5 of 6: two-sided 2 * (1 + 6) / 2^6."""
    found = McNemar(10, 1, 5, 2)
    assert found.p_exact == pytest.approx(2 * 7 / 64)
    assert found.test == "exact"
    assert found.p == found.p_exact
    assert McNemar(10, 5, 1, 2).p_exact == pytest.approx(found.p_exact)


def test_models_that_never_differ():
    found = mcnemar(np.array([True, False]), np.array([True, False]))
    assert (found.chi2, found.p_chi2, found.p_exact) == (0.0, 1.0, 1.0)


def test_exact_and_chi_square_agree_for_many_videos():
    found = McNemar(0, 460, 520, 0)
    assert found.p_exact == pytest.approx(found.p_chi2, rel=0.05)
