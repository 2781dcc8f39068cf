"""The whole second look in browsers alone, against `secondlook serve`: from two models' predictions to ReaL accuracy.

Name a folder in `SECONDLOOK_SHOTS` to keep a picture of every page on the way.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.annotate.workplace import Workplace
from secondlook.cli import build_app
from secondlook.evaluate.gain_table import gain_table
from secondlook.labels import LabelSpace
from tests.web.serving import serving

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Download, Page, expect

from tests.end_to_end.browsers import DESKTOP, PHONE, People, at_clip, join

CLIPS, VOTES, BATCH, TOP_K = 12, 2, 4, 3
MODELS = ("slow", "fast")


# -- what lies in the folder at the start ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Drawn clips, their table, and what two models make of them; which labels truly hold."""

    path: Path
    labels: LabelSpace
    given: Mapping[str, int]
    truth: Mapping[str, frozenset[int]]


def said(*words: object) -> dict[str, Any]:
    """What a verb says as JSON."""
    done = CliRunner().invoke(build_app(), [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Half of the models' mistakes are right in truth: the given label is wrong, or another one holds as well."""
    path = tmp_path_factory.mktemp("story")
    said("draw", path / "drawn", "--clips", CLIPS, "--wrong-labels", 0.3, "--workers", 1)
    said("index", path / "drawn", "--dataset", "drawn", "-o", path / "videos.parquet")
    videos = tables.read(tables.VIDEOS, path / "videos.parquet")
    labels, rows = tables.label_space(videos), videos.to_pylist()
    generator = np.random.default_rng(0)
    made = {"label_space": labels.to_dict()}
    for number, model in enumerate(MODELS):
        predicted = []
        for i, row in enumerate(rows):
            logits_K = generator.normal(0, 0.1, len(labels))
            logits_K[row["label"]] += 2
            if i % 3 != 2:  # every third clip shows its other labels to no model
                logits_K[[k for k in row["true_labels"] if k != row["label"]]] += 1.5 + 1.5 * (i % 2 == number)
            if i % 5 == number:  # plainly wrong
                logits_K[(row["label"] + 7) % len(labels)] += 5
            about = {name: row[name] for name in ("video_id", "label", "split")} | {"status": "ok", "reason": ""}
            facts = {"view": -1, "start_s": float("nan"), "crop": "", "logits": logits_K.astype(np.float32).tolist()}
            predicted.append(about | facts)
        tables.write(tables.PREDICTIONS, predicted, path / f"{model}.parquet", made | {"model": model})
    truth = {row["video_id"]: frozenset(row["true_labels"]) for row in rows}
    return Folder(path, labels, {row["video_id"]: row["label"] for row in rows}, truth)


# -- what each person does ---------------------------------------------------------------------------------------------


def make_campaign(people: People, page: Page) -> int:
    """From the first page to a campaign; gives how many videos are asked about."""
    page.get_by_role("main").get_by_role("link", name="New campaign").click()
    for model in MODELS:
        expect(page.get_by_role("checkbox", name=model)).to_be_checked()
    expect(page.get_by_role("radio", name="videos.parquet")).to_be_checked()
    page.get_by_label("Split", exact=True).select_option(label="all")
    page.get_by_label("Options of each model").fill(str(TOP_K))
    people.shot(page, "setup-whole")
    page.get_by_role("button", name="Look for videos").click()
    page.get_by_label("Answers a video").fill(str(VOTES))
    page.get_by_label("Videos in a batch").fill(str(BATCH))
    page.get_by_label("Paid for an approved answer").fill("0.05")
    videos = int(page.locator(".tiles li").filter(has_text="Videos to ask about").locator(".value").inner_text())
    expect(page.get_by_text(f"{videos} of {videos} clips looked for are there")).to_be_visible()
    expect(page.get_by_text(f"{VOTES * videos} answers to {videos} videos, about {0.05 * VOTES * videos:.2f} USD"))
    expect(page.locator("video").first).to_be_visible()
    people.shot(page, "ask-whole")
    page.get_by_role("button", name="Make the campaign").click()
    expect(page.get_by_role("heading", name="Invite people")).to_be_visible()
    return videos


def invite(page: Page, role: str) -> str:
    """The link of a new invitation, as it stands on the page."""
    page.get_by_role("combobox", name=re.compile("^As")).select_option(label=role)
    page.get_by_role("button", name="Make a link").click()
    return page.get_by_role("textbox", name="Send this link").input_value()


@dataclass(frozen=True)
class Eyes:
    """Sees which labels hold in the clip on a page."""

    folder: Folder
    campaign: str = "round1"

    def look(self, page: Page) -> tuple[str, list[str]]:
        """The clip's id, and the labels that hold."""
        source = page.locator("video:not([hidden])").get_attribute("src") or ""
        with Workplace.open(self.folder.path / "annotations") as workplace:
            task = workplace.campaign(self.campaign).task_of_media(source.rsplit("/", 1)[-1].removesuffix(".mp4"))
        assert task is not None, source
        return task.video_id, [self.folder.labels.names[k] for k in sorted(self.folder.truth[task.video_id])]


def batches(videos: int) -> list[int]:
    """Sizes of the batches that each annotator has."""
    return [min(BATCH, videos - begun) for begun in range(0, videos, BATCH)]


def row_of(page: Page, label: str) -> int:
    """Place of the option with this text; -1 if there is none."""
    texts = page.locator("[data-option] .text").all_inner_texts()
    return texts.index(label) if label in texts else -1


def answer_by_mouse(page: Page, eyes: Eyes, tap: bool = False) -> None:
    """Yes for every option that holds; the others from the lists."""

    def press(where: Any) -> None:
        where.tap() if tap else where.click()

    for label in eyes.look(page)[1]:
        place = row_of(page, label)
        if place >= 0:
            press(page.locator("[data-option]").nth(place).get_by_role("button", name="Yes", exact=True))
        else:
            group = next(x.group for x in eyes.folder.labels.labels if x.name == label)
            page.get_by_role("combobox", name="Coarse description").select_option(label=group)
            page.get_by_role("combobox", name="Fine description").select_option(label=label)
            press(page.get_by_role("group", name="Add the fine description").get_by_role("button", name="Yes"))
        expect(page.locator("[data-final]")).to_contain_text(label)


def answer_by_keyboard(page: Page, eyes: Eyes) -> None:
    """The digit of every option that holds; the others by searching."""
    for label in eyes.look(page)[1]:
        place = row_of(page, label)
        if place >= 0:
            page.keyboard.press(str(place + 1))
        else:
            page.keyboard.press("/")
            page.keyboard.type(label)
            expect(page.get_by_role("listbox").get_by_role("option").first).to_have_text(label)
            page.keyboard.press("Enter")
            page.keyboard.press("Escape")
        expect(page.locator("[data-final]")).to_contain_text(label)


def annotate_on_desktop(people: People, page: Page, eyes: Eyes, videos: int) -> None:
    """By mouse, all but the last clip."""
    page.get_by_role("link", name="Start").click()
    for number, size in enumerate(batches(videos)):
        for place in range(1, size + 1):
            at_clip(page, place, size)
            if number == len(batches(videos)) - 1 and place == size:
                page.get_by_role("button", name="Quit").click()
                expect(page.get_by_role("heading", name="Goodbye")).to_be_visible()
                people.shot(page, "goodbye")
                return
            answer_by_mouse(page, eyes)
            if place == 1:
                people.shot(page, f"mouse-{number}")
                people.shot(page, f"mouse-{number}-whole")
            page.get_by_role("button", name="Next", exact=True).click()
        people.shot(page, "batch-done")
        page.get_by_role("button", name="Take another batch").click()


def annotate_by_keyboard(people: People, page: Page, eyes: Eyes, videos: int) -> None:
    """No mouse at all, from the first page on."""
    link = page.get_by_role("link", name="Start")
    for _ in range(30):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    for number, size in enumerate(batches(videos)):
        for place in range(1, size + 1):
            at_clip(page, place, size)
            answer_by_keyboard(page, eyes)
            page.keyboard.press("Enter")
        last = number == len(batches(videos)) - 1
        expect(page.get_by_role("heading", name="Nothing is left" if last else "This batch is done")).to_be_focused()
        people.shot(page, f"keyboard-done-{number}")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")


def annotate_on_phone(people: People, entry: str, eyes: Eyes, videos: int) -> None:
    """The last clip, with the personal sign-in link, where the desktop stopped."""
    page = people.page(**PHONE)
    page.goto(entry)
    people.shot(page, "phone-enter")
    page.get_by_role("button", name="Sign in").tap()
    people.shot(page, "phone-home-whole")
    page.get_by_role("link", name="Go on").tap()
    size = batches(videos)[-1]
    at_clip(page, size, size)
    answer_by_mouse(page, eyes, tap=True)
    people.shot(page, "phone-annotate")
    people.shot(page, "phone-annotate-whole")
    page.get_by_role("button", name="Next", exact=True).tap()
    expect(page.get_by_role("heading", name="Nothing is left")).to_be_visible()
    people.shot(page, "phone-done")


def review(people: People, page: Page, answers: int) -> None:
    """By keyboard: the first answer is rejected, all others are approved."""
    page.get_by_role("main").get_by_role("link", name="Review").click()
    people.shot(page, "review-queues-whole")
    page.get_by_role("link", name="Start").first.click()
    judged = 0
    while page.locator("[data-answer]").count():
        columns = page.locator("[data-answer]").count()
        people.shot(page, f"review-{judged}")
        for place in range(columns):
            column = page.locator("[data-answer]").nth(place)
            page.keyboard.press(str(place + 1))
            expect(column).to_be_focused()
            page.keyboard.press("r" if not judged else "a")
            expect(column.locator("[data-words]")).to_contain_text("Rejected" if not judged else "Approved")
            judged += 1
        before = re.escape(page.url)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(f"^(?!{before}$)"))
    assert judged == answers
    people.shot(page, "review-done")


def results(people: People, page: Page) -> dict[str, Path]:
    """Makes the results, looks at the page, opens the report, and fetches files."""
    page.get_by_role("link", name="secondlook").click()
    people.shot(page, "home-owner-whole")
    page.get_by_role("region", name="Campaigns").get_by_role("link", name="Open").click()
    expect(page.locator("[data-agreement]")).to_contain_text("8 videos")
    people.shot(page, "overview-whole")
    page.get_by_role("navigation", name="round1").get_by_role("link", name="Results").click()
    people.shot(page, "results-before-whole")
    page.get_by_role("button", name="Reassess, evaluate, report").click()
    expect(page.get_by_role("heading", name="What changes")).to_be_visible(timeout=40_000)
    people.shot(page, "results-whole")
    found: dict[str, Path] = {}
    for name in ("labels.parquet", "labels.csv"):
        with page.expect_download() as fetching:
            page.get_by_role("link", name=name, exact=True).click()
        fetched: Download = fetching.value
        assert fetched.suggested_filename == name
        found[name] = Path(fetched.path())
    return found


@pytest.mark.spec("label-reassessment", "P3")
@pytest.mark.timeout(300)
def test_from_predictions_to_a_report_in_browsers_alone(folder: Folder, people: People) -> None:
    eyes = Eyes(folder)
    with serving(folder.path) as server:
        owner, _ = join(people, server.invitation, "Olga")
        videos = make_campaign(people, owner)
        links = [invite(owner, role) for role in ("annotator", "annotator", "reviewer")]
        people.shot(owner, "people-whole")

        ada, entry = join(people, links[0], "Ada")
        annotate_on_desktop(people, ada, eyes, videos)
        annotate_on_phone(people, entry, eyes, videos)
        kim, _ = join(people, links[1], "Kim", **DESKTOP, reduced_motion="reduce")
        annotate_by_keyboard(people, kim, eyes, videos)
        rex, _ = join(people, links[2], "Rex")
        review(people, rex, VOTES * videos)

        files = results(people, owner)
        check_labels(folder, files, videos)
        owner.get_by_role("link", name="Open the report").click()
        people.shot(owner, "report-whole")
        check_report(folder, owner, files)
    assert people.complaints == []


def check_labels(folder: Folder, files: Mapping[str, Path], videos: int) -> None:
    """The sets that came out: what both people saw, and the given label, which the rule keeps."""
    labels = tables.read(tables.LABELS, files["labels.parquet"]).to_pylist()
    assert len(labels) == videos
    assert sorted(row["approved"] for row in labels) == [VOTES - 1] + [VOTES] * (videos - 1)
    for row in labels:
        if row["approved"] == VOTES:
            assert set(row["labels"]) == folder.truth[row["video_id"]] | {folder.given[row["video_id"]]}
    with files["labels.csv"].open(encoding="utf-8", newline="") as file:
        assert {row["video_id"] for row in csv.DictReader(file)} == set(folder.given)


def check_report(folder: Folder, page: Page, files: Mapping[str, Path]) -> None:
    """The report shows what `evaluate` computes from the files that were fetched."""
    scores = said(
        "evaluate", *(folder.path / f"{model}.parquet" for model in MODELS),
        "--labels", files["labels.parquet"], "--videos", folder.path / "videos.parquet",
    )  # fmt: skip
    expect(page.get_by_role("heading", name="A second look: round1")).to_be_visible()
    rows, gains = gain_table(scores), []
    assert {row["model"] for row in rows} == set(MODELS)
    for row in rows:
        shown = page.locator("table").first.get_by_role("row").filter(
            has=page.get_by_role("rowheader", name=row["model"], exact=True),
            has_text=row["metric"].replace("top", "top-"),
        )  # fmt: skip
        for score in (row["original"], row["real"]):
            words = f"{100 * score['rate']:.1f}%{score['count']} of {score['n']}"
            expect(shown.get_by_role("cell").filter(has_text=words).first).to_be_visible()
        expect(shown).to_contain_text(f"{row['gain']['points']:+.1f} points")
        gains.append(row["gain"]["points"])
    assert max(gains) > 0, "some mistakes were none"
