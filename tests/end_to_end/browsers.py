"""A browser for each person of a story: what every page complains about is heard, and pictures are kept if wanted."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@dataclass
class People:
    """Opens a browser for each person, and hears every complaint of every page."""

    browser: Browser
    complaints: list[str] = field(default_factory=list)
    opened: list[BrowserContext] = field(default_factory=list)
    shots: int = 0

    def page(self, **device: Any) -> Page:
        """A page of a browser that nobody has used."""
        context = self.browser.new_context(**(device or DESKTOP))
        context.set_default_timeout(15_000)
        self.opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._hear(message.type, f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: self._hear("error", f"{page.url}: {error}"))
        page.on("response", lambda answer: self._hear("error" if answer.status >= 400 else "", answer.url))
        return page

    def _hear(self, kind: str, words: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(words)

    def shot(self, page: Page, name: str) -> None:
        """Keeps a picture of a page, if pictures are asked for."""
        kept = os.environ.get("SECONDLOOK_SHOTS")
        if kept:
            self.shots += 1
            page.screenshot(path=f"{kept}/{self.shots:02}-{name}.png", full_page="whole" in name)

    def close(self) -> None:
        """Closes them all."""
        for context in self.opened:
            context.close()


def join(people: People, link: str, nickname: str, **device: Any) -> tuple[Page, str]:
    """Takes an invitation up; gives the first page, and the personal sign-in link."""
    page = people.page(**device)
    page.goto(link)
    people.shot(page, f"invited-{nickname}")
    page.get_by_label("Nickname").fill(nickname)
    page.get_by_role("button", name="Join").click()
    entry = page.get_by_label("Your personal sign-in link").input_value()
    people.shot(page, f"joined-{nickname}")
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_role("heading", name=f"Hello, {nickname}")).to_be_visible()
    people.shot(page, f"home-{nickname}")
    return page, entry


def at_clip(page: Page, place: int, size: int) -> None:
    """The page shows this clip of the batch."""
    expect(page.locator("[data-counter]")).to_have_text(f"Clip {place} of {size}")
