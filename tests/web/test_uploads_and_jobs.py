"""Files that owners send, and work in the background."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from secondlook.errors import BadValue, UnknownName
from secondlook.web.jobs import Jobs, Progress
from secondlook.web.uploads import Uploads, looks_like, plain_name, uploads
from tests.web.conftest import Site

MP4 = b"\0\0\0\x18ftypisom" + b"\0" * 100


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_file_is_kept_under_a_random_name(site: Site) -> None:
    answer = site.client("owner").post("/api/uploads?name=my%20clip.mp4", content=MP4)
    assert answer.status_code == 200
    about = answer.json()
    assert (about["name"], about["kind"], about["bytes"]) == ("my clip.mp4", "clip", len(MP4))
    path = uploads(site.context).path(about["upload"])
    assert path.read_bytes() == MP4
    assert path.parent == site.workplace.folder / "uploads"
    assert path.stat().st_mode & 0o777 == 0o600
    assert uploads(site.context).about(about["upload"]).name == "my clip.mp4"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/cron.d/x.mp4", "x.mp4"),
        ("..\\..\\x.mp4", "x.mp4"),
        ("/etc/passwd.mp4", "passwd.mp4"),
        ("C:\\x.mp4", "x.mp4"),
        ("a\0b.mp4", "ab.mp4"),
        ("a\r\nX: y.mp4", "aX: y.mp4"),
        ("\u202e4pm.exe.mp4", "4pm.exe.mp4"),
        ("x" * 5000 + ".mp4", "x" * 116 + ".mp4"),
        ("<script>alert(1)</script>.mp4", "script>.mp4"),
    ],
)
def test_names_cannot_lead_anywhere(site: Site, name: str, shown: str) -> None:
    before = files_in(site.workplace.folder.parent)
    answer = site.client("owner").post("/api/uploads", params={"name": name}, content=MP4)
    assert answer.status_code == 200
    assert answer.json()["name"] == shown
    new = set(files_in(site.workplace.folder.parent)) - set(before)
    assert new == {answer.json()["upload"], answer.json()["upload"] + ".json"}
    assert set(files_in(site.workplace.folder / "uploads")) == new


@pytest.mark.parametrize("name", ["", ".", "..", "/", "\0", "\u202e"])
def test_names_without_a_kind_are_refused(site: Site, name: str) -> None:
    assert site.client("owner").post("/api/uploads", params={"name": name}, content=MP4).status_code == 415
    assert plain_name(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.mp4", b"MZ\x90\0" + b"\0" * 60),
        ("x.mp4", b""),
        ("x.mp4", b"#EXTM3U\nhttp://evil.example/x.ts\n"),
        ("x.parquet", b"PK\x03\x04" + b"\0" * 60),
        ("x.csv", b"a,b\n\0\0\0\0binary"),
        ("x.csv", b"\xff\xfe\x00bad"),
        ("x.txt", b"  <!DOCTYPE html><html><script>alert(1)</script>"),
        ("x.json", b"<svg onload=alert(1)>"),
        ("x.html", b"<html>"),
        ("x.svg", b"<svg/>"),
        ("x.exe", b"MZ"),
        ("x.py", b"import os"),
        ("x.sqlite", b"SQLite format 3\0"),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(site: Site, name: str, content: bytes) -> None:
    answer = site.client("owner").post("/api/uploads", params={"name": name}, content=content)
    assert answer.status_code == 415
    assert answer.json()["error"]
    assert not files_in(site.workplace.folder / "uploads")


def test_what_is_taken() -> None:
    assert looks_like(".parquet", b"PAR1....")
    assert looks_like(".avi", b"RIFF\0\0\0\0AVI LIST")
    assert looks_like(".gif", b"GIF89a")
    assert looks_like(".csv", "video_id,label\nö,1\n".encode())
    assert looks_like(".csv", ("a" * 4095 + "ö").encode()[:4096])  # the look stops inside a letter


def test_too_large_is_refused_while_it_comes_in(site: Site) -> None:
    object.__setattr__(site.context.settings, "upload_bytes", 1_000_000)
    browser, sent = site.client("owner"), 0

    def stream():
        nonlocal sent
        yield MP4
        for _ in range(200):
            sent += 1
            yield b"x" * 50_000

    answer = browser.post("/api/uploads?name=x.mp4", content=stream())
    assert answer.status_code == 413
    assert "at most 1 MB" in answer.json()["error"]
    assert browser.post("/api/uploads?name=x.mp4", content=MP4 + b"x" * 1_000_000).status_code == 413
    assert not files_in(site.workplace.folder / "uploads")
    assert (
        browser.post("/api/uploads?name=x.mp4", content=MP4 + b"x" * 500_000).status_code == 200
    )  # above other limits


@pytest.mark.parametrize("upload", ["", "..", "../store.sqlite", "a" * 22, "x", "a" * 21 + "\n", "../" + "a" * 19])
def test_only_what_was_sent_is_found(site: Site, upload: str) -> None:
    kept = uploads(site.context)
    kept.folder.mkdir()
    with pytest.raises(UnknownName):
        kept.path(upload)


def test_a_link_among_the_files_is_not_followed(tmp_path: Path) -> None:
    kept = Uploads(tmp_path / "uploads")
    kept.folder.mkdir()
    (kept.folder / ("a" * 22)).symlink_to("/etc/passwd")
    with pytest.raises(UnknownName):
        kept.path("a" * 22)


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_job_from_start_to_end(site: Site) -> None:
    jobs, go, at_two = site.context.jobs, threading.Event(), threading.Event()

    def work(progress: Progress) -> dict[str, Any]:
        progress(2, 5, "counting")
        at_two.set()
        go.wait(10)
        return {"answer": 42}

    job = jobs.submit("count", work)
    assert at_two.wait(10)
    said = site.client("reviewer").get(f"/api/jobs/{job}").json()
    assert (said["state"], said["done"], said["total"], said["words"]) == ("running", 2, 5, "counting")
    go.set()
    assert jobs.wait(job, 10).result == {"answer": 42}
    assert site.client("reviewer").get(f"/api/jobs/{job}").json()["state"] == "done"
    assert site.client("annotator").get(f"/api/jobs/{job}").status_code == 403
    assert site.client("reviewer").get("/api/jobs/none").status_code == 404


def test_a_job_that_fails_says_why_without_a_traceback() -> None:
    jobs = Jobs(1)

    def user(progress: Progress) -> None:
        raise BadValue(3, "must be even")

    def ours(progress: Progress) -> None:
        raise KeyError("secret detail")

    failed = jobs.wait(jobs.submit("a", user), 10)
    broken = jobs.wait(jobs.submit("b", ours), 10)
    assert (failed.state, failed.words) == ("failed", "3: must be even.")
    assert broken.state == "failed"
    assert "secret" not in broken.words
    jobs.close()


def test_jobs_stop_with_the_server() -> None:
    jobs, begun = Jobs(1), threading.Event()

    def endless(progress: Progress) -> None:
        while True:
            progress(1)
            begun.set()

    first, second = jobs.submit("endless", endless), jobs.submit("never begun", endless)
    assert begun.wait(10)
    jobs.close()
    assert jobs.get(first).state == "failed"
    assert jobs.get(second).state == "waiting"
