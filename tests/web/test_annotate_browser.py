"""The annotator's page in a real browser: with the mouse, with the keyboard alone, on a phone; reload and kill."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.video.proxy import frame_times_s
from tests.web import annotate_site
from tests.web.annotate_site import LABELS, OPTIONS, SERVER
from tests.web.conftest import LiveServer

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIDEO = "document.querySelector('video:not([hidden])')"
RIGHTMOST = """Math.max(...[...document.querySelectorAll("main *")].filter(e => !e.closest("ul, select")).map(
    e => e.getBoundingClientRect().right))"""
NO_CONNECTION = "ERR_(CONNECTION|INTERNET|FAILED|EMPTY|CONTENT_LENGTH)"


@pytest.fixture
def store(workplace: Workplace, clips: Path) -> Store:
    """Four clips a batch, six in all; beside the campaign that the workplace has already."""
    return annotate_site.add(workplace, clips)


Enter = Callable[..., Page]


@pytest.fixture
def enter(browser: Browser) -> Iterator[Enter]:
    """`enter(link, name)`: the annotator's page, signed in. No page may log an error: a breach of the policy is one."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def go(link: str, campaign: str = annotate_site.NAME, allowed: str = "", **device: Any) -> Page:
        context = browser.new_context(**device)
        context.set_default_timeout(6000)
        opened.append(context)
        page = context.new_page()

        def hear(message: Any) -> None:
            if message.type == "error" and not (allowed and re.search(allowed, message.text)):
                complaints.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.goto(re.sub("/enter/.*", f"/annotate/{campaign}", link))
        return page

    yield go
    for context in opened:
        context.close()
    assert complaints == []


def option(page: Page, place: int, rating: str) -> Locator:
    return page.locator("[data-option]").nth(place).get_by_role("button", name=rating, exact=True)


def has_final(page: Page, *rows: str) -> None:
    """The list of final labels shows exactly these, each with its rating."""
    expect(page.locator("[data-final] > li")).to_have_count(len(rows))
    for i, row in enumerate(rows):
        expect(page.locator("[data-final] > li").nth(i)).to_contain_text(row)


def saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text("Saved", timeout=20_000)


def at_clip(page: Page, place: int) -> None:
    expect(page.locator("[data-counter]")).to_have_text(f"Clip {place} of 4")


