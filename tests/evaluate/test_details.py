"""Scores by class, by view and over splits, each against a slow twin; and the files that the verb writes."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from secondlook.cli import build_app
from secondlook.errors import BadValue
from secondlook.evaluate.details import accuracy_ratio, details, most_confused, view_accuracy
from secondlook.evaluate.over_splits import over_splits
from secondlook.evaluate.scores import score
from tests.audit import build

F87 = pytest.mark.spec("late-temporal-bert", "F87")
A6 = pytest.mark.spec("attention-recognisers", "A6")


def run(*arguments):
    return CliRunner().invoke(build_app(), ["evaluate", *map(str, arguments)], catch_exceptions=False)


def two_models(count=80, classes=6, seed=0):
    """Classes 0 and 5 have no video."""
    rng = np.random.default_rng(seed)
    found, _ = build.random_models(rng, count, classes)
    given_N = rng.integers(1, classes - 1, size=count)
    for logits_NK in found.values():
        logits_NK[np.arange(count), given_N] += 1.0
    return found, given_N


def softmax(logits_NK):
    powers = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@A6
def test_average_precision_is_the_mean_precision_at_each_video_of_the_class():
    """Twin: walk down the list of all videos by falling probability."""
    models, given_N = two_models()
    found = details({n: build.predictions(z, given_N) for n, z in models.items()})
    for of in found:
        p_NK = softmax(models[of.name].astype(np.float64))
        assert [c.label for c in of.curves] == [1, 2, 3, 4]
        for curve in of.curves:
            right, precisions = 0, []
            for place, n in enumerate(np.argsort(-p_NK[:, curve.label], kind="stable"), start=1):
                if given_N[n] == curve.label:
                    right += 1
                    precisions.append(right / place)
            assert curve.average_precision == pytest.approx(np.mean(precisions))
            assert curve.positives == right
            assert len(curve.threshold) + 1 == len(curve.precision) == len(curve.recall)
            assert (curve.precision[-1], curve.recall[-1], curve.recall[0]) == (1, 0, 1)
        assert of.classes[0]["average_precision"] is None
        assert of.classes[0]["top1"] is None


@F87
def test_accuracy_a_class_confusions_and_ratio_equal_their_twins():
    models, given_N = two_models()
    flow, rgb = details({n: build.predictions(z, given_N) for n, z in models.items()}, top=(1, 3))
    best = {n: z.argmax(1) for n, z in models.items()}
    for of in (flow, rgb):
        for k in range(1, 5):
            here = given_N == k
            assert of.classes[k]["top1"] == pytest.approx((best[of.name][here] == k).mean())
            order = np.argsort(-models[of.name][here], axis=1)[:, :3]
            assert of.classes[k]["top3"] == pytest.approx((order == k).any(1).mean())
        twin = {}
        for y, p in zip(given_N.tolist(), best[of.name].tolist(), strict=True):
            twin[y, p] = twin.get((y, p), 0) + 1
        assert {(i, j): c for (i, j), c in np.ndenumerate(of.counts_KK) if c} == twin
        pairs = of.confused()
        names = [row["name"] for row in of.classes]
        wrong = {(names[i], names[j]): c for (i, j), c in twin.items() if i != j}
        assert {(p["given"], p["predicted"]): p["count"] for p in pairs} == wrong
        assert [p["count"] for p in pairs] == sorted(wrong.values(), reverse=True)
        for p in pairs:
            assert p["back"] == wrong.get((p["predicted"], p["given"]), 0)
    ratios = {row["label"]: row["ratio"] for row in accuracy_ratio(flow, rgb)}
    for k in range(1, 5):
        here = given_N == k
        first, second = ((best[n][here] == k).mean() for n in ("a", "b"))
        assert ratios[k] == (pytest.approx(first / second) if second else None)
    assert list(ratios) == sorted(ratios, key=lambda k: -ratios[k])


@F87
def test_ratios_as_in_kinetics():
    """Motion first, looks last (rock-paper-scissors 5.3, making a sandwich 0), and what RGB never finds after that."""
    given_N = [0] * 30 + [1] * 10 + [2] * 10
    flow = [0] * 16 + [1] * 14 + [0] * 10 + [2] * 10
    rgb = [0] * 3 + [1] * 27 + [1] * 10 + [0] * 10
    tables = {n: build.predictions(np.eye(3)[p], given_N) for n, p in (("flow", flow), ("rgb", rgb))}
    rows = accuracy_ratio(*details(tables))
    assert [row["name"] for row in rows] == ["c0", "c1", "c2"]
    assert [row["ratio"] for row in rows] == [pytest.approx(16 / 3), 0.0, None]


def test_nothing_confused_is_an_empty_list():
    assert most_confused(np.eye(3, dtype=np.int64), ["a", "b", "c"]) == []


@A6
def test_views_are_scored_apart_from_videos(tmp_path):
    """Views of this table say the logits backwards: right where the video's mirrored class is the given one."""
    models, given_N = two_models()
    table = build.predictions(models["a"], given_N, views=3, status={4: "timeout"})
    path = build.save(table, tmp_path / "a.parquet")
    by_view = view_accuracy(path, top=(1, 3))
    usable = np.arange(80) != 4
    order_NK = np.argsort(-models["a"][usable][:, ::-1], axis=1)
    right_NK = order_NK == given_N[usable][:, None]
    assert (by_view["n"], by_view["videos"]) == (79 * 3, 79)
    assert by_view["top1"] == pytest.approx(right_NK[:, 0].mean())
    assert by_view["top3"] == pytest.approx(right_NK[:, :3].any(1).mean())
    by_video = score({"a": table}, resamples=10)["models"][0]["top1"]["original"]
    assert by_video["n"] == 79
    assert by_video["rate"] == pytest.approx((models["a"][usable].argmax(1) == given_N[usable]).mean())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "77")
