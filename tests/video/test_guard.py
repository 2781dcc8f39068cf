"""A hang is cut off; the child is respawned, leaves no orphan, and works in a data loader's worker."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from secondlook.errors import BadValue
from secondlook.video import decode
from secondlook.video.clip import Size
from secondlook.video.guard import Guard
from secondlook.video.sample import Sampling

SERVE = "from secondlook.video._guard_child import main; main()"
OPENS_PIPES = f"from secondlook.video import _refuse; _refuse.before_opening = lambda path: None; {SERVE}"
"""A child that would open a named pipe, so that the library itself hangs, for good, in `av.open`."""
DIES = f"""
import os, signal
from secondlook.video import _guard_child as child
child.TASKS["decode"] = lambda path, **_: os.kill(os.getpid(), signal.SIGSEGV)
{SERVE}
"""
SLEEPS = f"""
import time
from secondlook.video import _guard_child as child
child.TASKS["probe"] = lambda path: time.sleep(1000)
{SERVE}
"""


def guard_of(code: str, timeout_s: float) -> Guard:
    guard = Guard(timeout_s)
    guard._command = (sys.executable, "-c", code)
    return guard


def ended(pid: int, within_s: float) -> bool:
    """True once a process is gone (or a zombie that nobody has collected)."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    return tmp_path / "pipe.mp4"


def test_gives_what_decode_gives(kinds, bad_files):
    with Guard(30) as guard:
        for path in (kinds["h264_b_frames"], kinds["rotated"], bad_files / "zero.mp4", bad_files / "cut.avi"):
            for arguments in ({"seed": 3}, {"frame_count": 30}, {}):
                here = decode.decode(path, Sampling(5), size=Size(short_side=40), **arguments)
                there = guard.decode(path, Sampling(5), size=Size(short_side=40), **arguments)
                assert there.frames_THWC.shape == here.frames_THWC.shape
                for field in here.__dataclass_fields__:
                    np.testing.assert_array_equal(getattr(there, field), getattr(here, field))
            assert guard.probe(path).reason == decode.probe(path).reason
        assert len(guard.decode(kinds["h264_b_frames"]).frames_THWC) == 30


def test_a_hang_in_the_library_is_cut_off_and_the_next_video_is_read(kinds, pipe):
    with guard_of(OPENS_PIPES, 0.5) as guard:
        assert guard.decode(kinds["one_frame"]).status == "ok"
        first = guard._child.pid
        before = time.monotonic()
        clip = guard.decode(pipe)
        assert time.monotonic() - before < 3
        assert (clip.status, clip.reason) == ("timeout", "decoding did not end within 0.5 s")
        assert ended(first, 1)
        assert guard.decode(kinds["one_frame"]).status == "ok"
        assert guard._child.pid != first


def test_a_hang_in_python_is_cut_off(tmp_path):
    with guard_of(SLEEPS, 0.3) as guard:
        assert guard.probe(tmp_path).status == "timeout"


def test_a_crash_of_the_decoder_is_a_status(kinds):
    with guard_of(DIES, 5) as guard:
        clip = guard.decode(kinds["one_frame"])
        assert clip.status == "unreadable"
        assert "signal 11" in clip.reason
        assert guard.probe(kinds["one_frame"]).status == "ok"


def test_wrong_use_is_told_as_it_would_be_without_a_guard(kinds):
    with Guard() as guard, pytest.raises(BadValue, match="crf"):
        guard.ask("prepare", source=str(kinds["one_frame"]), target="/nowhere/x.mp4", crf=99)
    with pytest.raises(BadValue):
        Guard(0)


def test_the_child_needs_no_torch():
    code = "import sys, secondlook.video._guard_child, secondlook.video.cache, secondlook.video.prepare; "
    code += "print([m for m in ('torch', 'pandas', 'matplotlib', 'pyarrow') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("hanging", [False, True])
def test_no_orphan_when_the_parent_is_killed(kinds, pipe, hanging):
    code = f"""
        import sys, threading, time
        from secondlook.video.guard import Guard
        guard = Guard(0.4)
        guard._command = (sys.executable, "-c", {OPENS_PIPES!r})
        guard.decode({str(kinds["one_frame"])!r})
        print(guard._child.pid, flush=True)
        if {hanging}:
            guard.timeout_s = 2
            guard.decode({str(pipe)!r})
        time.sleep(100)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        assert not ended(child, 0.05)
        parent.send_signal(signal.SIGKILL)
        assert ended(child, 6)


def test_closing_ends_the_child(kinds):
    guard = Guard()
    guard.decode(kinds["one_frame"])
    pid = guard._child.pid
    guard.close()
    assert ended(pid, 2)
    guard.close()


def test_cancelling_from_another_thread(tmp_path):
    import threading

    with guard_of(SLEEPS, 30) as guard:
        threading.Timer(1.0, guard.cancel).start()
        clip = guard.probe(tmp_path)
    assert clip.status == "unreadable"
    assert "signal 9" in clip.reason


def test_cancelling_while_the_child_starts(tmp_path):
    import threading

    with guard_of("import time; time.sleep(30)", 30) as guard:  # never says that it is ready
        threading.Timer(0.5, guard.cancel).start()
        clip = guard.probe(tmp_path)
    assert (clip.status, "signal 9" in clip.reason) == ("unreadable", True)


def test_a_copy_has_a_child_of_its_own(kinds):
    with Guard(7) as guard:
        guard.decode(kinds["one_frame"])
        with pickle.loads(pickle.dumps(guard)) as copy:
            assert copy.timeout_s == 7
            assert copy._child is None
            assert copy.decode(kinds["one_frame"]).status == "ok"
            assert copy._child.pid != guard._child.pid
        assert guard.decode(kinds["one_frame"]).status == "ok"


class _Videos(Dataset):
    def __init__(self, paths: list[Path], guard: Guard) -> None:
        self.paths, self.guard = paths, guard

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, float, int, int]:
        clip = self.guard.decode(self.paths[index], Sampling(2))
        mean = float(clip.frames_THWC.mean()) if clip.usable else -1.0
        return clip.status, mean, os.getpid(), self.guard._child.pid if self.guard._child else 0


def test_inside_data_loader_workers(kinds, bad_files, pipe):
    """The guard was used in the main process first: workers are forked with it and must not share its child."""
    paths = [kinds["h264_gop_5"], pipe, kinds["mpeg4_avi"], bad_files / "noise.mp4", kinds["one_frame"]]
    with guard_of(OPENS_PIPES, 0.5) as guard:
        expected = guard.decode(paths[0], Sampling(2)).frames_THWC.mean()
        mine = guard._child.pid
        rows = list(DataLoader(_Videos(paths, guard), batch_size=None, num_workers=2))
        assert [row[0] for row in rows] == ["ok", "timeout", "ok", "not_a_video", "ok"]
        assert rows[0][1] == pytest.approx(expected)
        assert all(row[2] != os.getpid() for row in rows)
        children = {row[3] for row in rows} - {0}
        assert mine not in children
        assert all(ended(pid, 3) for pid in children)
        assert guard._child.pid == mine
        assert guard.decode(paths[0], Sampling(2)).status == "ok"
