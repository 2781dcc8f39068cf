"""The verb `audit`: what it writes, what it says, and how it fails."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.cli import build_app, main
from tests.audit import build


def run(*arguments):
    return CliRunner().invoke(build_app(), ["audit", *map(str, arguments)])


def error_of(monkeypatch, capsys, *arguments):
    """The sentence on stderr of a run that ends with 2."""
    monkeypatch.setattr("sys.argv", ["secondlook", "audit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def two_models(tmp_path):
    """a.parquet, b.parquet, videos.parquet of 60 videos and 8 classes; groups of two."""
    logits, given_N = build.random_models(np.random.default_rng(0), 60, 8)
    labels = build.space(8, groups=2)
    for name, model in (("a", "tsm:r18"), ("b", "resnet3d:r18")):
        table = build.predictions(logits[name], given_N, labels=labels, model=model, views=2)
        build.save(table, tmp_path / f"{name}.parquet")
    build.save(build.videos(given_N, 8, labels=labels), tmp_path / "videos.parquet")
    return tmp_path, logits, given_N


@pytest.mark.spec("label-reassessment", "I8")
def test_set_sizes_are_printed_and_the_table_is_written(two_models):
    folder, logits, given_N = two_models
    done = run(
        folder / "a.parquet", folder / "b.parquet", "-o", folder / "c.parquet", "--videos", folder / "videos.parquet"
    )
    assert done.exit_code == 0, done.output
    wrong = [set(np.flatnonzero(logits[n].argmax(axis=1) != given_N)) for n in "ab"]
    missed = [{i for i, y in enumerate(given_N) if y not in np.argsort(-logits[n][i])[:5]} for n in "ab"]
    said = [line.split() for line in done.stdout.splitlines()]
    topk = len(missed[0] & missed[1])
    expected = {
        "tsm:r18: wrong at top-1": len(wrong[0]),
        "resnet3d:r18: wrong at top-1": len(wrong[1]),
        "union: wrong for at least one model": len(wrong[0] | wrong[1]),
        "intersection: wrong for every model": len(wrong[0] & wrong[1]),
        "of the union, Top-5 category: missed among the 5 best by every model": topk,
        "of the union, Top-1 category: the rest": len(wrong[0] | wrong[1]) - topk,
    }
    for name, count in expected.items():
        assert [*name.split(), str(count)] in [line[: len(name.split()) + 1] for line in said], name
    rows = tables.read(tables.CANDIDATES, folder / "c.parquet")
    assert rows.num_rows == len(wrong[0] | wrong[1])
    assert all(path.startswith("videos/v") for path in rows["path"].to_pylist())
    made = tables.made(rows)
    assert (made["root"], made["dataset"], made["fingerprint"]) == ("/data", "toy", "f00d")
    assert made["models"] == ["tsm:r18", "resnet3d:r18"]
    assert tables.label_space(rows) == build.space(8, groups=2)
    assert len(made["inputs"]) == 3


def test_json_holds_what_was_printed(two_models):
    folder, _, given_N = two_models
    done = run(folder / "a.parquet", folder / "b.parquet", "-o", folder / "c.parquet", "--json", "--limit", 3,
               "--confused", "c1", "c2")  # fmt: skip
    result = json.loads(done.stdout)
    assert result["candidates"] == 3
    assert result["selected"] == result["sizes"]["union"]
    assert result["failed_rows"] == 0
    assert sum(c["videos"] for c in result["confused_classes"]) == len(given_N)
    assert {(c["given"], c["predicted"]) for c in result["confusions"]} <= {(1, 2), (2, 1)}
    assert tables.read(tables.CANDIDATES, folder / "c.parquet")["path"].to_pylist() == ["", "", ""]


def test_runs_repeat_and_seeds_differ(two_models):
    folder, _, _ = two_models
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        run(folder / "a.parquet", folder / "b.parquet", "-o", folder / f"{name}.parquet", "--seed", seed)
    one, two, other = (tables.read(tables.CANDIDATES, folder / f"{n}.parquet") for n in ("one", "two", "other"))
    assert one.equals(two)
    assert not one["options"].equals(other["options"])
    assert one.drop_columns("options").equals(other.drop_columns("options"))
    assert (folder / "one.parquet").read_bytes() == (folder / "two.parquet").read_bytes()


def test_left_out_videos_are_told_and_failed_ones_give_exit_code_one(tmp_path):
    split = ["test", "test", "test", "train"]
    a = build.predictions(np.eye(4)[[1, 1, 2, 3]], range(4), split=split, status={2: "timeout"})
    build.save(a, tmp_path / "a.parquet")
    done = run(tmp_path / "a.parquet", "-o", tmp_path / "c.parquet", "--split", "test", "--confused", "c0", "c1")
    assert done.exit_code == 1
    assert "left out: 1 timeout (v00002)" in done.stdout
    assert "left out: 1 other split (v00003)" in done.stdout
    assert "1 confusions" in done.stdout
    assert tables.read(tables.CANDIDATES, tmp_path / "c.parquet").num_rows == 1
    assert tables.made(tables.read(tables.CANDIDATES, tmp_path / "c.parquet"))["left_out"][0]["count"] == 1
    train = run(tmp_path / "a.parquet", "-o", tmp_path / "c.parquet", "--split", "train", "--json")
    assert train.exit_code == 0
    assert {x["status"] for x in json.loads(train.stdout)["left_out"]} == {"other split"}


def test_two_tables_of_one_model_go_by_their_files(tmp_path):
    for name in ("first", "second"):
        build.save(build.predictions(np.eye(3)[[1, 1, 2]], range(3)), tmp_path / f"{name}.parquet")
    done = run(tmp_path / "first.parquet", tmp_path / "second.parquet", "-o", tmp_path / "c.parquet")
    assert "first: wrong at top-1" in done.stdout
    (reason,) = tables.read(tables.CANDIDATES, tmp_path / "c.parquet")["reason"].to_pylist()
    assert reason == "first predicted 'c1' with 58 %, second predicted 'c1' with 58 %; given 'c0'"


def test_wrong_use_is_a_sentence(two_models, monkeypatch, capsys):
    folder, _, _ = two_models
    a, b, out = folder / "a.parquet", folder / "b.parquet", ("-o", folder / "c.parquet")
    assert "top-k must be at least 1" in error_of(monkeypatch, capsys, a, *out, "--top-k", 0)
    assert "Did you mean 'intersection'" in error_of(monkeypatch, capsys, a, b, *out, "--select", "intersect")
    assert "given twice" in error_of(monkeypatch, capsys, a, a, *out)
    assert "is a table of videos" in error_of(monkeypatch, capsys, folder / "videos.parquet", *out)
    assert "does not exist" in error_of(monkeypatch, capsys, folder / "no.parquet", *out)
    assert "label 'c99' is not known" in error_of(monkeypatch, capsys, a, *out, "--confused", "c1", "c99")
    assert "split 'tset' is not known" in error_of(monkeypatch, capsys, a, *out, "--split", "tset")
    (folder / "text.parquet").write_text("not a table")
    assert "is not a Parquet file" in error_of(monkeypatch, capsys, folder / "text.parquet", *out)
    assert not (folder / "c.parquet").exists()


def test_help_has_an_example():
    done = run("--help")
    assert done.exit_code == 0
    assert "secondlook audit a.parquet" in done.stdout
