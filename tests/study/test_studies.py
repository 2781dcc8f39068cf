"""The files of studies: every one is read, says what the specifications print, and names what there is to run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from secondlook import catalog
from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.predict.weights import find_card, with_clip
from secondlook.study import schema
from secondlook.study.describe import about, facts, printed_table
from secondlook.study.plan import SIMULATED, settings
from tests.conftest import SHARED
from tests.study.conftest import STUDY

SPECIFICATIONS = SHARED / "specs"
WANTED = (
    "heads", "optimisers", "stage-fusion", "depth", "clip-length", "two-stream", "modalities", "zoo-3d",
    "pooling-ablation", "bert-ablation", "bert-resnext", "bert-i3d", "bert-slowfast", "bert-r2plus1d", "sota",
    "distillation-lambda", "distillation", "test-modes", "all-splits", "sampling", "ensemble", "srtg-placement",
    "srtg-hacs", "srtg-kinetics", "gates", "mtconv-ratio", "cells", "mtnet-pooling", "conv-types",
    "class-regularisation", "transfer", "hybrid", "attention-resnets", "k-hot", "temporal-variation", "hypotheses",
)  # fmt: skip
SPOT = (
    ("heads", "concat", "top1", 51.04), ("optimisers", "sgd", "one_crop", 50.49),
    ("stage-fusion", "triple", "top1", 52.02),
    ("depth", "resnet101", "params_m", 45.20), ("modality-heads", "pose-bert", "top1", 46.45),
    ("modalities", "r101-three-stream", "top1", 69.15), ("clip-length", "resnext101-64f-224", "gmac", 153.36),
    ("two-stream", "resnext101-two-stream", "top3", 94.38), ("zoo-3d", "tsm-segments", "top1", 73.79),
    ("zoo-3d", "mfnet", "gmac", 11.25), ("pooling-ablation", "bert", "params_m", 47.38),
    ("bert-ablation", "pooled", "top1", 76.07), ("bert-resnext", "both-bert", "top1", 83.99),
    ("bert-i3d", "flow-frab", "gmac", 102.91), ("bert-slowfast", "late", "top1", 80.78),
    ("bert-r2plus1d", "bert", "params_m", 66.67), ("sota", "r2plus1d-bert-64f", "ucf101", 98.69),
    ("sota", "evanet", "hmdb51", 82.3), ("distillation-lambda", "lambda-100k", "sum", 170.39),
    ("distillation", "frab-flow-teacher", "top1", 78.72), ("test-modes", "mfnet-one-one", "top3", 88.82),
    ("test-modes-two-stream", "i3d-flow-multi-one", "top1", 77.06), ("all-splits", "rgb-bert", "split2_top1", 77.52),
    ("all-splits-ucf101", "two-stream-bert", "mean_top3", 99.59), ("sampling", "clip", "top1", 42.68),
    ("ensemble", "ensemble", "top3", 95.82), ("srtg-placement", "r2plus1d-34-final", "top1", 80.39),
    ("srtg-hacs", "srtg-r2plus1d-101", "gmac", 163.1), ("srtg-kinetics", "srtg-r3d-101", "top5", 76.8),
    ("srtg-moments", "assemblenet", "top1", 34.3), ("srtg-r3d", "srtg-r3d-34", "mit_top5", 52.3),
    ("srtg-r2plus1d", "r2plus1d-101", "k700_top1", 52.5), ("transfer", "srtg-r3d-101", "top5", 99.5),
    ("transfer-sources", "srtg-r3d-101-hacs-mit", "hmdb51", 78.4), ("transfer-mtnet", "mtnet-l", "top1", 97.4),
    ("mtnet-kinetics400", "x3d-xl", "top1", 79.1), ("conv-types", "mtconv", "gmac", 23.1),
    ("mtnet-hacs", "mtnet-l", "backward_ms", 513.7), ("mtconv-ratio", "mtnet-l-1-2", "gmac", 7.09),
    ("cells", "mtnet-m-lstm-peephole", "backward_ms", 120.0), ("mtnet-pooling", "mtnet-l-avg-cos", "top1", 85.9),
    ("class-regularisation-hacs", "mtnet-l-cr", "params_m", 51.2), ("class-regularisation", "r3d-101-cr", "top1", 67.7),
    ("significance", "r3d-101-cr", "chi2", 188.211), ("pyramids", "mtnet-s", "theta", 0.67),
    ("attention-resnets", "3d-adaptive", "top1", 77.36), ("something-baselines", "tsm", "top5", 87.04),
    ("real-accuracy", "slowfast", "real_top1", 72.21), ("frames-as-channels", "50x50", "validation", 49.18),
)  # fmt: skip


@pytest.mark.spec("late-temporal-bert", "F90")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "103")
@pytest.mark.spec("attention-recognisers", "A8")
def test_every_study_is_read_and_runs_at_toy_scale_or_says_why_not() -> None:
    assert set(WANTED) <= set(schema.names())
    for name in schema.names():
        study = schema.load(name)
        told = facts(study)
        assert about(study)
        columns, rows = printed_table(study)
        assert {len(row) for row in rows} == {len(columns)}
        if not told["tiny_rows"]:
            assert study.tiny.skip, name
        assert len(study.tiny.seeds) >= 1


@pytest.mark.parametrize(("name", "row", "column", "value"), SPOT, ids=[f"{s[0]}-{s[1]}" for s in SPOT])
def test_printed_numbers_are_those_of_the_table(name: str, row: str, column: str, value: float) -> None:
    assert schema.load(name).row(row).printed[column] == value


def section(document: str, number: str) -> str:
    text = (SPECIFICATIONS / f"{document}.md").read_text(encoding="utf-8")
    start = re.search(rf"^#+ {re.escape(number)}[ .]", text, re.MULTILINE)
    assert start, (document, number)
    rest = text[start.end() :]
    end = re.search(r"^#{1,4} ", rest, re.MULTILINE)
    return rest[: end.start() if end else None]


def decimals(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\d.]*[-+]?\d*e)", text)}


@pytest.mark.skipif(not SPECIFICATIONS.is_dir(), reason="the specifications are not beside the project")
def test_every_decimal_of_a_table_is_in_its_study_and_none_is_invented() -> None:
    """A twin of the transcription: numbers of the section against numbers of the file, both ways."""
    extra = {"all-splits", "sampling", "ensemble", "feature-reduction", "distillation", "frames-as-channels", "sota"}
    whole = {path.stem: decimals(path.read_text(encoding="utf-8")) for path in SPECIFICATIONS.glob("*.md")}
    for name in schema.names():
        study = schema.load(name)
        values = [v for row in study.rows for v in row.printed.values()]
        known = whole[study.source.document] | {75.525224, 49.18, 47.64, 47.11}
        for value in values:
            if isinstance(value, float) and value != int(value):
                assert value in known, (name, value)
        if not values or name in extra | {"significance", "pyramids", "ucf101-background", "something-baselines"}:
            continue
        lines = [line for line in section(study.source.document, study.source.section).splitlines() if line[:1] == "|"]
        # Differences in brackets, sizes in words and what follows "x" are no values of their own.
        table = decimals(re.sub(r"\([^|]*?\)|conv3d\S*", "", "\n".join(lines).replace("*", "")))
        here = {v for v in values if isinstance(v, float)} | decimals(" ".join(v for v in values if isinstance(v, str)))
        assert table - here <= TEXT.get(name, set()), (name, sorted(table - here))


TEXT = {"real-accuracy": {86.67, 11.96, 2.65, 2.79}, "mtconv-ratio": {1.0}}
"""Decimals of a section's tables that are no printed results: a note in a cell, a derived gain, a ratio."""


