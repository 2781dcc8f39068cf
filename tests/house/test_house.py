"""The contracts of the house: file length and names, no torch below the wall, licences, generated pages, spec marks."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from secondlook import catalog
from tests.house import generated, spec_items

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FILES = sorted(p for folder in ("src", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
BELOW_THE_WALL = ("audit", "annotate", "reassess", "evaluate", "report")


def test_no_file_over_400_lines():
    too_long = {str(p): n for p in PYTHON_FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not too_long


def test_no_file_is_named_for_nothing():
    assert not [p for p in PYTHON_FILES if p.stem.strip("_") in {"utils", "helpers", "common", "misc", "manager"}]


@pytest.mark.parametrize("room", generated.ROOMS)
def test_every_room_has_a_test_folder(room):
    assert list((ROOT / "tests" / room).glob("test_*.py"))


def test_no_torch_below_the_wall():
    """Imports every file of the rooms below the wall, and of the hall, in one fresh process."""
    source = ROOT / "src" / "secondlook"
    modules = [f"secondlook.{p.stem}" for p in source.glob("[a-z]*.py")]
    modules += [f"secondlook.{room}.{p.stem}" for room in BELOW_THE_WALL for p in (source / room).glob("*.py")]
    modules = [m.removesuffix(".__init__") for m in modules]
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from secondlook.cli import build_app; build_app();"
        "heavy = {'torch', 'lightning', 'av', 'pyarrow', 'pandas', 'matplotlib', 'sklearn', 'sqlalchemy', 'scipy'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_front_door_opens():
    """Every goal of the Makefile runs a program of the environment; make has variables of its own, such as LINT."""
    command = ["make", "-n", "-C", str(ROOT), "--no-print-directory", "-o", ".venv/.installed"]
    done = subprocess.run(
        [*command, "lint", "demo", "spec", "docs", "bench"], capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert {line.split()[0] for line in done.stdout.splitlines()} == {
        ".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports", ".venv/bin/secondlook", ".venv/bin/python"
    }  # fmt: skip


def test_torchvision_is_not_installed():
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("torchvision")


def installed_for_users() -> set[str]:
    """Names of every distribution that installing secondlook brings, extras and CUDA libraries left out."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    open_names = ["secondlook"]
    while open_names:
        name = open_names.pop()
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # a requirement for another platform
            continue
        found.add(name)
        for text in requires:
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name.lower() not in {n.lower() for n in (*found, *open_names)}:
                open_names.append(requirement.name)
    return found - {"secondlook"}


def test_no_strong_copyleft_or_non_commercial_dependency():
    forbidden = re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|GNU (Affero )?General Public|non-?commercial|CC-?BY-?NC", re.I)
    names = installed_for_users()
    assert {"torch", "av", "lightning"} <= names
    for name in names:
        about = importlib.metadata.metadata(name)
        classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License")]
        stated = about.get("License-Expression") or " ".join(classifiers) or (about.get("License") or "")[:200]
        assert not forbidden.search(stated), f"{name}: {stated}"


@pytest.mark.parametrize("page", generated.GENERATED)
def test_generated_pages_are_current(page):
    current = (ROOT / page).read_text(encoding="utf-8")
    assert generated.renewed(page) == current, f"{page} is behind the code: run `make docs`"


@pytest.mark.parametrize("room", catalog.PLUGIN_ROOMS)
def test_every_plug_in_says_what_it_is(room):
    assert all(len(line) > 20 for line in catalog.describe(room).values())


def test_spec_marks_name_known_items():
    if not spec_items.ITEMS.is_file():
        pytest.skip("the specifications are not beside the project")
    known = spec_items.known_items()
    assert not [mark for mark in spec_items.marks() if mark[:2] not in known]


def test_make_spec_lists_what_no_test_holds(tmp_path):
    if not spec_items.ITEMS.is_file():
        pytest.skip("the specifications are not beside the project")
    command = [sys.executable, str(ROOT / "tests/house/spec_items.py"), "--only", "label-reassessment"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    held = {item for specification, item, _ in spec_items.marks() if specification == "label-reassessment"}
    assert all(line.startswith("label-reassessment\t") for line in lines[:-1])
    assert not held & {line.split("\t")[1] for line in lines[:-1]}
    assert lines[-1].startswith(f"{len(lines) - 1} of ")
    assert subprocess.run([*command[:-1], "no-such"], capture_output=True, check=False).returncode == 2
