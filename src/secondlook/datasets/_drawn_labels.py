"""The labels of the drawn dataset: 33 caption templates in 13 coarse groups, and how they belong together."""

from __future__ import annotations

from collections.abc import Mapping

from secondlook.labels import Label, LabelSpace

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Moving something up or down": (
        "Moving something up",
        "Moving something down",
    ),
    "Moving something sideways": (
        "Moving something from left to right",
        "Moving something from right to left",
    ),
    "Moving two things": (
        "Moving something and something closer to each other",
        "Moving something and something apart",
    ),
    "Pushing something": (
        "Pushing something",
        "Pushing something so that it slightly moves",
        "Pushing something so that it falls off the table",
        "Pretending to push something",
    ),
    "Dropping something": (
        "Dropping something",
        "Dropping something onto something",
        "Dropping something into something",
        "Dropping something behind something",
    ),
    "Throwing something": (
        "Throwing something",
        "Throwing something up and letting it fall",
    ),
    "Putting something somewhere": (
        "Putting something onto something",
        "Putting something next to something",
        "Putting something in front of something",
    ),
    "Putting in and taking out": (
        "Putting something into something",
        "Taking something out of something",
    ),
    "Covering and uncovering": (
        "Covering something with something",
        "Uncovering something",
    ),
    "Rolling and rotating": (
        "Rolling something slowly",
        "Rolling something quickly",
        "Rotating something slowly",
        "Rotating something quickly",
    ),
    "Squeezing something": (
        "Squeezing something",
        "Pretending to squeeze something",
    ),
    "Showing objects and photos of objects": (
        "Showing something to the camera",
        "Showing a photo of something to the camera",
    ),
    "Camera motions": (
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
    ),
}
"""Coarse group -> its labels, in index order."""

LABELS = LabelSpace(tuple(Label(n, g) for g, names in GROUPS.items() for n in names), "drawn", directional=True)

REVERSAL_PAIRS: tuple[tuple[str, str], ...] = (
    ("Moving something up", "Moving something down"),
    ("Moving something from left to right", "Moving something from right to left"),
    ("Moving something and something closer to each other", "Moving something and something apart"),
    ("Putting something into something", "Taking something out of something"),
    ("Covering something with something", "Uncovering something"),
    ("Turning the camera right while filming something", "Turning the camera left while filming something"),
)
"""Pairs that differ only in the order of time: a clip of one played backwards is a clip of the other."""
SPEED_PAIRS: tuple[tuple[str, str], ...] = (
    ("Rolling something slowly", "Rolling something quickly"),
    ("Rotating something slowly", "Rotating something quickly"),
)
"""Pairs that differ only in speed: the same object on the same way, slowly and quickly."""
APPEARANCE_PAIRS: tuple[tuple[str, str], ...] = (
    ("Showing something to the camera", "Showing a photo of something to the camera"),
)
"""Pairs that differ only in what is seen: the same motion of another thing."""
VIEWPOINT_PAIRS: tuple[tuple[str, str], ...] = (
    ("Putting something next to something", "Putting something in front of something"),
    ("Dropping something into something", "Dropping something behind something"),
)
"""Pairs of which both hold where the viewpoint does not tell them apart."""
FORCE_PAIRS: tuple[tuple[str, str], ...] = (
    ("Pretending to push something", "Pushing something so that it slightly moves"),
    ("Pretending to squeeze something", "Squeezing something"),
)
"""Pairs of which both hold where the force is near the boundary."""
PARENTS: Mapping[str, str] = {
    "Pushing something so that it slightly moves": "Pushing something",
    "Pushing something so that it falls off the table": "Pushing something",
    "Dropping something onto something": "Dropping something",
    "Dropping something into something": "Dropping something",
    "Dropping something behind something": "Dropping something",
    "Throwing something up and letting it fall": "Throwing something",
}
"""Child -> parent: where the child holds, the parent holds too."""
