"""Controls: videos drawn at random, labels nobody proposed; and that the metadata tell of both."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from secondlook import tables
from secondlook.audit import Controls, mistakes, to_table
from secondlook.audit._controls import draw_foils, draw_videos
from secondlook.audit.misclassified import score
from secondlook.errors import BadValue
from tests.audit import build


def some(count=400, classes=20, seed=0):
    logits, given_N = build.random_models(np.random.default_rng(seed), count, classes)
    return build.aligned({n: 2 * x for n, x in logits.items()}, given_N, top_k=3)


@pytest.mark.spec("label-reassessment", "G12")
def test_controls_are_drawn_from_the_rest_and_told():
    aligned = some()
    wrong = {f"v{i:05d}" for i in np.flatnonzero(mistakes(aligned).union)}
    rows, about = to_table(aligned, score(aligned), controls=Controls(30), limit=50)
    controls = [r for r in rows.to_pylist() if r["category"] == "control"]
    assert len(controls) == 30
    assert rows.num_rows == 80
    assert not {r["video_id"] for r in controls} & wrong
    assert about["controls"] == sorted(r["video_id"] for r in controls)
    assert {r["reason"] for r in controls} == {"control: drawn at random"}
    assert about["sampling"] == {
        "selected": len(wrong), "not_selected": 400 - len(wrong), "controls": 30, "random_options": 0, "seed": 0,
    }  # fmt: skip
    plain, nothing = to_table(aligned, score(aligned), limit=50)
    assert nothing == {}
    kept = [r for r in rows.to_pylist() if r["category"] != "control"]
    assert kept == plain.to_pylist()  # controls change nothing of the others


def test_every_video_of_the_rest_is_drawn_equally_often():
    selected_N = np.arange(40) % 4 == 0
    drawn = Counter()
    for seed in range(600):
        drawn.update(draw_videos(build.ids(40), selected_N, 10, seed).tolist())
    assert set(drawn) == set(np.flatnonzero(~selected_N).tolist())
    assert chisquare(list(drawn.values())).pvalue > 1e-3
    again = draw_videos(build.ids(40), selected_N, 10, 0)
    assert (draw_videos(build.ids(40), selected_N, 10, 0) == again).all()
    # Whichever videos stand beside it, a video is drawn by its own number.
    fewer = np.asarray([i for i in range(40) if i not in set(np.flatnonzero(~selected_N)[-3:].tolist())])
    left = draw_videos([build.ids(40)[i] for i in fewer], selected_N[fewer], 10, 0)
    assert set(again.tolist()) & set(fewer.tolist()) <= set(fewer[left].tolist())
    assert draw_videos(build.ids(40), selected_N, 31, 0).tolist() == np.flatnonzero(~selected_N).tolist()
    assert len(draw_videos(build.ids(40), np.ones(40, np.bool_), 3, 0)) == 0


@pytest.mark.spec("label-reassessment", "G12")
def test_foils_are_labels_nobody_proposed():
    aligned = some()
    scored = score(aligned)
    rows, about = to_table(aligned, scored, controls=Controls(20, 4))
    plain = {r["video_id"]: r for r in to_table(aligned, scored, controls=Controls(20))[0].to_pylist()}
    assert set(about["foils"]) == set(plain)
    for r in rows.to_pylist():
        foils, before = about["foils"][r["video_id"]], plain[r["video_id"]]["options"]
        assert len(foils) == 4
        assert foils == sorted(foils)
        assert not set(foils) & set(before)
        assert set(r["options"]) == set(before) | set(foils)
        assert [k for k in r["options"] if k in before] == before  # foils do not reorder the others
    place = [r["options"].index(k) / (len(r["options"]) - 1) for r in rows.to_pylist()
             for k in about["foils"][r["video_id"]]]  # fmt: skip
    assert abs(np.mean(place) - 0.5) < 0.03


def test_every_other_class_is_a_foil_equally_often():
    options = [[0, 1, 2]] * 3000
    found = Counter(k for row in draw_foils(options, build.ids(3000), 12, 2, 5) for k in row)
    assert set(found) == set(range(3, 12))
    assert chisquare(list(found.values())).pvalue > 1e-3
    few = draw_foils([[0, 1, 1], [0, 2, 0]], ["x", "y"], 3, 5, 0)
    assert few == [[2], [1]]
    assert draw_foils([[0, 1, 2]], ["x"], 3, 2, 0) == [[]]


def test_fewer_classes_than_foils_leave_no_repeat():
    aligned = some(50, 6)
    rows, about = to_table(aligned, score(aligned), controls=Controls(0, 10))
    for r in rows.to_pylist():
        assert sorted(r["options"]) == list(range(6))
        assert r["video_id"] in about["foils"]
    assert tables.conform(tables.CANDIDATES, rows).num_rows == rows.num_rows
    with pytest.raises(BadValue, match="--controls must not be negative"):
        Controls(-1)
