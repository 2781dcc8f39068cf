"""Controls against the source's biases: chance, foils, held-out models, videos scored right, merge rules."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.controls import controls
from secondlook.evaluate.foils import foils_chosen
from secondlook.evaluate.held_out import by_part
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.population import estimates
from secondlook.evaluate.proportion import Stratum, stratified, wilson
from secondlook.evaluate.random_labels import options_of, random_gain
from secondlook.evaluate.real import review
from secondlook.evaluate.rule_sensitivity import by_rule, spread
from secondlook.reassess import approval_rules
from tests.audit import build

CLASSES = 7


def candidates(rows, **made):
    """A candidates table from video -> (given, options, category)."""
    table = pa.table(
        {
            "video_id": pa.array(list(rows)),
            "path": pa.array([""] * len(rows)),
            "given_label": pa.array([given for given, _, _ in rows.values()], pa.int32()),
            "options": pa.array([sorted(options) for _, options, _ in rows.values()], pa.list_(pa.int32())),
            "suspicion": pa.array([0.5] * len(rows), pa.float32()),
            "reason": pa.array([""] * len(rows)),
            "category": pa.array([category for _, _, category in rows.values()]),
        }
    )
    return build.with_made(table, tables.CANDIDATES, label_space=build.space(CLASSES).to_dict(), **made)


def answered(rows, verdict="approved"):
    """Answers from (task, worker, given, labels)."""
    return pa.Table.from_pandas(
        pd.DataFrame(
            [(t, w, label, given, verdict) for t, w, given, labels in rows for label in (labels or [-1])],
            columns=["task", "worker", "label", "given_label", "verdict"],
        )
    )


def drawn(seed, count=80, lose=0.0):
    """One model, given labels, sets of 1 to 4 labels on half of the videos, options of 5."""
    rng = np.random.default_rng(seed)
    logits, given_N = build.random_models(rng, count, CLASSES, 1)
    sets, offered = {}, {}
    for i, y in enumerate(given_N.tolist()):
        if rng.random() < 0.5:
            others = rng.permutation([k for k in range(CLASSES) if k != y]).tolist()
            found = set(others[: rng.integers(0, 4)]) | ({y} if rng.random() >= lose else set())
            sets[f"v{i:05d}"] = (y, found)
            offered[f"v{i:05d}"] = (y, {y, *others[:5]}, "top1")
    aligned = build.aligned(logits, given_N, top_k=3)
    return aligned, review(build.labels(sets, CLASSES), aligned), candidates(offered)


def slow_random_gain(aligned, looked, k, pools, rng):
    """One draw: every added label replaced by another of the video's pool, one video at a time; hits less original."""
    change = 0
    row, label = looked.sets.pairs
    for i, y in enumerate(aligned.given_N.tolist()):
        own = set(label[row == i].tolist())
        if not own:
            continue
        pool = [c for c in pools[i] if c != y]
        added = rng.choice(pool, min(len(own - {y}), len(pool)), replace=False) if own - {y} else []
        top = set(aligned.rankings[0].top_NK[i, :k].tolist())
        change += bool(top & ({*map(int, added)} | (own & {y}))) - (y in top)
    return 100 * change / int((looked.sets.size_N > 0).sum())


@pytest.mark.spec("label-reassessment", "G12")
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("lose", [0.0, 0.3])
def test_the_gain_of_random_labels_is_that_of_drawing_them(lose, shown):
    aligned, looked, asked = drawn(1, lose=lose)
    options = options_of(aligned.video_id_N.tolist(), asked, CLASSES) if shown else None
    rows = random_gain(aligned.rankings[0], looked, {"top1": 1, "top3": 3}, options=options, draws=4000)
    sets = tables.lists(asked, "options")
    place = {video: i for i, video in enumerate(asked["video_id"].to_pylist())}
    pools = [sets[place[v]] if shown and v in place else range(CLASSES) for v in aligned.video_id_N]
    rng = np.random.default_rng(5)
    for row, k in zip(rows, (1, 3), strict=True):
        slow = [slow_random_gain(aligned, looked, k, pools, rng) for _ in range(400)]
        assert row["random"] == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / 20)
        assert row["high"] - row["low"] == pytest.approx(
            np.subtract(*np.quantile(slow, [0.975, 0.025])), rel=0.25, abs=2.6
        )
        assert row["low"] <= row["random"] <= row["high"]
        real_N = hits(aligned.rankings[0].top_NK, looked.sets, k)[looked.kept_N]
        given_N = hits(aligned.rankings[0].top_NK, LabelSets.single(aligned.given_N, CLASSES), k)[looked.kept_N]
        assert row["gain"] == pytest.approx(100 * (real_N.mean() - given_N.mean()))


