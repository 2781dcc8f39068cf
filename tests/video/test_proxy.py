"""A copy for browsers shows every frame of its source, upright, at the source's own times."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.video._read import plays_in_browsers
from secondlook.video.decode import decode
from secondlook.video.encode import TICKS
from secondlook.video.guard import Guard
from secondlook.video.proxy import frame_times_s, make_proxy, plays_as_it_is
from tests.video.conftest import identity

KINDS = (
    "h264_b_frames", "h264_vfr", "h264_open_gop", "edit_list", "h264_avi", "h264_mkv", "h264_ts", "mpeg4_avi",
    "mpeg4_b_avi", "mpeg4_b_mp4", "vp9_webm", "mjpeg_avi", "odd_size", "one_frame", "five_frames", "with_sound",
    "rotated",
)  # fmt: skip


def stamps_s(path: Path) -> np.ndarray:
    """The slow twin: presentation times that a plain decoder gives, exact fractions, the first taken as 0."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        pts = [Fraction(frame.pts or 0) * stream.time_base for frame in container.decode(stream)]
    return np.array([float(p - pts[0]) for p in pts])


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_at_its_own_time(kind: str, kinds: dict[str, Path], tmp_path: Path) -> None:
    source, target = kinds[kind], tmp_path / "proxy.mp4"
    wanted = decode(source)
    facts = make_proxy(source, target)
    assert facts.usable
    assert plays_in_browsers(target)
    assert plays_as_it_is(target)
    made = decode(target)
    assert facts.frame_count == made.frame_count == wanted.frame_count
    assert (facts.source_height, facts.source_width) == (made.source_height, made.source_width)
    np.testing.assert_allclose(stamps_s(target), wanted.frame_time_s_T, atol=1.0 / TICKS, rtol=0)
    np.testing.assert_allclose(frame_times_s(target), frame_times_s(source), atol=1.0 / TICKS, rtol=0)
    assert [identity(f) for f in made.frames_THWC] == [identity(f) for f in wanted.frames_THWC]
    bright = [
        [bool(corner.mean() > 200) for corner in (c[:4, :4], c[:4, -4:], c[-4:, :4], c[-4:, -4:])]
        for c in (made.frames_THWC[0], wanted.frames_THWC[0])
    ]
    assert bright[0] == bright[1]


@pytest.mark.parametrize(("given", "kept"), [((47, 63), (48, 64)), ((97, 49), (96, 50)), ((2, 2), (2, 2))])
def test_odd_sizes_are_made_even(
    given: tuple[int, int], kept: tuple[int, int], encode: Callable[..., Path], tmp_path: Path
) -> None:
    source = encode(tmp_path / "odd.avi", frames=3, codec="ffv1", height=given[0], width=given[1], pix_fmt="yuv444p")
    facts = make_proxy(source, tmp_path / "p.mp4", short_side=480)
    made = decode(tmp_path / "p.mp4")
    assert (made.source_height, made.source_width) == (facts.source_height, facts.source_width)
    assert all(
        side % 2 == 0 and 0 <= side - was <= 1
        for side, was in zip((made.source_height, made.source_width), given, strict=True)
    )


def test_smaller_but_never_larger(encode: Callable[..., Path], tmp_path: Path) -> None:
    source = encode(tmp_path / "wide.mp4", frames=3, height=120, width=204)
    make_proxy(source, tmp_path / "small.mp4", short_side=60)
    make_proxy(source, tmp_path / "same.mp4", short_side=480)
    small, same = decode(tmp_path / "small.mp4"), decode(tmp_path / "same.mp4")
    assert (small.source_height, small.source_width) == (60, 102)
    assert (same.source_height, same.source_width) == (120, 204)
    with pytest.raises(BadValue, match="short side"):
        make_proxy(source, tmp_path / "none.mp4", short_side=1)


def test_stamps_that_come_too_close_are_spaced_evenly(encode: Callable[..., Path], tmp_path: Path) -> None:
    """Two frames within one tick cannot both keep their time; then none does, as with stamps that fall."""
    source = tmp_path / "close.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert make_proxy(source, tmp_path / "p.mp4").usable
    np.testing.assert_allclose(stamps_s(tmp_path / "p.mp4"), np.arange(4) / 10, atol=1 / TICKS)


def test_folder_of_frames(frame_folder: Path, tmp_path: Path) -> None:
    facts = make_proxy(frame_folder, tmp_path / "p.mp4")
    assert facts.frame_count == 12
    np.testing.assert_allclose(stamps_s(tmp_path / "p.mp4"), np.arange(12) / 25, atol=1 / TICKS)
    assert [identity(f) for f in decode(tmp_path / "p.mp4").frames_THWC] == list(range(12))


def test_bad_files_have_a_status_and_leave_nothing(bad_files: Path, tmp_path: Path) -> None:
    for path in sorted(bad_files.iterdir()):
        target = tmp_path / "p.mp4"
        facts = make_proxy(path, target)
        assert facts.usable == target.exists(), path.name
        assert facts.status == decode(path).status, path.name
        target.unlink(missing_ok=True)
        assert not list(tmp_path.iterdir()), path.name
    assert make_proxy(tmp_path / "nowhere.avi", tmp_path / "p.mp4").status == "missing"


def test_a_file_that_tells_its_class_is_not_handed_on_as_it_is(kinds: dict[str, Path], tmp_path: Path) -> None:
    plain, named = kinds["h264_b_frames"], tmp_path / "named.mp4"
    assert plays_as_it_is(plain)
    with av.open(str(plain)) as source, av.open(str(named), "w") as container:
        container.metadata["title"] = "brush_hair"
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    assert b"brush_hair" in named.read_bytes()
    assert not plays_as_it_is(named)
    assert make_proxy(named, tmp_path / "p.mp4").usable
    assert b"brush_hair" not in (tmp_path / "p.mp4").read_bytes()
    assert not plays_as_it_is(kinds["mpeg4_avi"])
    assert not plays_as_it_is(tmp_path / "nowhere.mp4")


def test_made_in_a_guarded_child(kinds: dict[str, Path], bad_files: Path, tmp_path: Path) -> None:
    with Guard(20) as guard:
        about = {"target": str(tmp_path / "p.mp4"), "short_side": 32}
        assert guard.ask("proxy", source=str(kinds["mpeg4_avi"]), **about).status == "ok"
        assert guard.ask("proxy", source=str(bad_files / "noise.mp4"), **about).status == "not_a_video"
    assert decode(tmp_path / "p.mp4").source_height == 32


@pytest.mark.real_data
def test_real_clips(shared_data: Path, tmp_path: Path) -> None:
    begun = time.perf_counter()
    for path in sorted((shared_data / "clips").iterdir()):
        if path.suffix not in (".avi", ".gif", ".mp4") or time.perf_counter() - begun > 15:
            continue
        wanted = decode(path)
        facts = make_proxy(path, tmp_path / "p.mp4", short_side=64)
        assert facts.status == wanted.status, path.name
        if facts.usable:
            np.testing.assert_allclose(
                stamps_s(tmp_path / "p.mp4"), wanted.frame_time_s_T, atol=1 / TICKS, rtol=0, err_msg=path.name
            )
