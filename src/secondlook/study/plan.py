"""What a study's run consists of: one unit a row, set, split and seed, with the commands that make it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondlook.errors import BadValue
from secondlook.study.options import REAL as REAL_RECIPE
from secondlook.study.options import TINY, merged, words
from secondlook.study.schema import Row, Study
from secondlook.study.toy import TOYS

RUN, PREDICTIONS, UNIT, LOG = "run", "predictions.parquet", "unit.json", "log.txt"
SIMULATED = "simulated"
"""As `labels` of a row: people simulated on the training split of the baseline's run, their answers reassessed."""

REAL = "real_top1"
"""As a metric of a study: simulated people also look at what the baseline gets wrong in testing; every row is measured
against the same sets."""
TEST_LABELS = "test-labels.parquet"

EMBEDDINGS = ("tfidf", "sentence")
"""As `embeddings` of a row: the labels' vectors are made by this method."""


@dataclass(frozen=True)
class DataSet:
    """One set of videos in one of its splits."""

    name: str
    split: str
    """Published split; empty where it was dealt out."""
    videos: Path
    cache: Path


@dataclass(frozen=True)
class Unit:
    """One row on one split of one set with one seed."""

    row: Row
    data: DataSet
    seed: int
    folder: Path
    """What it makes lies here: run, predictions, log, `unit.json`."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Options of `train`; empty for a row that trains nothing."""
    predict: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[Path, ...] = ()
    """Folders of the units that must be done before."""
    skip: str = ""
    """Why it is not run."""
    reassess: Path | None = None
    """Folder of the unit whose mistakes simulated people look at before this one trains."""
    asks_test: bool = False
    """Simulated people look at its mistakes in testing: `TEST_LABELS`, for ReaL."""

    @property
    def run(self) -> Path:
        """The run folder that it predicts with."""
        return (self.after[0] if self.row.uses else self.folder) / RUN

    @property
    def predictions(self) -> Path:
        """Its predictions table."""
        return self.folder / PREDICTIONS

    @property
    def key(self) -> str:
        """For people: `heads/bert, drawn, seed 0`."""
        where = f"{self.data.name} {self.data.split}".strip()
        return f"{self.row.name}, {where}, seed {self.seed}"

    def fingerprint(self, inputs: Mapping[str, str]) -> str:
        """Changes when anything does that its result depends on.

        Args:
            inputs: fingerprints of the videos table and of the units before it, by path.
        """
        about = {
            "train": dict(self.train), "predict": dict(self.predict), "seed": self.seed, "fuse": self.row.fuse,
            "uses": self.row.uses, "inputs": dict(inputs), "labels": str(self.reassess),
            **({"asks_test": True} if self.asks_test else {}),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def commands(self, restart: bool = False) -> list[list[str]]:
        """The words of each verb, in order.

        Args:
            restart: throw away a run that is there.
        """
        videos, cache = str(self.data.videos), str(self.data.cache)
        found: list[list[str]] = []
        if self.row.fuse:
            tables = [str(folder / PREDICTIONS) for folder in self.after]
            return [["fuse", *tables, "-o", str(self.predictions)]]
        if self.train:
            options, labels = dict(self.train), []
            if self.reassess is not None:
                options.pop("labels", None)
                found += self._second_look()
                labels = ["--labels", str(self.folder / "labels.parquet")]
            if (method := options.get("embeddings")) in EMBEDDINGS:
                options["embeddings"] = str(self.folder / "vectors.parquet")
                found.append(["language", "embed", videos, "-o", options["embeddings"], "--method", str(method)])
            train = ["train", videos, "-o", str(self.run), "--seed", str(self.seed), "--cache", cache]
            found.append([*train, *labels, *words(options), *(["--restart"] if restart else [])])
        predict = ["predict", str(self.run), videos, "--split", "test", "-o", str(self.predictions), "--cache", cache]
        found.append([*predict, *words(self.predict)])
        if self.asks_test:
            found += self._ask("test", str(self.predictions), self.folder / TEST_LABELS)
        return found

    def _second_look(self) -> list[list[str]]:
        """Simulated people look at what the baseline got wrong in training; their answers become label sets."""
        assert self.reassess is not None
        wrong = str(self.folder / "training.parquet")
        videos, cache = str(self.data.videos), str(self.data.cache)
        predict = ["predict", str(self.reassess / RUN), videos, "--split", "train", "-o", wrong, "--cache", cache]
        return [[*predict, *words(self.predict)], *self._ask("train", wrong, self.folder / "labels.parquet")]

    def _ask(self, split: str, predictions: str, labels: Path) -> list[list[str]]:
        """What is wrong in a split, simulated answers to it, and the sets made of them."""
        videos, seed, before = str(self.data.videos), str(self.seed), "" if split == "train" else f"{split}-"
        candidates, answers = str(self.folder / f"{before}candidates.parquet"), str(self.folder / f"{before}answers")
        return [
            ["audit", predictions, "--videos", videos, "--split", split, "--seed", seed, "-o", candidates],
            ["annotate", "simulate", candidates, "--videos", videos, "--seed", seed, "-o", answers],
            ["reassess", answers, "--videos", videos, "-o", str(labels)],
        ]


def plan(
    study: Study,
    data: Sequence[DataSet],
    seeds: Sequence[int],
    output: Path,
    *,
    tiny: bool,
    only: Sequence[str] = (),
    epochs: int = 0,
    root: Path | None = None,
) -> list[Unit]:
    """All units in an order in which each comes after those it needs; one seed after the other.

    Args:
        study: the table.
        data: sets and splits.
        seeds: of training.
        output: folder of the run.
        tiny: at toy scale.
        only: names of rows; those that they need come along; all when empty.
        epochs: in the place of those of the study; 0 leaves them.
        root: folder that weights are relative to.

    Raises:
        UnknownName: if a row is not there.
        BadValue: if rows need one another in a circle, or a row to be run is the literature's.
    """
    wanted = _with_needs(study, only or [row.name for row in study.run_rows], tiny)
    for name in only:
        if study.row(name).literature:
            raise BadValue(name, "is somebody else's published number and cannot be run", "Take a row of the study.")
    ordered = _in_order(study, wanted, tiny)
    units = []
    for seed in seeds:
        for where in data:
            folders = {
                f"{r}@{d.name}" if d != where else r: output / d.name / (d.split or "all") / f"seed{seed}" / r
                for d in (*data, where)
                for r in ordered
            }
            for name in ordered:
                units.append(_unit(study, study.row(name), where, seed, folders, tiny=tiny, epochs=epochs, root=root))
    return units


def _unit(
    study: Study, row: Row, data: DataSet, seed: int, folders: Mapping[str, Path], *, tiny: bool, epochs: int,
    root: Path | None,
) -> Unit:  # fmt: skip
    train, predict, skip = settings(study, row, tiny=tiny, real=data.name not in TOYS)
    here = study.tiny.rows.get(row.name) if tiny else None
    if here is not None and here.sets and data.name not in here.sets:
        skip = skip or f"runs on {', '.join(here.sets)} only"
    needs = needs_of(study, row, tiny)
    for name in needs:
        if name not in folders:
            skip, needs = skip or f"needs the set {name.partition('@')[2]}", []
    if epochs:
        train["epochs"] = epochs
    reassess = None
    if train.get("labels") == SIMULATED:
        reassess = folders[study.baseline]
    for key, value in train.items():
        if isinstance(value, str) and value.startswith("row:"):
            train[key] = str(folders.get(value.removeprefix("row:"), folders[row.name]) / RUN)
    weights = train.get("weights")
    if weights and "://" not in weights and not str(weights).startswith("hf:"):
        path = (root or Path()) / weights
        train["weights"] = str(path)
        if not path.is_file():
            skip = skip or f"needs the weights {path}"
    if row.uses or row.fuse:
        train = {}
    after = tuple(folders[name] for name in needs)
    asks_test = REAL in study.metrics and row.name == study.baseline and data.name in TOYS
    return Unit(row, data, seed, folders[row.name], train, predict, after, skip, reassess, asks_test)


def settings(study: Study, row: Row, *, tiny: bool, real: bool = False) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Options of `train` and `predict` of a row, and why it is skipped (empty where it is not)."""
    if not tiny:
        return merged(study.train, row.train), merged(study.predict, row.predict), ""
    here = study.tiny.rows.get(row.name)
    own = dict(row.train)
    train = merged(study.train, own, TINY, study.tiny.train, REAL_RECIPE if real else {}, here.train if here else {})
    predict = merged({"views": "1x1", "workers": 0}, study.tiny.predict, here.predict if here else {})
    return train, predict, study.tiny.skip or (here.skip if here else "")


def needs_of(study: Study, row: Row, tiny: bool) -> list[str]:
    """Rows that must be done before a row, in the order in which it names them; `ROW@SET` for one on another set."""
    train, _, _ = settings(study, row, tiny=tiny)
    found = [*([row.uses] if row.uses else []), *row.fuse]
    if not (row.uses or row.fuse):
        found += [v.removeprefix("row:") for v in train.values() if isinstance(v, str) and v.startswith("row:")]
        if train.get("labels") == SIMULATED:
            found.append(study.baseline)
    return found


def _with_needs(study: Study, names: Sequence[str], tiny: bool) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [need.partition("@")[0] for need in needs_of(study, study.row(name), tiny)]
    return found


def _in_order(study: Study, wanted: set[str], tiny: bool) -> list[str]:
    """The rows of the table's order, each after those it needs."""
    ordered: list[str] = []

    def put(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise BadValue(" -> ".join([*above, name]), "rows need one another in a circle", "Drop one of the needs.")
        if name not in ordered:
            for need in needs_of(study, study.row(name), tiny):
                put(need.partition("@")[0], (*above, name))
            ordered.append(name)

    for row in study.rows:
        if row.name in wanted:
            put(row.name, ())
    return ordered
