"""Candidates: which videos, which options in which order, how suspicious, and why."""

import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from secondlook import catalog, tables
from secondlook.audit import SELECT, mistakes
from secondlook.audit._options import choose
from secondlook.audit.misclassified import candidates, find
from secondlook.errors import BadValue, UnknownName
from tests.audit import build

CHANCE = 1e-3
"""A chi-square test of a fixed seed fails by chance this often."""


def slow_find(logits, given_N, top_k, select):
    """video -> (set of options, category, suspicion), one video at a time in plain Python."""
    found = {}
    for i, y in enumerate(given_N):
        tops, margins = [], []
        for logits_NK in logits.values():
            row = [float(x) for x in logits_NK[i]]
            tops.append(sorted(range(len(row)), key=lambda c: (-row[c], c))[:top_k])
            powers = [np.exp(x) for x in row]
            p = [x / sum(powers) for x in powers]
            margins.append(max(x for c, x in enumerate(p) if c != y) - p[y])
        wrong = [top[0] != y for top in tops]
        missed = all(y not in top for top in tops)
        keep = {
            "union": any(wrong),
            "intersection": all(wrong),
            "both-topk": missed,
            "intersection-topk": missed,
            "union-topk": any(y not in top for top in tops),
            "either-top1-only": any(wrong) and not missed,
        }
        if keep[select]:
            options = {c for top in tops for c in top} | {int(y)}
            suspicion = sum((m + 1) / 2 for m in margins) / len(margins)
            found[f"v{i:05d}"] = (options, "topk" if missed else "top1", suspicion)
    return found


@pytest.mark.parametrize("select", SELECT)
@pytest.mark.parametrize(("models", "top_k"), [(1, 5), (2, 5), (2, 1), (3, 3)])
@pytest.mark.spec("label-reassessment", "C1")
def test_candidates_match_their_slow_twin(select, models, top_k):
    logits, given_N = build.random_models(np.random.default_rng(7), 300, 12, models)
    predictions = {name: build.predictions(x, given_N) for name, x in logits.items()}
    rows = find(None, predictions, top_k=top_k, select=select).to_pylist()
    expected = slow_find(logits, given_N, top_k, select)
    assert {r["video_id"] for r in rows} == set(expected)
    for r in rows:
        options, category, suspicion = expected[r["video_id"]]
        assert set(r["options"]) == options
        assert len(r["options"]) == len(options)
        assert r["category"] == category
        assert r["suspicion"] == pytest.approx(suspicion, abs=1e-6)
        assert r["given_label"] == given_N[int(r["video_id"][1:])]
    assert [r["suspicion"] for r in rows] == sorted((r["suspicion"] for r in rows), reverse=True)


@pytest.mark.spec("label-reassessment", "C2")
def test_five_ten_or_eleven_options():
    same = [[0, 1, 2, 3, 4]] * 3
    a = build.ordered_logits([*same[:1], *same[:1], *same[:1]], 14)
    b = build.ordered_logits([[4, 3, 2, 1, 0], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]], 14)
    given_N = [1, 6, 13]
    rows = find(None, {"a": build.predictions(a, given_N), "b": build.predictions(b, given_N)}).to_pylist()
    assert {r["video_id"]: len(r["options"]) for r in rows} == {"v00000": 5, "v00001": 10, "v00002": 11}
    assert {r["video_id"]: r["category"] for r in rows} == {"v00000": "top1", "v00001": "top1", "v00002": "topk"}


@hypothesis_given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_option_counts(seed, top_k, models, classes):
    rng = np.random.default_rng(seed)
    logits, given_N = build.random_models(rng, 12, classes, models)
    k = min(top_k, classes)
    for r in find(None, {n: build.predictions(x, given_N) for n, x in logits.items()}, top_k=top_k).to_pylist():
        assert len(set(r["options"])) == len(r["options"])
        assert k <= len(r["options"]) <= min(models * k + 1, classes)
        assert r["given_label"] in r["options"]
        assert 0 <= r["suspicion"] <= 1


def many_candidates(seed=0, count=4000, shuffled=True):
    """Videos whose options are 11 of 30 classes: two disjoint top-5 and a given label outside both."""
    rng = np.random.default_rng(seed)
    order_NJ = np.argsort(rng.random((count, 30)), axis=1)[:, :11].astype(np.int32)
    names = build.ids(count)
    options_NJ = choose(order_NJ, names, seed)[1].reshape(count, 11) if shuffled else order_NJ
    return order_NJ, options_NJ


def position_p(order_NJ, options_NJ, which):
    """p-value of a chi-square test that one of the proposed classes stands in every position equally often."""
    position_N = (options_NJ == order_NJ[:, which : which + 1]).argmax(axis=1)
    return chisquare(np.bincount(position_N, minlength=11)).pvalue


@pytest.mark.spec("label-reassessment", "C3")
def test_the_given_label_and_every_rank_stand_anywhere():
    for seed in range(3):
        order_NJ, options_NJ = many_candidates(seed)
        assert (np.sort(options_NJ, axis=1) == np.sort(order_NJ, axis=1)).all()
        assert min(position_p(order_NJ, options_NJ, which) for which in range(11)) > CHANCE / 11
        again_NJ = choose(order_NJ, build.ids(len(order_NJ)), seed)[1].reshape(-1, 11)
        assert (again_NJ == options_NJ).all()
    # The test can fail: with options in the order of their rank it does.
    assert position_p(order_NJ, order_NJ, 10) < CHANCE


