"""Predictions brought onto the same videos: nothing is lost in silence, nothing that does not fit is mixed."""

import numpy as np
import pytest

from secondlook import tables
from secondlook.audit import align, name_models, read_video_rows
from secondlook.audit._rank import rank
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from tests.audit import build


def slow_rank(logits_K, given, k):
    """One row, in plain Python, in double precision."""
    values = [float(x) for x in logits_K]
    order = sorted(range(len(values)), key=lambda c: (-values[c], c))
    powers = [np.exp(x - max(values)) for x in values]
    p = [x / sum(powers) for x in powers]
    others = [x for c, x in enumerate(p) if c != given]
    return order[:k], [p[c] for c in order[:k]], p[given], max(others, default=0.0) - p[given]


@pytest.mark.parametrize(("count", "classes", "k"), [(50, 7, 5), (3, 4, 4), (1, 1, 1), (5000, 6, 2)])
def test_ranking_matches_its_slow_twin(count, classes, k):
    rng = np.random.default_rng(count)
    logits_NK = rng.normal(size=(count, classes)).round(1).astype(np.float32)  # rounding makes ties
    given_N = rng.integers(classes, size=count).astype(np.int32)
    found = rank("a", logits_NK, given_N, k)
    for i in range(0, count, max(1, count // 60)):
        top, p, p_given, margin = slow_rank(logits_NK[i], given_N[i], k)
        assert found.top_NK[i].tolist() == top
        assert found.probability_NK[i] == pytest.approx(p, abs=1e-6)
        assert found.given_probability_N[i] == pytest.approx(p_given, abs=1e-6)
        assert found.margin_N[i] == pytest.approx(margin, abs=1e-6)


def test_ties_go_to_the_lower_class_and_far_logits_keep_their_order():
    found = rank("a", np.array([[0, 2, 2, 0], [500, -500, -400, -450]], np.float32), np.zeros(2, np.int32), 4)
    assert found.top_NK.tolist() == [[1, 2, 0, 3], [0, 2, 3, 1]]


def test_only_video_rows_are_used(tmp_path):
    path = build.save(build.predictions(np.eye(4), range(4), views=3), tmp_path / "a.parquet")
    rows = read_video_rows(path)
    assert rows["view"].to_pylist() == [-1] * 4
    assert tables.made(rows)["model"] == "toy:one"
    from_file = align({"a": rows})
    in_memory = align({"a": build.predictions(np.eye(4), range(4), views=3)})
    for found in (from_file, in_memory):
        assert found.rankings[0].predicted_N.tolist() == [0, 1, 2, 3]


def test_tables_without_video_rows_or_of_another_kind_are_refused(tmp_path):
    table = build.predictions(np.eye(3), range(3))
    views = table.filter(np.greater_equal(table["view"].to_numpy(), 0))
    path = build.save(views, tmp_path / "views.parquet")
    with pytest.raises(BadValue, match=r"no video rows \(view -1\)"):
        read_video_rows(path)
    with pytest.raises(BadValue, match="no video rows"):
        align({"a": views})
    other = build.save(build.videos([0, 1], 3), tmp_path / "videos.parquet")
    with pytest.raises(BadValue, match="is a table of videos"):
        read_video_rows(other)
    with pytest.raises(MissingFile):
        read_video_rows(tmp_path / "no.parquet")


def test_other_label_spaces_are_named():
    a = build.predictions(np.eye(3), range(3), labels=LabelSpace.from_names(["lift", "drop", "push"]))
    b = build.predictions(np.eye(3), range(3), labels=LabelSpace.from_names(["lift", "drop", "pull"]))
    turned = build.predictions(np.eye(3), range(3), labels=LabelSpace.from_names(["drop", "lift", "push"]))
    with pytest.raises(BadValue, match=r"only a has 'push'; only b has 'pull'"):
        align({"a": a, "b": b})
    with pytest.raises(BadValue, match="class 0 is 'lift' in one and 'drop' in the other"):
        align({"a": a, "b": turned})
    with pytest.raises(BadValue, match="only the videos table has 'pull'"):
        align({"a": a}, build.videos(range(3), 3, labels=tables.label_space(b)))
    with pytest.raises(BadValue, match="label space has 4 classes"):
        align({"a": build.predictions(np.eye(3), range(3), labels=build.space(4))})


def test_videos_of_one_model_only_are_counted():
    a = build.predictions(np.eye(4)[[0, 1, 2]], [0, 1, 2], video_ids=["x", "y", "z"])
    b = build.predictions(np.eye(4)[[3, 2, 1, 0]], [3, 2, 1, 0], video_ids=["w", "z", "y", "q"])
    found = align({"a": a, "b": b})
    assert found.video_id_N.tolist() == ["y", "z"]
    assert found.ranking("b").predicted_N.tolist() == [1, 2]  # rows of b were brought into the order of a
    assert {x.status: (x.count, x.examples) for x in found.left_out} == {
        "not predicted by b": (1, ("x",)),
        "not predicted by a": (2, ("w", "q")),
    }
    assert found.failed_rows == 0
    with pytest.raises(BadValue, match="no video in common"):
        align({"a": a, "b": build.predictions(np.eye(4)[[0]], [0], video_ids=["other"])})
    with pytest.raises(UnknownName):
        found.ranking("c")


def test_every_row_is_used_or_counted_with_its_status():
    splits = ["test", "test", "train", "test", "test", "test", "test"]
    logits_NK = np.eye(7)
    logits_NK[5, 2] = np.nan
    given_N = [0, 1, 2, 3, -1, 5, 6]
    a = build.predictions(logits_NK, given_N, split=splits, status={1: "timeout", 6: "excluded"})
    b = build.predictions(np.eye(7), given_N, split=splits, status={0: "missing"})
    found = align({"a": a, "b": b}, split="test")
    assert found.video_id_N.tolist() == ["v00003"]
    assert {x.status: x.count for x in found.left_out} == {
        "missing": 1,
        "timeout": 1,
        "other split": 1,
        "unlabelled": 1,
        "logits not finite": 1,
        "excluded": 1,
    }
    assert len(found.given_N) + sum(x.count for x in found.left_out) == 7
    assert found.failed_rows == 3  # missing, timeout, not finite; nobody asked for the rest


def test_the_videos_table_decides_labels_splits_and_statuses():
    a = build.predictions(np.eye(4), [0, 1, 2, 3], split="test")
    listed = build.videos(
        [0, 2, 2, 0, 1],
        4,
        video_ids=["v00000", "v00001", "v00002", "later", "v00003"],
        group=["g", "g", "h", "h", "i"],
        status={4: "excluded"},
    )
    found = align({"a": a}, listed)
    assert found.given_N.tolist() == [0, 2, 2]
    assert found.group_N.tolist() == ["g", "g", "h"]
    assert found.path_N.tolist() == ["videos/v00000.mp4", "videos/v00001.mp4", "videos/v00002.mp4"]
    assert {x.status: x.examples for x in found.left_out} == {
        "excluded": ("v00003",),
        "listed, but not predicted": ("later",),
    }
    some = align({"a": a}, listed.slice(0, 3))
    assert {x.status: x.count for x in some.left_out} == {
        "not in the videos table": 1,
    }
    with pytest.raises(BadValue, match="lists none of the predicted videos"):
        align({"a": a}, build.videos([0], 4, video_ids=["other"]))


def test_labels_that_disagree_are_refused():
    a, b = (build.predictions(np.eye(3), given) for given in ([0, 1, 2], [0, 2, 2]))
    with pytest.raises(BadValue, match="'v00001': has given label 1 in a and 2 in b"):
        align({"a": a, "b": b})
    assert align({"a": a, "b": b}, build.videos([0, 1, 1], 3)).given_N.tolist() == [0, 1, 1]
    with pytest.raises(BadValue, match=r"must be in 0\.\.2"):
        align({"a": build.predictions(np.eye(3), [0, 1, 7])})


@pytest.mark.parametrize("top_k", [0, -1])
def test_k_must_be_at_least_one(top_k):
    with pytest.raises(BadValue, match="at least 1"):
        align({"a": build.predictions(np.eye(3), range(3))}, top_k=top_k)


def test_k_is_capped_at_the_number_of_classes_and_said():
    found = align({"a": build.predictions(np.eye(3), range(3))}, top_k=9)
    assert found.top_k == 3
    assert found.rankings[0].top_NK.shape == (3, 3)
    assert "3 classes" in found.notes[0]


def test_unknown_split_names_the_splits_there_are():
    with pytest.raises(UnknownName, match="test"):
        align({"a": build.predictions(np.eye(3), range(3))}, split="tset")


def test_nothing_left_says_why():
    with pytest.raises(BadValue, match="3 unlabelled"):
        align({"a": build.predictions(np.eye(3), [-1, -1, -1])})
    with pytest.raises(BadValue, match="at least one"):
        align({})


def test_a_video_twice_is_refused():
    with pytest.raises(BadValue, match="more than once"):
        align({"a": build.predictions(np.eye(3), range(3), video_ids=["x", "y", "x"])})


def test_models_of_one_name_are_called_by_their_files(tmp_path):
    one, two = (build.predictions(np.eye(3), range(3), model=m) for m in ("tsm:r18", "tsm:r50"))
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    assert name_models([one, two], [a, b]) == ["tsm:r18", "tsm:r50"]
    assert name_models([one, one], [a, b]) == ["a", "b"]
    assert name_models([one, one], [tmp_path / "x" / "p.parquet", tmp_path / "y" / "p.parquet"]) == ["x/p", "y/p"]
    with pytest.raises(BadValue, match="given twice"):
        name_models([one, one], [a, tmp_path / "x" / ".." / "a.parquet"])
