"""What every code base's layout promises: it knows its own files, and no other's."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import tests.checkpoints
from secondlook import catalog
from secondlook.predict.published import layout_of

FILES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {}
"""Case -> (layout, name -> shape), gathered from `FILES` of each `layouts_*.py` beside this file."""
for found in pkgutil.iter_modules(tests.checkpoints.__path__):
    if found.name.startswith("layouts_"):
        FILES |= importlib.import_module(f"tests.checkpoints.{found.name}").FILES


def test_every_layout_has_a_file_to_know() -> None:
    assert {source for source, _ in FILES.values()} == set(catalog.names("checkpoints")) - {"secondlook_run"}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_known_by_its_own_layout_only(case: str) -> None:
    source, shapes = FILES[case]
    assert [name for name in catalog.names("checkpoints") if layout_of(name).recognise(shapes)] == [source]


@pytest.mark.parametrize("name", catalog.names("checkpoints"))
def test_words(name: str) -> None:
    layout = layout_of(name)
    assert layout.about
    assert not layout.recognise({"strange": (1,)})
