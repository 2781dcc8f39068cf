"""A publisher's lists, read line by line (text, CSV, JSON); what is wrong is named with line and column."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secondlook.errors import BadValue, MissingFile

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "valid": "val",
    "test": "test",
    "testing": "test",
}
"""How publishers spell the three splits -> how the videos table does."""
_CHUNK = 1 << 16
_LONGEST = 1 << 20


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Place (`name, line 3`) and text of each line that is not blank.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if a line is not UTF-8.
    """
    if not path.is_file():
        raise MissingFile(path, "The dataset's publisher ships it; put it there.")
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            text = _decode(raw, path, number).rstrip("\r\n")
            if text.strip():
                yield f"{path.name}, line {number}", text


def _decode(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        rule = f"line {number} is not UTF-8 text (byte {error.start + 1} of the line)"
        raise BadValue(str(path), rule, "Save the file as UTF-8.") from None


def table(path: Path, required: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and fields of each line of a CSV file with a header.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if a required column is missing, a line has more or fewer fields than the header, or is not UTF-8.
    """
    if not path.is_file():
        raise MissingFile(path, f"It should be a CSV file with the columns {', '.join(required)}.")
    with path.open("rb") as file:
        reader = csv.reader((_decode(raw, path, n) for n, raw in enumerate(file, start=1)), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            for name in required:
                if name not in header:
                    raise BadValue(name, f"this column is missing from {path}", f"It has: {', '.join(header) or '-'}.")
            for fields in reader:
                if not fields:
                    continue
                place = f"{path.name}, line {reader.line_num}"
                if len(fields) != len(header):
                    rule = f"has {len(fields)} fields where the header has {len(header)}"
                    raise BadValue(place, rule, f"The columns are {', '.join(header)}.")
                yield place, {name: field.strip() for name, field in zip(header, fields, strict=True)}
        except csv.Error as error:
            raise BadValue(f"{path.name}, line {reader.line_num}", f"is not CSV ({error})", "Mend that line.") from None


def header(path: Path) -> list[str]:
    """Names of the columns of a CSV file; empty for an empty file."""
    first = next(lines(path), None)
    return [] if first is None else [name.strip() for name in next(csv.reader([first[1]]))]


def array(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (`name, entry 3`) and value of each object of a JSON array, without ever holding the whole array.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if the file is not a JSON array of objects, or not UTF-8.
    """
    if not path.is_file():
        raise MissingFile(path, "The dataset's publisher ships it; put it there.")
    decoder, number, rest = json.JSONDecoder(), 0, ""
    with path.open(encoding="utf-8-sig") as file:
        try:
            rest = _more(file, rest)
            if not rest.startswith("["):
                raise BadValue(str(path), "must be a JSON array of objects", "Give the publisher's own file.")
            rest = rest[1:]
            while True:
                rest = _more(file, rest)
                if rest.startswith("]"):
                    return
                value, rest = _next_value(decoder, file, rest)
                number += 1
                if not isinstance(value, dict):
                    raise BadValue(f"{path.name}, entry {number}", "must be an object", 'Such as {"id": "1"}.')
                yield f"{path.name}, entry {number}", value
                rest = _more(file, rest)
                if rest.startswith(","):
                    rest = rest[1:]
                elif not rest.startswith("]"):
                    raise ValueError("a comma or the closing bracket is missing")
        except UnicodeDecodeError:
            raise BadValue(str(path), "is not UTF-8 text", "Save the file as UTF-8.") from None
        except BadValue:
            raise
        except ValueError as error:
            rule = f"is not JSON after entry {number} ({error})"
            raise BadValue(str(path), rule, "The file may be cut short; fetch it again.") from None


def _more(file: Any, rest: str) -> str:
    """`rest` without leading white space, read on until something follows or the file ends."""
    rest = rest.lstrip()
    while not rest:
        chunk = file.read(_CHUNK)
        if not chunk:
            return ""
        rest = chunk.lstrip()
    return rest


def _next_value(decoder: json.JSONDecoder, file: Any, rest: str) -> tuple[Any, str]:
    while True:
        try:
            value, end = decoder.raw_decode(rest)
            return value, rest[end:]
        except json.JSONDecodeError:
            # An object may go on in the next chunk; malformed is what does not end within a megabyte.
            chunk = file.read(_CHUNK) if len(rest) < _LONGEST else ""
            if not chunk:
                raise
            rest += chunk


def whole(text: str, column: str, place: str, below: int | None = None) -> int:
    """A whole number of at least 0, and below `below` where given.

    Raises:
        BadValue: naming column and place.
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0 or (below is not None and number >= below):
        limit = "a whole number" if below is None else f"a whole number from 0 to {below - 1}"
        raise BadValue(text, f"column {column!r} of {place} must be {limit}")
    return number


def first_folder(root: Path, folders: Sequence[str], pattern: str) -> Path | None:
    """The first of `root/folder` that holds a file of this pattern."""
    for folder in folders:
        if next((root / folder).glob(pattern), None) is not None:
            return root / folder
    return None
