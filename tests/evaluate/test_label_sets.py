"""Label sets against Python sets."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.errors import BadValue
from secondlook.evaluate.label_sets import LabelSets

SETS = st.lists(st.sets(st.integers(0, 6), max_size=5), min_size=1, max_size=12)


def made(sets):
    return LabelSets.of_lists(pa.array([sorted(s) for s in sets], pa.list_(pa.int32())), 7)


def unmade(sets):
    found = [set() for _ in range(sets.count)]
    for row, label in zip(*(x.tolist() for x in sets.pairs), strict=True):
        found[row].add(label)
    return found


@given(SETS, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_sets_behave_like_python_sets(sets, seed):
    rng = np.random.default_rng(seed)
    ours = made(sets)
    assert unmade(ours) == sets
    assert ours.size_N.tolist() == [len(s) for s in sets]
    labels_NK = rng.integers(7, size=(len(sets), 3)).astype(np.int32)
    assert ours.hold(labels_NK).tolist() == [[k in s for k in row] for s, row in zip(sets, labels_NK, strict=True)]
    assert ours.hold(labels_NK[:, 0]).tolist() == ours.hold(labels_NK)[:, 0].tolist()
    rows = rng.permutation(len(sets))[: len(sets) // 2]
    assert unmade(ours.take(rows)) == [sets[i] for i in rows]
    others = [set(rng.integers(7, size=3).tolist()) for _ in sets]
    assert ours.shared_N(made(others)).tolist() == [len(s & o) for s, o in zip(sets, others, strict=True)]
    replaced = unmade(ours.replaced(rows, made(others).take(rows)))
    assert replaced == [others[i] if i in rows else s for i, s in enumerate(sets)]


def test_nulls_repeats_and_chunks():
    array = pa.chunked_array([pa.array([[3, 1, 3], None], pa.list_(pa.int32())), pa.array([[]], pa.list_(pa.int32()))])
    assert unmade(LabelSets.of_lists(array, 4)) == [{1, 3}, set(), set()]


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_outside_the_space_are_refused(label):
    with pytest.raises(BadValue, match=r"0\.\.3"):
        LabelSets.of_lists(pa.array([[label]], pa.list_(pa.int32())), 4)
