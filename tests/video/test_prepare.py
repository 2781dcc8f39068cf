"""Re-encoding: same frames and times, dense key frames, short side, proxies; tables with bad rows; resuming."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.video import _read, _skip, decode, prepare_table
from secondlook.video.clip import Size
from secondlook.video.prepare import Preparation, is_prepared, prepare_file
from secondlook.video.prepare_table import TABLE
from tests.video.conftest import identity

KINDS = [
    "h264_gop_250", "h264_vfr", "mpeg4_b_avi", "vp9_webm", "odd_size", "one_frame", "rotated", "edit_list",
    "with_sound", "h264_ts",
]  # fmt: skip


def keys_and_kinds(path):
    with av.open(str(path)) as container:
        kinds = [s.type for s in container.streams]
        return [i for i, p in enumerate(p for p in container.demux(video=0) if p.size) if p.is_keyframe], kinds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("short_side", [None, 32])
def test_same_frames_at_the_same_times(kinds, tmp_path, kind, short_side):
    before = decode.decode(kinds[kind])
    target = tmp_path / "a" / "new.mp4"
    facts = prepare_file(kinds[kind], target, gop=5, short_side=short_side, crf=5)
    after = decode.decode(target)
    assert (facts.status, facts.reason) == ("ok", "")
    assert facts.frame_count == after.frame_count == before.frame_count
    assert [identity(f) for f in after.frames_THWC] == [identity(f) for f in before.frames_THWC]
    np.testing.assert_allclose(after.frame_time_s_T, before.frame_time_s_T, atol=2e-3)
    if short_side:
        assert min(after.source_height, after.source_width) == 32
    else:
        assert (after.source_height, after.source_width) == (
            before.source_height + before.source_height % 2,
            before.source_width + before.source_width % 2,
        )
    white = np.argwhere((before.frames_THWC[0] > 240).all(-1)).mean(0) / before.frames_THWC.shape[1:3]
    still = np.argwhere((after.frames_THWC[0] > 240).all(-1)).mean(0) / after.frames_THWC.shape[1:3]
    assert np.abs(white - still).max() < 0.05  # the corner that names the orientation is where it was shown
    assert keys_and_kinds(target) == ([i for i in range(before.frame_count) if i % 5 == 0], ["video"])
    assert _read.plays_in_browsers(target)
    count = after.frame_count
    assert _skip.read(target, np.arange(0, count, 4), Size(), count) is not None


def test_a_folder_of_frames_becomes_a_file(frame_folder, tmp_path):
    facts = prepare_file(frame_folder, tmp_path / "new.mp4", short_side=24)
    assert (facts.frame_count, facts.source_height, facts.source_width) == (12, 24, 32)
    assert [identity(f) for f in decode.decode(tmp_path / "new.mp4").frames_THWC] == list(range(12))


def test_bad_sources_give_their_status_and_no_file(bad_files, tmp_path):
    for name, status in (("zero.mp4", "empty"), ("sound.mp4", "no_video_stream"), ("not_there.mp4", "missing")):
        assert prepare_file(bad_files / name, tmp_path / "new.mp4").status == status
    assert list(tmp_path.iterdir()) == []
    cut = prepare_file(bad_files / "cut.avi", tmp_path / "new.mp4")
    assert cut.status == "partial"
    assert "the header says 30" in cut.reason
    assert prepare_file(bad_files / "cut.avi", tmp_path / "new.mp4").reason == cut.reason


def test_work_that_is_done_is_not_done_again(encode, tmp_path):
    source, target = encode(tmp_path / "s.avi", codec="mpeg4", frames=6), tmp_path / "t.mp4"
    wish = Preparation(gop=4)
    assert not is_prepared(source, target, wish)
    first = prepare_file(source, target, gop=4)
    before = target.stat().st_mtime_ns
    assert is_prepared(source, target, wish)
    again = prepare_file(source, target, gop=4)
    assert target.stat().st_mtime_ns == before
    assert (again.frame_count, again.fps, again.status) == (first.frame_count, first.fps, first.status)
    assert not is_prepared(source, target, Preparation(gop=5))
    encode(source, codec="mpeg4", frames=7)
    assert prepare_file(source, target, gop=4).frame_count == 7
    target.write_bytes(target.read_bytes()[:100])
    assert not is_prepared(source, target, wish)
    assert prepare_file(source, target, gop=4).frame_count == 7


def test_a_proxy_copies_what_browsers_play(kinds, tmp_path):
    wish = {"gop": None, "proxy": True}
    for kind, copied in (("h264_gop_250", True), ("rotated", True), ("mpeg4_b_avi", False), ("vp9_webm", False)):
        target = tmp_path / f"{kind}.mp4"
        facts = prepare_file(kinds[kind], target, **wish)
        assert facts.frame_count == 30
        assert (target.read_bytes() == kinds[kind].read_bytes()) == copied
        assert is_prepared(kinds[kind], target, Preparation(**wish))
        assert _read.plays_in_browsers(target)
    small = tmp_path / "small.mp4"
    assert prepare_file(kinds["h264_gop_250"], small, short_side=16, **wish).source_height == 16


@pytest.mark.parametrize("wrong", [{"short_side": 1}, {"gop": 0}, {"crf": 52}])
def test_bad_settings(wrong):
    with pytest.raises(BadValue):
        Preparation(**wrong)


@pytest.fixture
def videos(kinds, bad_files, tmp_path):
    """A table of good, bad, excluded and hostile rows, two of them with truth masks."""
    root = tmp_path / "root"
    (root / "truth").mkdir(parents=True)
    rows = []

    def add(path, source=None, status="unchecked", truth=None, **more):
        if source is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / path)
        row = {"video_id": f"v{len(rows)}", "path": path, "label": len(rows) % 2, "split": "train", "group": "g"}
        rows.append(row | {"status": status, "reason": "", "frames": 99, "truth_path": truth} | more)

    for name, shape in (("fits", (30, 48, 64)), ("other", (30, 10, 10))):
        np.savez_compressed(root / "truth" / f"{name}.npz", masks_THW=np.zeros(shape, np.uint8))
    add("a/clip.mp4", kinds["h264_gop_250"], truth="truth/fits.npz")
    add("a/clip.avi", kinds["mpeg4_b_avi"], truth="truth/other.npz")
    add("zero.mp4", bad_files / "zero.mp4")
    add("cut.avi", bad_files / "cut.avi")
    add("gone.mp4")
    add("set_aside.mp4", kinds["one_frame"], status="excluded", reason="by hand")
    add("../outside.mp4")
    made = tables.provenance("index", {}) | {
        "root": str(root),
        "dataset": "odd",
        "fingerprint": "abc",
        "label_space": LabelSpace.from_names(["one", "two"]).to_dict(),
    }
    tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made)
    return tmp_path / "videos.parquet"


def test_a_table(videos, tmp_path):
    table = tables.read(tables.VIDEOS, videos)
    ticks = []
    result = prepare_table.prepare_table(
        table, tmp_path / "new", Preparation(gop=4), workers=2, advance=lambda: ticks.append(1), inputs=(videos,)
    )
    assert len(ticks) == result["rows"] == 7
    assert (result["prepared"], result["already_there"], result["failed_rows"]) == (3, 0, 3)
    assert result["truth_dropped"] == 1
    new = tables.read(tables.VIDEOS, tmp_path / "new" / TABLE)
    for column in ("video_id", "label", "split", "group"):
        assert new[column].to_pylist() == table[column].to_pylist()
    rows = new.to_pylist()
    assert [r["status"] for r in rows] == ["ok", "ok", "empty", "partial", "missing", "excluded", "unreadable"]
    assert [bool(r["reason"]) for r in rows] == [False, False, True, True, True, True, True]
    assert [r["path"] for r in rows][:2] == ["a/clip.mp4", "a/clip.avi.mp4"]
    assert rows[6]["path"] == ""
    assert [r["truth_path"] for r in rows][:2] == ["truth/fits.npz", None]
    root = tmp_path / "new"
    assert tables.made(new)["root"] == str(root)
    assert tables.made(new)["prepared_from"] == {"root": str(tmp_path / "root"), "fingerprint": "abc"}
    assert tables.made(new)["fingerprint"] != "abc"
    assert tables.label_space(new).names == ("one", "two")
    assert (root / rows[0]["truth_path"]).is_file()
    for row in rows:
        if row["status"] in tables.USABLE:
            facts = decode.probe(root / row["path"])
            assert (row["frames"], row["width"], row["height"]) == (facts.frame_count, 64, 48)
            assert row["bytes"] == (root / row["path"]).stat().st_size
            assert row["sha256"] == tables.file_sha256(root / row["path"])
            assert row["duration_s"] == pytest.approx(facts.duration_s)
        else:
            assert row["frames"] is None
            assert row["sha256"] is None
    names = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert names == {TABLE, "a/clip.mp4", "a/clip.avi.mp4", "cut.avi.mp4", "truth/fits.npz"}


def test_resuming_makes_only_what_is_missing(videos, tmp_path):
    table = tables.read(tables.VIDEOS, videos)
    wish = Preparation(short_side=24)
    first = prepare_table.prepare_table(table, tmp_path / "new", wish)
    assert first["truth_dropped"] == 2
    before = tables.read(tables.VIDEOS, tmp_path / "new" / TABLE)
    (tmp_path / "new" / "a" / "clip.mp4").unlink()
    (tmp_path / "new" / TABLE).unlink()
    second = prepare_table.prepare_table(table, tmp_path / "new", wish)
    assert (second["prepared"], second["already_there"]) == (1, 2)
    after = tables.read(tables.VIDEOS, tmp_path / "new" / TABLE)
    assert after.equals(before)
    assert tables.made(after) == tables.made(before)


def test_a_hang_becomes_a_row(videos, tmp_path, monkeypatch):
    import sys

    from tests.video.test_guard import SERVE

    code = f"""
