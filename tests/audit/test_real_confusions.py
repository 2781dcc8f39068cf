"""Predictions made from the confusion matrix of a TSM on the real validation list give its counts back."""

import csv
from pathlib import Path

import numpy as np
import pytest

from secondlook.audit import align, all_confusions, confused_classes, confusions, mistakes
from secondlook.labels import LabelSpace
from tests.audit import build

CLASSES = 174


@pytest.fixture(scope="module")
def real():
    """The aligned videos, and the matrix (given x predicted)."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "annotations" / "something_something"
    if not folder.is_dir():
        pytest.skip("the real annotations (../shared/data) are not beside the project")
    count_KK = np.load(folder / "tsm_confusion_174x174.npy").astype(int)
    listed = [
        line.split() for line in (folder / "something-something-v2-validation-processed.txt").read_text().splitlines()
    ]
    with (folder / "fine_grained_classes.csv").open(newline="", encoding="utf-8") as file:
        names = [row["class_name"] for row in csv.DictReader(file)]
    given_N = np.array([int(row[-1]) for row in listed])
    assert (np.bincount(given_N, minlength=CLASSES) == count_KK.sum(axis=1)).all()
    predicted_N = np.empty_like(given_N)
    for label in range(CLASSES):
        predicted_N[given_N == label] = np.repeat(np.arange(CLASSES), count_KK[label])
    logits_NK = np.zeros((len(given_N), CLASSES), np.float32)
    logits_NK[np.arange(len(given_N)), predicted_N] = 4
    table = build.predictions(
        logits_NK, given_N.tolist(), labels=LabelSpace.from_names(names), video_ids=[row[0] for row in listed]
    )
    return align({"tsm": table}, top_k=1), count_KK


@pytest.mark.real_data
@pytest.mark.spec("label-reassessment", "I8", "I9")
def test_set_sizes_and_confused_classes_are_those_of_the_matrix(real):
    aligned, count_KK = real
    found = mistakes(aligned)
    assert len(aligned.given_N) == 24777
    assert found.sizes()["union"] == count_KK.sum() - np.trace(count_KK)
    wrong_K = count_KK.sum(axis=1) - np.diag(count_KK)
    said = confused_classes(aligned, found.union)
    assert {c["label"]: (c["count"], c["videos"]) for c in said} == {
        k: (wrong_K[k], count_KK[k].sum()) for k in range(CLASSES)
    }
    assert [c["count"] for c in said] == sorted(wrong_K.tolist(), reverse=True)
    by_share = confused_classes(aligned, found.union, by="share")
    share_K = wrong_K / count_KK.sum(axis=1)
    assert [c["share"] for c in by_share] == pytest.approx(sorted(share_K.tolist(), reverse=True))
    # Counts and shares name different classes: the first say how large a class is, too.
    assert [c["label"] for c in said[:5]] != [c["label"] for c in by_share[:5]]


@pytest.mark.real_data
@pytest.mark.spec("label-reassessment", "I10")
def test_who_takes_a_for_b_is_the_cell_of_the_matrix(real):
    aligned, count_KK = real
    names = aligned.labels.names
    off_KK = count_KK - np.diag(np.diag(count_KK))
    for cell in np.argsort(-off_KK.ravel())[:5].tolist():
        a, b = divmod(cell, CLASSES)
        assert len(confusions(aligned, names[a], names[b])) == count_KK[a, b]
        assert len(confusions(aligned, names[a], names[b], both_ways=True)) == count_KK[a, b] + count_KK[b, a]
    every = all_confusions(aligned)
    found_KK = np.zeros_like(count_KK)
    np.add.at(found_KK, ([c.given for c in every], [c.predicted for c in every]), 1)
    assert (found_KK == off_KK).all()
