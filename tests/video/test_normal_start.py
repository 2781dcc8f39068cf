"""Clips that start early in a video: where they start, what follows, and the strides of the source."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.video.sample import TEMPORAL_STRIDES, Sampling, choose


def starts(length: int, method: str, draws: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(3)
    sampling = Sampling(1, "normal_start", start=method)
    return np.array([choose(sampling, length, rng)[0] for _ in range(draws)])


def share_below(x: float) -> float:
    """Of a normal distribution."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "73")
@pytest.mark.parametrize("length", [60, 90, 250, 251])
def test_starts_lie_in_the_first_half_a_quarter_in_on_average(length: int) -> None:
    found = starts(length, "resample")
    assert found.min() >= 0
    assert found.max() <= length / 2
    assert found.mean() == pytest.approx(length / 4 - 0.5, abs=0.012 * length)  # rounded down
    # cut at 1.5 standard deviations: 86.64 % of the whole is inside, and the shape is that of the normal one
    inside = share_below(1.5) - share_below(-1.5)
    assert inside == pytest.approx(0.8664, abs=1e-4)
    for z in (-1.0, -0.5, 0.0, 0.5, 1.0):
        expected = (share_below(z) - share_below(-1.5)) / inside
        assert (found + 0.5 < length / 4 + z * length / 6).mean() == pytest.approx(expected, abs=0.045)


def test_clipped_starts_pile_up_at_the_ends() -> None:
    found = starts(240, "clip")
    assert found.min() >= 0
    assert found.max() <= 120
    assert (found == 120).mean() == pytest.approx(share_below(-1.5), abs=0.015)
    assert (starts(240, "resample") == 120).mean() < 0.01


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "73")
def test_strides_of_the_source_and_their_spans() -> None:
    assert TEMPORAL_STRIDES == {"hacs": 2, "kinetics": 5, "moments_in_time": 3}
    assert [Sampling(16, "normal_start", k).span for k in TEMPORAL_STRIDES.values()] == [32, 80, 48]
    for stride, length in zip(TEMPORAL_STRIDES.values(), (60, 250, 90), strict=True):
        rng = np.random.default_rng(0)
        for _ in range(50):
            index_T = choose(Sampling(16, "normal_start", stride), length, rng)
            assert index_T.tolist() == [min(index_T[0] + stride * i, length - 1) for i in range(16)]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "73")
def test_uniform_rest_is_sorted_without_repeats_and_reaches_every_later_frame() -> None:
    rng, sampling, seen = np.random.default_rng(1), Sampling(8, "normal_start", rest="uniform"), set()
    for _ in range(400):
        index_T = choose(sampling, 40, rng)
        assert len(index_T) == 8
        assert (np.diff(index_T) > 0).all()
        assert index_T[0] <= 20
        assert index_T[-1] < 40
        seen.update(index_T.tolist())
    assert set(range(4, 40)) <= seen


def test_in_test_a_clip_starts_a_quarter_in() -> None:
    for length in (40, 41, 43, 100):
        assert choose(Sampling(4, "normal_start"), length)[0] == length // 4
        assert choose(Sampling(4, "normal_start", rest="uniform"), length)[0] == length // 4
    views = [int(choose(Sampling(4, "normal_start", view=v, views=10), 400)[0]) for v in range(10)]
    assert views == sorted(set(views))
    assert views[-1] <= 200
    spread = choose(Sampling(4, "normal_start", rest="uniform"), 40)
    assert spread[-1] == 39
    assert (np.diff(spread) >= 9).all()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "74")
@pytest.mark.parametrize("rest", ["stride", "uniform"])
@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_short_videos_are_filled(rest: str, length: int) -> None:
    for short_video in ("repeat_last", "loop"):
        for rng in (None, np.random.default_rng(0)):
            sampling = Sampling(12, "normal_start", short_video=short_video, rest=rest)
            index_T = choose(sampling, length, rng)
            first = int(index_T[0])
            walked = [first + i for i in range(12)]
            assert index_T.tolist() == [i % length if short_video == "loop" else min(i, length - 1) for i in walked]


def test_words_are_checked_and_travel_with_the_recipe() -> None:
    with pytest.raises(BadValue, match="start must be one of resample, clip"):
        Sampling(4, "normal_start", start="again")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="rest must be one of stride, uniform"):
        Sampling(4, "normal_start", rest="none")  # type: ignore[arg-type]
    spec = ClipSpec(frames=4, sampling="normal_start", stride=3, start="clip", rest="uniform")
    assert ClipSpec.from_dict(spec.to_dict()) == spec
    sampling = Sampling.from_spec(spec)
    assert (sampling.mode, sampling.start, sampling.rest) == ("normal_start", "clip", "uniform")
    assert Sampling.from_dict(sampling.to_dict()) == sampling
