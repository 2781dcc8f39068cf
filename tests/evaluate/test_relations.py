"""What two labels are to each other, by the words of the labels that the source names (Appendix A)."""

import pytest

from secondlook.evaluate.patterns import MEANINGS
from secondlook.evaluate.relations import RELATIONS, relation

PAIRS = [
    # Named by the source as parent and child, or as a special case (sections 3.7 and 5.1.1 of the source).
    ("Throwing something onto a surface", "Throwing something", "parent", 1),
    ("Twisting (wringing) something wet until water comes out", "Twisting something", "parent", 1),
    ("Stacking number of something", "Putting number of something onto something", "parent", 1),
    ("Stuffing something into something", "Putting something into something", "parent", 1),
    ("Holding something", "Holding something next to something", "parent", 0),
    ("Showing a photo of something to the camera", "Showing something to the camera", "parent", 1),
    ("Letting something roll along a flat surface", "Rolling something on a flat surface", "preposition", None),
    ("Showing something next to something", "Showing something behind something", "preposition", None),
    ("Showing something on top of something", "Showing something next to something", "preposition", None),
    ("Holding something in front of something", "Holding something next to something", "preposition", None),
    ("Dropping something into something", "Dropping something onto something", "preposition", None),
    ("Putting something on a surface", "Putting something into something", "preposition", None),
    ("Pouring something out of something", "Pouring something into something", "viewpoint", None),
    ("Approaching something with your camera", "Moving something towards the camera", "viewpoint", None),
    ("Moving away from something with your camera", "Moving something away from the camera", "viewpoint", None),
    ("Poking something so it slightly moves", "Pushing something so that it slightly moves", "force", None),
    (
        "Poking something so it slightly moves",
        "Poking something so lightly that it doesn't or almost doesn't move",
        "force",
        None,
    ),
    ("Moving something up", "Moving something down", "opposite", None),
    ("Moving something towards the camera", "Moving something away from the camera", "opposite", None),
    ("Approaching something with your camera", "Moving away from something with your camera", "opposite", None),
    ("Turning the camera left while filming something", "Turning the camera right while filming something", "opposite",
     None),
    ("Pushing something from left to right", "Pushing something from right to left", "opposite", None),
    ("Folding something", "Unfolding something", "opposite", None),
    ("Putting something into something", "Taking something out of something", "opposite", None),
    (
        "Lifting up one end of something without letting it drop down",
        "Lifting up one end of something, then letting it drop down",
        "opposite",
        None,
    ),
    (
        "Putting number of something onto something",
        "Putting something, something and something on the table",
        "count",
        None,
    ),
    ("Moving something closer to something", "Moving something and something closer to each other", "count", None),
    ("Pretending to squeeze something", "Squeezing something", "pretend", None),
    ("Pretending to close something without actually closing it", "Closing something", "pretend", None),
    ("Pretending to put something underneath something", "Putting something underneath something", "pretend", None),
    ("Poking a hole into some substance", "Poking a hole into something soft", "synonym", None),
    ("Lifting something up completely without letting it drop down", "Picking something up", "synonym", None),
    ("Throwing something in the air and letting it fall", "Something falling like a rock", "event", None),
    ("Something falling like a rock", "Dropping something onto something", "event", None),
    ("Folding something", "Closing something", "other", None),
    ("Unfolding something", "Uncovering something", "other", None),
]  # fmt: skip


@pytest.mark.spec("label-reassessment", "G8")
@pytest.mark.parametrize(("one", "other", "kind", "parent"), PAIRS)
def test_labels_of_the_source(one, other, kind, parent):
    assert (relation(one, other).kind, relation(one, other).parent) == (kind, parent)


@pytest.mark.parametrize(("one", "other", "kind", "parent"), PAIRS)
def test_the_other_way_round_it_is_the_same_relation(one, other, kind, parent):
    turned = relation(other, one)
    assert (turned.kind, turned.parent) == (kind, None if parent is None else 1 - parent)


def test_brackets_and_case_do_not_matter():
    assert relation("MOVING [something] up", "Moving something down.").kind == "opposite"
    assert relation("Moving [something] up", "moving something up").kind == "synonym"


def test_every_relation_is_explained_and_occurs():
    assert set(MEANINGS) == set(RELATIONS) == {kind for _, _, kind, _ in PAIRS}
