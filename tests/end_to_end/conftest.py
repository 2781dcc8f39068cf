"""Real browsers for the stories; tests that need one are skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.end_to_end.browsers import People


@pytest.fixture
def people(browser: Browser) -> Iterator[People]:
    from tests.end_to_end.browsers import People

    crowd = People(browser)
    yield crowd
    crowd.close()
