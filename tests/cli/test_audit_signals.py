"""`audit --signal`: signals from the command line, their inputs and options, controls, a held-out model, CSV files."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import catalog, tables
from secondlook.audit import confused_classes, mistakes
from secondlook.cli import build_app
from tests.audit import build
from tests.audit.planted import learned, planted, write_dynamics
from tests.cli.test_audit import error_of


def run(*arguments):
    return CliRunner().invoke(build_app(), ["audit", *map(str, arguments)])


def read(path):
    return tables.read(tables.CANDIDATES, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found, at = planted(400), tmp_path_factory.mktemp("audit")
    for name, table in found.predictions.items():
        build.save(table, at / f"{name}.parquet")
    build.save(found.embeddings, at / "embeddings.parquet")
    build.save(found.vectors, at / "vectors.parquet")
    build.save(build.videos(found.given_N, 12, group=found.group_N), at / "videos.parquet")
    write_dynamics(at / "run" / "dynamics.parquet", *learned(found))
    rng = np.random.default_rng(9)
    build.save(
        build.predictions(rng.normal(size=(400, 12)), found.given_N.tolist(), model="toy:held"), at / "h.parquet"
    )
    return at


INPUTS = {
    "label_closeness": ("--vectors", "vectors.parquet"),
    "near_duplicates": ("--embeddings", "embeddings.parquet"),
    "training_dynamics": ("--run", "run"),
}


@pytest.mark.parametrize("signal", [s for s in catalog.names("audit") if s != "combined"])
def test_each_signal_is_what_its_find_gives(signal, folder):
    flag = INPUTS.get(signal, ())
    paths = [flag[0], folder / flag[1]] if flag else []
    done = run(folder / "a.parquet", folder / "b.parquet", "-o", folder / "c.parquet", "--signal", signal, *paths)
    assert done.exit_code == 0, done.output
    models = {f"toy:{n}": tables.read(tables.PREDICTIONS, folder / f"{n}.parquet") for n in "ab"}
    options = {
        "label_closeness": {"vectors": tables.read(tables.LABEL_VECTORS, folder / "vectors.parquet")},
        "near_duplicates": {"embeddings": tables.read(tables.EMBEDDINGS, folder / "embeddings.parquet")},
        "training_dynamics": {"run": folder / "run"},
    }.get(signal, {})
    rows = catalog.find("audit", signal).find(None, models, **options)
    assert read(folder / "c.parquet").equals(rows.replace_schema_metadata(None))
    assert rows.num_rows > 10


def test_several_signals_are_ranked_together(folder):
    arguments = ("--signal", "misclassified", "--signal", "low_margin", "-O", "max_margin=0.3", "-O", "how=max")
    done = run(folder / "a.parquet", "-o", folder / "c.parquet", *arguments, "--json")
    result = json.loads(done.stdout)
    assert result["signals"] == ["misclassified", "low_margin"]
    rows = read(folder / "c.parquet")
    assert rows.num_rows == result["candidates"] == result["selected"]
    reasons = rows["reason"].to_pylist()
    assert any(r.startswith("misclassified: ") and "; low_margin: " in r for r in reasons)
    assert any(r.startswith("low_margin: ") for r in reasons)
    settings = tables.made(rows)["settings"]["signals"]
    assert settings == {
        "misclassified": {"select": "union"}, "low_margin": {"max_margin": 0.3}, "combined": {"how": "max"}
    }  # fmt: skip


def test_folds_of_a_regression_need_no_further_network(folder):
    done = run(folder / "a.parquet", "-o", folder / "c.parquet", "--videos", folder / "videos.parquet", "--signal",
               "confident_learning", "--embeddings", folder / "embeddings.parquet", "--folds", 4)  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = read(folder / "c.parquet")
    assert "without this fold of 4" in rows["reason"][0].as_py()
    assert str(folder / "embeddings.parquet") in tables.made(rows)["inputs"]


def test_folds_of_predictions_are_joined_and_told(folder, tmp_path):
    table = tables.read(tables.PREDICTIONS, folder / "a.parquet").slice(400)
    about = tables.made(table)
    for f in range(2):
        tables.write(tables.PREDICTIONS, table.slice(200 * f, 200), tmp_path / f"f{f}.parquet", about)
    done = run(tmp_path / "f0.parquet", tmp_path / "f1.parquet", "-o", tmp_path / "c.parquet")
    assert "f0, f1 are 2 folds of toy:a" in done.stdout
    run(folder / "a.parquet", "-o", tmp_path / "whole.parquet")
    assert read(tmp_path / "c.parquet").equals(read(tmp_path / "whole.parquet"))


@pytest.mark.spec("label-reassessment", "G12")
def test_of_fewer_videos_than_controls_all_are_taken(folder):
    done = run(folder / "a.parquet", "-o", folder / "all.parquet", "--controls", 4000)
    made = tables.made(tables.read(tables.CANDIDATES, folder / "all.parquet"))
    drawn = len(made["controls"])
    assert 0 < drawn < 4000
    assert (made["sampling"]["controls"], made["sampling"]["not_selected"]) == (drawn, drawn)
    assert "(4000 were asked for; no others are left)" in " ".join(done.stdout.split())


def test_controls_foils_and_a_held_out_model(folder):
    both = (folder / "a.parquet", folder / "b.parquet")
    run(*both, "-o", folder / "plain.parquet")
    done = run(*both, "-o", folder / "c.parquet", "--controls", 25, "--random-options", 2, "--held-out-model",
               folder / "h.parquet")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "and 25 videos drawn at random as controls" in done.stdout
    assert "held out, toy:held: wrong at top-1" in done.stdout
    rows, plain = read(folder / "c.parquet"), read(folder / "plain.parquet")
    made = tables.made(rows)
    assert made["held_out_models"] == ["toy:held"]
    assert made["models"] == ["toy:a", "toy:b"]
    assert len(made["controls"]) == 25
    assert str(folder / "h.parquet") in made["inputs"]
    options = {r["video_id"]: r["options"] for r in plain.to_pylist()}
    for r in rows.to_pylist():
        foils = made["foils"][r["video_id"]]
        assert len(foils) <= 2
        if r["video_id"] in options:  # the held-out model proposes nothing, and foils stand beside the others
            assert [k for k in r["options"] if k not in foils] == options[r["video_id"]]
    assert not {"controls", "foils", "sampling", "held_out_models"} & set(tables.made(plain))


@pytest.mark.spec("label-reassessment", "I9", "I10")
def test_tables_are_written_as_csv(folder, tmp_path):
    found = planted(400)
    done = run(folder / "a.parquet", "-o", folder / "c.parquet", "--tables", tmp_path / "t", "--json")
    aligned = build.aligned({"a": tables.matrix(found.predictions["a"].slice(400), "logits")}, found.given_N)
    with (tmp_path / "t" / "confused_classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = confused_classes(aligned, mistakes(aligned).top1_category)
    assert [(r["name"], int(r["count"]), int(r["videos"]), float(r["share"])) for r in rows] == [
        (c["name"], c["count"], c["videos"], pytest.approx(c["share"], abs=1e-6)) for c in expected
    ]
    with (tmp_path / "t" / "confusions.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    assert len(pairs) == mistakes(aligned).union.sum()
    assert json.loads(done.stdout)["tables"] == [
        str(tmp_path / "t" / f"{n}.csv") for n in ("confused_classes", "confusions")
    ]
    run(folder / "a.parquet", "-o", folder / "c.parquet", "--tables", tmp_path / "u", "--confused", "c0", "c1",
        "--min-confidence", 0.5)  # fmt: skip
    with (tmp_path / "u" / "confusions.csv").open(newline="") as file:
        some = list(csv.DictReader(file))
    wanted = [p for p in pairs if {p["given"], p["predicted"]} == {"c0", "c1"} and float(p["confidence"]) >= 0.5]
    assert sorted(p["video_id"] for p in some) == sorted(p["video_id"] for p in wanted)


def test_wrong_use_is_a_sentence(folder, monkeypatch, capsys):
    a, out = folder / "a.parquet", ("-o", folder / "no.parquet")

    def error(*arguments):
        return error_of(monkeypatch, capsys, a, *out, *arguments)

    assert "signal 'low_margins' is not known. Did you mean 'low_margin'" in error("--signal", "low_margins")
    assert "names a signal twice" in error("--signal", "low_margin", "--signal", "low_margin")
    assert "--signal misclassified --signal low_margin" in error("--signal", "combined")
    assert "--signal label_closeness" in error("--vectors", folder / "vectors.parquet")
    assert "--signal confident_learning" in error("--folds", 5)
    assert "give --embeddings" in error("--signal", "confident_learning", "--folds", 5)
    assert "give --embeddings" in error("--signal", "near_duplicates")
    assert "Give --run RUN" in error("--signal", "training_dynamics")
    assert "does not exist" in error("--signal", "training_dynamics", "--run", folder / "no")
    assert "is a table of videos" in error("--signal", "near_duplicates", "--embeddings", folder / "videos.parquet")
    assert "Did you mean 'max_margin'" in error("--signal", "low_margin", "-O", "max_margins=1")
    assert "max_margin of low_margin must be a number" in error("--signal", "low_margin", "-O", "max_margin=x")
    assert "an option is NAME=VALUE" in error("--signal", "low_margin", "-O", "max_margin")
    assert "must be one of aum" in error("--signal", "training_dynamics", "-O", "measure=x", "--run", folder / "run")
    assert "must not be negative" in error("--random-options", -1)
    assert "is one of the models that select" in error("--held-out-model", a)
    assert not (folder / "no.parquet").exists()