@pytest.mark.spec("label-reassessment", "G12")
def test_labels_that_people_chose_well_beat_chance_and_random_ones_do_not():
    rng = np.random.default_rng(3)
    logits, given_N = build.random_models(rng, 300, CLASSES, 1)
    aligned = build.aligned(logits, given_N, top_k=3)
    predicted_N = aligned.rankings[0].predicted_N
    wise = {f"v{i:05d}": (y, {y, int(predicted_N[i])}) for i, y in enumerate(given_N.tolist()) if predicted_N[i] != y}
    blind = {v: (y, {y, (y + int(rng.integers(1, CLASSES))) % CLASSES}) for v, (y, _) in wise.items()}
    results = []
    for sets in (wise, blind):
        looked = review(build.labels(sets, CLASSES), aligned)
        results.append(random_gain(aligned.rankings[0], looked, {"top1": 1})[0])
    assert results[0]["p"] < 0.01
    assert results[0]["gain"] > results[0]["high"]
    assert results[1]["p"] > 0.05
    assert results[1]["low"] <= results[1]["gain"] <= results[1]["high"]


@pytest.mark.spec("label-reassessment", "G12")
def test_foils_tell_how_often_people_choose_what_nobody_proposed():
    asked = candidates({"a": (0, {0, 1, 2, 6}, "top1"), "b": (1, {1, 2, 5}, "top1")}, foils={"a": [6], "b": [5]})
    answers = answered([("a", "w", 0, [0, 1]), ("a", "x", 0, [0, 6]), ("a", "blank", 0, []), ("b", "w", 1, [2])])
    found = foils_chosen(asked, answers)
    assert found["answers"] == 3, "a blank answer chose nothing on purpose or by accident, and does not count"
    chosen = {kind: (found[kind]["chosen"], found[kind]["shown"]) for kind in ("given", "proposed", "foil")}
    assert chosen == {"given": (2, 3), "proposed": (2, 5), "foil": (1, 3)}
    assert found["foil"]["low"] < 1 / 3 < found["foil"]["high"]
    assert foils_chosen(candidates({"a": (0, {0, 1}, "top1")}), answers) is None


@pytest.mark.spec("label-reassessment", "G12")
def test_a_held_out_model_stands_beside_those_that_proposed():
    """Given 0 everywhere. a says 1, which is offered and holds in two of three; b says 2, offered once, holds there."""
    aligned = build.aligned({"a": np.eye(CLASSES)[[1, 1, 1, 0]], "b": np.eye(CLASSES)[[2, 2, 0, 0]]}, [0] * 4, top_k=1)
    asked = {"v00000": (0, {0, 1, 2}, "top1"), "v00001": (0, {0, 1}, "top1"), "v00002": (0, {0, 1}, "top1")}
    sets = {"v00000": (0, [0, 1, 2]), "v00001": (0, [0, 1]), "v00002": (0, [0])}
    looked = review(build.labels(sets, CLASSES), aligned)
    for made in ({"models": ["a"]}, {"held_out_models": ["b"], "models": ["a", "b"]}, {}):
        a, b = by_part(aligned, looked, candidates(asked, **made), {"top1": 1})
        assert (a["held_out"], b["held_out"]) == (False, True)
        assert (a["mistakes"], a["reviewed"], a["offered"]) == (3, 3, 3)
        assert (a["holds"]["count"], a["holds"]["n"]) == (2, 3)
        assert (b["mistakes"], b["reviewed"], b["offered"]) == (2, 2, 1)
        assert (b["holds"]["rate"], b["holds_if_offered"]["rate"]) == (0.5, 1.0)
        assert (a["gain"]["top1"], b["gain"]["top1"]) == (50, 25)


