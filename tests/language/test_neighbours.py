"""Nearest labels, two embeddings compared, and cosines against a confusion matrix, each beside a slow twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from secondlook.language import confusions, neighbours, similarity
from secondlook.language.vectors import LabelVectors
from tests.language.test_similarity import SPACE, predictions, vectors


def drawn(count: int = 12, seed: int = 0, space: LabelSpace | None = None) -> LabelVectors:
    names = [f"label {chr(97 + i)}" for i in range(count)]
    values = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return LabelVectors(space or LabelSpace.from_names(names, "toy"), values, f"seed {seed}")


def test_nearest_labels() -> None:
    found = neighbours.nearest(vectors(), "A", 3)
    cosine_K = similarity.cosine_matrix(vectors().vectors_KD)[0]
    assert [p.other for p in found] == [1, 4, 2]
    assert [p.cosine for p in found] == pytest.approx([cosine_K[j] for j in (1, 4, 2)])
    assert len(neighbours.nearest(vectors(), "a", 99)) == 4
    with pytest.raises(BadValue, match="at least one label"):
        neighbours.nearest(vectors(), "a", 0)


def test_a_label_that_is_not_there_is_answered_with_those_it_could_be() -> None:
    space = LabelSpace.from_names(["Moving [something] up", "Moving [something] down", "Showing a photo"])
    named = drawn(3, space=space)
    with pytest.raises(UnknownName, match=r"Did you mean 'Moving \[something\] up'"):
        neighbours.nearest(named, "moving something upp")
    with pytest.raises(UnknownName, match=r"These hold the words: Showing a photo\."):
        neighbours.nearest(named, "photo")
    assert neighbours.find(named.labels, "moving something UP") == 0


@pytest.mark.spec("label-reassessment", "L10")
def test_ranks_are_those_of_one_pair_at_a_time() -> None:
    found = drawn()
    found.vectors_KD[5] = found.vectors_KD[3]  # equals
    ranks = neighbours.rank_matrix(found)
    for i in range(12):
        for j in range(12):
            assert ranks[i, j] == (0 if i == j else similarity.neighbour_rank(found, i, j))


@pytest.mark.spec("label-reassessment", "L10")
def test_two_embeddings_compared() -> None:
    one, two = drawn(seed=0), drawn(seed=1)
    found = neighbours.compare(one, two, k=3)
    upper = np.triu_indices(12, 1)
    cosines = [similarity.cosine_matrix(v.vectors_KD)[upper] for v in (one, two)]
    assert found.spearman == pytest.approx(spearmanr(*cosines).statistic)
    shares = [
        len({p.other for p in neighbours.nearest(one, name, 3)} & {p.other for p in neighbours.nearest(two, name, 3)})
        / 3
        for name in one.labels.names
    ]
    assert found.shared == pytest.approx(np.mean(shares))
    assert found.by_chance == pytest.approx(3 / 11)
    for d in found.disagreements:
        assert d.first_rank == similarity.neighbour_rank(one, d.label, d.other)
        assert d.second_rank == similarity.neighbour_rank(two, d.label, d.other)
        assert min(d.first_rank, d.second_rank) <= 3
    ratios = [max(d.first_rank / d.second_rank, d.second_rank / d.first_rank) for d in found.disagreements]
    assert ratios == sorted(ratios, reverse=True)
    order = np.random.default_rng(2).permutation(12).tolist()
    space = LabelSpace(tuple(one.labels.labels[i] for i in order))
    same = neighbours.compare(one, LabelVectors(space, one.vectors_KD[order], "shuffled"), k=3)
    assert (same.spearman, same.shared) == (pytest.approx(1), 1)
    assert all(d.first_rank == d.second_rank for d in same.disagreements)
    with pytest.raises(BadValue, match="too few to be compared"):
        neighbours.compare(drawn(2), drawn(2))
    assert np.isnan(neighbours.spearman(np.ones(5), np.arange(5)))


def test_confusions_that_follow_the_words_are_told_from_those_that_do_not() -> None:
    found = drawn(20)
    cosine_KK = similarity.cosine_matrix(found.vectors_KD)
    follows_KK = np.rint(50 * np.exp(3 * cosine_KK)).astype(int)
    likeness = confusions.confusion_likeness(found, follows_KK, shuffles=99)
    upper = np.triu_indices(20, 1)
    rate_KK = follows_KK / follows_KK.sum(1, keepdims=True)
    twin = [(rate_KK[i, j] + rate_KK[j, i]) / 2 for i, j in zip(*upper, strict=True)]
    assert likeness.spearman == pytest.approx(spearmanr(cosine_KK[upper], twin).statistic)
    assert likeness.spearman > 0.9 > likeness.shuffled
    assert likeness.p == 1 / 100
    assert likeness.first_mistake_near == 1.0
    assert likeness.near_by_chance == pytest.approx(5 / 19)
    apart = confusions.confusion_likeness(found, np.random.default_rng(1).integers(0, 9, (20, 20)), shuffles=99)
    assert apart.p > 0.05
    assert abs(apart.spearman) < 0.3
    assert apart == confusions.confusion_likeness(found, np.random.default_rng(1).integers(0, 9, (20, 20)), shuffles=99)


def test_labels_without_videos_do_not_count_and_no_mistake_is_no_number() -> None:
    found = drawn(6)
    count_KK = np.random.default_rng(0).integers(1, 9, (6, 6))
    count_KK[4] = 0
    kept = [0, 1, 2, 3, 5]
    space = LabelSpace(tuple(found.labels.labels[i] for i in kept))
    fewer = LabelVectors(space, found.vectors_KD[kept], "")
    got, want = (
        confusions.confusion_likeness(v, c, shuffles=9)
        for v, c in ((found, count_KK), (fewer, count_KK[np.ix_(kept, kept)]))
    )
    assert got == want
    assert (got.labels, got.pairs) == (5, 10)
    none = confusions.confusion_likeness(found, np.eye(6))
    assert none.confused_pairs == 0
    assert all(
        np.isnan(x) for x in (none.spearman, none.spearman_of_confused, none.shuffled, none.p, none.first_mistake_near)
    )
    for bad, words in (
        (np.eye(5), "must be counts, 6 x 6"),
        (-np.eye(6), "must be counts"),
        (np.zeros((6, 6)), "too few"),
    ):
        with pytest.raises(BadValue, match=words):
            confusions.confusion_likeness(found, bad)


def test_the_confusion_matrix_of_predictions_and_of_a_file(tmp_path: Path) -> None:
    table = predictions(tmp_path, {"u": (0, [9, 1, 1, 1, 1]), "v": (0, [1, 9, 1, 1, 1]), "w": (3, [0, 9, 1, 1, 1])})
    found = confusions.confusion_of(table, vectors())
    expected = np.zeros((5, 5), int)
    expected[0, 0] = expected[0, 1] = expected[3, 1] = 1
    assert np.array_equal(found, expected)
    order = [4, 2, 0, 1, 3]
    turned = LabelVectors(LabelSpace(tuple(SPACE.labels[i] for i in order)), vectors().vectors_KD[order], "")
    assert np.array_equal(confusions.confusion_of(table, turned), expected[np.ix_(order, order)])
    np.save(tmp_path / "c.npy", expected)
    assert np.array_equal(confusions.read_confusion(tmp_path / "c.npy"), expected)
    np.save(tmp_path / "c.npy", expected[0])
    with pytest.raises(BadValue, match="is square"):
        confusions.read_confusion(tmp_path / "c.npy")
    (tmp_path / "c.npy").write_bytes(b"none")
    with pytest.raises(BadValue, match="is no array of numbers"):
        confusions.read_confusion(tmp_path / "c.npy")
    with pytest.raises(MissingFile):
        confusions.read_confusion(tmp_path / "no.npy")
