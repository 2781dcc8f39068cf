"""Near-duplicates with different labels: against all pairs in plain Python, by cells, and what the reason says."""

import numpy as np
import pytest

from secondlook.audit import align
from secondlook.audit._near import near_pairs
from secondlook.audit.near_duplicates import find, score
from secondlook.errors import BadValue
from tests.audit import build
from tests.audit.planted import embeddings_table


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def clips(count=300, dims=8, seed=0):
    """Clips in groups of one to six, near-duplicates within a group."""
    rng = np.random.default_rng(seed)
    group_N = np.sort(rng.integers(count // 3, size=count))
    return unit(rng.normal(size=(count // 3, dims))[group_N] + 0.08 * rng.normal(size=(count, dims)))


def slow_find(vector_ND, given_N, threshold):
    """video -> suspicion, nearest other, labels of the others."""
    found = {}
    for i, a in enumerate(vector_ND):
        near = [(float(a @ b), j) for j, b in enumerate(vector_ND) if j != i and float(a @ b) >= threshold]
        others = sorted(((c, -j) for c, j in near if given_N[j] != given_N[i]), reverse=True)
        if others:
            suspicion = others[0][0] * len(others) / len(near)
            found[f"v{i:05d}"] = (suspicion, -others[0][1], {given_N[-j] for _, j in others[:3]}, len(near))
    return found


@pytest.mark.parametrize("threshold", [0.9, 0.98])
def test_candidates_match_their_slow_twin(threshold):
    vector_ND, rng = clips(), np.random.default_rng(1)
    given_N = rng.integers(5, size=len(vector_ND))
    table = build.predictions(rng.normal(size=(len(vector_ND), 9)), given_N.tolist())
    embeddings = embeddings_table(3 * vector_ND, given_N, 9)
    rows = find(None, [table], embeddings=embeddings, threshold=threshold, neighbours=50, top_k=1).to_pylist()
    expected = slow_find(vector_ND, given_N.tolist(), threshold)
    assert {r["video_id"] for r in rows} == set(expected)
    for r in rows:
        suspicion, nearest, labels, _ = expected[r["video_id"]]
        assert r["suspicion"] == pytest.approx(suspicion, abs=1e-5)
        assert f"'v{nearest:05d}'" in r["reason"]
        assert labels <= set(r["options"])


def test_both_clips_of_a_pair_become_candidates_with_the_other_label_as_an_option():
    vector_ND = np.vstack([np.eye(4), np.eye(4)[:1] + 0.01])
    given_N = [0, 1, 2, 3, 4]
    logits_NK = build.ordered_logits([[0], [1], [2], [3], [4]], 6)
    embeddings = embeddings_table(vector_ND, given_N, 6)
    rows = find(None, [build.predictions(logits_NK, given_N)], embeddings=embeddings, top_k=1).to_pylist()
    assert [(r["video_id"], sorted(r["options"]), r["category"]) for r in rows] == [
        ("v00000", [0, 4], "right"),
        ("v00004", [0, 4], "right"),
    ]
    assert "nearly the same clip as 'v00004' (cosine 1.000), which is given 'c4'" in rows[0]["reason"]


def test_of_clips_that_agree_but_for_one_that_one_is_the_most_suspicious():
    vector_ND = np.vstack([np.ones((4, 3)), [[1, -1, 0]]])
    given_N = [0, 0, 1, 0, 2]
    table = build.predictions(np.zeros((5, 3)), given_N)
    rows = find(None, [table], embeddings=embeddings_table(vector_ND, given_N, 3), threshold=1.0).to_pylist()
    assert [(r["video_id"], round(r["suspicion"], 4)) for r in rows] == [
        ("v00002", 1.0), ("v00000", 0.3333), ("v00001", 0.3333), ("v00003", 0.3333)
    ]  # fmt: skip


def test_cells_find_nearly_all_pairs():
    vector_RD = clips(6000, 32)
    exact = near_pairs(vector_RD, 0.95, 10, exact=10_000)
    cells = near_pairs(vector_RD, 0.95, 10, exact=100)
    every, some = (set(zip(i.tolist(), j.tolist(), strict=True)) for i, j, _ in (exact, cells))
    assert len(every) > 5000
    assert some <= every
    assert len(some) > 0.99 * len(every)
    i_P, j_P, cosine_P = cells
    assert cosine_P == pytest.approx((vector_RD[i_P] * vector_RD[j_P]).sum(1), abs=1e-5)
    assert near_pairs(vector_RD, 0.95, 10, exact=100)[0].tolist() == i_P.tolist()


def test_notes_say_what_was_not_looked_at_and_when_all_are_alike():
    vector_ND = np.ones((30, 3)) + 1e-3 * np.random.default_rng(0).normal(size=(30, 3))
    vector_ND[3] = np.nan
    table = build.predictions(np.zeros((31, 3)), [i % 3 for i in range(31)])
    embeddings = embeddings_table(vector_ND, [i % 3 for i in range(30)], 3, status={3: "failed"})
    said = score(align({"a": table}), embeddings=embeddings, neighbours=4)
    assert said.notes[0] == "2 videos have no embedding and are not looked at by near_duplicates."
    assert said.notes[1].endswith("have 4 near-duplicates or more: raise the threshold, 0.95.")
    assert not said.selected_N[[3, 30]].any()
    for wrong in ({"threshold": 0.0}, {"threshold": 1.1}, {"neighbours": 0}):
        with pytest.raises(BadValue):
            score(align({"a": table}), embeddings=embeddings, **wrong)
