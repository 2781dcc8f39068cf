"""LabelSpace: the classes of a dataset, in index order, with synonyms and coarse groups."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from secondlook.errors import BadValue, MissingFile, UnknownName


@dataclass(frozen=True)
class Label:
    """One class."""

    name: str
    """The class as its publisher writes it, brackets included."""
    group: str = ""
    """The coarse group it belongs to; empty where the dataset has none."""
    synonyms: tuple[str, ...] = ()
    """Other spellings that mean this class."""

    @property
    def plain(self) -> str:
        """The name without brackets: "Moving [something] up" -> "Moving something up"."""
        return re.sub(r"[\[\]{}]", "", self.name)


@dataclass(frozen=True)
class LabelSpace:
    """Classes in index order; index `i` is column `i` of every logits matrix.

    Raises:
        BadValue: if two classes, or a class and a synonym, read the same after `normalise`.
    """

    labels: tuple[Label, ...]
    name: str = ""
    directional: bool = False
    """True where a mirrored clip has another class (left/right); such clips are never flipped without swapping."""
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        for i, label in enumerate(self.labels):
            for text in (label.name, *label.synonyms):
                key = normalise(text)
                if not key:
                    raise BadValue(text, "a label needs at least one letter or digit")
                if index.setdefault(key, i) != i:
                    other = self.labels[index[key]].name
                    raise BadValue(text, f"reads the same as label {other!r}", "Rename or drop one of the two.")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The class names in index order."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The coarse groups, in order of first appearance."""
        return tuple(dict.fromkeys(label.group for label in self.labels if label.group))

    def index_of(self, text: str) -> int:
        """Index of a class by its name or a synonym; case, brackets and spacing do not matter.

        Raises:
            UnknownName: if no class reads so.
        """
        try:
            return self._index[normalise(text)]
        except KeyError:
            raise UnknownName("label", text, self.names) from None

    def members(self, group: str) -> tuple[int, ...]:
        """Indices of the classes in a coarse group.

        Raises:
            UnknownName: if there is no such group.
        """
        found = tuple(i for i, label in enumerate(self.labels) if label.group == group)
        if not found:
            raise UnknownName("coarse group", group, self.groups)
        return found

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return {
            "name": self.name,
            "directional": self.directional,
            "labels": [
                {"name": x.name}
                | ({"group": x.group} if x.group else {})
                | ({"synonyms": list(x.synonyms)} if x.synonyms else {})
                for x in self.labels
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelSpace:
        """Reads what `to_dict` wrote."""
        labels = tuple(Label(x["name"], x.get("group", ""), tuple(x.get("synonyms", ()))) for x in data["labels"])
        return cls(labels, data.get("name", ""), bool(data.get("directional", False)))

    @classmethod
    def from_names(cls, names: Iterable[str], name: str = "", directional: bool = False) -> LabelSpace:
        """A space without groups from class names in index order."""
        return cls(tuple(Label(n) for n in names), name, directional)

    def with_groups(self, group_of: Mapping[str, str]) -> LabelSpace:
        """The same classes with coarse groups; every class must have exactly one.

        Raises:
            UnknownName: if the map names a class that is not here.
            BadValue: if a class has no group, or two spellings of it give it two.
        """
        found: dict[int, str] = {}
        for text, group in group_of.items():
            i = self.index_of(text)
            if found.setdefault(i, group) != group:
                raise BadValue(self.names[i], f"is in two groups, {found[i]!r} and {group!r}", "Keep one.")
        missing = [n for i, n in enumerate(self.names) if i not in found]
        if missing:
            raise BadValue(missing[0], f"has no coarse group ({len(missing)} such labels)", "Give every label a group.")
        labels = tuple(Label(x.name, found[i], x.synonyms) for i, x in enumerate(self.labels))
        return LabelSpace(labels, self.name, self.directional)


def normalise(text: str) -> str:
    """Folds case, drops brackets and punctuation, joins white space: "[Something] up" and "something up" are one."""
    return " ".join(re.sub(r"[\[\]{}()\"'.,;:!?_]", " ", text).casefold().split())


def load(path: str | Path) -> LabelSpace:
    """Reads a label space from JSON or CSV.

    JSON: what `LabelSpace.to_dict` gives, a list of names, or `{name: index}` (the Something-Something form).
    CSV or text: one class a line in index order (commas and all), or `index,name`, or `index,name,group`; before
    these two a header line may come.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if the file is malformed, indices are not 0..n-1, or two classes read the same.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Give a JSON or CSV file of labels.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadValue(str(path), "is not UTF-8 text", "Save the file as UTF-8.") from None
    if path.suffix.lower() != ".json":
        return _from_csv(text, path)
    try:
        data = json.loads(text)
        if isinstance(data, dict) and "labels" in data:
            return LabelSpace.from_dict(data)
        if isinstance(data, list):
            return LabelSpace.from_names([str(x) for x in data], path.stem)
        return _from_indexed([(int(i), name, "") for name, i in data.items()], path)
    except json.JSONDecodeError as error:
        raise BadValue(str(path), f"is not JSON ({error})") from None
    except BadValue:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        cure = "Give a list of names, or an object of name and index."
        raise BadValue(str(path), "is JSON, but not a label set", cure) from None


def _from_csv(text: str, path: Path) -> LabelSpace:
    import csv

    reader = csv.reader(text.splitlines())
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    indexed = [len(row) > 1 and row[0].strip().isdigit() for _, row in rows[:2]]
    if not any(indexed):
        return LabelSpace.from_names([",".join(row).strip() for _, row in rows], path.stem)
    found = []
    for line, row in rows if indexed[0] else rows[1:]:
        if len(row) < 2 or not row[0].strip().isdigit():
            rule = f"line {line} of {path.name} must be 'index,name' or 'index,name,group'"
            raise BadValue(",".join(row), rule, "Number every label, or none.")
        found.append((int(row[0]), row[1].strip(), row[2].strip() if len(row) > 2 else ""))
    return _from_indexed(found, path)


def _from_indexed(rows: Sequence[tuple[int, str, str]], path: Path) -> LabelSpace:
    ordered = sorted(rows)
    for expected, (index, name, _) in enumerate(ordered):
        if index != expected:
            raise BadValue(
                index, f"label {name!r} of {path.name} should have index {expected}", "Number labels 0..n-1."
            )
    return LabelSpace(tuple(Label(name, group) for _, name, group in ordered), path.stem)
