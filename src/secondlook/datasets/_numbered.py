"""Lists of clips with class numbers, as HMDB51 and UCF101 go round: `7 3 Class/file.avi`, `Class/file.avi 4`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from secondlook.datasets._annotations import lines, whole
from secondlook.errors import BadValue, UnknownName
from secondlook.tables import UNLABELLED
from secondlook.video.listed_path import leaves_root


def _parse(place: str, text: str) -> tuple[str, str, int]:
    """Class number as text (empty where there is none), path, and from where numbers count."""
    if "\t" in text:
        fields = text.split("\t")
        if len(fields) != 3:
            raise BadValue(text, f"{place} must be 'number class Class/file.avi', separated by tabs")
        return fields[1].strip(), fields[2].strip(), 0
    file, _, number = text.strip().rpartition(" ")
    return (number, file.strip(), 1) if file and number.isdigit() else ("", text.strip(), 1)


def _folder(file: str, place: str) -> str:
    folder, slash, _ = file.partition("/")
    if not slash:
        raise BadValue(file, f"{place} must name a clip as 'Class/file.avi'")
    return folder


def class_order(mapping: Path, lists: Sequence[Path]) -> list[str]:
    """Class names in index order: from the publisher's file of classes, else from the lists themselves.

    In the lists the class is the folder; where lists give no class numbers from 0, classes are in alphabetical order.

    Raises:
        BadValue: if a number or a name is there twice, or numbers have a gap.
    """
    name_of: dict[int, str] = {}
    if mapping.is_file():
        for place, text in lines(mapping):
            number, _, name = text.strip().replace("\t", " ").partition(" ")
            index = whole(number, "class number", place)
            if name_of.setdefault(index, name.strip()) != name.strip():
                raise BadValue(index, f"{place} gives this class number a second name", f"It was {name_of[index]!r}.")
        first = min(name_of, default=0)
        return _without_gaps({index - first: name for index, name in name_of.items()}, mapping.name)
    seen: set[str] = set()
    for path in lists:
        if not path.is_file():
            continue
        for place, text in lines(path):
            number, file, start = _parse(place, text)
            if leaves_root(file):
                continue
            folder = _folder(file, place)
            seen.add(folder)
            if number and start == 0:
                index = whole(number, "class", place)
                if name_of.setdefault(index, folder) != folder:
                    rule = f"{place} says class {index}, which is {name_of[index]!r} in the lines before"
                    raise BadValue(file, rule, "Mend the list, or fetch it again.")
    return _without_gaps(name_of, "the lists") if name_of else sorted(seen)


def _without_gaps(name_of: dict[int, str], where: str) -> list[str]:
    missing = [index for index in range(len(name_of)) if index not in name_of]
    if missing:
        raise BadValue(missing[0], f"{where} should name a class with this number", "Number classes without gaps.")
    return [name_of[index] for index in range(len(name_of))]


def numbered_clips(path: Path, names: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """Place, label and listed path of each clip; a class number, where given, must be that of the clip's folder.

    Raises:
        MissingFile: if there is no such list.
        BadValue: if a line is malformed or its class number is another class.
        UnknownName: if a folder is not a class.
    """
    index_of = {name: index for index, name in enumerate(names)}
    for place, text in lines(path):
        number, file, start = _parse(place, text)
        way_out = leaves_root(file)  # becomes a row that is refused later
        folder = file.split("/")[0] if way_out else _folder(file, place)
        if number:
            label = whole(number, "class", place) - start
            if not 0 <= label < len(names):
                raise BadValue(number, f"{place} has a class number outside {start} to {len(names) - 1 + start}")
            if not way_out and names[label] != folder:
                raise BadValue(file, f"{place} says class {number}, which is {names[label]!r}", "Mend the list.")
        elif folder in index_of:
            label = index_of[folder]
        elif way_out:
            label = UNLABELLED
        else:
            raise UnknownName("class folder", folder, names, f"It stands in {place}.")
        yield place, label, file