@A6
def test_any_k_is_measured():
    models, given_N = two_models()
    scores = score({"a": build.predictions(models["a"], given_N)}, top=(5, 3, 9), resamples=10)
    assert scores["metrics"] == ["top1", "top3", "top5", "top6"]  # six classes
    order_NK = np.argsort(-models["a"], axis=1)
    for metric in scores["metrics"]:
        k = int(metric[3:])
        twin = (order_NK[:, :k] == given_N[:, None]).any(1).sum()
        assert scores["models"][0][metric]["original"]["count"] == twin
    with pytest.raises(BadValue, match="at least 1"):
        score({"a": build.predictions(models["a"], given_N)}, top=(0, 1))


@pytest.mark.spec("late-temporal-bert", "F85")
def test_each_split_and_their_mean(tmp_path):
    """Splits count alike, whatever their size, and may share videos."""
    rng = np.random.default_rng(2)
    paths, twin = [], {"top1": [], "top3": []}
    for part, count in ((1, 60), (2, 40), (3, 20)):
        given_N = rng.integers(5, size=count)
        logits_NK = rng.normal(size=(count, 5))
        logits_NK[np.arange(count), given_N] += 1
        order_NK = np.argsort(-logits_NK, axis=1) == given_N[:, None]
        twin["top1"].append(order_NK[:, 0].mean())
        twin["top3"].append(order_NK[:, :3].any(1).mean())
        paths.append(build.save(build.predictions(logits_NK, given_N, model="toy:bert"), tmp_path / f"s{part}.parquet"))
    done = run(*paths, "--over-splits", "--top", "1,3", "--json", "-o", tmp_path / "splits.json")
    assert done.exit_code == 0
    (model,) = json.loads(done.stdout)["models"]
    assert (model["name"], [row["name"] for row in model["splits"]]) == ("toy:bert", ["s1", "s2", "s3"])
    for metric, shares in twin.items():
        assert [row[metric] for row in model["splits"]] == pytest.approx(shares)
        assert model["mean"][metric] == pytest.approx(sum(shares) / 3)
        assert model["sd"][metric] == pytest.approx(np.std(shares, ddof=1))
    assert json.loads((tmp_path / "splits.json").read_text())["models"] == [model]
    said = run(*paths, "--over-splits", "--top", "1,3").stdout
    assert "toy:bert on 3 splits" in said
    assert f"{100 * sum(twin['top3']) / 3:.2f} %" in said
    assert over_splits({"one": {"s": build.predictions(np.eye(5), range(5))}})[0]["sd"]["top1"] == 0
    with pytest.raises(BadValue, match="on each split only"):
        run(*paths, "--over-splits", "--details", tmp_path / "d")


@A6
@F87
def test_the_verb_writes_tables_and_pictures(tmp_path):
    models, given_N = two_models()
    paths = [
        build.save(build.predictions(z, given_N, model=f"toy:{n}", views=2), tmp_path / f"{n}.parquet")
        for n, z in models.items()
    ]
    folder = tmp_path / "by-class"
    done = run(*paths, "--top", "1,3,5", "--details", folder, "--resamples", "20")
    assert done.exit_code == 0
    assert "13 files by class" not in done.stdout  # 7 a model, a ratio, a summary
    assert "16 files by class" in done.stdout
    assert "by view top-1" in done.stdout
    for stem in ("toy-a", "toy-b"):
        for what in ("confusion", "precision-recall", "classes"):
            with Image.open(folder / f"{what}-{stem}.png") as picture:
                picture.verify()
        with (folder / f"confusion-{stem}.csv").open() as file:
            head, *rows = list(csv.reader(file))
        assert head[1:] == [f"c{k}" for k in range(6)]
        counts_KK = np.array([[int(x) for x in row[1:]] for row in rows])
        assert counts_KK.sum() == 80
        assert (counts_KK.sum(1) == np.bincount(given_N, minlength=6)).all()
        with (folder / f"classes-{stem}.csv").open() as file:
            by_class = list(csv.DictReader(file))
        assert list(by_class[0]) == ["label", "name", "group", "n", "top1", "top3", "top5", "average_precision"]
        assert (folder / f"confused-{stem}.csv").is_file()
        assert (folder / f"precision-recall-{stem}.csv").is_file()
    with (folder / "ratio-toy-a-over-toy-b.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    told = json.loads((folder / "details.json").read_text())
    assert [m["name"] for m in told["models"]] == ["toy:a", "toy:b"]
    assert told["models"][0]["per_view"]["n"] == 160
    assert told["ratios"][0]["first"] == "toy:a"