def distinct(tiny: bool) -> dict[str, tuple[str, dict[str, Any], str]]:
    found = {}
    for name in schema.names():
        study = schema.load(name)
        for row in study.run_rows:
            train, _, skip = settings(study, row, tiny=tiny)
            if skip or row.uses or row.fuse:
                continue
            kept = {k: train.get(k) for k in ("model", "head", "head_options", "options", "frames", "size", "modality")}
            found.setdefault(repr(kept), (f"{name}/{row.name}", kept, str(train.get("modality", ""))))
    return found


@cache
def options_of_family(family: str) -> frozenset[str]:
    module = catalog.find("models", family)
    kind = getattr(module, "Options", None)
    if kind is None:
        from secondlook.models._request import CommonOptions as kind  # noqa: N813
    return frozenset(kind.__optional_keys__ | kind.__required_keys__)


@pytest.mark.parametrize("tiny", [True, False], ids=["tiny", "full"])
def test_models_heads_and_options_of_rows_exist(tiny: bool) -> None:
    from secondlook.heads._build import options_of

    for where, kept, modality in distinct(tiny).values():
        card = find_card(kept["model"])
        assert set(kept["options"] or {}) <= options_of_family(card.family), where
        if kept["head"]:
            head = catalog.find("heads", kept["head"])
            assert set(kept["head_options"] or {}) <= set(options_of(head)), where
        assert modality in ("", "rgb", "luma_difference", "flow", "pose"), where


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "103")
def test_networks_of_toy_rows_can_be_built_for_their_clips() -> None:
    """On the device `meta`: shapes only. A teacher's width, a token's grid, a pool for few frames all show here."""
    from secondlook.models._count import on_meta

    for where, kept, modality in distinct(tiny=True).values():
        height, width = map(int, kept["size"].split("x"))
        card = with_clip(find_card(kept["model"]), frames=kept["frames"], height=height, width=width, modality=modality)
        options = {**card.options, **(kept["options"] or {})}
        if kept["head_options"]:
            options["head_options"] = kept["head_options"]
        try:
            on_meta(replace(card, head=kept["head"] or "", options=options), 6)
        except SecondlookError as error:
            pytest.fail(f"{where}: {error}")


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "72")
def test_schedules_of_the_sources_are_in_their_studies() -> None:
    train, _, _ = settings(schema.load("srtg-hacs"), schema.load("srtg-hacs").row("srtg-r3d-34"), tiny=False)
    assert (train["schedule"], train["milestones"], train["epochs"], train["lr"]) == ("step", [40, 70, 120], 150, 0.1)
    train, _, _ = settings(schema.load("mtnet-hacs"), schema.load("mtnet-hacs").row("mtnet-m"), tiny=False)
    assert (train["schedule"], train["epochs"], train["lr"], train["weight_decay"]) == ("cosine", 400, 1.16, 0.00005)
    assert train["warmup"] == 1, "8,000 iterations are about an epoch of 482,000 clips in batches of 64"
    train, _, _ = settings(schema.load("class-regularisation"), schema.load("class-regularisation").rows[1], tiny=False)
    assert (train["schedule"], train["milestones"], train["epochs"], train["lr"]) == ("step", [50, 100], 120, 0.1)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "84")
