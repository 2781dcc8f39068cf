"""Clips: who gets which, in ranges; made once, kept within bounds, never read from outside their folder."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from secondlook.video.decode import decode
from secondlook.video.proxy import frame_times_s
from secondlook.web.app import make_app
from secondlook.web.context import ServeSettings
from secondlook.web.media import located, media_url
from secondlook.web.proxies import Proxies
from tests.web.conftest import CAMPAIGN, SECRET_WORDS, Clock, Site


def clip_url(store: Store, video_id: str) -> str:
    return media_url(store.name, next(t.media for t in store.tasks() if t.video_id == video_id))


@pytest.fixture
def reviewer(site: Site) -> TestClient:
    return site.client("reviewer")


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_file_that_browsers_play_is_sent_as_it_is(reviewer: TestClient, store: Store, clips: Path) -> None:
    answer = reviewer.get(clip_url(store, "p0"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == (clips / "pouring" / "p0.mp4").read_bytes()


def test_an_avi_becomes_an_mp4_with_its_own_times(
    reviewer: TestClient, store: Store, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "got.mp4").write_bytes(reviewer.get(clip_url(store, "j1")).content)
    source = clips / "juggling" / "j1.avi"
    np.testing.assert_allclose(frame_times_s(tmp_path / "got.mp4"), frame_times_s(source), atol=1 / 90_000, rtol=0)
    assert decode(tmp_path / "got.mp4").frame_count == decode(source).frame_count


def test_ranges(reviewer: TestClient, store: Store, clips: Path) -> None:
    url, whole = clip_url(store, "p0"), (clips / "pouring" / "p0.mp4").read_bytes()
    size = len(whole)
    first = reviewer.get(url)
    assert first.headers["accept-ranges"] == "bytes"

    def ranged(text: str, **headers: str) -> Any:
        return reviewer.get(url, headers={"Range": text, **headers})

    for text, wanted in (("bytes=10-19", whole[10:20]), ("bytes=-7", whole[-7:]), (f"bytes={size - 3}-", whole[-3:])):
        answer = ranged(text)
        assert (answer.status_code, answer.content) == (206, wanted), text
        assert answer.headers["content-range"].endswith(f"/{size}")
        assert answer.headers["content-length"] == str(len(wanted))
    assert ranged(f"bytes=0-{size + 500}").content == whole
    beyond = ranged(f"bytes={size}-")
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    many = ranged("bytes=0-3,10-13")
    assert many.status_code in (200, 206)
    assert whole[10:14] in many.content
    assert ranged("bytes=5-2").status_code in (200, 400, 416)
    assert ranged("bytes=" + ",".join(f"{i}-{i}" for i in range(5000))).status_code in (200, 400)
    assert ranged("bytes=10-19", **{"If-Range": first.headers["etag"]}).status_code == 206
    other = ranged("bytes=10-19", **{"If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole)
    head = reviewer.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")
    assert reviewer.head(url, headers={"Range": "bytes=0-4"}).status_code == 206


def test_kept_by_this_browser_only(reviewer: TestClient, store: Store) -> None:
    url = clip_url(store, "p0")
    headers = reviewer.get(url).headers
    assert headers["cache-control"].startswith("private")
    assert reviewer.get(url, headers={"If-None-Match": headers["etag"]}).status_code == 304
    assert reviewer.get(url, headers={"If-None-Match": 'W/"x", ' + headers["etag"]}).status_code == 304
    assert reviewer.get(url, headers={"If-None-Match": '"x"'}).status_code == 200


def test_nothing_of_a_clip_tells_its_class(site: Site, store: Store, clips: Path) -> None:
    browser = site.client("annotator")
    account, _ = site.person("annotator")
    for _ in range(5):
        dealt = store.deal(account.person, site.clock())
        assert dealt is not None
        answer = browser.get(media_url(store.name, dealt.task.media))
        said = str(answer.url) + repr(answer.headers) + answer.content.decode("latin-1")
        assert not [word for word in (*SECRET_WORDS, f"{dealt.task.video_id}.") if word in said]
        assert answer.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
        store.give(Answer(dealt.task.task_id, account.person, {2: "yes"}), site.clock())


# -- who may see it ----------------------------------------------------------------------------------------------------


def test_annotators_get_what_they_were_dealt_and_nothing_else(site: Site, store: Store) -> None:
    browser, (account, _) = site.client("annotator"), site.person("annotator")
    urls = {t.task_id: media_url(store.name, t.media) for t in store.tasks()}
    assert {browser.get(url).status_code for url in urls.values()} == {404}
    dealt = store.deal(account.person, site.clock())
    assert dealt is not None
    codes = {number: browser.get(url).status_code for number, url in urls.items()}
    assert [number for number, code in codes.items() if code == 200] == [dealt.task.task_id]
    hidden = browser.get(next(u for n, u in urls.items() if n != dealt.task.task_id))
    nowhere = browser.get(media_url(store.name, "v-0123456789abcdef"))
    assert (hidden.status_code, hidden.content) == (nowhere.status_code, nowhere.content)  # which is not told
    assert browser.get(media_url("no campaign", "v-0123456789abcdef")).content == nowhere.content
    assert site.client("annotator", "other").get(urls[dealt.task.task_id]).status_code == 404


@pytest.mark.parametrize(
    "name", ["../../store.sqlite", "..%2F..%2Fstore.sqlite", "%2e%2e/x", "x" * 5000, "v-%00", "v-'--"]
)
def test_names_that_are_none(reviewer: TestClient, name: str) -> None:
    assert reviewer.get(f"/media/{CAMPAIGN}/{name}.mp4").status_code == 404
    assert reviewer.get(f"/media/..%2F{CAMPAIGN}/{name}.mp4").status_code == 404


# -- paths of tables ---------------------------------------------------------------------------------------------------


def test_paths_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "in").mkdir(parents=True)
    outside.mkdir()
    (outside / "x.mp4").write_bytes(b"secret")
    (root / "in" / "y.mp4").write_bytes(b"y")
    (root / "link.mp4").symlink_to(outside / "x.mp4")
    (root / "linked").symlink_to(outside)
    (root / "circle").symlink_to(root / "circle")
    (root / "own.mp4").symlink_to(root / "in" / "y.mp4")
    for listed in (
        "", " ", ".", "in/..", "../outside/x.mp4", "in/../../outside/x.mp4", "/etc/passwd", str(outside / "x.mp4"),
        "link.mp4", "linked/x.mp4", "circle", "in/y.mp4\0.txt", "C:\\x.mp4", "..\\outside\\x.mp4", "\\\\host\\x",
    ):  # fmt: skip
        path, words = located(root, listed)
        assert path is None, listed
        assert words, listed
    assert located(root, "in/y.mp4") == ((root / "in" / "y.mp4").resolve(), "")
    assert located(root, "own.mp4")[0] == (root / "in" / "y.mp4").resolve()


def test_a_table_with_bad_paths_serves_nothing_and_says_so(
    workplace: Workplace,
    label_space: LabelSpace,
    clips: Path,
    tmp_path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A whole life of problems: refused, said in words that tell nothing, flagged, listed, kept, and over at last."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.mp4").symlink_to(clips / "pouring" / "p0.mp4")
    (root / "broken.avi").write_bytes((clips / "juggling" / "broken.avi").read_bytes())
    (root / "text.mp4").write_text("these are not the frames you are looking for")
    (root / "empty.mp4").touch()
    paths = [
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "link.mp4",
        "gone.mp4",
        "text.mp4",
        "empty.mp4",
        "",
        "broken.avi",
        "x" * 5000,
    ]
    tasks = [Task(f"b{i}", path, 0, (0, 1)) for i, path in enumerate(paths)]
    bad = workplace.add(tasks, label_space, name="bad", settings=Settings(votes=1, media_root="root"))
    settings = ServeSettings(folder=tmp_path, warm_clips=0)
    site = Site(make_app(workplace, settings, clock), workplace, clock)
    browser, (account, _) = site.client("annotator"), site.person("annotator")
    with caplog.at_level(logging.WARNING):
        for _ in paths:
            dealt = bad.deal(account.person, clock())
            assert dealt is not None
            url = media_url("bad", dealt.task.media)
            answer = browser.get(url)
            assert answer.status_code == 422, dealt.task.path
            assert "root:" not in answer.text
            assert "unsuitable" in answer.json()["error"]
            assert dealt.task.path not in answer.text or not dealt.task.path
            assert browser.get(url.replace("/media", "/api/media").removesuffix(".mp4")).json()["state"] == "broken"
            bad.give(Answer(dealt.task.task_id, account.person, {}, unsuitable=True), clock())
    assert caplog.text.count("cannot be shown") == len(paths)
    assert browser.get("/api/media-problems/bad").status_code == 403
    rows = {row["video_id"]: row for row in site.client("reviewer").get("/api/media-problems/bad").json()}
    assert sorted(rows) == [f"b{i}" for i in range(len(paths))]
    assert "leaves the folder" in rows["b0"]["reason"]
    assert "by a link" in rows["b2"]["reason"]
    assert [rows[f"b{i}"]["status"] for i in (3, 4, 5)] == ["missing", "not_a_video", "empty"]
    site.context.media.close()
    again = make_app(workplace, settings, clock).state.context.media
    assert len(again.problems("bad")) == len(paths)  # kept over a restart
    (root / "gone.mp4").write_bytes((clips / "pouring" / "p1.mp4").read_bytes())
    task = next(t for t in bad.tasks() if t.path == "gone.mp4")
    assert again.ready(bad, task).path == (root / "gone.mp4").resolve()
    assert len(again.problems("bad")) == len(paths) - 1  # a problem that is over is forgotten
    again.close()


# -- making clips ------------------------------------------------------------------------------------------------------


def test_made_once_even_if_five_ask_at_once(site: Site, store: Store) -> None:
    browsers, gate = [site.client("reviewer") for _ in range(5)], threading.Barrier(5)
    url = clip_url(store, "j2")

    def ask(browser: TestClient) -> bytes:
        gate.wait()
        return browser.get(url).content

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, browsers))
    assert len(set(answers)) == 1
    assert len(answers[0]) > 500
    assert site.context.media.proxies.made == 1
    kept = [p for p in (site.workplace.folder / "media-cache").rglob("*") if p.is_file()]
    assert len(kept) == 1  # and nothing half made is left


def test_the_same_content_is_made_once_under_any_name(draw_video: Any, tmp_path: Path) -> None:
    source = draw_video(tmp_path / "a.avi", frames=4, codec="mpeg4")
    (tmp_path / "b.avi").write_bytes(source.read_bytes())
    proxies = Proxies(tmp_path / "cache", 48)
    assert proxies.key_of(source) == proxies.key_of(tmp_path / "b.avi")
    draw_video(tmp_path / "b.avi", frames=5, codec="mpeg4")
    assert proxies.key_of(source) != proxies.key_of(tmp_path / "b.avi")
    assert Proxies(tmp_path / "cache", 32).key_of(source) != proxies.key_of(source)
    assert proxies.key_of(tmp_path / "nowhere.avi") == ""


def test_cache_stays_within_its_size_and_drops_what_nobody_watched(draw_video: Any, tmp_path: Path) -> None:
    sources = [draw_video(tmp_path / f"{i}.avi", frames=4 + i, codec="mpeg4") for i in range(4)]
    proxies = Proxies(tmp_path / "cache", 48)
    keys = [proxies.key_of(source) for source in sources]
    made = [proxies.make(source, key).result(60).path for source, key in zip(sources[:3], keys[:3], strict=True)]
    assert all(path is not None for path in made)
    sizes = [path.stat().st_size for path in made if path]
    for age, path in zip((300, 500, 400), made, strict=True):
        assert path is not None
        os.utime(path, (time.time() - age, time.time() - age))
    assert proxies.find(sources[0], keys[0]) is not None  # watched just now
    proxies._most_bytes = sizes[0] + sizes[2] + 4000
    newest = proxies.make(sources[3], keys[3]).result(60).path
    assert newest is not None
    assert newest.is_file()
    assert not made[1].is_file()  # type: ignore[union-attr]
    assert proxies.bytes() <= proxies._most_bytes
    assert proxies.find(sources[1], keys[1]) is None  # it would be made again
    proxies.close()


def test_a_clip_that_hangs_is_given_up(draw_video: Any, tmp_path: Path) -> None:
    source = draw_video(tmp_path / "a.avi", frames=4, codec="mpeg4")
    proxies = Proxies(tmp_path / "cache", 48, timeout_s=1e-3)
    assert proxies.make(source, proxies.key_of(source)).result(60).status == "timeout"
    proxies.close()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_who_waits_too_long_is_told_to_come_again(workplace: Workplace, tmp_path: Path, clock: Clock) -> None:
    settings = ServeSettings(folder=tmp_path, warm_clips=0, media_wait_s=0.0, short_side=48)
    site = Site(make_app(workplace, settings, clock), workplace, clock)
    browser, store = site.client("reviewer"), workplace.campaign(CAMPAIGN)
    url = clip_url(store, "j0")
    first = browser.get(url)
    assert first.status_code == 503
    assert first.headers["retry-after"] == "2"
    state = url.replace("/media", "/api/media").removesuffix(".mp4")
    assert browser.get(state).json()["state"] in ("making", "ready")
    deadline = time.monotonic() + 60
    while browser.get(state).json()["state"] != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert browser.get(url).status_code == 200
    site.context.media.close()


def test_clips_are_made_ahead(workplace: Workplace, tmp_path: Path, clock: Clock) -> None:
    settings = ServeSettings(folder=tmp_path, warm_clips=100, short_side=48)
    app = make_app(workplace, settings, clock)
    with TestClient(app):  # starts and ends the app
        media = app.state.context.media
        deadline = time.monotonic() + 60
        while media.proxies.made < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert media.proxies.made == 4  # the four avi files; the mp4 files play as they are
    with pytest.raises(RuntimeError):
        media.proxies.make(tmp_path / "x", "k")
