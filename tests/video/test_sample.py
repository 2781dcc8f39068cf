"""Which frames make a clip: properties, a slow twin, and the numbers of the specification."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.video.sample import Mode, Sampling, ShortVideo, choose

counts = st.integers(1, 400)
samplings = st.builds(
    lambda frames, mode, stride, short, views, view: Sampling(frames, mode, stride, short, view % views, views),
    st.integers(1, 40),
    st.sampled_from(get_args(Mode)),
    st.integers(1, 12),
    st.sampled_from(get_args(ShortVideo)),
    st.integers(1, 4),
    st.integers(0, 3),
)
seeds = st.one_of(st.none(), st.integers(0, 9))


def generator(seed):
    return None if seed is None else np.random.default_rng(seed)


def slow_segments(frames: int, frame_count: int, view: int, views: int) -> list[int]:
    """Segment sampling written out: list the frames of every segment, take one."""
    chosen = []
    for part in range(frames):
        members = [
            i for i in range(frame_count) if part * frame_count // frames <= i < (part + 1) * frame_count // frames
        ]
        chosen.append(members[int((view + 0.5) / views * len(members))])
    return chosen


@settings(max_examples=300, deadline=None)
@given(samplings, counts, seeds)
def test_every_index_is_in_the_video_and_the_number_of_frames_is_right(sampling, frame_count, seed):
    index_T = choose(sampling, frame_count, generator(seed))
    assert index_T.dtype == np.int64
    assert index_T.min() >= 0
    assert index_T.max() < frame_count
    if sampling.mode == "all":
        assert len(index_T) % sampling.frames == 0
    else:
        assert len(index_T) == sampling.frames
    if sampling.short_video == "repeat_last":
        assert (np.diff(index_T) >= 0).all()


@settings(max_examples=200, deadline=None)
@given(samplings, counts, seeds)
def test_a_choice_is_the_same_twice(sampling, frame_count, seed):
    first, second = (choose(sampling, frame_count, generator(seed)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), counts, st.integers(1, 3), st.integers(0, 2), seeds)
def test_one_frame_from_each_segment(frames, frame_count, views, view, seed):
    sampling = Sampling(frames, view=view % views, views=views)
    index_T = choose(sampling, frame_count, generator(seed))
    if frame_count < frames:
        assert index_T.tolist() == [min(i, frame_count - 1) for i in range(frames)]
        return
    for part, index in enumerate(index_T.tolist()):
        assert part * frame_count // frames <= index < (part + 1) * frame_count // frames
    if seed is None:
        assert index_T.tolist() == slow_segments(frames, frame_count, view % views, views)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20), st.integers(1, 8), counts, seeds)
def test_a_dense_clip_keeps_its_stride_where_the_video_is_long_enough(frames, stride, frame_count, seed):
    index_T = choose(Sampling(frames, "dense", stride), frame_count, generator(seed))
    if frame_count >= (frames - 1) * stride + 1:
        assert (np.diff(index_T) == stride).all()
    else:
        assert index_T.tolist() == [min(i * stride, frame_count - 1) for i in range(frames)]


@pytest.mark.spec("late-temporal-bert", "F19")
@pytest.mark.parametrize(
    ("frames", "stride", "span"), [(8, 1, 8), (16, 1, 16), (32, 1, 32), (64, 1, 64), (32, 2, 64), (8, 8, 64)]
)
def test_clips_of_the_specification(frames, stride, span):
    sampling = Sampling(frames, "dense", stride)
    assert sampling.span == span
    needed = (frames - 1) * stride + 1
    assert choose(sampling, needed).tolist() == list(range(0, needed, stride))
    # 100 frames more: the test clip lies in the middle, training clips anywhere.
    assert choose(sampling, needed + 100).tolist() == list(range(50, 50 + needed, stride))
    rng = np.random.default_rng(0)
    starts = {int(choose(sampling, needed + 9, rng)[0]) for _ in range(300)}
    assert starts == set(range(10))


@pytest.mark.spec("late-temporal-bert", "F20")
def test_sixteen_segments_random_in_training_middle_in_test():
    sampling = Sampling(16)
    assert choose(sampling, 16 * 5).tolist() == [5 * i + 2 for i in range(16)]
    rng = np.random.default_rng(0)
    drawn = np.stack([choose(sampling, 16 * 5, rng) for _ in range(400)]) - 5 * np.arange(16)
    assert set(np.unique(drawn)) == set(range(5))
    share = np.stack([(drawn == offset).mean(axis=0) for offset in range(5)])
    assert share.min() > 0.1
    assert share.max() < 0.3


@pytest.mark.spec("late-temporal-bert", "F21")
@pytest.mark.parametrize(("frame_count", "clips"), [(1, 1), (63, 1), (64, 1), (127, 1), (128, 2), (300, 4)])
@pytest.mark.parametrize(("frames", "stride"), [(64, 1), (32, 2), (8, 8)])
def test_all_clips_do_not_overlap(frame_count, clips, frames, stride):
    index_NT = choose(Sampling(frames, "all", stride), frame_count).reshape(-1, frames)
    assert len(index_NT) == clips == max(1, frame_count // 64)
    for clip, index_T in enumerate(index_NT.tolist()):
        assert index_T == [min(64 * clip + stride * i, frame_count - 1) for i in range(frames)]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "74")
@pytest.mark.parametrize("mode", ["segments", "dense", "all"])
def test_short_videos_are_filled_as_stated(mode):
    assert choose(Sampling(6, mode), 4).tolist() == [0, 1, 2, 3, 3, 3]
    assert choose(Sampling(6, mode, short_video="loop"), 4).tolist() == [0, 1, 2, 3, 0, 1]
    assert choose(Sampling(6, mode, short_video="loop"), 1).tolist() == [0] * 6
    if mode != "segments":
        assert choose(Sampling(4, mode, stride=3), 6).tolist() == [0, 3, 5, 5]
        assert choose(Sampling(4, mode, stride=3, short_video="loop"), 6).tolist() == [0, 3, 0, 3]
    assert "short_video" in choose.__doc__


def test_views_go_from_early_to_late():
    dense = [choose(Sampling(4, "dense", 2, view=v, views=3), 27)[0] for v in range(3)]
    assert dense == [0, 10, 20]
    segments = [choose(Sampling(4, view=v, views=2), 16).tolist() for v in range(2)]
    assert segments == [[1, 5, 9, 13], [3, 7, 11, 15]]


def test_from_spec_and_json():
    spec = ClipSpec(frames=5, sampling="dense", stride=3, short_video="loop")
    sampling = Sampling.from_spec(spec, view=1, views=2)
    assert sampling == Sampling(5, "dense", 3, "loop", 1, 2)
    assert Sampling.from_dict(sampling.to_dict()) == sampling


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"stride": 0}, {"views": 0}, {"view": 1}, {"mode": "sparse"}, {"short_video": "black"}]
)
def test_bad_settings(wrong):
    with pytest.raises(BadValue):
        Sampling(**{"frames": 4, **wrong})


def test_a_video_without_frames_cannot_be_sampled():
    with pytest.raises(BadValue, match="without frames"):
        choose(Sampling(4), 0)
