"""Most and least confused given labels, and the query for one pair of classes."""

import numpy as np
import pytest

from secondlook.audit import confused_classes, confusions, mistakes
from secondlook.errors import BadValue, UnknownName
from tests.audit import build


@pytest.mark.spec("label-reassessment", "I9")
def test_confused_classes_raw_and_normalised():
    """10 of c0 of which 4 are wrong, 2 of c1 of which both are wrong, 3 of c2 all right, none of c3."""
    given_N = [0] * 10 + [1] * 2 + [2] * 3
    predicted_N = [1] * 4 + [0] * 6 + [0, 0] + [2] * 3
    together = build.aligned({"a": np.eye(4)[predicted_N]}, given_N)
    wrong = mistakes(together).union
    by_count = confused_classes(together, wrong)
    assert [(c["name"], c["count"], c["videos"]) for c in by_count] == [("c0", 4, 10), ("c1", 2, 2), ("c2", 0, 3)]
    by_share = confused_classes(together, wrong, by="share")
    assert [(c["name"], c["share"]) for c in by_share] == [("c1", 1.0), ("c0", 0.4), ("c2", 0.0)]


def test_counts_sum_to_the_set():
    logits, given_N = build.random_models(np.random.default_rng(0), 400, 9)
    together = build.aligned(logits, given_N)
    found = mistakes(together)
    for videos in (found.union, found.intersection, found.top1_category):
        assert sum(c["count"] for c in confused_classes(together, videos)) == videos.sum()


def slow_confusions(logits, given_N, a, b, threshold):
    found = []
    for name, logits_NK in logits.items():
        for i, row in enumerate(logits_NK.astype(float)):
            p = np.exp(row) / np.exp(row).sum()
            if given_N[i] == a and p.argmax() == b and p.max() >= threshold:
                found.append((f"v{i:05d}", name, p.max()))
    return sorted(found, key=lambda x: -x[2])


@pytest.mark.spec("label-reassessment", "I10")
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_pair_query_matches_its_slow_twin(threshold):
    logits, given_N = build.random_models(np.random.default_rng(1), 400, 4)
    together = build.aligned(logits, given_N)
    found = confusions(together, "c1", "c3", min_confidence=threshold)
    expected = slow_confusions(logits, given_N, 1, 3, threshold)
    assert expected
    assert [(c.video_id, c.model) for c in found] == [x[:2] for x in expected]
    assert [c.confidence for c in found] == pytest.approx([x[2] for x in expected], abs=1e-6)
    one = confusions(together, "c1", "c3", model="b", min_confidence=threshold, sort="video_id")
    assert [c.video_id for c in one] == sorted(x[0] for x in expected if x[1] == "b")
    both = confusions(together, "c1", "c3", min_confidence=threshold, both_ways=True)
    assert len(both) == len(found) + len(slow_confusions(logits, given_N, 3, 1, threshold))


def test_pair_query_refuses_nonsense():
    together = build.aligned({"a": np.eye(3)}, range(3))
    with pytest.raises(UnknownName):
        confusions(together, "c1", "c9")
    with pytest.raises(UnknownName):
        confusions(together, "c1", "c2", model="b")
    with pytest.raises(BadValue, match="one class"):
        confusions(together, "c1", "[c1]")
    with pytest.raises(BadValue, match="in \\[0, 1\\]"):
        confusions(together, "c1", "c2", min_confidence=70)