def until(page: Page, condition: str) -> None:
    """Waits for a condition on the page; `wait_for_function` cannot, because the page's policy allows no `eval`."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(condition)


Said = tuple[list[tuple[int, str]], bool, bool, bool]


def given(store: Store, person: str) -> list[Said]:
    """What a person answered, of every task: choices, no match, review, unsuitable."""
    found = [store.answer_of(person, task.task_id) for task in store.tasks()]
    return sorted((sorted(a.choices.items()), a.no_match, a.review, a.unsuitable) for a in found if a is not None)


@pytest.mark.spec("label-reassessment", "A1")
@pytest.mark.spec("label-reassessment", "A2")
@pytest.mark.spec("label-reassessment", "A3")
@pytest.mark.spec("label-reassessment", "A4")
def test_mouse(live_server: LiveServer, store: Store, enter: Enter) -> None:
    page = enter(live_server.entry("annotator"))
    at_clip(page, 1)
    expect(page.locator("video").first).to_be_visible()
    until(page, f"{VIDEO}.currentTime > 0")

    # Yes, Maybe, changed to the other, pressed again, taken away: the list follows.
    has_final(page)
    option(page, 0, "Yes").click()
    option(page, 2, "Yes").click()
    option(page, 2, "Maybe").click()
    has_final(page, LABELS.names[4] + "Yes", LABELS.names[5] + "Maybe")
    expect(option(page, 2, "Yes")).to_have_attribute("aria-pressed", "false")
    option(page, 0, "Yes").click()
    has_final(page, LABELS.names[5] + "Maybe")
    page.get_by_role("button", name=f"Remove {LABELS.names[5]}").click()
    has_final(page)

    # Coarse, then fine: the fine list holds the group's labels and no other.
    fine = page.get_by_role("combobox", name="Fine description")
    expect(fine).to_be_disabled()
    for group, texts in list(annotate_site.GROUPS.items())[:2]:
        page.get_by_role("combobox", name="Coarse description").select_option(label=group)
        assert fine.locator("option").all_inner_texts()[1:] == list(texts)
    fine.select_option(label="Poking a hole into [something soft]")
    page.get_by_role("group", name="Add the fine description").get_by_role("button", name="Maybe").click()
    has_final(page, "Poking a hole into [something soft]Maybe")

    # None fits takes the labels away, undo brings them back, a label takes "none fits" away.
    none_fits = page.get_by_role("button", name="None fits")
    none_fits.click()
    has_final(page, "None fits")
    page.get_by_role("button", name="Undo").click()
    has_final(page, "Poking a hole into [something soft]Maybe")
    none_fits.click()
    option(page, 1, "Yes").click()
    has_final(page, LABELS.names[7] + "Yes")
    page.get_by_role("button", name="Mark for review").click()
    has_final(page, LABELS.names[7] + "Yes", "Marked for review")

    # Next, Previous, a change, and on: everything stays.
    following = page.get_by_role("button", name="Next")
    following.click()
    at_clip(page, 2)
    has_final(page)
    following.click()
    expect(page.locator("[data-hint]")).to_contain_text("Nothing is chosen yet")
    option(page, 3, "Maybe").click()
    page.get_by_role("button", name="Previous").click()
    at_clip(page, 1)
    has_final(page, LABELS.names[7] + "Yes", "Marked for review")
    option(page, 1, "Maybe").click()
    following.click()
    at_clip(page, 2)
    has_final(page, LABELS.names[2] + "Maybe")
    following.click()
    at_clip(page, 3)
    none_fits.click()
    page.get_by_role("button", name="Quit").click()
    expect(page.get_by_role("heading", name="Goodbye")).to_be_focused()
    expect(page.locator("[data-section=goodbye]")).to_contain_text("at clip 3 of 4")
    page.get_by_role("button", name="Go on").click()
    has_final(page, "None fits")
    following.click()
    at_clip(page, 4)
    page.get_by_role("button", name="Unsuitable clip").click()
    following.click()
    expect(page.get_by_role("heading", name="This batch is done")).to_be_focused()
    page.get_by_role("button", name="Take another batch").click()
    expect(page.locator("[data-counter]")).to_have_text("Clip 1 of 2")

    assert given(store, live_server.site.person("annotator")[0].person) == [
        ([], False, False, True),
        ([], True, False, False),
        ([(2, "maybe")], False, False, False),
        ([(7, "maybe")], False, True, False),
    ]


@pytest.mark.spec("label-reassessment", "A1")
@pytest.mark.spec("label-reassessment", "A4")
def test_keyboard_alone(live_server: LiveServer, store: Store, enter: Enter, clips: Path) -> None:
    page = enter(live_server.entry("annotator"), reduced_motion="reduce")
    press = page.keyboard.press
    at_clip(page, 1)
    until(page, f"{VIDEO}.readyState >= 2")
    assert page.evaluate(f"{VIDEO}.paused"), "less motion was asked for"
    press("Space")
    until(page, f"!{VIDEO}.paused")
    press("Space")

    # A step is one frame, at the frame's own time.
    press(".")
    expect(page.locator("[data-time]")).to_contain_text("frame")
    press(",")
    person = live_server.site.person("annotator")[0].person
    dealt = store.deal(person, time.time())
    assert dealt is not None
    times_s = frame_times_s(clips / dealt.task.path)
    for _ in range(2):
        label = page.locator("[data-time]").inner_text()
        at = int(re.findall(r"\d+", label)[0]) - 1
        until(page, f"!{VIDEO}.seeking")
        shown_s = page.evaluate(f"{VIDEO}.currentTime")
        after_s = times_s[at + 1] if at + 1 < len(times_s) else times_s[at] + 1
        assert times_s[at] < shown_s < after_s
        assert label == f"frame {at + 1} of {len(times_s)}"
        press(".")
        expect(page.locator("[data-time]")).to_have_text(f"frame {(at + 1) % len(times_s) + 1} of {len(times_s)}")
    press("[")
    press("-")
    assert page.evaluate(f"{VIDEO}.playbackRate") == 0.5

    press("1")
    press("Shift+Digit3")
    press("j")
    press("ArrowDown")
    press("j")
    press("j")
    press("m")
    has_final(page, LABELS.names[4] + "Yes", LABELS.names[5] + "Maybe", LABELS.names[2] + "Maybe")
    press("z")
    press("1")
    has_final(page, LABELS.names[5] + "Maybe")

    # Search: case and accents do not matter; those that start with the words come first.
    press("/")
    page.keyboard.type("POKING")
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_text(
        ["Poking a hole into [something soft]", "Poking a stack of [something]"]
    )
    press("Control+a")
    page.keyboard.type("creme")
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_text(["Café crème being shown"])
    press("Control+a")
    page.keyboard.type("poki")
    press("ArrowDown")
    press("Shift+Enter")
    has_final(page, LABELS.names[4] + "Maybe", LABELS.names[5] + "Maybe")
    press("Escape")

    press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("n")
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    press("r")
    press("Enter")
    at_clip(page, 2)
    assert page.evaluate(f"{VIDEO}.playbackRate") == 0.5
    press("n")
    press("Backspace")
    at_clip(page, 1)
    has_final(page, LABELS.names[4] + "Maybe", LABELS.names[5] + "Maybe", "Marked for review")
    press("Enter")
    at_clip(page, 2)
    has_final(page, "None fits")
    press("u")
    press("Enter")
    at_clip(page, 3)
    assert given(store, person) == [
        ([], True, False, True),
        ([(4, "maybe"), (5, "maybe")], False, True, False),
    ]


def test_phone(live_server: LiveServer, store: Store, enter: Enter) -> None:
    page = enter(live_server.entry("annotator"), **PHONE)
    at_clip(page, 1)
    page.locator("[data-option] .text").nth(1).tap()
    option(page, 3, "Maybe").tap()
    has_final(page, LABELS.names[7] + "Yes", LABELS.names[2] + "Maybe")
    page.locator("[data-option]").nth(4).evaluate("row => row.scrollIntoView({ block: 'center' })")
    expect(page.locator("video").first).to_be_in_viewport(ratio=0.95)
    expect(page.locator("[data-final]")).to_be_in_viewport()
    expect(option(page, 4, "Yes")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Next")).to_be_in_viewport(ratio=1)
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44, button.inner_text()
    for width, height in ((390, 844), (320, 568), (195, 422)):  # the last: the phone with everything twice as large
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(RIGHTMOST) <= width + 0.5, f"wider than {width} pixels"
    page.get_by_role("button", name="Next").tap()
    at_clip(page, 2)


def test_clip_that_cannot_be_shown(live_server: LiveServer, store: Store, enter: Enter) -> None:
    page = enter(live_server.entry("annotator"), "nowhere", allowed="Failed to load resource")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.route("**/media/**/*.mp4", lambda route: route.abort())
    page.goto(f"{live_server.url}/annotate/{annotate_site.NAME}")
    page.get_by_role("button", name="I cannot see it").click()
    has_final(page, "Marked for review", "Unsuitable clip")
    page.get_by_role("button", name="Next").click()
    at_clip(page, 2)
    assert given(store, live_server.site.person("annotator")[0].person) == [([], False, True, True)]


@pytest.fixture
def start(workplace: Workplace) -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """`start(port)`: a server in a process of its own, that can be killed."""
    started: list[subprocess.Popen[bytes]] = []

    def go(port: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(workplace.folder), str(port)])
        started.append(process)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        raise AssertionError("the server did not come up")

    yield go
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.spec("label-reassessment", "A6")
def test_reload_and_kill_lose_nothing(
    workplace: Workplace, store: Store, enter: Enter, start: Callable[[int], subprocess.Popen[bytes]]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    account, entry = workplace.accounts.accept(workplace.accounts.invite("annotator", time.time()), "Ada", time.time())
    server = start(port)
    link = f"http://127.0.0.1:{port}/enter/{entry}"
    page = enter(link, allowed=NO_CONNECTION)
    at_clip(page, 1)
    option(page, 0, "Yes").click()
    page.reload()  # at once: the draft is sent while the page is left
    has_final(page, LABELS.names[4] + "Yes")
    saved(page)

    server.send_signal(signal.SIGKILL)
    server.wait()
    option(page, 2, "Maybe").click()
    expect(page.locator("[data-saved]")).to_have_text("Not saved, trying again")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("[data-hint]")).to_contain_text("Not sent yet")
    option(page, 3, "Yes").click()  # a change of mind: nothing is given, the clip stays
    task = store.deal(account.person, time.time())
    assert task is not None
    kept = store.draft(account.person, task.task.task_id)
    assert kept is not None
    assert dict(kept.choices) == {OPTIONS[0]: "yes"}, "acknowledged before the kill"

    start(port)
    saved(page)
    rows = (LABELS.names[4] + "Yes", LABELS.names[5] + "Maybe", LABELS.names[2] + "Yes")
    has_final(page, *rows)
    elsewhere = enter(link, allowed=NO_CONNECTION)  # another device, which has nothing but what the server kept
    has_final(elsewhere, *rows)
    assert given(store, account.person) == []
    elsewhere.context.set_offline(True)
    elsewhere.get_by_role("button", name="Next").click()
    expect(elsewhere.locator("[data-hint]")).to_contain_text("Not sent yet")
    elsewhere.context.set_offline(False)
    at_clip(elsewhere, 2)
    assert given(store, account.person) == [([(2, "yes"), (4, "yes"), (5, "maybe")], False, False, False)]