def test_wilson_by_hand_and_with_few_left():
    found = wilson(8, 10)
    assert [found["low"], found["high"]] == pytest.approx([0.4901625, 0.9433178], abs=1e-6)
    assert wilson(10, 10, of=10) == {"rate": 1.0, "low": 1.0, "high": 1.0}
    near = wilson(8, 10, of=12)
    assert found["low"] < near["low"] < 0.8 < near["high"] < found["high"]
    assert wilson(0, 0) == {"rate": None, "low": None, "high": None}


@pytest.mark.spec("label-reassessment", "G12")
def test_weighted_strata_by_hand():
    """30 all looked at, 12 hits; 70 of which 10 looked at, 9 hits: 0.3 x 0.4 + 0.7 x 0.9."""
    found = stratified([Stratum("selected", 30, 30, 12), Stratum("rest", 70, 10, 9)])
    assert found["rate"] == pytest.approx(0.3 * 0.4 + 0.7 * 0.9)
    rest = wilson(9, 10, of=70)
    assert found["low"] == pytest.approx(found["rate"] - 0.7 * (0.9 - rest["low"]))
    assert found["high"] == pytest.approx(found["rate"] + 0.7 * (rest["high"] - 0.9))
    assert stratified([Stratum("selected", 3, 0, 0)])["rate"] is None
    assert stratified([Stratum("selected", 3, 3, 2), Stratum("none", 0, 0, 0)])["rate"] == pytest.approx(2 / 3)


def population(rng, count=600, spoiled=0.15):
    """A model that is right by the given label on 70 %; of these `spoiled` have a wrong given label."""
    given_N = np.zeros(count, int)
    wrong_N = rng.random(count) < 0.3
    spoiled_N = ~wrong_N & (rng.random(count) < spoiled)
    holds_N = wrong_N & (rng.random(count) < 0.4)
    models = {"a": np.eye(CLASSES)[np.where(wrong_N, 1, 0)]}
    truth = np.where(wrong_N, holds_N, ~spoiled_N)
    true_sets = [
        ({0, 1} if holds_N[i] else {0}) if wrong_N[i] else ({2} if spoiled_N[i] else {0}) for i in range(count)
    ]
    return build.aligned(models, given_N, top_k=1), wrong_N, true_sets, float(truth.mean())


def looked_at(aligned, wrong_N, true_sets, rng, controls_drawn=60):
    picked = rng.choice(np.flatnonzero(~wrong_N), controls_drawn, replace=False)
    rows = {f"v{i:05d}": (0, {0, 1}, "top1") for i in np.flatnonzero(wrong_N)}
    rows |= {f"v{i:05d}": (0, {0, 1, 2}, "control") for i in picked}
    sets = {video: (0, true_sets[int(video[1:])]) for video in rows}
    return review(build.labels(sets, CLASSES), aligned), candidates(rows)


@pytest.mark.spec("label-reassessment", "G12")
def test_accuracy_over_all_videos_can_fall():
    rng = np.random.default_rng(0)
    aligned, wrong_N, true_sets, _ = population(rng, spoiled=0.4)
    looked, asked = looked_at(aligned, wrong_N, true_sets, rng)
    (row,) = estimates(aligned, looked, asked, {"top1": 1}, rule="vote")
    assert row["high"] < row["original"], "the given label was wrong more often than the model's mistakes were none"
    selected, rest = row["strata"]
    assert (selected["size"], selected["looked"]) == (wrong_N.sum(), wrong_N.sum())
    assert (rest["size"], rest["looked"], rest["original"]) == ((~wrong_N).sum(), 60, 60)
    by_hand = (selected["hits"] + rest["size"] * rest["hits"] / 60) / 600
    assert row["rate"] == pytest.approx(by_hand)


@pytest.mark.spec("label-reassessment", "G12")
def test_the_estimate_is_unbiased_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(1)
    errors, inside = [], 0
    aligned, wrong_N, true_sets, truth = population(rng)
    for _ in range(120):
        looked, asked = looked_at(aligned, wrong_N, true_sets, rng)
        (row,) = estimates(aligned, looked, asked, {"top1": 1})
        errors.append(row["rate"] - truth)
        inside += row["low"] <= truth <= row["high"]
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(120) + 1e-9
    assert 0.88 <= inside / 120 <= 1
    naive = review(build.labels({f"v{i:05d}": (0, true_sets[i]) for i in np.flatnonzero(wrong_N)}, CLASSES), aligned)
    real = hits(aligned.rankings[0].top_NK, naive.sets, 1).mean()
    assert real > truth + 0.05, "what looking at mistakes only would say"


