"""The frame cache: right, bounded, shared, and never harmed by deletion or damage."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.video import cache as cache_file
from secondlook.video import decode
from secondlook.video.cache import FrameCache
from secondlook.video.clip import Clip, Size
from secondlook.video.sample import Sampling

SIZE = Size(short_side=24)


class Counting:
    """`decode.decode`, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args, **options) -> Clip:
        self.calls += 1
        return decode.decode(*args, **options)


@pytest.fixture
def counting():
    return Counting()


def is_mapped(array) -> bool:
    """True if the array's bytes are those of a memory map."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(getattr(array, "obj", array), mmap.mmap)


def entries(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_the_second_time_comes_from_the_map(kinds, tmp_path, counting):
    cache = FrameCache(tmp_path / "c")
    for kind in ("h264_b_frames", "vp9_webm", "rotated"):
        expected = decode.decode(kinds[kind], size=SIZE)
        for _ in range(3):
            clip = cache.clip(kinds[kind], SIZE, counting)
            assert is_mapped(clip.frames_THWC)
            assert not clip.frames_THWC.flags.writeable
            for field in expected.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(clip, field), getattr(expected, field))
    assert counting.calls == 3
    assert len(entries(tmp_path / "c")) == 3


def test_only_chosen_frames_are_copied(kinds, tmp_path):
    clip = FrameCache(tmp_path).clip(kinds["h264_b_frames"], SIZE, decode.decode)
    part = clip.pick([3, 3, 7])
    assert not is_mapped(part.frames_THWC)
    assert part.frames_THWC.nbytes == 3 * clip.frames_THWC[0].nbytes
    assert part.frame_index_T.tolist() == [3, 3, 7]
    assert part.frame_count == 30


@pytest.mark.parametrize("seed", [None, 4])
def test_reader_takes_the_place_of_decode(kinds, bad_files, tmp_path, seed, counting):
    read = FrameCache(tmp_path).reader(counting)
    for _ in range(2):
        here = decode.decode(kinds["h264_gop_5"], Sampling(5), size=SIZE, seed=seed)
        there = read(kinds["h264_gop_5"], Sampling(5), size=SIZE, seed=seed, frame_count=30)
        for field in here.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(there, field), getattr(here, field))
    assert counting.calls == 1
    assert read(bad_files / "zero.mp4", Sampling(5), size=SIZE).status == "empty"


def test_another_recipe_or_a_changed_file_is_another_entry(encode, tmp_path, counting):
    cache = FrameCache(tmp_path / "c")
    path = encode(tmp_path / "v.mp4", frames=5)
    cache.clip(path, SIZE, counting)
    cache.clip(path, Size(short_side=32), counting)
    cache.clip(path, Size(height=24, width=24), counting)
    assert counting.calls == 3
    encode(path, frames=6)
    assert cache.clip(path, SIZE, counting).frame_count == 6
    os.utime(path, (1, 1))
    cache.clip(path, SIZE, counting)
    assert counting.calls == 5


def test_a_folder_of_frames(frame_folder, tmp_path, counting):
    cache = FrameCache(tmp_path / "c")
    for _ in range(2):
        assert cache.clip(frame_folder, SIZE, counting).frame_count == 12
    (frame_folder / "img_12.jpg").unlink()
    assert cache.clip(frame_folder, SIZE, counting).frame_count == 11
    assert counting.calls == 2


def test_unusable_videos_are_not_kept(bad_files, tmp_path, counting):
    cache = FrameCache(tmp_path / "c")
    for name in ("zero.mp4", "noise.mp4", "not_there.mp4", "no_pictures"):
        assert not cache.clip(bad_files / name, SIZE, counting).usable
    assert not (tmp_path / "c").exists()
    assert cache.clip(bad_files / "cut.avi", SIZE, counting).status == "partial"
    assert cache.clip(bad_files / "cut.avi", SIZE, counting).status == "partial"
    assert counting.calls == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[: len(d) // 2],
        lambda d: d[:-1],
        lambda d: b"",
        lambda d: d[:5],
        lambda d: d + b"x",
        lambda d: d[: len(d) // 2] + bytes(len(d) - len(d) // 2),
        lambda d: bytes(len(d)),
        lambda d: bytes([d[0] ^ 1]) + d[1:],
        lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:],
        lambda d: np.random.default_rng(0).integers(0, 256, len(d), dtype=np.uint8).tobytes(),
    ],
)
def test_a_damaged_entry_is_made_again(kinds, tmp_path, counting, damage):
    cache = FrameCache(tmp_path)
    expected = np.array(cache.clip(kinds["h264_b_frames"], SIZE, counting).frames_THWC)
    (entry,) = entries(tmp_path)
    entry.write_bytes(damage(entry.read_bytes()))
    clip = cache.clip(kinds["h264_b_frames"], SIZE, counting)
    assert counting.calls == 2
    np.testing.assert_array_equal(clip.frames_THWC, expected)
    cache.clip(kinds["h264_b_frames"], SIZE, counting)
    assert counting.calls == 2


def test_deleting_at_any_time_is_safe(kinds, tmp_path, counting):
    cache = FrameCache(tmp_path / "c")
    clip = cache.clip(kinds["h264_b_frames"], SIZE, counting)
    expected = np.array(clip.frames_THWC)
    shutil.rmtree(tmp_path / "c")
    np.testing.assert_array_equal(clip.frames_THWC, expected)

    def deleting(*args, **options):
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        return counting(*args, **options)

    np.testing.assert_array_equal(cache.clip(kinds["h264_b_frames"], SIZE, deleting).frames_THWC, expected)
    assert len(entries(tmp_path / "c")) == 1


def test_a_folder_that_cannot_be_written_costs_only_time(kinds, tmp_path, counting):
    (tmp_path / "c").write_text("a file, not a folder")
    cache = FrameCache(tmp_path / "c")
    for _ in range(2):
        assert cache.clip(kinds["one_frame"], SIZE, counting).status == "ok"
    assert counting.calls == 2


def test_a_writer_that_was_killed_leaves_nothing_that_is_read(kinds, tmp_path, counting):
    code = f"""
