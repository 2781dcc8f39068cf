"""Real clips of every kind play on the annotator's page, and their names stay hidden."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from tests.web.serving import serving

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.end_to_end.browsers import People, at_clip, join

REAL = ("test.avi", "S001C001P001R001A001_rgb.avi", "baseball.mp4")


@pytest.mark.real_data
@pytest.mark.timeout(200)
def test_real_clips_play(shared_data: Path, people: People, tmp_path: Path) -> None:
    """Whatever a camera wrote: what browsers do not play is made playable, and its name, which may tell, is hidden."""
    clips = [name for name in REAL if (shared_data / "clips" / name).is_file()]
    labels = LabelSpace.from_names(["Pouring [water]", "Juggling", "Waving"], "toy")
    with Workplace.create(tmp_path / "annotations") as workplace:
        tasks = [Task(f"clip {i}", name, i % 3, (0, 1, 2)) for i, name in enumerate(clips)]
        settings = Settings(votes=1, batch=len(clips), media_root=str(shared_data / "clips"))
        workplace.add(tasks, labels, settings=settings)
        link = workplace.accounts.invite("annotator", time.time())
    with serving(tmp_path) as server:
        page, _ = join(people, f"{server.url}/join/{link}", "Ada")
        page.get_by_role("link", name="Start").click()
        for place in range(1, len(clips) + 1):
            at_clip(page, place, len(clips))
            for _ in range(600):  # the page's policy allows no `eval`, so no `wait_for_function`
                if page.evaluate("document.querySelector('video:not([hidden])').currentTime > 0.2"):
                    break
                page.wait_for_timeout(50)
            else:
                raise AssertionError(f"clip {place} does not play")
            people.shot(page, f"real-{place}")
            html = page.content()
            assert not any(Path(name).stem in html for name in clips if name != "test.avi")
            page.keyboard.press("2")
            page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Nothing is left")).to_be_visible()
    assert people.complaints == []
