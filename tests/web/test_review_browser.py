"""The reviewer with the keyboard alone, and an owner's way from tables to a report, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from secondlook.annotate import review_queues, reviewing
from secondlook.annotate.intake import Answer, Verdict
from tests.web.conftest import CAMPAIGN, LiveServer
from tests.web.drawn_tables import draw_folder

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect


@pytest.fixture
def enter(browser: Browser, live_server: LiveServer) -> Iterator[Callable[[str], Page]]:
    """Signs a role in. No page may log an error: a breach of the content security policy is one."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def go(role: str) -> Page:
        context = browser.new_context()
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(live_server.entry(role))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{live_server.url}/")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not complaints


@pytest.mark.spec("label-reassessment", "R2")
@pytest.mark.spec("label-reassessment", "R3")
def test_a_reviewer_needs_no_mouse(enter: Callable[[str], Page], live_server: LiveServer) -> None:
    store = live_server.site.workplace.campaign(CAMPAIGN)
    ids = store.submit([Answer(t, who, {2: "yes"}) for t in (1, 2) for who in ("ann", "bob")])
    store.submit([Answer(3, "ann"), Answer(3, "bob", {3: "yes"})])
    page = enter("reviewer")
    page.goto(f"{live_server.url}/review/{CAMPAIGN}/next?queue=open")
    columns = page.locator("[data-answer]")
    expect(columns.nth(0)).to_be_focused()
    page.keyboard.press("a")
    expect(columns.nth(1)).to_be_focused()
    expect(page.locator("[data-words]").nth(0)).to_have_text("Approved")
    page.keyboard.press("s")  # without a verdict a mark is not kept, and the page says so
    expect(page.locator("[data-words]").nth(1)).to_contain_text("Say approve or reject")
    page.keyboard.press("r")
    expect(page.locator("[data-words]").nth(1)).to_have_text("Rejected")
    # Ann's blank answer to another task counts as rejected, by rule; which column is hers depends on the key.
    ann_first = reviewing.sheet(store, 1).answers[0].answer_id == ids[0]
    rates = ["50% (1 of 2)", "0% (0 of 1)"] if ann_first else ["100% (1 of 1)", "0% (0 of 2)"]
    expect(page.locator("[data-rate]")).to_have_text(rates)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(columns.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/task/2?queue=open")
    page.keyboard.press("a")
    page.keyboard.press("a")
    page.keyboard.press("Enter")  # waits until both are saved
    page.wait_for_url("**/task/3?queue=open")
    expect(page.locator('[data-state="blank"] input[value="false"]')).to_be_checked()
    page.keyboard.press("a")
    expect(page.locator("[data-left]")).to_have_text("All are judged")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=done")
    assert review_queues.count(store, "open") == 0
    assert review_queues.waiting(store, "second") == [1]
    verdicts = dict(zip(store.answers()["task_id"].to_pylist(), store.answers()["verdict"].to_pylist(), strict=True))
    assert verdicts[2] == "approved"


def test_on_a_phone_a_verdict_and_next_are_in_reach(browser: Browser, live_server: LiveServer) -> None:
    store = live_server.site.workplace.campaign(CAMPAIGN)
    store.submit([Answer(t, who, {2: "yes"}) for t in (1, 2) for who in ("ann", "bob")])
    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto(live_server.entry("reviewer"))
    page.get_by_role("button", name="Sign in").tap()
    page.wait_for_url(f"{live_server.url}/")
    page.goto(f"{live_server.url}/review/{CAMPAIGN}/next?queue=open")
    expect(page.locator("kbd:visible")).to_have_count(0)
    step = page.get_by_role("link", name="Next")
    expect(step).to_be_in_viewport(ratio=1)
    page.locator(".choice.yes").nth(1).scroll_into_view_if_needed()
    expect(step).to_be_in_viewport(ratio=1)
    page.locator(".choice.yes").nth(0).tap()
    page.locator(".choice.yes").nth(1).tap()
    expect(page.locator("[data-left]")).to_have_text("All are judged")
    step.tap()
    page.wait_for_url("**/task/2?queue=open")
    phone.close()


def test_an_owner_goes_from_tables_to_a_report(
    enter: Callable[[str], Page], live_server: LiveServer, tmp_path: Path, draw_video: Callable[..., Path]
) -> None:
    draw_folder(tmp_path, draw_video)
    (tmp_path / "fast.parquet").rename(tmp_path / "fast.elsewhere")
    page = enter("owner")
    page.goto(f"{live_server.url}/setup")
    sent = {"name": "fast.parquet", "mimeType": "", "buffer": (tmp_path / "fast.elsewhere").read_bytes()}
    page.locator("[data-file]").set_input_files([sent])  # type: ignore[list-item]
    with page.expect_navigation():
        page.get_by_role("button", name="Send", exact=True).click()
    for box in page.locator('input[name="predictions"]').all():
        box.check()
    page.locator("#top_k").fill("2")
    page.get_by_role("button", name="Look for videos").click()
    page.locator("#votes").fill("2")
    expect(page.locator("[data-estimate]")).to_contain_text("8 answers to 4 videos")
    page.locator("#name").fill("drawn")
    page.get_by_role("button", name="Make the campaign").click()
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#link")).to_have_value(f"{live_server.url}/join/" + page.locator("#link").input_value()[-43:])
    store = live_server.site.workplace.campaign("drawn")
    for task in store.tasks():
        ids = store.submit([Answer(task.task_id, who, {(task.given_label + 1) % 4: "yes"}) for who in ("ann", "bob")])
        store.judge([Verdict(answer, True, "rita") for answer in ids])
    page.goto(f"{live_server.url}/run/drawn")
    expect(page.locator("[data-agreement] [data-words]")).to_contain_text("Over 4 videos")
    page.get_by_role("link", name="Results").click()
    page.get_by_role("button", name="Reassess, evaluate, report").click()
    expect(page.locator(".gains")).to_contain_text("slow, top-1: 50.0 %", timeout=30_000)
    page.get_by_role("link", name="Open the report").click()
    expect(page).to_have_title("A second look: drawn")
    expect(page.locator("main")).to_be_visible()
