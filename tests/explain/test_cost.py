"""Cost is told in forward passes; that its numbers are there and make sense, not how fast this machine is."""

import numpy as np
import torch

from secondlook.explain import grad_cam
from secondlook.explain._cost import MEASURES, cost, peak_bytes
from tests.explain.test_no_trace import assert_same, lived_in, state_of

CPU = torch.device("cpu")


def test_every_number_is_there_and_finite(small, make_clip):
    model, card = small
    lived_in(model)
    before = state_of(model)
    clip = make_clip(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    found = cost(model, clip, lambda: grad_cam.explain(model, card, clip, 0))
    assert set(found) == set(MEASURES)
    assert all(np.isfinite(v) and v > 0 for v in found.values())
    assert_same(before, state_of(model))


def test_peak_memory_is_the_most_that_was_held_at_once():
    """Three tensors of 4 MB made one after the other, two of them let go: 12 MB at most, whatever stays."""

    def work():
        a = torch.ones(1000, 1000)
        b = a * 2
        c = b * 2
        del a, b
        return c + 1

    assert abs(peak_bytes(work, CPU) - 12e6) < 1e5
    assert abs(peak_bytes(lambda: torch.ones(1000, 1000), CPU) - 4e6) < 1e5


def test_the_profiler_says_nothing_of_its_own(capfd):
    peak_bytes(lambda: torch.ones(10), CPU)
    assert capfd.readouterr() == ("", "")
