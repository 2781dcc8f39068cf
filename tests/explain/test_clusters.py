"""Clusters of heat maps: a planted cue is found and ranked first; small sets against brute force."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from secondlook.errors import BadValue
from secondlook.explain import _clusters
from secondlook.explain._clusters import AT_LEAST, cluster_foci, eigengap, neighbour_graph, pivoted_clusters, spectrum
from secondlook.explain._suspicion import describe

NAMES = ["fall", "hug", "jump", "punch", "run"]


def blob(y, x, width, h=8, w=8, t=2):
    rows, columns = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    focus_hw = np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    return np.tile(focus_hw, (t, 1, 1)) / (t * focus_hw.sum())


def planted(seed, clips=20, share=0.4, classes=5, where=(0.07, 0.07), cheats=(2,)):
    """Foci that follow the action somewhere in the middle; a share of the clips of `cheats` look at one corner."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.35, 0.65, (classes, 2))
    foci, labels, cue = [], [], []
    for k in range(classes):
        for i in range(clips):
            at_cue = k in cheats and i < share * clips
            y, x = where + rng.normal(0, 0.02, 2) if at_cue else centres[k] + rng.normal(0, 0.12, 2)
            foci.append(blob(y, x, 0.08 if at_cue else 0.16))
            labels.append(k)
            cue.append(at_cue)
    return np.array(foci), np.array(labels), np.array(cue)


@pytest.mark.spec("layerwise-relevance", "R8")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("where", [(0.07, 0.07), (0.93, 0.9)])
def test_a_corner_that_two_fifths_of_a_class_look_at_is_found_and_ranked_first(seed, where):
    focus_Nthw, label_N, cue_N = planted(seed, where=where)
    found = cluster_foci(focus_Nthw, label_N, NAMES)
    first, second = found.clusters[:2]
    assert set(first.clips_N.tolist()) == set(np.flatnonzero(cue_N).tolist())
    assert first.suspicion > second.suspicion + 0.1
    assert first.held[2] == 0.4
    assert first.purity == 1
    assert ("upper left" if where[0] < 0.5 else "lower right") in first.reason
    assert "40% of that class" in first.reason
    assert "looked at elsewhere" in first.reason


