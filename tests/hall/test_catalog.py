"""The file name is the registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from secondlook import catalog
from secondlook.errors import UnknownName


@pytest.mark.parametrize("room", catalog.PLUGIN_ROOMS)
def test_every_plugin_has_a_first_line_and_none_begins_with_an_underscore(room):
    described = catalog.describe(room)
    assert list(described) == sorted(described) == list(catalog.names(room))
    assert not [name for name in described if name.startswith("_")]
    assert not [name for name, line in described.items() if not line.strip()]


def test_a_plugin_is_found_by_its_name():
    module = catalog.find("datasets", "folder")
    assert module.__name__ == "secondlook.datasets.folder"
    assert callable(module.read)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownName, match=r"dataset 'hmbd51' is not known. Did you mean 'hmdb51'"):
        catalog.find("datasets", "hmbd51")
    with pytest.raises(UnknownName, match=r"room 'dataset' is not known. Did you mean 'datasets'"):
        catalog.names("dataset")


@pytest.mark.parametrize("name", ["_listing", "../errors", "", "folder.py"])
def test_only_plugins_can_be_found(name):
    with pytest.raises(UnknownName):
        catalog.find("datasets", name)


def test_describing_imports_nothing_heavy():
    code = (
        "import sys; from secondlook import catalog; [catalog.describe(r) for r in catalog.PLUGIN_ROOMS]; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'av', 'pyarrow', 'secondlook.models')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
