"""Confident learning: against a plain twin of the method; folds of predictions, folds of a regression; notes."""

import sys

import numpy as np
import pytest

from secondlook import tables
from secondlook.audit import align, join_folds
from secondlook.audit._folds import fold_of, out_of_sample
from secondlook.audit.confident_learning import find, score
from secondlook.errors import BadValue
from tests.audit import build
from tests.audit.planted import embeddings_table, planted


@pytest.fixture(scope="module")
def found():
    return planted(800)


def plain_p(table):
    rows = [r for r in table.to_pylist() if r["view"] == -1]
    power_NK = np.exp(np.array([r["logits"] for r in rows], dtype=np.float64))
    return power_NK / power_NK.sum(axis=1, keepdims=True)


def slow_confident_joint_errors(p_NK, given_N):
    """Northcutt et al. 2021, equation 1 and section 3.1: videos counted off the diagonal of the confident joint."""
    classes = p_NK.shape[1]
    threshold_K = [np.mean([p[k] for p, y in zip(p_NK, given_N, strict=True) if y == k]) for k in range(classes)]
    errors = set()
    for i, (p, y) in enumerate(zip(p_NK, given_N, strict=True)):
        above = [k for k in range(classes) if p[k] >= threshold_K[k] - 1e-9]
        if above and max(above, key=lambda k: p[k]) != y:
            errors.add(f"v{i:05d}")
    return errors


def test_the_confident_joint_matches_its_slow_twin(found):
    one = {"a": found.predictions["a"]}
    p_NK = plain_p(one["a"])
    rows = find(None, one, filter_by="confident_learning", top_k=1)
    assert set(rows["video_id"].to_pylist()) == slow_confident_joint_errors(p_NK, found.given_N.tolist())


@pytest.mark.parametrize("rank_by", ["normalised_margin", "self_confidence"])
def test_suspicion_matches_its_slow_twin(rank_by, found):
    p_NK = (plain_p(found.predictions["a"]) + plain_p(found.predictions["b"])) / 2
    for row in find(None, found.predictions, rank_by=rank_by, top_k=1).to_pylist():
        p, y = p_NK[int(row["video_id"][1:])].tolist(), row["given_label"]
        best, other = max((x, k) for k, x in enumerate(p) if k != y)
        quality = p[y] if rank_by == "self_confidence" else (p[y] - best + 1) / 2
        assert row["suspicion"] == pytest.approx(1 - quality, abs=1e-5)
        assert other in row["options"]
        assert f"'c{other}' {100 * best:.0f} % and the given 'c{y}' {100 * p[y]:.0f} %" in row["reason"]


def fold_tables(found, folds=4):
    """Predictions of model a cut into folds, as k networks of one name would give."""
    count = len(found.given_N)
    logits_NK = tables.matrix(found.predictions["a"].slice(count), "logits")
    return {
        f"fold{f}": build.predictions(
            logits_NK[f::folds], found.given_N[f::folds].tolist(), video_ids=build.ids(count)[f::folds], model="toy:a"
        )
        for f in range(folds)
    }


def test_folds_of_predictions_are_joined(found):
    cut = fold_tables(found)
    joined, notes = join_folds(cut)
    assert list(joined) == ["toy:a"]
    assert notes == ("fold0, fold1, fold2, fold3 are 4 folds of toy:a: no video is in two of them; joined.",)
    assert len(joined["toy:a"]) == len(found.given_N)
    assert tables.label_space(joined["toy:a"]) == build.space(12)
    whole = find(None, {"toy:a": found.predictions["a"]})
    assert find(None, cut).sort_by("video_id").equals(whole.sort_by("video_id"))
    # Of the same videos, or of another model, nothing is joined.
    same = {"x": found.predictions["a"], "y": found.predictions["a"]}
    assert join_folds(same) == (same, ())
    labels = build.space(12).to_dict()
    other = build.with_made(cut["fold1"], tables.PREDICTIONS, model="toy:other", label_space=labels)
    apart = {"x": cut["fold0"], "y": other}
    assert list(join_folds(apart)[0]) == ["x", "y"]
    unnamed = {n: build.with_made(t, tables.PREDICTIONS, label_space=labels) for n, t in cut.items()}
    assert list(join_folds(unnamed)[0]) == list(cut)


