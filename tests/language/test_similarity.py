"""Near labels and near misses: cosines, ranked pairs, ranks in two embeddings, mistakes in words, pictures."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import Label, LabelSpace
from secondlook.language import draw, similarity
from secondlook.language.vectors import LabelVectors

SPACE = LabelSpace(
    (Label("a", "one"), Label("b", "two"), Label("c", "one"), Label("d", "two"), Label("e", "one")), "toy"
)
GIVEN = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0.2], [0.1, 1]], np.float32)


def vectors(values: np.ndarray = GIVEN, space: LabelSpace = SPACE) -> LabelVectors:
    return LabelVectors(space, values, "by hand")


@pytest.mark.spec("label-reassessment", "L6")
def test_cosines() -> None:
    values = np.random.default_rng(0).normal(size=(20, 7)) * 1e-3
    cosine_KK = similarity.cosine_matrix(values)
    assert np.array_equal(cosine_KK, cosine_KK.T)
    assert np.array_equal(np.diag(cosine_KK), np.ones(20))
    assert np.abs(cosine_KK).max() <= 1.0
    for i, j in ((0, 3), (7, 2)):
        long = math.sqrt(sum(v * v for v in values[i])) * math.sqrt(sum(v * v for v in values[j]))
        assert cosine_KK[i, j] == pytest.approx(sum(a * b for a, b in zip(values[i], values[j], strict=True)) / long)
    assert similarity.cosine_matrix(np.array([[1.0, 0], [-2.0, 0]]))[0, 1] == -1.0


@pytest.mark.spec("label-reassessment", "L7")
def test_ranked_pairs() -> None:
    every = similarity.ranked_pairs(vectors())
    assert len(every) == 10
    assert [p.cosine for p in every] == sorted((p.cosine for p in every), reverse=True)
    assert (every[0].one, every[0].other) == (2, 4)
    assert similarity.ranked_pairs(vectors(), least=True)[0][:2] == (0, 3)
    within = similarity.ranked_pairs(vectors(), "within")
    cross = similarity.ranked_pairs(vectors(), "cross")
    assert {p[:2] for p in within} == {(0, 2), (0, 4), (2, 4), (1, 3)}
    assert {p[:2] for p in within} | {p[:2] for p in cross} == {p[:2] for p in every}
    assert cross[0][:2] == (0, 1)
    with pytest.raises(UnknownName, match="choice of pairs"):
        similarity.ranked_pairs(vectors(), "outside")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="have no coarse groups"):
        similarity.ranked_pairs(vectors(space=LabelSpace.from_names("abcde")), "within")


@pytest.mark.spec("label-reassessment", "L10")
def test_the_rank_of_a_neighbour_in_two_embeddings() -> None:
    other = vectors(GIVEN[[0, 3, 2, 1, 4]])
    assert [similarity.neighbour_rank(vectors(), 0, j) for j in (1, 4, 2, 3)] == [1, 2, 3, 4]
    assert [similarity.neighbour_rank(other, 0, j) for j in (3, 4, 2, 1)] == [1, 2, 3, 4]
    with pytest.raises(BadValue, match="no neighbour of itself"):
        similarity.neighbour_rank(other, 1, 1)


def predictions(folder: Path, logits: dict[str, tuple[int, list[float]]], name: str = "p") -> pa.Table:
    rows = [
        {"video_id": video, "view": view, "label": label, "split": "val", "start_s": 0.0, "crop": "", "logits": values,
         "status": "ok", "reason": ""}
        for video, (label, values) in logits.items() for view in (0, -1)
    ]  # fmt: skip
    made = {"label_space": SPACE.to_dict()}
    return tables.read(tables.PREDICTIONS, tables.write(tables.PREDICTIONS, rows, folder / f"{name}.parquet", made))


@pytest.mark.spec("label-reassessment", "H3")
def test_how_far_mistakes_are_in_words(tmp_path: Path) -> None:
    nan = float("nan")
    table = predictions(
        tmp_path,
        {
            "right": (0, [9, 1, 1, 1, 1]), "near": (2, [0, 0, 1, 0, 9]), "far": (0, [1, 0, 0, 9, 0]),
            "unread": (0, [nan] * 5), "unlabelled": (-1, [0, 9, 0, 0, 0]),
        },
    )  # fmt: skip
    found = similarity.error_distance(table, vectors())
    cosine_KK = similarity.cosine_matrix(GIVEN)
    assert (found.videos, found.errors) == (3, 2)
    assert found.mean_cosine == pytest.approx((cosine_KK[2, 4] + cosine_KK[0, 3]) / 2)
    chance = (np.mean([cosine_KK[2, j] for j in (0, 1, 3, 4)]) + np.mean([cosine_KK[0, j] for j in (1, 2, 3, 4)])) / 2
    assert found.chance_cosine == pytest.approx(chance)
    right = similarity.error_distance(predictions(tmp_path, {"right": (0, [9, 1, 1, 1, 1])}), vectors())
    assert right.errors == 0
    assert math.isnan(right.mean_cosine)


@pytest.mark.spec("label-reassessment", "H3")
def test_the_table_of_best_answers(tmp_path: Path) -> None:
    first = predictions(tmp_path, {"v": (1, [5, 4, 3, 2, 1]), "w": (0, [1, 5, 4, 3, 2])}, "first")
    second = predictions(tmp_path, {"v": (1, [1, 2, 3, 4, 5])}, "second")
    rows = similarity.top_table({"class": first, "hybrid": second}, ["v"])
    assert rows == [
        {"video_id": "v", "given": "b", "model": "class", "answers": ["a", "b", "c", "d"], "rank_of_given": 2},
        {"video_id": "v", "given": "b", "model": "hybrid", "answers": ["e", "d", "c", "b"], "rank_of_given": 4},
    ]
    assert similarity.near_misses(first) == ["v", "w"]
    assert similarity.near_misses(first, 4) == ["v"]
    with pytest.raises(BadValue, match="'w': hybrid has no usable, labelled prediction"):
        similarity.top_table({"class": first, "hybrid": second}, ["w"])


@pytest.mark.spec("label-reassessment", "L8")
def test_a_scatter_is_the_same_each_time(tmp_path: Path) -> None:
    for dimensions in (2, 3):
        places = draw.scatter(vectors(), dimensions=dimensions, seed=1)
        assert places.shape == (5, dimensions)
        assert np.array_equal(places, draw.scatter(vectors(), dimensions=dimensions, seed=1))
        assert not np.array_equal(places, draw.scatter(vectors(), dimensions=dimensions, seed=2))
    picture = draw.draw_scatter(vectors(), tmp_path / "s.svg").read_text()
    assert all(f">{label.plain}</text>" in picture for label in SPACE.labels), "each dot has its name"
    with pytest.raises(BadValue, match="labels are too few"):
        draw.scatter(vectors(GIVEN[:2], LabelSpace.from_names("ab")))
    with pytest.raises(BadValue, match="in 2 or 3 dimensions"):
        draw.scatter(vectors(), dimensions=4)


@pytest.mark.spec("label-reassessment", "L9")
def test_a_colour_map_of_cosines(tmp_path: Path) -> None:
    assert draw.group_order(vectors()) == [0, 2, 4, 1, 3]
    plain = draw.draw_cosines(vectors(), tmp_path / "c.png").read_bytes()
    grouped = draw.draw_cosines(vectors(), tmp_path / "g.png", order="group").read_bytes()
    clustered = draw.draw_cosines(vectors(), tmp_path / "t.png", order="cluster").read_bytes()
    assert plain.startswith(b"\x89PNG")
    assert len({plain, grouped, clustered}) == 3
    with pytest.raises(UnknownName, match="Did you mean 'group'"):
        draw.draw_cosines(vectors(), tmp_path / "c.png", order="groups")
    with pytest.raises(BadValue, match=r"is a .png, .svg, .pdf file"):
        draw.draw_cosines(vectors(), tmp_path / "c.txt")


def test_leaves_of_clusters_lie_near_each_other() -> None:
    """Planted clusters stay together, and hardly a turn of the tree has nearer neighbours (every turn is tried)."""
    generator = np.random.default_rng(0)
    planted = np.repeat(np.eye(3), 3, axis=0)[[0, 3, 6, 1, 4, 7, 2, 5]] + 0.2 * generator.normal(size=(8, 3))
    found = vectors(planted.astype(np.float32), LabelSpace.from_names("abcdefgh"))
    order = draw.cluster_order(found)
    assert sorted(order) == list(range(8))
    kinds = [[0, 1, 2, 0, 1, 2, 0, 1][i] for i in order]
    assert sum(a != b for a, b in itertools.pairwise(kinds)) == 2
    cosine_KK = similarity.cosine_matrix(found.vectors_KD)

    def length(indices: list[int]) -> float:
        return sum(1 - cosine_KK[i, j] for i, j in itertools.pairwise(indices))

    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    leaves: dict[int, list[list[int]]] = {i: [[i]] for i in range(8)}
    for number, (a, b, *_) in enumerate(linkage(squareform(1 - cosine_KK, checks=False), "average"), 8):
        pairs = [(one, two) for one in leaves[int(a)] for two in leaves[int(b)]]
        leaves[number] = [x + y for one, two in pairs for x, y in ((one, two), (two, one))]
    lengths = [length(x) for x in leaves[14]]
    assert len(lengths) == 2**7
    assert min(lengths) <= length(order) < 1.1 * min(lengths) < 0.8 * np.mean(lengths)
    assert draw.cluster_order(vectors(GIVEN[:2], LabelSpace.from_names("ab"))) == [0, 1]
