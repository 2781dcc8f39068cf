"""ReaL against its slow twin, its promises, and tables that do not belong together."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.errors import BadValue
from secondlook.evaluate.scores import score, write
from secondlook.labels import LabelSpace
from tests.audit import build

CLASSES = 9


def drawn(seed, count=60, models=2, keep_given=True, empty=0.0):
    """Random models, given labels, and reassessed sets of about half of the videos."""
    rng = np.random.default_rng(seed)
    logits, given_N = build.random_models(rng, count, CLASSES, models)
    rows = {}
    for i, y in enumerate(given_N.tolist()):
        if rng.random() < 0.5:
            found = set(rng.integers(CLASSES, size=rng.integers(3)).tolist()) | ({y} if keep_given else {(y + 1) % 9})
            rows[f"v{i:05d}"] = (y, set() if rng.random() < empty else found)
    return logits, given_N, rows


def slow_real(logits_NK, given_N, rows, k, dropped="left out"):
    """(hits, videos) of ReaL@k, one video at a time."""
    right = videos = 0
    for i, y in enumerate(given_N.tolist()):
        _, found = rows.get(f"v{i:05d}", (y, {y}))
        if not found:
            if dropped == "left out":
                continue
            found = {y}
        row = logits_NK[i].tolist()
        top = sorted(range(CLASSES), key=lambda c: (-row[c], c))[:k]
        right += bool(set(top) & set(found))
        videos += 1
    return right, videos


def scored(logits, given_N, rows, **options):
    models = {name: build.predictions(x, given_N) for name, x in logits.items()}
    return score(models, build.labels(rows, CLASSES), **{"resamples": 20, "top_k": 3, **options})


@pytest.mark.spec("label-reassessment", "G6")
@pytest.mark.parametrize("seed", range(4))
def test_real_matches_its_slow_twin(seed):
    logits, given_N, rows = drawn(seed, 200, keep_given=False, empty=0.2)
    scores = scored(logits, given_N, rows)
    for model in scores["models"]:
        for metric, k in (("top1", 1), ("top3", 3)):
            found = model[metric]
            for name, dropped in (("real", "left out"), ("real_with_dropped", "given")):
                expected = slow_real(logits[model["name"]], given_N, rows, k, dropped)
                assert (found[name]["count"], found[name]["n"]) == expected
            assert found["original_kept"]["n"] == found["real"]["n"]
            assert found["original"]["n"] == 200
            flipped = found["real"]["count"] - found["original_kept"]["count"]
            assert found["gain"]["videos"] == flipped
            assert found["gain"]["points"] == pytest.approx(100 * flipped / found["real"]["n"])
    looked = scores["review"]
    assert looked["reviewed"] == len(rows)
    assert looked["dropped"] == sum(not found for _, found in rows.values())
    assert looked["changed"] == sum(bool(found) and found != {y} for y, found in rows.values())
    assert looked["lost_given"] == sum(bool(found) and y not in found for y, found in rows.values())
    assert sum(looked["set_sizes"]["histogram"].values()) == len(rows)
    assert looked["rules"] == {"R1": len(rows) - looked["dropped"], "failed": looked["dropped"]}


@pytest.mark.spec("label-reassessment", "G6")
@given(st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_real_is_never_lower_while_the_given_label_is_kept(seed, empty):
    logits, given_N, rows = drawn(seed, empty=empty)
    scores = scored(logits, given_N, rows)
    assert scores["review"]["keeps_given"]
    assert "cannot be lower" in scores["review"]["statement"]
    for model in scores["models"]:
        for metric in scores["metrics"]:
            assert model[metric]["real"]["count"] >= model[metric]["original_kept"]["count"]
            assert model[metric]["real_with_dropped"]["count"] >= model[metric]["original"]["count"]
            assert model[metric]["gain"]["points"] is None or model[metric]["gain"]["low"] >= 0


@pytest.mark.spec("label-reassessment", "G6")
@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_real_equals_original_when_every_set_is_the_given_label(seed):
    logits, given_N, rows = drawn(seed)
    scores = scored(logits, given_N, {name: (y, {y}) for name, (y, _) in rows.items()})
    for model in scores["models"]:
        for metric in scores["metrics"]:
            assert model[metric]["real"] == model[metric]["original"] == model[metric]["real_with_dropped"]
            assert model[metric]["gain"] == {"points": 0.0, "low": 0.0, "high": 0.0, "videos": 0}


def test_real_can_fall_when_the_given_label_was_taken_out():
    scores = scored({"a": np.eye(CLASSES)[[0, 1]]}, np.array([0, 1]), {"v00000": (0, {3})}, top_k=1)
    assert scores["models"][0]["top1"]["gain"]["videos"] == -1
    assert not scores["review"]["keeps_given"]
    assert "taken out of 1" in scores["review"]["statement"]


def test_unreviewed_and_foreign_rows():
    rows = {"v00000": (0, {0, 2}), "elsewhere": (1, {1})}
    scores = scored({"a": np.eye(CLASSES)[[2, 2]]}, np.array([0, 1]), rows)
    assert scores["models"][0]["top1"]["real"]["count"] == 1
    assert (scores["review"]["reviewed"], scores["review"]["elsewhere"]) == (1, 1)


def test_labels_that_do_not_belong_are_refused():
    logits, given_N = {"a": np.eye(CLASSES)[[2, 2]]}, np.array([0, 1])
    with pytest.raises(BadValue, match="none of the 1 videos"):
        scored(logits, given_N, {"elsewhere": (1, {1})})
    with pytest.raises(BadValue, match="given label 5 in the labels table and 0 in the predictions"):
        scored(logits, given_N, {"v00000": (5, {5})})
    with pytest.raises(BadValue, match=r"must be in 0\.\.8"):
        scored(logits, given_N, {"v00000": (0, {0, 9})})
    models = {"a": build.predictions(logits["a"], given_N)}
    names = LabelSpace.from_names([f"x{i}" for i in range(CLASSES)])
    table = build.labels({"v00000": (0, {0})}, CLASSES)
    with pytest.raises(BadValue, match="same label space"):
        score(models, build.labels({"v00000": (0, {0})}, CLASSES, space_of=names))
    with pytest.raises(BadValue, match="more than once"):
        score(models, table.take([0, 0]))


def test_an_empty_labels_table_changes_nothing():
    logits, given_N, _ = drawn(0)
    scores = scored(logits, given_N, {})
    assert scores["review"]["reviewed"] == 0
    assert scores["models"][0]["top1"]["real"] == scores["models"][0]["top1"]["original"]


def test_true_sets_show_which_accuracy_is_closer():
    """4 videos given c0. Predicted c0, c1, c1, c2; c0 and c1 hold for the first three, only c2 for the last."""
    given_N = [0, 0, 0, 0]
    models = {"a": build.predictions(np.eye(CLASSES)[[0, 1, 1, 2]], given_N)}
    listed = build.videos(given_N, CLASSES, true_labels=[[0, 1], [0, 1], [0, 1], [2]])
    reviewed = build.labels({"v00001": (0, {0, 1}), "v00002": (0, {0, 1}), "v00003": (0, {0, 1})}, CLASSES)
    scores = score(models, reviewed, listed, top_k=1, resamples=50)
    top1 = scores["models"][0]["top1"]
    assert (top1["original"]["count"], top1["real"]["count"], top1["true"]["count"]) == (1, 3, 4)
    assert (top1["original_error"]["points"], top1["real_error"]["points"]) == (-75.0, -25.0)
    assert top1["closer"] is True
    truth = scores["truth"]
    assert truth["known"] == 4
    assert (truth["given"]["precision"], truth["given"]["recall"]) == (2 / 3, 2 / 5)
    assert (truth["reassessed"]["precision"], truth["reassessed"]["recall"]) == (4 / 6, 4 / 5)
    without = score(models, None, listed, top_k=1, resamples=50)
    assert without["review"] is None
    assert "reassessed" not in without["truth"]
    assert "real" not in without["models"][0]["top1"]
    unknown = score(models, reviewed, build.videos(given_N, CLASSES, true_labels=[[]] * 4), top_k=1, resamples=50)
    assert unknown["truth"] is None


def test_true_accuracy_is_over_the_videos_whose_set_is_known():
    models = {"a": build.predictions(np.eye(CLASSES)[[0, 1, 1]], [0, 0, 0])}
    listed = build.videos([0, 0, 0], CLASSES, true_labels=[[0], [], [0, 1]])
    top1 = score(models, None, listed, top_k=1, resamples=50)["models"][0]["top1"]
    assert (top1["true"]["count"], top1["true"]["n"]) == (2, 2)
    assert top1["original_error"]["points"] == -50.0


def test_groups_of_the_videos_table_are_resampled_whole():
    logits, given_N, rows = drawn(1)
    listed = build.videos(given_N, CLASSES, group=[f"scene {i // 6}" for i in range(60)])
    models = {name: build.predictions(x, given_N) for name, x in logits.items()}
    grouped = score(models, build.labels(rows, CLASSES), listed, resamples=50)
    assert (grouped["bootstrap"]["unit"], grouped["bootstrap"]["units"]) == ("group", 10)
    alone = score(models, build.labels(rows, CLASSES), resamples=50)
    assert (alone["bootstrap"]["unit"], alone["bootstrap"]["units"]) == ("video", 60)


def test_pairs_of_models():
    logits, given_N, rows = drawn(2, 80, models=3)
    scores = scored(logits, given_N, rows)
    assert {(p["a"], p["b"]) for p in scores["pairs"]} == {("a", "b"), ("a", "c"), ("b", "c")}
    for pair in scores["pairs"]:
        assert pair["both"] + pair["only_a"] + pair["only_b"] + pair["neither"] == 80
        assert pair["difference"]["points"] == pytest.approx(100 * (pair["only_a"] - pair["only_b"]) / 80)
        assert pair["difference"]["low"] <= pair["difference"]["points"] <= pair["difference"]["high"]
    right = {m["name"]: m["top1"]["original"]["count"] for m in scores["models"]}
    (pair,) = (
        p for p in scores["pairs"] if (p["a"], p["b"], p["metric"], p["against"]) == ("a", "b", "top1", "original")
    )
    assert pair["both"] + pair["only_a"] == right["a"]
    assert pair["both"] + pair["only_b"] == right["b"]


def test_tables_of_a_model_agree_with_its_accuracy():
    logits, given_N, rows = drawn(3, 100, models=1, empty=0.2)
    scores = scored(logits, given_N, rows)
    (model,) = scores["models"]
    assert np.trace(model["confusion"]["counts"]) == model["top1"]["original"]["count"]
    for column, against in (("top1", "original"), ("top1_real", "real_with_dropped")):
        assert sum(c[column] for c in model["per_class"]) == model["top1"][against]["count"]
    assert sum(c["n"] for c in model["per_class"]) == 100


def test_scores_repeat_and_are_json(tmp_path):
    logits, given_N, rows = drawn(4)
    scores = scored(logits, given_N, rows)
    assert scores == scored(logits, given_N, rows)
    path = write(scores, tmp_path / "new" / "scores.json", {"command": "evaluate"})
    assert json.loads(path.read_text()) == {**scores, "made": {"command": "evaluate"}}
    assert [p.name for p in path.parent.iterdir()] == ["scores.json"]


def test_unusable_videos_are_left_out_for_every_model_and_counted():
    a = build.predictions(np.eye(4), range(4), status={1: "unreadable"})
    logits_NK = np.eye(4)
    logits_NK[2] = np.nan
    scores = score({"a": a, "b": build.predictions(logits_NK, range(4))}, resamples=10)
    assert scores["n"] == 2
    assert {x["status"]: (x["count"], x["failed"]) for x in scores["left_out"]} == {
        "unreadable": (1, True),
        "logits not finite": (1, True),
    }
    assert [m["top1"]["original"]["rate"] for m in scores["models"]] == [1.0, 1.0]
