"""The right frames of every kind of video, and the same ones on every short cut."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from secondlook.errors import BadValue
from secondlook.video import _skip, _whole, decode
from secondlook.video.clip import Clip, Size
from secondlook.video.sample import Sampling
from tests.video.conftest import HEIGHT, WIDTH, identity, picture

KINDS = [
    "h264_b_frames", "h264_pyramid", "h264_gop_250", "h264_gop_5", "h264_all_key", "h264_open_gop", "h264_refresh",
    "h264_slices", "h264_vfr", "h264_avi", "h264_mkv", "h264_ts", "mpeg4_avi", "mpeg4_b_avi", "mpeg4_b_mp4", "vp9_webm",
    "mjpeg_avi", "odd_size", "one_frame", "five_frames", "with_sound", "rotated", "edit_list",
]  # fmt: skip
SKIPPED_IN = {
    "h264_b_frames", "h264_pyramid", "h264_gop_250", "h264_gop_5", "h264_all_key", "h264_slices", "h264_vfr",
    "one_frame", "five_frames", "with_sound", "rotated",
}  # fmt: skip
"""Kinds of which only needed pictures are decoded; the others are decoded whole."""
SAMPLINGS = [
    Sampling(4),
    Sampling(16),
    Sampling(40, short_video="loop"),
    Sampling(3, "dense", 2),
    Sampling(4, "all", 2),
    Sampling(5, "dense", 13, "loop"),  # wraps around: not in order
]


@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_come_out_in_order(kinds, kind):
    clip = decode.decode(kinds[kind])
    first = 7 if kind == "edit_list" else 0
    last = {"one_frame": 0, "five_frames": 4}.get(kind, 29)
    assert (clip.status, clip.reason) == ("ok", "")
    assert [identity(f) for f in clip.frames_THWC] == list(range(first, last + 1))
    assert clip.frame_count == len(clip.frames_THWC)
    assert clip.frame_index_T.tolist() == list(range(clip.frame_count))
    assert clip.frame_time_s_T[0] == 0
    assert (np.diff(clip.frame_time_s_T) > 0).all()
    assert clip.fps == pytest.approx(17.03 if kind == "h264_vfr" else 12, rel=2e-3)
    assert clip.duration_s == pytest.approx(clip.frame_count / clip.fps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [None, 5])
def test_every_way_of_reading_gives_the_frames_of_decoding_everything(kinds, kind, seed):
    size = Size(short_side=32)
    everything = decode.decode(kinds[kind], size=size)
    for sampling in SAMPLINGS:
        for known in (None, everything.frame_count, everything.frame_count + 3, 2):
            clip = decode.decode(kinds[kind], sampling, size=size, seed=seed, frame_count=known)
            same_clip(clip, everything.pick(clip.frame_index_T))
            expected = _whole.Wish(sampling, size, seed).chosen(everything.frame_count)
            np.testing.assert_array_equal(clip.frame_index_T, expected)


def same_clip(clip: Clip, expected: Clip) -> None:
    np.testing.assert_array_equal(clip.frames_THWC, expected.frames_THWC)
    np.testing.assert_allclose(clip.frame_time_s_T, expected.frame_time_s_T, atol=1e-9)
    for fact in ("frame_count", "source_height", "source_width", "fps", "status", "reason"):
        assert getattr(clip, fact) == getattr(expected, fact), fact


@pytest.mark.parametrize("kind", KINDS)
def test_needless_pictures_are_left_out_only_where_that_is_exact(kinds, kind):
    count = decode.probe(kinds[kind]).frame_count
    clip = _skip.read(kinds[kind], np.arange(count), Size(), count)
    assert (clip is not None) == (kind in SKIPPED_IN)
    assert _skip.read(kinds[kind], np.arange(2), Size(), count + 1) is None


@pytest.mark.parametrize(("kind", "at_most"), [("h264_gop_5", 6), ("h264_all_key", 2), ("h264_b_frames", 14)])
def test_few_pictures_are_decoded_for_few_frames(kinds, kind, at_most, monkeypatch):
    fed = []
    take = _skip._Found.take

    def counting(self, context, group, wanted_pts):
        class Counting:
            def decode(self, packet):
                fed.append(packet is not None)
                return context.decode(packet)

        take(self, Counting(), group, wanted_pts)

    monkeypatch.setattr(_skip._Found, "take", counting)
    clip = decode.decode(kinds[kind], Sampling(2), frame_count=30)
    assert [identity(f) for f in clip.frames_THWC] == [7, 22]
    assert 2 <= sum(fed) <= at_most


def test_reading_stops_after_the_last_chosen_frame_where_the_count_is_known(kinds, monkeypatch):
    seen = []
    frames = _whole._read.frames

    def counting(container, stream, account):
        for frame in frames(container, stream, account):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(_whole._read, "frames", counting)
    clip = decode.decode(kinds["mpeg4_b_avi"], Sampling(2, "dense"), frame_count=30)
    assert [identity(f) for f in clip.frames_THWC] == [14, 15]
    assert len(seen) == 16


@pytest.mark.parametrize("kind", ["vp9_webm", "h264_mkv", "edit_list"])
def test_long_videos_are_read_twice_instead_of_kept(kinds, kind, monkeypatch):
    expected = decode.decode(kinds[kind], Sampling(4), seed=1)
    monkeypatch.setattr(_whole, "KEPT_BYTES", 1)
    same_clip(decode.decode(kinds[kind], Sampling(4), seed=1), expected)


def test_random_offsets_follow_the_seed(kinds):
    chosen = [decode.decode(kinds["h264_gop_5"], Sampling(4), seed=s).frame_index_T.tolist() for s in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ("rotation", "hflip"), [(0, False), (90, False), (180, False), (270, False), (0, True), (90, True), (180, True)]
)
def test_rotated_by_metadata(encode, tmp_path, rotation, hflip):
    """The corner that is white in the stored picture is where a player shows it."""
    path = encode(tmp_path / "turned.mp4", frames=4, rotation=(rotation, hflip), crf="5")
    shown = np.rot90(picture(0), rotation // 90)
    if hflip:
        shown = shown[:, ::-1]
    for known in (None, 4):
        clip = decode.decode(path, Sampling(2), frame_count=known)
        assert (clip.source_height, clip.source_width) == shown.shape[:2]
        assert clip.frames_THWC.shape[1:] == shown.shape
        assert np.abs(clip.frames_THWC[0].astype(int) - shown).mean() < 12
    small = decode.decode(path, size=Size(short_side=24))
    assert small.frames_THWC.shape[1:3] == ((32, 24) if rotation in (90, 270) else (24, 32))


def test_patched_header_rotation(encode, tmp_path):
    """Rotation as a phone writes it: the matrix of the track header, patched into a finished file."""
    path = encode(tmp_path / "phone.mp4", frames=3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    quarter = [0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30]
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in quarter)
    path.write_bytes(data)
    clip = decode.decode(path)
    assert clip.status == "ok"
    assert clip.frames_THWC.shape == (3, WIDTH, HEIGHT, 3)
    assert clip.frames_THWC[0, :8, -8:].mean() > 240  # turned clockwise: the corner is now top right


@pytest.mark.parametrize("height", [47, 48])
@pytest.mark.parametrize("width", [63, 64])
def test_odd_sizes(encode, tmp_path, height, width):
    path = encode(tmp_path / "odd.avi", codec="ffv1", height=height, width=width, pix_fmt="yuv444p", frames=5)
    clip = decode.decode(path)
    assert clip.frames_THWC.shape == (5, height, width, 3)
    assert (clip.source_height, clip.source_width) == (height, width)
    assert decode.decode(path, Sampling(3), size=Size(short_side=31)).frames_THWC.shape[1] == 31


def test_colours_survive(tmp_path):
    from secondlook.video.encode import write_video

    rgb = np.zeros((2, 32, 48, 3), np.uint8)
    rgb[:, :, :16], rgb[:, :, 16:32], rgb[:, :, 32:] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    clip = decode.decode(write_video(tmp_path / "c.mp4", rgb, 10, crf=1))
    for left in (4, 20, 36):
        difference = clip.frames_THWC[0, 8:24, left : left + 8].astype(int) - rgb[0, 8:24, left : left + 8]
        assert np.abs(difference).max() < 8


def test_shrinking_averages(encode, tmp_path):
    """A chequered frame shrinks to its mean, not to a pattern of picked pixels."""
    import av

    path = tmp_path / "fine.mp4"
    fine = np.indices((256, 256)).sum(axis=0) % 2 * 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.repeat(fine[..., None], 3, 2).astype(np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    small = decode.decode(path, size=Size(short_side=16)).frames_THWC[0]
    assert 100 < small[2:-2, 2:-2].min() <= small[2:-2, 2:-2].max() < 155


@pytest.mark.spec("label-reassessment", "I1")
def test_file_and_folder_sampled_uniformly_short_ones_too(kinds, frame_folder):
    file = decode.decode(kinds["h264_gop_250"], Sampling(6))
    assert [identity(f) for f in file.frames_THWC] == [2, 7, 12, 17, 22, 27]
    folder = decode.decode(frame_folder, Sampling(6))
    assert [identity(f) for f in folder.frames_THWC] == [1, 3, 5, 7, 9, 11]
    short = decode.decode(kinds["five_frames"], Sampling(8))
    assert [identity(f) for f in short.frames_THWC] == [0, 1, 2, 3, 4, 4, 4, 4]


def test_folder_of_frames(frame_folder):
    clip = decode.decode(frame_folder, size=Size(short_side=24))
    assert [identity(f) for f in clip.frames_THWC] == list(range(12))
    assert clip.frames_THWC.shape == (12, 24, 32, 3)
    assert (clip.source_height, clip.source_width, clip.frame_count) == (HEIGHT, WIDTH, 12)
    facts = decode.probe(frame_folder)
    assert (facts.status, facts.frame_count, len(facts.frames_THWC)) == ("ok", 12, 0)


def test_folder_of_frames_that_differ_in_size(frame_folder):
    Image.fromarray(picture(0, 40, 64)).save(frame_folder / "img_13.png")
    clip = decode.decode(frame_folder)
    assert clip.status == "unreadable"
    assert "img_13.png is 64 x 40, the first one 64 x 48" in clip.reason


def test_folder_with_a_broken_frame(frame_folder):
    (frame_folder / "img_3.jpg").write_bytes((frame_folder / "img_3.jpg").read_bytes()[:300])
    clip = decode.decode(frame_folder)
    assert clip.status == "unreadable"
    assert "img_3.jpg cannot be read" in clip.reason


def test_animated_gif(tmp_path):
    pictures = [Image.fromarray(picture(i)) for i in range(8)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=80, loop=0)
    clip = decode.decode(tmp_path / "a.gif")
    assert (clip.status, clip.frame_count) == ("ok", 8)
    assert [identity(f) for f in clip.frames_THWC] == list(range(8))
    assert clip.fps == pytest.approx(12.5, rel=0.01)


def test_sizes():
    assert Size(short_side=128).of(240, 320) == (128, 171)
    assert Size(short_side=128).of(320, 240) == (171, 128)
    assert Size(short_side=128).of(128, 170) == (128, 170)
    assert Size(height=10, width=20).of(1, 2) == (10, 20)
    assert Size().of(3, 5) == (3, 5)
    for wrong in ({"short_side": 0}, {"height": 3}, {"short_side": 3, "height": 3, "width": 3}):
        with pytest.raises(BadValue):
            Size(**wrong)


@pytest.mark.real_data
def test_real_clips(shared_data):
    """mp4, avi (H.264 and MPEG-4), gif, 10 to 30 frames a second, up to 1080p, two with edit lists."""
    counts = {
        "S001C001P001R001A001_rgb.avi": 103, "baseball.mp4": 167, "basketball.mp4": 214, "demo.mp4": 280,
        "egogestar_original_left_11.mp4": 30, "part_0.mp4": 32, "test.avi": 164, "test.mp4": 300,
        "v_CricketShot_g04_c01_rgb.gif": 79,
    }  # fmt: skip
    size = Size(short_side=64)
    for name, count in counts.items():
        path = shared_data / "clips" / name
        everything = decode.decode(path, size=size)
        assert (everything.status, everything.frame_count) == ("ok", count), name
        for known in (None, count):
            clip = decode.decode(path, Sampling(8), size=size, frame_count=known)
            same_clip(clip, everything.pick(clip.frame_index_T))
