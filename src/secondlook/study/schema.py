"""A study's file: one table of experiments, its rows, what was printed of them and how to run them here.

Every key is checked; an unknown one is an error that names the nearest. See `docs/how-to/study.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.study.options import PREDICT_OPTIONS, TRAIN_OPTIONS

STUDIES = Path(__file__).parent.parent / "studies"
COLUMNS = {
    "top1": "top-1 (%)", "top3": "top-3 (%)", "top5": "top-5 (%)", "params_m": "params (M)", "gmac": "GMAC a view",
    "views": "views", "input": "input", "pre_training": "pre-training", "gmac_pre_training": "GMAC",
}  # fmt: skip
"""What a printed number may be called without the study saying what it means."""
SETS = ("drawn", "drawn-speed", "drawn-labels", "egogestar", "tennis7")
"""Sets that a tiny study may name: drawn by code into its folder, or real clips given by `--data NAME=FOLDER`."""

Printed = float | str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where the table stands."""

    document: str
    """Specification, by its file's name without ending."""
    table: str
    section: str = ""


class Variant(_Strict):
    """What a row changes at toy scale, or why it does not run there."""

    train: dict[str, Any] = Field(default_factory=dict)
    predict: dict[str, Any] = Field(default_factory=dict)
    sets: list[str] = Field(default_factory=list)
    """Sets that it runs on; all of the study when empty."""
    skip: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        _options(self.train, self.predict)
        return self


class Row(_Strict):
    """One row of the table."""

    name: str
    label: str = ""
    """As the table names it; the name when left out."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Options of `secondlook train` beside the study's; `row:NAME` stands for the run of another row."""
    predict: dict[str, Any] = Field(default_factory=dict)
    uses: str = ""
    """The row whose run is predicted with other views; this one trains nothing."""
    fuse: list[str] = Field(default_factory=list)
    """Rows whose predictions are averaged; this one trains nothing."""
    printed: dict[str, Printed] = Field(default_factory=dict)
    pair: str = ""
    """The row without what this one adds: the two are drawn as a pair."""
    literature: bool = False
    """Somebody else's published number: shown, never run."""
    note: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        _options(self.train, self.predict)
        return self

    @property
    def title(self) -> str:
        """What tables show."""
        return self.label or self.name


class Claim(_Strict):
    """A sentence of the source that two rows can be held against."""

    name: str
    says: str
    better: str = ""
    than: str = ""
    at_least: bool = False
    """Being as good as the other row is enough."""
    metric: str = "top1"
    untestable: str = ""
    """Why nothing here can tell."""


class Needs(_Strict):
    """What the table at its own scale needs."""

    datasets: list[str] = Field(default_factory=list)
    weights: list[str] = Field(default_factory=list)
    modalities: list[str] = Field(default_factory=lambda: ["rgb"])
    gpu: bool = True


class Tiny(_Strict):
    """The same rows at toy scale."""

    data: list[str] = Field(default_factory=lambda: ["drawn", "egogestar"])
    train: dict[str, Any] = Field(default_factory=dict)
    predict: dict[str, Any] = Field(default_factory=dict)
    rows: dict[str, Variant] = Field(default_factory=dict)
    seeds: list[int] = Field(default_factory=lambda: [0, 1, 2])
    skip: str = ""
    """Why no row runs at toy scale."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.data:
            if name not in SETS:
                raise UnknownName("set of a tiny study", name, SETS)
        _options(self.train, self.predict)
        return self


class Study(_Strict):
    """One table of experiments."""

    name: str
    title: str
    source: Source
    dataset: str
    splits: list[str] = Field(default_factory=lambda: ["1"])
    protocol: str = ""
    classes: int = 0
    """Classes of the dataset, to count parameters with."""
    train: dict[str, Any] = Field(default_factory=dict)
    predict: dict[str, Any] = Field(default_factory=dict)
    metrics: list[str] = Field(default_factory=lambda: ["top1", "top3"])
    columns: dict[str, str] = Field(default_factory=dict)
    """Meaning of further keys of `printed`."""
    baseline: str = ""
    """Row that the others are compared with."""
    hypotheses: list[str] = Field(default_factory=list)
    """What the source concludes from the table, in sentences."""
    claims: list[Claim] = Field(default_factory=list)
    """The same as differences between two rows, to be tested."""
    rows: list[Row]
    needs: Needs = Field(default_factory=Needs)
    tiny: Tiny = Field(default_factory=Tiny)
    errata: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _options(self.train, self.predict)
        names = [row.name for row in self.rows]
        for name in {n for n in names if names.count(n) > 1}:
            raise BadValue(name, "names two rows", "Give each row a name of its own.")
        for kind, used in (("baseline", [self.baseline] if self.baseline else []), ("row of tiny", self.tiny.rows)):
            for name in used:
                if name not in names:
                    raise UnknownName(f"{kind}", name, names)
        for claim in self.claims:
            for name in () if claim.untestable else (claim.better, claim.than):
                if name not in names:
                    raise UnknownName(f"row of claim {claim.name},", name, names)
        for row in self.rows:
            for name in [*row.fuse, *filter(None, (row.uses, row.pair)), *referred(row.train)]:
                if name not in names:
                    raise UnknownName(f"row that {row.name} is made from,", name, names)
            for column in row.printed:
                if column not in COLUMNS and column not in self.columns:
                    raise UnknownName(f"printed column of {row.name},", column, [*COLUMNS, *self.columns])
        return self

    def row(self, name: str) -> Row:
        """The row of a name.

        Raises:
            UnknownName: with the nearest names, if there is none.
        """
        by_name = {row.name: row for row in self.rows}
        if name not in by_name:
            raise UnknownName("row", name, by_name, f"`secondlook study show {self.name}` shows all.")
        return by_name[name]

    @property
    def run_rows(self) -> list[Row]:
        """Rows that are trained, predicted or fused: all but the literature's."""
        return [row for row in self.rows if not row.literature]

    @property
    def printed_columns(self) -> dict[str, str]:
        """Columns that some row has, in order, with their headings."""
        meaning = {**COLUMNS, **self.columns}
        used = {column for row in self.rows for column in row.printed}
        return {column: heading for column, heading in meaning.items() if column in used}


