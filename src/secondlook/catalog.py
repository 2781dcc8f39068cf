"""The file name is the registry: find(room, name), describe(room), and did-you-mean."""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path

from secondlook.errors import UnknownName

PLUGIN_ROOMS = ("datasets", "layers", "heads", "models", "checkpoints", "explain", "audit", "reassess")
"""Rooms in which every file without a leading underscore is a plug-in of the room's one function."""

_HERE = Path(__file__).parent


def names(room: str) -> tuple[str, ...]:
    """Names of the plug-ins of a room: its files without a leading underscore, in alphabetical order."""
    if room not in PLUGIN_ROOMS:
        raise UnknownName("room", room, PLUGIN_ROOMS)
    return tuple(sorted(p.stem for p in (_HERE / room).glob("*.py") if not p.stem.startswith("_")))


def find(room: str, name: str) -> types.ModuleType:
    """The plug-in file `name` of a room, imported.

    Raises:
        UnknownName: with the nearest names, if the room has no such file.
    """
    known = names(room)
    if name not in known:
        raise UnknownName(room.rstrip("s"), name, known, f"`secondlook list {room}` shows all.")
    return importlib.import_module(f"secondlook.{room}.{name}")


def describe(room: str) -> dict[str, str]:
    """Name -> first line of the docstring, read without importing anything."""
    described = {}
    for name in names(room):
        docstring = ast.get_docstring(ast.parse((_HERE / room / f"{name}.py").read_text(encoding="utf-8")))
        described[name] = (docstring or "").split("\n")[0]
    return described
