"""Decoding everything: statuses, facts, quarantine, time-outs, and going on after a stop."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
from PIL import Image

from secondlook import tables
from secondlook.datasets import _index, index_videos
from secondlook.datasets._check import check, content_hash
from secondlook.video.clip import failed
from secondlook.video.decode import probe
from tests.datasets.trees import csv_rows, put, rows_by_id


class FakeGuard:
    """Probes in this process; notes what it was asked, and can be told to misbehave."""

    def __init__(self, timeout_s=30.0, asked=None, on_probe=probe):
        self.asked, self.on_probe, self.timeout_s = [] if asked is None else asked, on_probe, timeout_s
        self.users = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def probe(self, path):
        self.users += 1
        assert self.users == 1, "one guard serves one thread at a time"
        self.asked.append(path.name)
        try:
            return self.on_probe(path)
        finally:
            self.users -= 1


@pytest.fixture
def guarded(monkeypatch):
    """Swaps the guard of the check for a fake; gives the list of names that were decoded."""

    def swap(on_probe=probe):
        asked = []
        monkeypatch.setattr(
            _index, "check", lambda *a: check(*a, make_guard=lambda timeout_s: FakeGuard(timeout_s, asked, on_probe))
        )
        return asked

    return swap


@pytest.fixture
def clips(tmp_path, draw_video):
    root = tmp_path / "data"
    for name, frames in (("run/a", 5), ("run/b", 7), ("walk/c", 9)):
        draw_video(root / f"{name}.mp4", frames=frames, height=32, width=48, fps=10)
    return root


def go(root, out, **more):
    return index_videos(root, "folder", out, check_files=True, **{"workers": 2, **more})


def test_what_decodes_gets_its_facts_and_what_does_not_its_reason(clips, tmp_path):
    put(clips, {"run/text.mp4": b"this is no video", "run/empty.mp4": b"", "walk/frames/x.txt": b"1"})
    (clips / "walk/gone.mp4").symlink_to(clips / "nowhere.mp4")
    for i in range(4):
        (clips / "walk/pictures").mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)).save(clips / f"walk/pictures/{i:03d}.png")
    out = tmp_path / "v.parquet"
    result = go(clips, out)  # with the real guard
    rows = rows_by_id(out)
    assert {name: (r["status"], r["frames"], r["width"], r["height"]) for name, r in rows.items()} == {
        "run/a": ("ok", 5, 48, 32),
        "run/b": ("ok", 7, 48, 32),
        "walk/c": ("ok", 9, 48, 32),
        "walk/pictures": ("ok", 4, 30, 20),
        "run/text": ("not_a_video", None, None, None),
        "run/empty": ("empty", None, None, None),
        "walk/gone": ("missing", None, None, None),
    }
    assert (rows["run/a"]["fps"], rows["run/a"]["duration_s"]) == pytest.approx((10, 0.5))
    assert rows["run/a"]["sha256"] == hashlib.sha256((clips / "run/a.mp4").read_bytes()).hexdigest()
    assert rows["run/a"]["bytes"] == (clips / "run/a.mp4").stat().st_size
    assert result.failed_rows == 3
    assert result.decoded == 5
    assert result.balance.frames == {"run": 12, "walk": 13}
    quarantine = csv_rows(result.quarantine)
    assert result.quarantine.name == "v.parquet.quarantine.csv"
    assert {(r["path"], r["status"]) for r in quarantine} == {
        ("run/text.mp4", "not_a_video"),
        ("run/empty.mp4", "empty"),
        ("walk/gone.mp4", "missing"),
    }
    assert all(r["reason"] for r in quarantine)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "v.parquet", "v.parquet.quarantine.csv"]


def test_a_hash_of_a_folder_feels_names_and_sizes(tmp_path):
    put(
        tmp_path, {"a/1.jpg": b"12", "a/2.jpg": b"3", "b/1.jpg": b"99", "b/2.jpg": b"9", "b/x.txt": b"", "c/1.jpg": b""}
    )
    hashes = [content_hash(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] == hashlib.sha256(b"1.jpg\t2\n2.jpg\t1\n").hexdigest() != hashes[2]


def test_a_second_check_decodes_only_what_changed(clips, tmp_path, draw_video, guarded):
    out, asked = tmp_path / "v.parquet", guarded()
    first = go(clips, out)
    assert sorted(asked) == ["a.mp4", "b.mp4", "c.mp4"]
    asked.clear()
    again = go(clips, out)
    assert (asked, again.decoded, again.fingerprint, again.statuses) == ([], 0, first.fingerprint, first.statuses)
    draw_video(clips / "run/a.mp4", frames=6, height=32, width=48)
    same_size = bytearray((clips / "run/b.mp4").read_bytes())
    same_size[-1] ^= 1
    (clips / "run/b.mp4").write_bytes(same_size)
    draw_video(clips / "walk/new.mp4", frames=3, height=32, width=48)
    go(clips, out)
    assert sorted(asked) == ["a.mp4", "b.mp4", "new.mp4"]
    rows = rows_by_id(out)
    assert (rows["run/a"]["frames"], rows["walk/c"]["frames"], rows["walk/new"]["frames"]) == (6, 9, 3)
    asked.clear()
    index_videos(clips, "folder", out)  # a table without facts helps nobody
    go(clips, out)
    assert len(asked) == 4


def test_time_outs_are_rows_and_are_tried_again(clips, tmp_path, guarded):
    out = tmp_path / "v.parquet"
    guarded(lambda path: failed("timeout", "decoding did not end within 1 s") if path.name == "a.mp4" else probe(path))
    result = go(clips, out, timeout_s=1.0)
    assert result.statuses == {"ok": 2, "timeout": 1}
    assert csv_rows(result.quarantine) == [
        {"path": "run/a.mp4", "status": "timeout", "reason": "decoding did not end within 1 s"}
    ]
    asked = guarded()
    assert go(clips, out).statuses == {"ok": 3}
    assert asked == ["a.mp4"]
    assert csv_rows(result.quarantine) == []


def test_a_stopped_check_goes_on_where_it_was(clips, tmp_path, guarded):
    out = tmp_path / "v.parquet"

    def stop(path):
        if path.name == "c.mp4":
            time.sleep(0.5)  # the others are done by then
            raise KeyboardInterrupt
        return probe(path)

    guarded(stop)
    with pytest.raises(KeyboardInterrupt):
        go(clips, out)
    assert [p.name for p in tmp_path.iterdir() if p.name != "data"] == ["v.parquet.work"]
    asked = guarded()
    result = go(clips, out)
    assert asked == ["c.mp4"]
    assert result.statuses == {"ok": 3}
    assert not (tmp_path / "v.parquet.work").exists()


def test_a_damaged_work_file_is_made_anew(clips, tmp_path, guarded):
    out, asked = tmp_path / "v.parquet", guarded()
    for content in (b"this is not a database", b""):
        (tmp_path / "v.parquet.work").write_bytes(content)
        assert go(clips, out).statuses == {"ok": 3}
    assert sorted(asked) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_file_that_vanishes_while_others_are_decoded(clips, tmp_path, guarded):
    def vanish(path):
        (clips / "walk/c.mp4").unlink(missing_ok=True)
        return probe(path)

    guarded(vanish)
    result = go(clips, tmp_path / "v.parquet", workers=1)  # in order of path: c comes last
    assert result.statuses == {"missing": 1, "ok": 2}
    assert rows_by_id(tmp_path / "v.parquet")["walk/c"]["bytes"] is None


def test_excluded_files_are_not_decoded(clips, tmp_path, guarded):
    put(tmp_path, {"list.txt": "run/a\tinappropriate\n"})
    asked = guarded()
    settings = _index.IndexSettings(exclude=str(tmp_path / "list.txt"))
    result = index_videos(clips, "folder", tmp_path / "v.parquet", settings, check_files=True, workers=1)
    assert sorted(asked) == ["b.mp4", "c.mp4"]
    assert result.statuses == {"excluded": 1, "ok": 2}
    assert csv_rows(result.quarantine) == []


def test_reasons_of_the_reader_survive_a_good_check(clips, tmp_path, guarded):
    guarded()
    put(clips, {"splits/classes.txt": "run\n"})
    go(clips, tmp_path / "v.parquet")
    row = rows_by_id(tmp_path / "v.parquet")["walk/c"]
    assert (row["status"], row["label"], row["reason"]) == ("ok", -1, "'walk' is not in classes.txt")


def test_every_file_advances_the_bar_once(clips, tmp_path, guarded):
    guarded()
    seen = {}

    class Bar:
        def __init__(self, what, total):
            self.what = what
            seen[what] = [total, 0]

        def __enter__(self):
            def advance(steps=1):
                seen[self.what][1] += steps

            return advance

        def __exit__(self, *error):
            pass

    go(clips, tmp_path / "v.parquet", progress=Bar)
    assert seen == {"listing": [None, 3], "decoding": [3, 3]}


def test_facts_are_columns_and_columns_without_a_value_are_left_out(clips, tmp_path, guarded):
    guarded()
    go(clips, tmp_path / "v.parquet")
    table = tables.read(tables.VIDEOS, tmp_path / "v.parquet")
    assert {"bytes", "sha256", "frames", "fps", "width", "height", "duration_s"} <= set(table.column_names)
    assert "true_labels" not in table.column_names
