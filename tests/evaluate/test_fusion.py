"""Fused predictions tables against sums written out by hand, and what becomes of rows that cannot be used."""

import math

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.audit import align, read_video_rows
from secondlook.cli import build_app
from secondlook.errors import BadValue
from secondlook.evaluate.fusion import fit_weights, fuse_files, fuse_scores
from secondlook.evaluate.scores import score
from tests.audit import build


def softmax(values):
    """Twin, one video, plain Python."""
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def three_streams(tmp_path, count=30, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    found, given_N = build.random_models(rng, count, classes, models=3)
    paths = [
        build.save(build.predictions(z, given_N, model=f"toy:{name}"), tmp_path / f"{name}.parquet")
        for name, z in found.items()
    ]
    return paths, np.stack(list(found.values())), given_N


@pytest.mark.spec("late-temporal-bert", "F86")
@pytest.mark.parametrize("streams", [2, 3])
def test_mean_of_softmax_equals_its_twin(tmp_path, streams):
    """Two- and three-stream networks and ensembles of n: the softmax of the result is the mean of the softmax."""
    paths, logits_MNK, _ = three_streams(tmp_path)
    done = fuse_files(paths[:streams], tmp_path / "fused.parquet")
    assert (done.videos, done.unusable, done.method) == (30, 0, "mean_softmax")
    fused_NK = tables.matrix(tables.read(tables.PREDICTIONS, done.path), "logits")
    for n in range(30):
        each = [softmax(logits_MNK[m, n].tolist()) for m in range(streams)]
        mean = [sum(p) / streams for p in zip(*each, strict=True)]
        np.testing.assert_allclose(softmax(fused_NK[n].tolist()), mean, rtol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F86")
def test_sum_and_weights_equal_their_twins(tmp_path):
    paths, logits_MNK, _ = three_streams(tmp_path)
    summed = fuse_files(paths, tmp_path / "sum.parquet", "sum")
    np.testing.assert_allclose(
        tables.matrix(tables.read(tables.PREDICTIONS, summed.path), "logits"), sum(logits_MNK), rtol=1e-5, atol=1e-6
    )
    done = fuse_files(paths[:2], tmp_path / "weighted.parquet", "weights", weights=[1, 1.5])
    assert done.weights == (0.4, 0.6)
    fused_NK = tables.matrix(tables.read(tables.PREDICTIONS, done.path), "logits")
    for n in range(30):
        rgb, flow = (softmax(logits_MNK[m, n].tolist()) for m in range(2))
        twin = [0.4 * a + 0.6 * b for a, b in zip(rgb, flow, strict=True)]
        np.testing.assert_allclose(softmax(fused_NK[n].tolist()), twin, rtol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F86")
def test_a_fused_table_is_an_ordinary_one(tmp_path):
    """It has video rows only, and evaluation and audit read it as they read any other."""
    paths, logits_MNK, given_N = three_streams(tmp_path)
    done = fuse_files(paths, tmp_path / "fused.parquet")
    table = read_video_rows(done.path)
    assert table["view"].unique().to_pylist() == [-1]
    assert tables.made(table)["model"] == "toy:a + toy:b + toy:c"
    found = score({"fused": table}, resamples=10)["models"][0]["top1"]["original"]
    twin = [np.argmax(np.mean([softmax(z.tolist()) for z in logits_MNK[:, n]], axis=0)) for n in range(30)]
    assert found["count"] == int((np.array(twin) == given_N).sum())
    assert align({"fused": table, "rgb": read_video_rows(paths[0])}).names == ("fused", "rgb")
    assert fuse_files([done.path, paths[0]], tmp_path / "again.parquet").videos == 30


def test_a_tiny_share_does_not_become_zero_and_a_copy_changes_nothing():
    logits_NK = np.array([[0.0, 900.0, -900.0]])
    fused_NK = fuse_scores(np.stack([logits_NK, logits_NK]))
    np.testing.assert_allclose(fused_NK, logits_NK - 900, rtol=1e-6)
    alone_NK = fuse_scores(np.stack([logits_NK, -logits_NK]), "weights", [1, 0])
    np.testing.assert_allclose(alone_NK, logits_NK - 900, rtol=1e-6)


def expectation_maximisation(p_MN, steps=3000):
    """Twin of the fit: the classic iteration for the shares of a mixture."""
    share_M = np.full(len(p_MN), 1 / len(p_MN))
    for _ in range(steps):
        joint_MN = share_M[:, None] * p_MN
        share_M = (joint_MN / joint_MN.sum(0)).mean(1)
    return share_M


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fitted_weights_equal_expectation_maximisation(seed):
    rng = np.random.default_rng(seed)
    given_N = rng.integers(4, size=120)
    logits_MNK = rng.normal(size=(3, 120, 4))
    for m, better in enumerate((0.5, 2.0, 1.5)):
        logits_MNK[m, np.arange(120), given_N] += better
    p_MN = np.array([[softmax(z.tolist())[y] for z, y in zip(of, given_N, strict=True)] for of in logits_MNK])
    found_M = fit_weights(logits_MNK, given_N)
    np.testing.assert_allclose(found_M, expectation_maximisation(p_MN), atol=2e-3)
    assert found_M.sum() == pytest.approx(1)
    assert (found_M >= 0).all()


def test_a_stream_of_noise_gets_no_weight(tmp_path):
    rng = np.random.default_rng(3)
    given_N = rng.integers(3, size=60)
    good_NK = np.eye(3)[given_N] * 3
    for part in ("val", "test"):
        build.save(build.predictions(good_NK, given_N, model="toy:rgb"), tmp_path / f"rgb-{part}.parquet")
        noise = build.predictions(rng.normal(size=(60, 3)) * 4, given_N, model="toy:flow")
        build.save(noise, tmp_path / f"flow-{part}.parquet")
    done = fuse_files(
        [tmp_path / "rgb-test.parquet", tmp_path / "flow-test.parquet"], tmp_path / "fused.parquet", "weights",
        fit=[tmp_path / "rgb-val.parquet", tmp_path / "flow-val.parquet"],
    )  # fmt: skip
    assert done.weights[0] > 0.95
    assert done.fitted_on == 60
    twin = -np.mean([math.log(softmax(z.tolist())[y]) for z, y in zip(good_NK, given_N, strict=True)])
    assert done.log_loss <= twin + 1e-4  # never worse than the best stream alone


def test_rows_of_one_table_only_stay_and_say_why(tmp_path):
    a = build.predictions(np.eye(3), [0, 1, 2], video_ids=["x", "y", "z"], model="toy:a", status={1: "timeout"})
    b = build.predictions(np.eye(3), [0, 1, 2], video_ids=["z", "y", "w"], model="toy:b").to_pylist()
    for row in b:
        row["label"] = {"z": 2, "y": 1, "w": 0}[row["video_id"]]
    made = {"table": "predictions", "label_space": build.space(3).to_dict(), "model": "toy:b"}
    paths = [
        build.save(a, tmp_path / "a.parquet"),
        tables.write(tables.PREDICTIONS, b, tmp_path / "b.parquet", made),
    ]
    done = fuse_files(paths, tmp_path / "fused.parquet")
    rows = {row["video_id"]: row for row in tables.read(tables.PREDICTIONS, done.path).to_pylist()}
    assert list(rows) == ["x", "y", "z", "w"]
    assert done.unusable == 3
    assert (rows["x"]["status"], rows["x"]["reason"]) == ("missing", "not predicted by toy:b")
    assert (rows["w"]["status"], rows["w"]["reason"]) == ("missing", "not predicted by toy:a")
    assert (rows["y"]["status"], rows["y"]["reason"]) == ("timeout", "toy:a: it is timeout")
    assert rows["z"]["status"] == "ok"
    assert np.isnan([rows[v]["logits"] for v in "xyw"]).all()
    assert np.isfinite(rows["z"]["logits"]).all()


def test_tables_that_do_not_fit_are_a_sentence(tmp_path):
    paths, _, given_N = three_streams(tmp_path)
    other = build.save(build.predictions(np.eye(3), [0, 1, 2]), tmp_path / "other.parquet")
    with pytest.raises(BadValue, match="must have the same label space"):
        fuse_files([paths[0], other], tmp_path / "f.parquet")
    with pytest.raises(BadValue, match="at least two"):
        fuse_files(paths[:1], tmp_path / "f.parquet")
    with pytest.raises(BadValue, match="Give --weights or --fit"):
        fuse_files(paths, tmp_path / "f.parquet", "weights")
    with pytest.raises(BadValue, match="takes no weights"):
        fuse_files(paths, tmp_path / "f.parquet", weights=[1, 1, 1])
    with pytest.raises(BadValue, match="3 tables are fused"):
        fuse_files(paths, tmp_path / "f.parquet", "weights", weights=[1, 2])
    with pytest.raises(BadValue, match="at least 0"):
        fuse_files(paths, tmp_path / "f.parquet", "weights", weights=[1, 2, -1])
    with pytest.raises(BadValue, match="tables are fused by"):
        fuse_files(paths, tmp_path / "f.parquet", "median")
    moved = build.save(build.predictions(np.eye(5), (given_N[:5] + 1) % 5, model="toy:m"), tmp_path / "moved.parquet")
    with pytest.raises(BadValue, match="has given label"):
        fuse_files([paths[0], moved], tmp_path / "f.parquet")


def test_the_verb(tmp_path):
    paths, _, _ = three_streams(tmp_path)
    said = CliRunner().invoke(
        build_app(), ["fuse", *map(str, paths[:2]), "-o", str(tmp_path / "f.parquet"), "--method", "weights",
                      "--weights", "1,1.5"]
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "weights: toy:a 0.4, toy:b 0.6" in said.stdout
    wrong = CliRunner().invoke(build_app(), ["fuse", *map(str, paths), "-o", "f", "--weights", "one"])
    assert "numbers, one a table" in str(wrong.exception)
    shown = CliRunner().invoke(build_app(), ["fuse", "--help"]).stdout
    assert "Example" in shown
