"""From tables to a campaign and to results through HTTP: what is offered, what is refused, what comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from secondlook import tables
from secondlook.annotate.intake import Answer, Verdict
from secondlook.web import _results_work as work
from tests.web.conftest import Site
from tests.web.drawn_tables import SPACE, draw_folder

Clients = Callable[..., TestClient]
CHOICE = {"predictions": ["slow.parquet", "fast.parquet"], "videos": "videos.parquet", "split": "test", "top_k": "2"}
ASK = {"name": "second look", "votes": "2", "batch": "4", "reward": "0.1", "currency": "EUR", "question": "Which?"}


@pytest.fixture
def folder(tmp_path: Path, draw_video: Callable[..., Path]) -> Path:
    return draw_folder(tmp_path, draw_video)


def look(browser: TestClient, site: Site, **choice: object) -> str:
    """Looks for candidates and gives the address of what came of it."""
    found = browser.post("/setup", data=CHOICE | choice)
    assert found.status_code == 303, found.text
    url = found.headers["location"]
    site.context.jobs.wait(url.rsplit("/", 1)[1], 20)
    return str(url)


def make(browser: TestClient, site: Site, folder: Path) -> str:
    """Makes the campaign and gives the address of its page."""
    url = look(browser, site)
    making = browser.post(url, data=ASK | {"media_root": str(folder)})
    assert making.status_code == 303, making.text
    site.context.jobs.wait(making.headers["location"].rsplit("/", 1)[1], 20)
    return str(browser.get(making.headers["location"]).headers["location"])


@pytest.mark.parametrize("role", ["", "annotator", "reviewer"])
def test_only_owners_may_make_campaigns(client: Clients, role: str) -> None:
    browser = client(role)
    for url in ("/setup", "/results/round1", "/results/round1/report", "/results/round1/file/labels.parquet"):
        assert browser.get(url).status_code in (401, 403)
    assert browser.post("/setup", data=CHOICE).status_code in (401, 403)
    assert browser.post("/results/round1", data={}).status_code in (401, 403)


def test_tables_at_hand_are_offered_and_no_others(client: Clients, folder: Path) -> None:
    (folder / "secret.parquet").write_bytes(b"PAR1 not a table")
    html = client("owner").get("/setup").text
    for words in ("slow.parquet", "fast.parquet", "videos.parquet", "8 rows; 4 classes; split test", "misclassified"):
        assert words in html
    assert "secret.parquet" not in html
    assert "training dynamics" not in html


def test_a_campaign_comes_out_of_two_tables(client: Clients, site: Site, folder: Path) -> None:
    browser = client("owner")
    url = look(browser, site)
    html = browser.get(url).text
    assert "4 of 4 clips looked for are there" in html
    assert "12 answers to 4 videos" in html
    clip = browser.get(f"{url}/clip/0.mp4")
    assert clip.status_code == 200
    assert clip.content[4:8] == b"ftyp"
    assert browser.get(f"{url}/clip/99.mp4").status_code == 404
    assert make(browser, site, folder) == "/run/second%20look/people#invitations"
    store = site.workplace.campaign("second look")
    assert (store.settings.votes, store.settings.reward, store.settings.currency) == (2, 0.1, "EUR")
    assert {task.video_id for task in store.tasks()} == {"v0", "v2", "v4", "v6"}
    assert tables.read(tables.CANDIDATES, folder / "candidates.parquet").num_rows == 4
    again = browser.post("/setup", data={"candidates": "candidates.parquet"}).headers["location"]
    site.context.jobs.wait(again.rsplit("/", 1)[1], 20)
    assert "4 candidates of candidates.parquet" in browser.get(again).text
    assert "a name of its own" in browser.post(again, data=ASK | {"media_root": ""}).text


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"predictions": []}, "no predictions are chosen"),
        ({"videos": ""}, "no videos table is chosen"),
        ({"predictions": ["../../etc/passwd"]}, "is not known"),
        ({"split": "train"}, "train"),
        ({"signal": "os"}, "is not known"),
        ({"select": "nothing"}, "is not known"),
    ],
)
def test_what_does_not_fit_is_said_on_the_page(
    client: Clients, site: Site, folder: Path, choice: dict[str, object], words: str
) -> None:
    browser = client("owner")
    shown = browser.get(look(browser, site, **choice))
    assert shown.status_code == 303
    assert shown.headers["location"].startswith("/setup?job=")
    html = browser.get(shown.headers["location"]).text
    assert 'role="alert"' in html
    assert words in html.split('role="alert">')[1].split("</p>")[0]


def test_a_number_that_is_none_is_refused_at_once(client: Clients, folder: Path) -> None:
    found = client("owner").post("/setup", data=CHOICE | {"top_k": "0"})
    assert found.status_code == 400
    assert "at least 1" in found.text
    assert "whole number" in client("owner").post("/setup", data=CHOICE | {"limit": "x"}).text


@pytest.mark.spec("label-reassessment", "G10")
def test_results_are_files_words_and_a_report(client: Clients, site: Site, folder: Path) -> None:
    browser = client("owner")
    make(browser, site, folder)
    store = site.workplace.campaign("second look")
    base = "/results/second%20look"
    for task in store.tasks():
        other = (task.given_label + 1) % 4
        ids = store.submit([Answer(task.task_id, who, {other: "yes"}) for who in ("ann", "bob")])
        store.judge([Verdict(answer, True, "rita") for answer in ids])
    form = {"predictions": ["slow.parquet", "fast.parquet"], "videos": "videos.parquet", "split": "test", "top_k": "2"}
    assert browser.post(base, data=form | {"rule": "nothing"}).status_code == 400
    started = browser.post(base, data=form).headers["location"]
    job = site.context.jobs.wait(started.split("job=")[1], 60)
    assert job is not None
    assert job.state == "done", job.words
    html = browser.get(started).text
    assert "slow, top-1: 50.0 %" in html
    assert "+50.0 points" in html
    assert 'aria-current="page">Results</a>' in html
    assert f'href="/run/{base.rsplit("/", 1)[1]}/people"' in html
    assert "secondlook train" in html
    assert "drawn at random from the options shown would give" in html
    place = folder / "results" / "second-look-2"
    for name in work.FILES:
        assert (place / name).is_file(), name
        assert browser.get(f"{base}/file/{name}").status_code == 200
    sets = json.loads((place / work.SETS).read_text())
    assert len(sets) == 8
    assert sets[0] == [0, 1]
    assert sets[1] == [1]
    assert tables.label_space(tables.read(tables.LABELS, place / work.LABELS)).names == SPACE.names
    report = browser.get(f"{base}/report")
    assert all(f'<section id="{name}"' in report.text for name in ("real", "controls", "labels", "source-tables"))
    rules = report.headers["content-security-policy"]
    assert "script-src 'sha256-" in rules
    assert "frame-ancestors 'none'" in rules
    assert "'self'" not in rules
    assert browser.get(f"{base}/file/results.json").status_code == 404
    assert browser.get(f"{base}/file/..%2F..%2Fvideos.parquet").status_code == 404


@pytest.mark.parametrize(
    ("points", "low", "high", "words"),
    [
        (0.0, 0.0, 0.0, ": no change."),
        (-0.04, -1.0, 0.9, ": no change (-1.0 to +0.9)."),
        (12.34, 10.0, 15.06, ": +12.3 points (+10.0 to +15.1)."),
        (0.0, None, None, ": no change."),
    ],
)
def test_a_gain_in_words(points: float, low: float | None, high: float | None, words: str) -> None:
    score = {"n": 7, "rate": 1.0, "low": 0.999, "high": 1.0}
    gain = {"points": points, "low": low, "high": high}
    said = work.sentence({"model": "slow", "metric": "top1", "original": score, "real": score, "gain": gain})
    assert said.startswith("slow, top-1: 100.0 % (99.9 to 100.0) against the given labels, ")
    assert said.endswith(words)


def test_the_pages_load_nothing_heavy() -> None:
    """The server starts in a second; what only the making of results needs is loaded then."""
    script = (
        "import sys; from secondlook.web.app import page_modules; page_modules(); "
        "print([name for name in ('sklearn', 'scipy', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_answers_without_a_verdict_are_refused_in_words(client: Clients, site: Site, folder: Path) -> None:
    browser = client("owner")
    make(browser, site, folder)
    store = site.workplace.campaign("second look")
    store.submit([Answer(store.tasks()[0].task_id, "ann", {0: "yes"})])
    base = "/results/second%20look"
    form = {"predictions": ["slow.parquet"], "videos": "videos.parquet", "split": "test"}
    started = browser.post(base, data=form).headers["location"]
    site.context.jobs.wait(started.split("job=")[1], 60)
    assert "have no verdict yet" in browser.get(started).text
    assert not (folder / "results" / "second-look-2" / work.REPORT).exists()


@pytest.mark.parametrize("name", ["..", ".", "a b", "-x", "ok"])
def test_the_folder_of_results_lies_below_results(site: Site, name: str) -> None:
    class Named:
        campaign_id = 7

    store = Named()
    store.name = name  # type: ignore[attr-defined]
    path = work.folder_of(site.context, store)  # type: ignore[arg-type]
    assert path.parent == site.context.settings.folder / "results"
    assert path.name not in ("..", ".", "")