def test_a_class_stands_anywhere_whatever_its_index():
    _, options_NJ = many_candidates()
    for label in (0, 15, 29):
        position_N = np.nonzero(options_NJ == label)[1]
        assert chisquare(np.bincount(position_N, minlength=11)).pvalue > CHANCE
    # The test can fail: with options in the order of their index it does.
    position_N = np.nonzero(np.sort(options_NJ, axis=1) == 15)[1]
    assert chisquare(np.bincount(position_N, minlength=11)).pvalue < CHANCE


def test_order_depends_on_the_set_and_nothing_else():
    """Rank, model and given label can be exchanged at will: the order of options stays, so it cannot tell them."""
    rng = np.random.default_rng(1)
    order_NJ, options_NJ = many_candidates(count=500)
    for _ in range(5):
        permuted_NJ = rng.permuted(order_NJ, axis=1)
        assert (choose(permuted_NJ, build.ids(500), 0)[1].reshape(500, 11) == options_NJ).all()
    doubled_NJ = np.hstack([order_NJ, order_NJ[:, ::-1]])
    assert (choose(doubled_NJ, build.ids(500), 0)[1].reshape(500, 11) == options_NJ).all()


def test_order_changes_with_seed_and_video_and_not_with_other_videos():
    order_NJ, options_NJ = many_candidates(count=200)
    one_set_NJ = np.repeat(order_NJ[:1], 200, axis=0)
    orders = {tuple(x) for x in choose(one_set_NJ, build.ids(200), 0)[1].reshape(200, 11).tolist()}
    assert len(orders) == 200
    other_seed_NJ = choose(order_NJ, build.ids(200), 1)[1].reshape(200, 11)
    assert (other_seed_NJ == options_NJ).all(axis=1).sum() == 0
    alone = choose(order_NJ[7:8], ["v00007"], 0)[1]
    assert alone.tolist() == options_NJ[7].tolist()


@pytest.mark.spec("label-reassessment", "I8")
def test_sets_and_partition():
    logits, given_N = build.random_models(np.random.default_rng(3), 500, 10, 2)
    found = mistakes(build.aligned(logits, given_N, top_k=3))
    wrong = [{i for i, y in enumerate(given_N) if x[i].argmax() != y} for x in logits.values()]
    missed = [{i for i, y in enumerate(given_N) if y not in np.argsort(-x[i])[:3]} for x in logits.values()]
    sizes = found.sizes()
    assert sizes["wrong"] == {"a": len(wrong[0]), "b": len(wrong[1])}
    assert sizes["missed"] == {"a": len(missed[0]), "b": len(missed[1])}
    assert sizes["union"] == len(wrong[0] | wrong[1])
    assert sizes["intersection"] == len(wrong[0] & wrong[1])
    assert sizes["topk_category"] == len(missed[0] & missed[1])
    assert sizes["top1_category"] + sizes["topk_category"] == sizes["union"]
    assert not (found.top1_category & found.topk_category).any()
    assert sizes["union"] + sizes["intersection"] == len(wrong[0]) + len(wrong[1])
    one = mistakes(build.aligned({"a": logits["a"]}, given_N, top_k=1))
    assert (one.union == one.intersection).all()
    assert (one.topk_category == one.union).all()


def test_reason_says_who_predicted_what():
    logits = {"a": np.log([[0.07, 0.93, 1e-9]]), "b": np.log([[0.2, 0.09, 0.71]])}
    (row,) = candidates(build.aligned(logits, [0])).to_pylist()
    assert row["reason"] == "a predicted 'c1' with 93 %, b predicted 'c2' with 71 %; given 'c0'"
    assert row["suspicion"] == pytest.approx(((0.93 - 0.07 + 1) / 2 + (0.71 - 0.2 + 1) / 2) / 2, abs=1e-5)


def test_suspicion_ends():
    sure = 50.0 * np.eye(3)
    rows = candidates(build.aligned({"a": sure, "b": sure[[1, 1, 1]]}, [0, 0, 2])).to_pylist()
    assert [(r["video_id"], round(r["suspicion"], 6)) for r in rows] == [
        ("v00001", 1.0),
        ("v00000", 0.5),
        ("v00002", 0.5),
    ]


def test_limit_keeps_the_most_suspicious():
    logits, given_N = build.random_models(np.random.default_rng(5), 100, 6)
    together = build.aligned(logits, given_N)
    every = candidates(together).to_pylist()
    assert candidates(together, limit=4).to_pylist() == every[:4]
    assert candidates(together, limit=10_000).to_pylist() == every
    with pytest.raises(BadValue, match="at least 1"):
        candidates(together, limit=0)
    with pytest.raises(UnknownName, match="both-topk"):
        candidates(together, select="both-top5")


def test_nothing_wrong_gives_an_empty_table(tmp_path):
    rows = find(None, [build.predictions(np.eye(3), range(3))])
    assert rows.num_rows == 0
    path = tables.write(tables.CANDIDATES, rows, tmp_path / "c.parquet", {})
    assert tables.read(tables.CANDIDATES, path).num_rows == 0


def test_candidates_do_not_depend_on_the_order_of_tables_or_rows():
    logits, given_N = build.random_models(np.random.default_rng(6), 80, 7)
    a, b = (build.predictions(logits[n], given_N) for n in "ab")
    first = find(None, {"a": a, "b": b})
    turned = find(None, {"b": b, "a": a.take(np.arange(a.num_rows)[::-1])})
    assert first.drop_columns("reason").equals(turned.drop_columns("reason"))


def test_the_plug_in_is_found_by_its_file_name():
    module = catalog.find("audit", "misclassified")
    rows = module.find(build.videos([1, 1], 3), [build.predictions(np.eye(3)[[0, 1]], [0, 1])])
    assert rows["path"].to_pylist() == ["videos/v00000.mp4"]
    assert rows["reason"].to_pylist() == ["a predicted 'c0' with 58 %; given 'c1'"]
