"""Files that are no whole videos: each gives a status and a reason in words, and never a crash or a hang."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

from secondlook.tables import STATUSES, USABLE
from secondlook.video import decode
from secondlook.video.clip import Size
from secondlook.video.sample import Sampling
from tests.video.conftest import identity

EXPECTED = {
    "zero.mp4": ("empty", "zero bytes"),
    "text.mp4": ("not_a_video", "a text"),
    "page.mp4": ("not_a_video", "web page"),
    "noise.mp4": ("not_a_video", "no video format"),
    "header.mp4": ("unreadable", "starts like an mp4"),
    "cut.mp4": ("unreadable", "starts like an mp4"),
    "playlist.mp4": ("not_a_video", "playlist"),
    "concat.mp4": ("not_a_video", "list of files"),
    "photo.mp4": ("not_a_video", "JPEG picture"),
    "sound.wav": ("no_video_stream", "only audio"),
    "sound.mp4": ("no_video_stream", "only audio"),
    "no_pictures": ("no_frames", "without pictures"),
    "not_there.mp4": ("missing", "no such file"),
    "zero.mp4/inside.mp4": ("missing", "no such file"),
    "cut_faststart.mp4": ("partial", "the header says 30"),
    "cut.avi": ("partial", "the header says 30"),
    "cut.webm": ("partial", "the header says 2.50 s"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_bad_file_has_a_status_and_a_reason(bad_files, name):
    status, words = EXPECTED[name]
    clips = [
        decode.probe(bad_files / name),
        decode.decode(bad_files / name),
        decode.decode(bad_files / name, Sampling(4), size=Size(short_side=32)),
        decode.decode(bad_files / name, Sampling(4), frame_count=30),
    ]
    for clip in clips:
        assert clip.status == status
        assert words in clip.reason
        assert clip.usable == (status in USABLE)
        if not clip.usable:
            assert len(clip.frames_THWC) == len(clip.frame_index_T) == len(clip.frame_time_s_T) == 0
    if status == "partial":
        assert 5 < clips[0].frame_count < 25
        assert [identity(f) for f in clips[1].frames_THWC] == list(range(clips[0].frame_count))
        assert clips[2].frame_index_T.tolist() == clips[3].frame_index_T.tolist()


def test_pipes_and_sockets_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.mp4"))
        for name in ("pipe.mp4", "s.mp4"):
            clip = decode.decode(tmp_path / name)
            assert clip.status == "not_a_video"
            assert "not a regular file" in clip.reason


def test_a_forbidden_folder(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    clip = decode.decode(tmp_path)
    assert clip.status == "unreadable"
    assert "Permission denied" in clip.reason


def test_a_name_that_cannot_be(tmp_path):
    assert decode.decode(str(tmp_path / "a\0b.mp4")).status == "unreadable"
    assert decode.decode(tmp_path / ("x" * 300 + ".mp4")).status == "unreadable"


@pytest.mark.parametrize("kind", ["h264_b_frames", "h264_gop_250", "mpeg4_b_avi", "vp9_webm", "mjpeg_avi", "h264_ts"])
@pytest.mark.parametrize("damage", ["hole", "flips"])
def test_damage_in_the_middle(kinds, tmp_path, kind, damage):
    """Frames still come out or a reason does; however it is read, the outcome is the same."""
    data = bytearray(kinds[kind].read_bytes())
    middle = len(data) // 2
    if damage == "hole":
        data[middle : middle + len(data) // 8] = bytes(len(data) // 8)
    else:
        for at in np.random.default_rng(1).integers(middle, middle + len(data) // 4, 40):
            data[at] ^= 0xFF
    path = tmp_path / kinds[kind].name
    path.write_bytes(data)
    facts = decode.probe(path)
    assert facts.status in STATUSES
    assert bool(facts.reason) == (facts.status != "ok")
    everything = decode.decode(path)
    assert (everything.status, everything.frame_count) == (facts.status, facts.frame_count)
    if facts.usable:
        clip = decode.decode(path, Sampling(4))
        assert clip.frame_count == facts.frame_count
        np.testing.assert_array_equal(clip.frames_THWC, everything.frames_THWC[clip.frame_index_T])


def test_lost_packets_make_a_video_partial(encode, tmp_path):
    data = bytearray(encode(tmp_path / "whole.avi", codec="mjpeg", pix_fmt="yuvj420p").read_bytes())
    start = data.index(b"\xff\xd8")
    for _ in range(9):
        start = data.index(b"\xff\xd8", start + 1)
    data[start : data.index(b"\xff\xd9", start)] = bytes(data.index(b"\xff\xd9", start) - start)  # the tenth picture
    (tmp_path / "holed.avi").write_bytes(data)
    clip = decode.decode(tmp_path / "holed.avi")
    assert clip.status == "partial"
    assert "1 read errors" in clip.reason
    assert [identity(f) for f in clip.frames_THWC] == [*range(9), *range(10, 30)]


def test_a_table_that_is_out_of_date_does_no_harm(encode, tmp_path):
    """The file was replaced by a shorter one after it was indexed."""
    path = encode(tmp_path / "now.mp4", frames=9)
    clip = decode.decode(path, Sampling(4), frame_count=30)
    assert (clip.status, clip.frame_count) == ("ok", 9)
    assert [identity(f) for f in clip.frames_THWC] == decode.decode(path, Sampling(4)).frame_index_T.tolist()


def test_a_stream_that_gives_no_frame(encode, tmp_path):
    data = bytearray(encode(tmp_path / "w.mp4", g="1").read_bytes())
    at = data.index(b"mdat") + 4
    data[at : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - at)
    (tmp_path / "z.mp4").write_bytes(data)
    clip = decode.decode(tmp_path / "z.mp4", Sampling(4))
    assert clip.status in ("no_frames", "unreadable")
    assert clip.reason