def test_probabilities_in_sample_are_noted(found):
    count = len(found.given_N)
    logits_NK = tables.matrix(found.predictions["a"].slice(count), "logits")
    split = ["train"] * 30 + ["val"] * (count - 30)
    table = build.predictions(logits_NK, found.given_N.tolist(), split=split)
    (note,) = score(align({"a": table})).notes
    assert note.startswith(f"30 of {count} predictions of a are of split train")
    assert "--folds 5" in note
    assert score(align(found.predictions)).notes == ()


def test_folds_keep_groups_whole_and_are_even():
    rng = np.random.default_rng(0)
    group_R = np.array([f"g{g}" if g % 5 else "" for g in rng.integers(60, size=500)], dtype=object)
    fold_R = fold_of(group_R, 5, np.random.default_rng(1))
    for group in set(group_R) - {""}:
        assert len(set(fold_R[group_R == group])) == 1
    assert np.ptp(np.bincount(fold_R, minlength=5)) <= 1
    assert (fold_of(group_R, 5, np.random.default_rng(1)) == fold_R).all()
    with pytest.raises(BadValue, match="more than the 2 groups"):
        fold_of(np.array(["a", "a", "b"], dtype=object), 3, rng)


def test_a_regression_on_embeddings_is_out_of_sample(found):
    """A video's own label moves nothing of its probabilities, nor do those of its group."""
    listed = build.videos(found.given_N, 12, group=found.group_N)
    aligned = align(found.predictions, listed)
    p_NK, known_N = out_of_sample(aligned, found.embeddings, folds=4)
    assert known_N.all()
    assert p_NK.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (p_NK.argmax(axis=1) == found.true_N).mean() > 0.8
    turned_N = found.given_N.copy()
    group = np.array(found.group_N) == found.group_N[0]
    turned_N[group] = (turned_N[group] + 3) % 12
    again = align(found.predictions, build.videos(turned_N, 12, group=found.group_N))
    assert (out_of_sample(again, found.embeddings, folds=4)[0][group] == p_NK[group]).all()
    rows = find(listed, {"a": found.predictions["a"]}, embeddings=found.embeddings, folds=4)
    assert found.rates(rows, 50) > 0.8
    assert "a logistic regression on the embeddings, fitted without this fold of 4," in rows["reason"][0].as_py()


def test_a_regression_matches_a_plain_one(found):
    """Fold by fold with scikit-learn's own pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    aligned = align(found.predictions, build.videos(found.given_N, 12, group=found.group_N))
    p_NK, _ = out_of_sample(aligned, found.embeddings, folds=3, seed=2)
    vector_ND = np.array(found.embeddings["vector"].to_pylist())
    vector_ND = StandardScaler().fit_transform(vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True))
    fold_N = fold_of(aligned.group_N, 3, np.random.default_rng((2, 3)))
    for fold in range(3):
        model = LogisticRegression(C=0.01, max_iter=500).fit(vector_ND[fold_N != fold], found.given_N[fold_N != fold])
        assert p_NK[fold_N == fold] == pytest.approx(model.predict_proba(vector_ND[fold_N == fold]), abs=0.02)


def test_videos_without_an_embedding_are_noted_and_not_suspected(found):
    vector_ND = np.array(found.embeddings["vector"].to_pylist(), dtype=np.float32)
    vector_ND[5] = np.nan
    some = embeddings_table(vector_ND[:-3], found.given_N[:-3], 12, status={5: "timeout"})
    said = score(align(found.predictions), embeddings=some, folds=4)
    assert said.notes == ("4 videos have no embedding and are not looked at by confident_learning.",)
    assert not said.suspicion_N[[5, -1, -2, -3]].any()
    assert not said.selected_N[[5, -1, -2, -3]].any()


def test_wrong_use_is_a_sentence(found, monkeypatch):
    with pytest.raises(BadValue, match="--embeddings"):
        find(None, found.predictions, folds=5)
    with pytest.raises(BadValue, match="at least 2 folds"):
        find(None, found.predictions, embeddings=found.embeddings, folds=1)
    other = embeddings_table(np.ones((3, 2)), [0, 1, 2], 12, ["x", "y", "z"])
    with pytest.raises(BadValue, match="hold vectors of 0"):
        find(None, found.predictions, embeddings=other, folds=5)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(BadValue, match=r"pip install 'secondlook\[confident\]'"):
        find(None, found.predictions)