def referred(options: Mapping[str, Any]) -> list[str]:
    """Rows that options name as `row:NAME`, or `row:NAME@SET`."""
    return [
        v.removeprefix("row:").partition("@")[0]
        for v in options.values()
        if isinstance(v, str) and v.startswith("row:")
    ]


def names() -> tuple[str, ...]:
    """Names of all studies, in alphabetical order."""
    return tuple(sorted(path.stem for path in STUDIES.glob("*.yaml")))


def load(name: str) -> Study:
    """A study by its name, or by the path of its file.

    Raises:
        UnknownName: if there is no such study, or a key, row or option in it is not known; with the nearest ones.
        BadValue: if the file is no YAML, or a value does not fit.
        MissingFile: if a path was given and nothing is there.
    """
    if not name.endswith((".yaml", ".yml")):
        if name not in names():
            raise UnknownName("study", name, names(), "`secondlook study list` shows all.")
        return _load(STUDIES / f"{name}.yaml")
    path = Path(name)
    if not path.is_file():
        raise MissingFile(path, "Give the name of a study, or a YAML file.")
    return read(path.read_text(encoding="utf-8"), path.name)


@cache
def _load(path: Path) -> Study:
    study = read(path.read_text(encoding="utf-8"), path.name)
    if study.name != path.stem:
        raise BadValue(study.name, f"is not the name of its file, {path.name}", "Make them the same.")
    return study


def read(text: str, where: str = "study") -> Study:
    """A study from the text of its file; raises as `load` does."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BadValue(f"{where}{line}", f"is not YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(found, dict):
        raise BadValue(where, "a study is a mapping: name, title, source, rows, ...")
    try:
        return Study.model_validate(found)
    except ValidationError as error:
        raise _in_words(error, where) from None


def _in_words(error: ValidationError, where: str) -> BadValue | UnknownName:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    at = f"{where}: {'.'.join(place)}" if place else where
    if first["type"] == "extra_forbidden":
        return UnknownName(f"{at.removesuffix(place[-1]).rstrip('.')}: key", place[-1], _keys(place[:-1]))
    if first["type"] == "missing":
        return BadValue(at, "is missing", f"A {_what(place[:-1])} needs it.")
    return BadValue(at, str(first["msg"]).removeprefix("Value error, ").rstrip("."))


def _what(place: list[str]) -> str:
    return _model(place).__name__.lower()


def _keys(place: list[str]) -> list[str]:
    return list(_model(place).model_fields)


def _model(place: list[str]) -> type[_Strict]:
    """The model that a place in the file is read as."""
    if place[:1] == ["tiny"]:
        return Variant if place[1:2] == ["rows"] else Tiny
    of_part: dict[str, type[_Strict]] = {"rows": Row, "claims": Claim, "source": Source, "needs": Needs}
    return of_part.get(place[0] if place else "", Study)


def _options(train: Mapping[str, Any], predict: Mapping[str, Any]) -> None:
    for kind, given, known in (("train", train, TRAIN_OPTIONS), ("predict", predict, PREDICT_OPTIONS)):
        for name, value in given.items():
            if name not in known:
                raise UnknownName(f"option of {kind},", name, known)
            if isinstance(value, str) and re.fullmatch(r"\d+e[-+]?\d+", value):
                raise BadValue(value, f"{name} is text to YAML, not a number", "Write 0.00001, or 1.0e-5.")