def test_the_ablations_are_there_and_each_row_changes_one_thing() -> None:
    def of(name: str, key: str) -> set[Any]:
        study = schema.load(name)
        return {(settings(study, r, tiny=True)[0].get("options") or {}).get(key) for r in study.run_rows}

    assert of("srtg-placement", "placement") == {None, "start", "mid", "res", "final"}
    assert of("mtconv-ratio", "ratio") == {1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25}
    assert of("cells", "cell") == {"rnn", "lstm", "lstm-peephole", "gru"}
    assert of("mtnet-pooling", "pooling") == {"avg", "max", "stochastic", "softpool", "avg_cos", "softpool_cos"}
    assert of("class-regularisation", "class_regularisation") == {None, True}
    assert of("conv-types", "multi_temporal") == {None, 0.875}
    assert of("gates", "gates") == {None, True, False}
    sources = {settings(schema.load("transfer-sources"), r, tiny=True)[0].get("init") for r in
               schema.load("transfer-sources").run_rows}  # fmt: skip
    assert {"row:source-r3d@drawn", "row:source2-r3d@drawn-speed"} <= sources


@pytest.mark.spec("late-temporal-bert", "F92", "F93")
def test_the_comparisons_of_sampling_and_optimisers_differ_in_nothing_else() -> None:
    study = schema.load("sampling")
    clip, video = (settings(study, study.row(n), tiny=True)[0] for n in ("clip", "video"))
    assert (clip.pop("sampling"), video.pop("sampling"), clip.pop("stride")) == ("dense", "segments", 1)
    assert clip == video
    assert clip["head"] == "lstm"
    study = schema.load("optimisers")
    found = [settings(study, row, tiny=True)[0] for row in study.rows]
    assert [train.pop("optimizer") for train in found] == ["adam", "swats", "adamw", "sgd"]
    rates = [train.pop("lr") for train in found]
    assert rates[3] > rates[0] == rates[1] == rates[2]
    assert all(train == found[0] for train in found)


