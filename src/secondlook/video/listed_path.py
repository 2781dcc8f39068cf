"""Paths that a table or a list names: whether one stays inside its folder."""

from __future__ import annotations


def leaves_root(listed: str) -> bool:
    """Whether a listed path is absolute, climbs with "..", or cannot be a path at all (only read, never opened)."""
    parts = listed.replace("\\", "/").split("/")
    return not listed.strip() or parts[0] == "" or ".." in parts or "\0" in listed or parts[0].endswith(":")