@pytest.mark.spec("layerwise-relevance", "R8")
def test_a_corner_that_several_classes_share_is_ranked_first_too():
    focus_Nthw, label_N, cue_N = planted(0, cheats=(0, 2, 3))
    first = cluster_foci(focus_Nthw, label_N, NAMES).clusters[0]
    assert set(first.clips_N.tolist()) == set(np.flatnonzero(cue_N).tolist())
    assert first.shares == pytest.approx({0: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    assert "3 classes" in first.reason


def test_without_a_cue_nothing_is_as_suspicious():
    with_cue = [cluster_foci(*planted(s)[:2], NAMES).clusters[0].suspicion for s in range(4)]
    without = [cluster_foci(*planted(s, share=0)[:2], NAMES).clusters[0].suspicion for s in range(4)]
    assert max(without) < min(with_cue) - 0.05


def test_the_graph_and_its_spectrum_against_brute_force():
    rng = np.random.default_rng(0)
    points_ND = rng.random((30, 5))
    near = np.zeros((30, 30))
    for i in range(30):
        order = sorted(range(30), key=lambda j: np.sum((points_ND[i] - points_ND[j]) ** 2))
        for j in order[1:5]:  # the first is itself
            near[i, j] = near[j, i] = 1
    graph = neighbour_graph(points_ND, 4)
    np.testing.assert_array_equal(graph.toarray(), near)
    degree = near.sum(axis=1)
    laplacian = np.eye(30) - near / np.sqrt(degree[:, None] * degree)
    value_K, vector_NK = spectrum(graph, 6)
    np.testing.assert_allclose(value_K, np.sort(np.linalg.eigvalsh(laplacian))[:6], atol=1e-10)
    np.testing.assert_allclose(laplacian @ vector_NK, vector_NK * value_K, atol=1e-10)


def test_the_iteration_for_many_clips_gives_what_the_whole_matrix_gives(monkeypatch):
    focus_Nthw, label_N, _ = planted(1)
    whole = cluster_foci(focus_Nthw, label_N, NAMES)
    monkeypatch.setattr(_clusters, "_DENSE", 10)
    sparse = cluster_foci(focus_Nthw, label_N, NAMES, seed=3)
    np.testing.assert_allclose(sparse.eigenvalues, whole.eigenvalues, atol=1e-8)
    assert [sorted(c.clips_N) for c in sparse.clusters] == [sorted(c.clips_N) for c in whole.clusters]
    again = cluster_foci(focus_Nthw, label_N, NAMES, seed=3)
    assert (again.eigenvalues == sparse.eigenvalues).all()


def test_groups_that_have_nothing_in_common_are_the_clusters():
    """Brute force: connected components of the graph, walked by hand; and scikit-learn's own spectral clustering."""
    rng = np.random.default_rng(2)
    places = [(0.1, 0.1), (0.1, 0.9), (0.9, 0.5)]
    focus_Nthw = np.array([blob(*(places[i % 3] + rng.normal(0, 0.01, 2)), 0.07) for i in range(36)])
    found = cluster_foci(focus_Nthw, np.zeros(36, int), NAMES)
    assert {frozenset((c.clips_N % 3).tolist()) for c in found.clusters} == {frozenset({k}) for k in range(3)}
    assert eigengap(found.eigenvalues) == 3
    graph = neighbour_graph(np.sqrt(focus_Nthw.sum(axis=1).reshape(36, -1)), found.neighbours)
    component = np.arange(36)
    for _ in range(36):
        for i, j in zip(*graph.nonzero(), strict=True):
            component[i] = component[j] = min(component[i], component[j])
    own = np.zeros(36, int)
    for number, c in enumerate(found.clusters):
        own[c.clips_N] = number
    assert adjusted_rand_score(own, component) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a graph in several parts
        theirs = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(graph.toarray())
    assert adjusted_rand_score(own, theirs) == 1


def test_pivoted_clusters_do_not_depend_on_the_basis():
    focus_Nthw, _, _ = planted(3)
    graph = neighbour_graph(focus_Nthw.reshape(len(focus_Nthw), -1), 5)
    _, vector_NK = spectrum(graph, 4)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    assert adjusted_rand_score(pivoted_clusters(vector_NK), pivoted_clusters(vector_NK @ turn)) == 1


def test_eigengap_is_the_largest_step():
    for values in ([0, 0, 0, 0.4, 0.5], [0, 0.3, 0.35, 0.4], [0, 0.1, 0.2, 0.9]):
        steps = [(b + 0.02) / (a + 0.02) for a, b in pairwise(values)]
        assert eigengap(np.array(values)) == 1 + steps.index(max(steps))
    assert eigengap(np.array([0, 0, 0, 0.107, 0.272, 0.438, 0.615])) == 3  # differences alone would say 6


@pytest.mark.parametrize("ids", [True, False])
def test_the_order_of_the_clips_changes_nothing_but_the_order(ids):
    focus_Nthw, label_N, _ = planted(5)
    names = [f"clip {i:03d}" for i in range(len(label_N))]
    order = np.random.default_rng(0).permutation(len(label_N))
    one = cluster_foci(focus_Nthw, label_N, NAMES, ids=names if ids else ())
    other = cluster_foci(focus_Nthw[order], label_N[order], NAMES, ids=[names[i] for i in order] if ids else ())
    assert [sorted(order[c.clips_N]) for c in other.clusters] == [sorted(c.clips_N) for c in one.clusters]
    if ids:
        assert [order[c.clips_N].tolist() for c in other.clusters] == [c.clips_N.tolist() for c in one.clusters]
        assert [c.suspicion for c in other.clusters] == [c.suspicion for c in one.clusters]
    else:
        assert [c.suspicion for c in other.clusters] == pytest.approx([c.suspicion for c in one.clusters])


def test_every_clip_is_in_one_cluster_and_numbers_are_in_range():
    focus_Nthw, label_N, _ = planted(6)
    for options in ({}, {"space_only": False}, {"metric": "euclidean"}, {"clusters": 7}, {"neighbours": 9}):
        found = cluster_foci(focus_Nthw, label_N, NAMES, **options)
        assert sorted(np.concatenate([c.clips_N for c in found.clusters]).tolist()) == list(range(len(label_N)))
        suspicions = [c.suspicion for c in found.clusters]
        assert suspicions == sorted(suspicions, reverse=True)
        for c in found.clusters:
            for value in (c.suspicion, c.compact, c.fixed, c.away, c.spread, c.off_centre, c.purity):
                assert 0 <= value <= 1
            assert sum(c.shares.values()) == pytest.approx(1)
            assert c.mean_thw.sum() == pytest.approx(1)


def test_the_suspicion_against_its_formula_by_hand():
    """Four clips: two of class 0 and one of class 1 at one cell, one of class 0 far away."""
    corner, far = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    corner[0, 0, 0] = far[0, 3, 3] = 1
    focus_Nthw, label_N = np.array([corner, corner, corner, far]), np.array([0, 0, 1, 0])
    found = describe(focus_Nthw, label_N, np.array([0, 1, 2]), NAMES)
    assert (found.compact, found.fixed, found.off_centre) == (1, 1, 1)
    # class 0: two thirds are held, so 1/3 x 1 (its rest) + 2/3 x 1/2 (all others); class 1 is wholly held: 1/2
    away = 2 / 3 * (1 / 3 + 1 / 3) + 1 / 3 * 1 / 2
    assert found.away == pytest.approx(away)
    entropy = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert found.spread == pytest.approx(np.exp(entropy) - 1)
    evidence = max(away, found.spread)
    assert found.suspicion == pytest.approx((1 - 1 / np.sqrt(3)) * evidence ** (1 / 3))
    alone = describe(focus_Nthw, label_N, np.array([3]), NAMES)
    assert alone.suspicion == alone.fixed == 0


def test_too_few_clips_and_bad_numbers_are_refused():
    focus_Nthw, label_N, _ = planted(0)
    with pytest.raises(BadValue, match=f"at least {AT_LEAST} clips"):
        cluster_foci(focus_Nthw[: AT_LEAST - 1], label_N[: AT_LEAST - 1], NAMES)
    with pytest.raises(BadValue, match="neighbours must be from 1 to 99"):
        cluster_foci(focus_Nthw, label_N, NAMES, neighbours=100)
    with pytest.raises(BadValue, match="a label"):
        cluster_foci(focus_Nthw, label_N[:5], NAMES)
    same = cluster_foci(focus_Nthw[:1].repeat(12, axis=0), label_N[:12], NAMES)
    assert sum(len(c.clips_N) for c in same.clusters) == 12