import os
from secondlook.video import cache, decode
from secondlook.video.clip import Size
cache.Path.replace = lambda *_: os._exit(9)
cache.FrameCache({str(tmp_path)!r}).clip({str(kinds["one_frame"])!r}, Size(short_side=24), decode.decode)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(entries(tmp_path)) == 1
    (half,) = entries(tmp_path)
    os.utime(half, (1, 1))
    assert FrameCache(tmp_path).clip(kinds["one_frame"], SIZE, counting).usable
    assert counting.calls == 1
    assert half not in entries(tmp_path)


def test_the_entries_used_last_stay(encode, tmp_path, counting):
    paths = [encode(tmp_path / f"{i}.mp4", frames=6) for i in range(12)]
    one = FrameCache(tmp_path / "probe")
    one.clip(paths[0], SIZE, counting)
    size = entries(tmp_path / "probe")[0].stat().st_size
    cache = FrameCache(tmp_path / "c", max_bytes=int(5.5 * size))
    for position, path in enumerate(paths):
        cache.clip(path, SIZE, counting)
        for used in entries(tmp_path / "c"):
            os.utime(used, ns=(used.stat().st_atime_ns, used.stat().st_mtime_ns - 10**9))  # a second passes
        cache.clip(paths[0], SIZE, counting)
        assert sum(p.stat().st_size for p in entries(tmp_path / "c")) <= cache.max_bytes
        assert len(entries(tmp_path / "c")) == min(position + 1, 5)
    assert counting.calls == 13
    calls = counting.calls
    for path in (paths[0], *paths[-4:]):
        cache.clip(path, SIZE, counting)
    assert counting.calls == calls


def test_a_video_larger_than_the_cache_is_not_kept(kinds, tmp_path, counting):
    cache = FrameCache(tmp_path / "c", max_bytes=1000)
    assert cache.clip(kinds["h264_b_frames"], SIZE, counting).frame_count == 30
    assert entries(tmp_path / "c") == []
    with pytest.raises(BadValue):
        FrameCache(tmp_path, max_bytes=0)


def test_many_processes_share_one_folder(kinds, tmp_path):
    """Four processes read and write the same entries in a cache too small for all of them."""
    code = f"""
import sys
import numpy as np
from secondlook.video import decode
from secondlook.video.cache import FrameCache
from secondlook.video.clip import Size
cache = FrameCache({str(tmp_path / "c")!r}, max_bytes=150_000)
paths = {[str(kinds[k]) for k in ("h264_b_frames", "vp9_webm", "mjpeg_avi", "mpeg4_avi", "h264_gop_5")]!r}
expected = {{p: decode.decode(p, size=Size(short_side=24)).frames_THWC for p in paths}}
rng = np.random.default_rng(int(sys.argv[1]))
for _ in range(60):
    path = paths[rng.integers(len(paths))]
    assert (cache.clip(path, Size(short_side=24), decode.decode).frames_THWC == expected[path]).all()
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(3)]
    assert [p.wait(60) for p in running] == [0, 0, 0]
    assert sum(p.stat().st_size for p in entries(tmp_path / "c")) <= 150_000


def test_a_guard_can_decode_for_it(kinds, tmp_path):
    from secondlook.video.guard import Guard

    with Guard() as guard:
        read = FrameCache(tmp_path).reader(guard.decode)
        clips = [read(kinds["h264_b_frames"], Sampling(4), size=SIZE) for _ in range(2)]
    np.testing.assert_array_equal(clips[0].frames_THWC, clips[1].frames_THWC)


def test_the_key_keeps_library_versions_apart(kinds, tmp_path, counting, monkeypatch):
    cache = FrameCache(tmp_path)
    read = partial(cache.clip, kinds["one_frame"], SIZE, counting)
    read()
    monkeypatch.setattr(cache_file.av, "__version__", "0.0")
    read()
    assert counting.calls == 2
