"""Written videos: playable anywhere, the same frames back, whole or not there."""

from __future__ import annotations

import av
import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.video import _read, decode
from secondlook.video.encode import VideoWriter, write_video
from tests.video.conftest import identity, picture


def pictures(frames=12, height=48, width=64):
    return np.stack([picture(i, height, width) for i in range(frames)])


@pytest.mark.parametrize("fps", [12, 25, 29.97, 30000 / 1001, 10.5])
@pytest.mark.parametrize("gop", [None, 1, 4])
def test_frames_and_rate_come_back(tmp_path, fps, gop):
    frames_THWC = pictures()
    path = write_video(tmp_path / "new" / "v.mp4", frames_THWC, fps, gop=gop, crf=4)
    clip = decode.decode(path)
    assert clip.status == "ok"
    assert clip.fps == pytest.approx(fps, rel=1e-4)
    assert np.abs(clip.frames_THWC.astype(int) - frames_THWC).mean() < 3
    assert [identity(f) for f in clip.frames_THWC] == list(range(12))
    np.testing.assert_allclose(clip.frame_time_s_T, np.arange(12) / fps, atol=1e-4)
    assert _read.plays_in_browsers(path)
    assert [p.name for p in path.parent.iterdir()] == ["v.mp4"]


def test_key_frames_are_as_dense_as_asked_and_the_index_is_in_front(tmp_path):
    path = write_video(tmp_path / "v.mp4", iter(pictures(20)), 12, gop=5)
    with av.open(str(path)) as container:
        keys = [i for i, p in enumerate(p for p in container.demux() if p.size) if p.is_keyframe]
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert keys == [0, 5, 10, 15]
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("shape", [(47, 63), (48, 63), (47, 64), (1, 1)])
def test_odd_sizes_are_made_even(tmp_path, shape):
    clip = decode.decode(write_video(tmp_path / "v.mp4", pictures(3, *shape), 12, crf=1))
    assert clip.frames_THWC.shape[1:3] == tuple(s + s % 2 for s in shape)
    inside = clip.frames_THWC[0, : shape[0], : shape[1]].astype(int)
    assert np.abs(inside - picture(0, *shape)).mean() < 4


def test_the_same_frames_give_the_same_bytes(tmp_path):
    first, second = (write_video(tmp_path / f"{i}.mp4", pictures(), 12).read_bytes() for i in range(2))
    assert first == second


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"fps": float("nan")},
        {"crf": 99},
        {"gop": 0},
        {"frames": []},
        {"frames": [np.zeros((4, 4), np.uint8)]},
        {"frames": [np.zeros((4, 4, 3), np.float32)]},
        {"frames": [np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]},
    ],
)
def test_wrong_use_leaves_no_file(tmp_path, wrong):
    wrong = {"frames": pictures(2), "fps": 12} | wrong
    with pytest.raises(BadValue):
        write_video(tmp_path / "v.mp4", wrong.pop("frames"), wrong.pop("fps"), **wrong)
    assert list(tmp_path.iterdir()) == []


def write_frames(writer):
    """A frame, and then one of another size."""
    writer.write(picture(0))
    writer.write(picture(1, 10, 10))


def test_an_exception_keeps_the_file_that_was_there(tmp_path):
    path = write_video(tmp_path / "v.mp4", pictures(3), 12)
    before = path.read_bytes()
    with pytest.raises(BadValue), VideoWriter(path, 12) as writer:
        write_frames(writer)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