import time
from secondlook.video import _guard_child as child
prepare = child.TASKS["prepare"]
child.TASKS["prepare"] = lambda **k: time.sleep(100) if k["source"].endswith("clip.avi") else prepare(**k)
{SERVE}
"""
    guard_class = prepare_table.Guard

    def guard(timeout_s):
        made = guard_class(timeout_s)
        made._command = (sys.executable, "-c", code)
        return made

    monkeypatch.setattr(prepare_table, "Guard", guard)
    table = tables.read(tables.VIDEOS, videos)
    prepare_table.prepare_table(table, tmp_path / "new", Preparation(), timeout_s=1.5)
    rows = tables.read(tables.VIDEOS, tmp_path / "new" / TABLE).to_pylist()
    assert [r["status"] for r in rows][:4] == ["ok", "timeout", "empty", "partial"]


def test_wrong_use(videos, tmp_path):
    table = tables.read(tables.VIDEOS, videos)
    wish = Preparation()
    with pytest.raises(BadValue, match="overwritten"):
        prepare_table.prepare_table(table, tmp_path / "root", wish)
    with pytest.raises(MissingFile):
        prepare_table.prepare_table(table, tmp_path / "new", wish, root=tmp_path / "elsewhere")
    with pytest.raises(BadValue, match="worker"):
        prepare_table.prepare_table(table, tmp_path / "new", wish, workers=0)
    twice = [
        {"video_id": i, "path": p, "label": 0, "split": "", "group": "", "status": "unchecked", "reason": ""}
        for i, p in (("a", "x.avi"), ("b", "x.avi.mp4"))
    ]
    tables.write(tables.VIDEOS, twice, tmp_path / "twice.parquet", {"root": str(tmp_path)})
    with pytest.raises(BadValue, match="two videos would be written to"):
        prepare_table.prepare_table(tables.read(tables.VIDEOS, tmp_path / "twice.parquet"), tmp_path / "new", wish)