@pytest.mark.spec("late-temporal-bert", "F91")
def test_each_hypothesis_is_a_claim_or_says_why_it_cannot_be_tested() -> None:
    claims = schema.load("hypotheses").claims
    assert {re.match(r"H\d+", claim.name)[0] for claim in claims} == {f"H{n}" for n in range(14)}
    assert all(claim.untestable or (claim.better and claim.than) for claim in claims)


def test_simulated_people_reassess_the_mistakes_of_the_baseline(tmp_path: Path) -> None:
    from secondlook.study.plan import DataSet, plan

    study = schema.load("k-hot")
    assert study.row("k-hot").train["labels"] == SIMULATED
    units = plan(study, [DataSet("drawn-labels", "", tmp_path / "v", tmp_path / "c")], [0], tmp_path, tiny=True)
    unit = next(u for u in units if u.row.name == "k-hot")
    assert [c[0] for c in unit.commands()] == ["predict", "audit", "annotate", "reassess", "train", "predict"]
    assert unit.after == (units[0].folder,)
    assert "--labels" in unit.commands()[4]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (("metrics:", "metrcs:"), UnknownName, "metrics"),
        (("model: \"good:tiny\"", "modl: x"), UnknownName, "model"),
        (("uses: good", "uses: god"), UnknownName, "'good'"),
        (("title: A toy\n", ""), BadValue, "is missing"),
        (("printed: {top1: 61.0}", "printed: {top11: 61.0}"), UnknownName, "top1"),
        (("better: good, than", "better: goodd, than"), UnknownName, "'good'"),
        (("name: both,", "name: good,"), BadValue, "names two rows"),
        (("[top1, top3]", "[top1, top3"), BadValue, "is not YAML"),
        (("data: [drawn]", "data: [drawing]"), UnknownName, "'drawn'"),
        (("pair: plain,", "pear: plain,"), UnknownName, "'pair'"),
        (("{model: \"good:tiny\"}", "{model: \"good:tiny\", lr: 1e-05}"), BadValue, "not a number"),
        (("name: toy\n", "name: [1]\n"), BadValue, "name"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_in_words(change: tuple[str, str], kind: type[Exception], words: str) -> None:
    assert schema.read(STUDY).name == "toy"
    broken = STUDY.replace(*change, 1)
    assert broken != STUDY
    with pytest.raises(kind, match=re.escape(words)):
        schema.read(broken, "toy.yaml")


def test_a_study_needs_no_torch() -> None:
    """Its networks are trained by children: the process that lays out, measures and draws stays small."""
    code = "import sys; from secondlook.study import page, plan, results, run, schema; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_study_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'heads'"):
        schema.load("heds")
