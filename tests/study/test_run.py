"""Units of a study are made once, in order, by several workers; what fails is a row with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.study import page, results, schema
from secondlook.study.plan import DataSet, Unit, plan
from secondlook.study.run import DONE, FAILED, SKIPPED, run_units
from tests.study.conftest import FAKE, STUDY


def made(listed: DataSet, folder: Path, text: str = STUDY, seeds: tuple[int, ...] = (0, 1), jobs: int = 2) -> tuple:
    study = schema.read(text)
    units = plan(study, [listed], seeds, folder, tiny=True)
    done: list[tuple[str, bool]] = []
    outcomes = run_units(units, FAKE, jobs=jobs, on_done=lambda unit, _, before: done.append((unit.key, before)))
    return study, units, outcomes, done


def test_a_run_trains_each_row_once_and_goes_on_where_it_was(listed: DataSet, tmp_path: Path) -> None:
    _, units, outcomes, done = made(listed, tmp_path / "out")
    assert [o.status for o in outcomes.values()] == [DONE] * 8
    assert len(done) == 8
    assert not any(before for _, before in done)
    trained = sorted((tmp_path / "out").rglob("times.txt"))
    assert len(trained) == 4, "views and fusion train nothing"
    (units[0].folder / "predictions.parquet").unlink()
    _, _, again, done = made(listed, tmp_path / "out")
    assert {key for key, before in done if not before} == {units[0].key}
    assert all(path.read_text() == "trained\n" for path in trained if units[0].folder not in path.parents)
    assert again.keys() == outcomes.keys()


def test_other_settings_make_a_row_and_what_hangs_on_it_again(listed: DataSet, tmp_path: Path) -> None:
    made(listed, tmp_path / "out", seeds=(0,))
    changed = STUDY.replace('{model: "good:tiny"}', '{model: "good:tiny", head: bert}')
    _, units, _, done = made(listed, tmp_path / "out", changed, seeds=(0,))
    assert {key.split(",")[0] for key, before in done if not before} == {"good", "other-views", "both"}
    log = (next(u.folder for u in units if u.row.name == "good") / "log.txt").read_text()
    assert "--head bert" in log
    assert "--restart" in log


def test_a_row_that_fails_or_crashes_is_a_row_with_a_reason(listed: DataSet, tmp_path: Path) -> None:
    text = STUDY.replace('name: plain, train: {model: "plain:tiny"}', 'name: plain, train: {model: "crash:tiny"}')
    _, units, outcomes, _ = made(listed, tmp_path / "out", text, seeds=(0, 13))
    by_key = {unit.key: outcomes[unit.folder] for unit in units}
    crashed, unlucky = by_key["plain, toy-set, seed 0"], by_key["good, toy-set, seed 13"]
    assert crashed.status == FAILED
    assert "-9" in crashed.reason
    assert unlucky.status == FAILED
    assert unlucky.reason == "train: '13': brings bad luck."
    assert by_key["both, toy-set, seed 0"].status == SKIPPED
    assert "row plain" in by_key["both, toy-set, seed 0"].reason
    assert by_key["good, toy-set, seed 0"].status == DONE


def test_fusion_is_the_mean_of_probabilities(listed: DataSet, tmp_path: Path) -> None:
    _, units, _, _ = made(listed, tmp_path / "out", seeds=(0,))
    logits = {u.row.name: tables.matrix(tables.read(tables.PREDICTIONS, u.predictions), "logits") for u in units}
    softmax = {n: np.exp(x) / np.exp(x).sum(1, keepdims=True) for n, x in logits.items()}
    np.testing.assert_allclose(softmax["both"], (softmax["plain"] + softmax["good"]) / 2, atol=1e-6)


@pytest.mark.spec("late-temporal-bert", "F90")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "83", "85", "86", "96", "102")
@pytest.mark.spec("attention-recognisers", "A7")
def test_results_and_pages_say_what_was_measured_beside_what_was_printed(listed: DataSet, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    study, units, outcomes, _ = made(listed, folder)
    parts = results.measure(units, outcomes)
    frame = results.table(study, units, outcomes, parts)
    files = [*results.write(frame, folder), *page.write(study, frame, parts, folder, tiny=True)]
    assert all(path.stat().st_size for path in files)
    read = pd.read_parquet(folder / "results.parquet")
    assert list(read.columns) == list(results.COLUMNS)
    assert len(read) == 8
    # A twin of top-1: the largest logit, by hand.
    unit = units[0]
    table = tables.read(tables.PREDICTIONS, unit.predictions)
    top1 = np.mean(tables.matrix(table, "logits").argmax(1) == table["label"].to_numpy())
    row = read[(read["row"] == unit.row.name) & (read["seed"] == unit.seed)].iloc[0]
    assert row["top1"] == pytest.approx(top1)
    assert (row["n"], row["params"], row["macs"], row["views"]) == (120, 352_822, 60_000_000, "1x1")
    text, html = (folder / "study.md").read_text(), (folder / "study.html").read_text()
    for wanted in ("60.25", "GMAC a view", "params (M)", "input", "pre-training", "views", "split", "minus baseline",
                   "8x40x48 rgb", "McNemar", "Their network", "not testable", "supported"):  # fmt: skip
        assert wanted in text
        assert wanted in html
    assert "<script" not in html
    assert 'src="http' not in html
    names = {path.name for path in (folder / "charts").iterdir()}
    for chart in ("printed-cost", "toy-set-cost", "toy-set-accuracy", "toy-set-classes-good", "toy-set-loss"):
        assert {f"{chart}.png", f"{chart}.svg"} <= names
    svg = (folder / "charts" / "toy-set-cost.svg").read_text()
    assert "#8a9199" in svg, "the baseline is grey"
    assert "#0072b2" in svg, "ours is blue"


def test_a_study_of_which_nothing_was_made_still_has_its_page(listed: DataSet, tmp_path: Path) -> None:
    study = schema.read(STUDY.replace("tiny: {data: [drawn],", 'tiny: {data: [drawn], skip: "no time",'))
    units = plan(study, [listed], [0], tmp_path, tiny=True)
    outcomes = run_units(units, FAKE, jobs=1)
    assert {o.status for o in outcomes.values()} == {SKIPPED}
    frame = results.table(study, units, outcomes, results.measure(units, outcomes))
    page.write(study, frame, {}, tmp_path, tiny=True)
    assert "no time" in (tmp_path / "study.html").read_text()


@pytest.mark.spec("label-reassessment", "I5")
def test_weights_that_are_not_there_are_named_before_anything_runs(listed: DataSet, tmp_path: Path) -> None:
    text = STUDY.replace('train: {model: "good:tiny"}', 'train: {model: "good:tiny", weights: weights/w.pth}')
    study = schema.read(text)
    units = plan(study, [listed], [0], tmp_path, tiny=False, root=tmp_path / "data")
    skipped = {unit.row.name: unit.skip for unit in units if unit.skip}
    assert list(skipped) == ["good"]
    assert str(tmp_path / "data" / "weights" / "w.pth") in skipped["good"]


def test_rows_on_another_set_come_from_that_set(listed: DataSet, tmp_path: Path) -> None:
    text = STUDY.replace("tiny: {data: [drawn], rows: {", 'tiny: {data: [drawn], rows: {good: {sets: [toy-set], '
                         'train: {init: "row:plain@source"}}, plain: {sets: [source]}, ')  # fmt: skip
    study, source = schema.read(text), DataSet("source", "", listed.videos, listed.cache)
    units: list[Unit] = plan(study, [source, listed], [0], tmp_path, tiny=True)
    good = next(u for u in units if u.row.name == "good" and u.data is listed)
    assert Path(str(good.train["init"])) == tmp_path / "source" / "all" / "seed0" / "plain" / "run"
    assert next(u.skip for u in units if u.row.name == "plain" and u.data is listed) == "runs on source only"
    alone = plan(study, [listed], [0], tmp_path, tiny=True)
    assert next(u.skip for u in alone if u.row.name == "good") == "needs the set source"


def test_rows_that_need_one_another_are_refused(listed: DataSet, tmp_path: Path) -> None:
    text = STUDY.replace("fuse: [plain, good]", "fuse: [other-views, good]").replace("uses: good", "uses: both")
    with pytest.raises(BadValue, match="circle"):
        plan(schema.read(text), [listed], [0], tmp_path, tiny=True)


def test_what_a_unit_made_is_told_in_its_file(listed: DataSet, tmp_path: Path) -> None:
    _, units, outcomes, _ = made(listed, tmp_path / "out", seeds=(0,))
    told = json.loads((units[0].folder / "unit.json").read_text())
    assert told["status"] == DONE
    assert told["fingerprint"] == outcomes[units[0].folder].fingerprint