def test_without_controls_nothing_is_estimated_and_a_limit_counts():
    rng = np.random.default_rng(2)
    aligned, wrong_N, true_sets, _ = population(rng)
    looked, asked = looked_at(aligned, wrong_N, true_sets, rng)
    only = asked.filter(pa.compute.not_equal(asked["category"], "control"))
    assert estimates(aligned, looked, only, {"top1": 1}) == []
    limited = asked.replace_schema_metadata(None)
    limited = build.with_made(limited, tables.CANDIDATES, sampling={"selected": int(wrong_N.sum()) + 20})
    (row,) = estimates(aligned, looked, limited, {"top1": 1})
    assert row["strata"][0]["size"] == wrong_N.sum() + 20
    assert row["strata"][1]["size"] == (~wrong_N).sum() - 20


def crowd(seed=0, count=40):
    """Answers of three people to `count` videos given 0: they see 0 and 1, at times 2; one of six is rejected."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        for worker in range(3):
            labels = [k for k, p in ((0, 0.6), (1, 0.7), (2, 0.1)) if rng.random() < p]
            rows.append((f"v{i:05d}", f"w{worker}", 0, labels))
    table = answered(rows).to_pandas()
    rejected = (table.groupby(["task", "worker"]).ngroup() % 6) == 0
    table.loc[rejected, "verdict"] = "rejected"
    return pa.Table.from_pandas(table, preserve_index=False)


@pytest.mark.spec("label-reassessment", "G12")
def test_rules_stand_in_one_table():
    answers = crowd()
    aligned = build.aligned({"a": np.eye(CLASSES)[[1] * 30 + [2] * 10]}, [0] * 40, top_k=3)
    sets = {name: approval_rules.fit(answers, **o).labels for name, o in (("keep", {}), ("vote", {"given": "vote"}))}
    rows = by_rule(aligned, sets, {"top1": 1, "top3": 3})
    assert [row["rule"] for row in rows] == ["keep", "vote"]
    for row in rows:
        looked = review(sets[row["rule"]], aligned)
        right_N = hits(aligned.rankings[0].top_NK, looked.sets, 1)[looked.kept_N]
        assert row["scores"]["a"]["top1"] == {
            "real": pytest.approx(right_N.mean()),
            "gain": pytest.approx(100 * right_N.mean()),
        }
    assert rows[0]["lost_given"] == 0 < rows[1]["lost_given"]
    assert rows[0]["mean_size"] > rows[1]["mean_size"]
    low, high = spread(rows, "a", "top1")
    assert low <= rows[0]["scores"]["a"]["top1"]["gain"] <= high


@pytest.mark.spec("label-reassessment", "G12")
def test_all_controls_together_are_json_and_repeat():
    import json

    answers = crowd()
    rows = {f"v{i:05d}": (0, {0, 1, 2, 5}, "control" if i >= 30 else "top1") for i in range(40)}
    asked = candidates(rows, foils={video: [5] for video in rows}, models=["a"], sampling={"selected": 30})
    predicted = {"a": [1] * 20 + [2] * 10 + [0] * 30, "b": [3] * 30 + [0] * 30}
    aligned = build.aligned({n: np.eye(CLASSES)[p] for n, p in predicted.items()}, [0] * 60, top_k=3)
    looked = review(approval_rules.fit(answers).labels, aligned)
    found = controls(aligned, looked, asked, answers, {"top1": 1, "top3": 3}, draws=200)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == controls(aligned, looked, asked, answers, {"top1": 1, "top3": 3}, draws=200)
    assert {r["pool"] for r in found["random"]} == {"all labels", "options shown"}
    assert [r["held_out"] for r in found["held_out"]] == [False, True]
    assert {r["rule"] for r in found["population"]} == {"as scored", "given=drop-if-unvoted", "given=vote"}
    rates = {r["rule"]: r["rate"] for r in found["population"] if (r["model"], r["metric"]) == ("a", "top1")}
    assert rates["given=vote"] < rates["as scored"], "a label that people did not choose is gone"
    said = " ".join(found["said"])
    for word in ("equally many labels", "labels drawn at random", "proposed no options", "weighted", "merge rules"):
        assert word in said
    assert found["foils"]["foil"]["chosen"] == 0
