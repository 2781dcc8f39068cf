"""What holds for a drawn clip: its facts, one rule a label, and the set of labels whose rule says yes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

CLEAR_WAY = 0.25
"""Shortest way, in frame widths, that a hand must carry something for it to count as moved in a direction."""
SLIGHT_WAY = 0.16
"""Longest way of "slightly moves"."""
ALMOST_NONE = 0.03
"""Up to this way a push may also be read as pretended."""
QUICK_ROLL = 1.0
"""Mean speed, in frame widths a clip, from which rolling is quick."""
QUICK_SPIN = 1.0
"""Mean speed, in turns a clip, from which rotating is quick."""
FIRM_SQUEEZE = 0.10
"""Share of the width below which a squeeze may also be read as pretended."""

Landing = Literal["", "onto", "into", "behind"]


@dataclass(frozen=True)
class Facts:
    """What happens in a clip, in numbers. Signs turn round when time does; see `turned_round`."""

    held: bool = False
    """A hand carries the object all along."""
    right: float = 0.0
    """Way of the object to the right, in frame widths; to the left where negative."""
    rise: float = 0.0
    """Way of the object up."""
    closer: float = 0.0
    """By how much two objects come closer."""
    pushed: float | None = None
    """How far a hand pushed the object; None: nobody pushes nor seems to."""
    touched: bool = True
    """The pushing or squeezing hand touches the object."""
    fell: bool = False
    """It fell over the edge of the table."""
    dropped: bool = False
    """It was let go in the air."""
    thrown: Literal["", "up", "away"] = ""
    landed: Landing = ""
    """How a dropped object ends up with the other thing."""
    level_view: bool = False
    """The camera looks level at a thing without a visible opening: into and behind look the same."""
    put_into: int = 0
    """1: put into a thing; -1: taken out of it."""
    put_onto: int = 0
    """1: put onto a thing and left there; -1: taken from it."""
    covers: int = 0
    """1: covers the other thing; -1: uncovers it."""
    beside: float | None = None
    """Where it is put down: way to the side of the other thing, in sums of their half widths."""
    nearer: float | None = None
    """Where it is put down: how much nearer to the camera than the other thing, in frame heights."""
    roll: float | None = None
    """Mean speed of rolling, in frame widths a clip."""
    spin: float | None = None
    """Mean speed of rotating, in turns a clip."""
    squeezed: float | None = None
    """Largest loss of width under a closing hand, as a share."""
    shown: Literal["", "object", "photo"] = ""
    turned_right: float = 0.0
    """How far the camera turned to the right, in frame widths; to the left where negative."""

    def turned_round(self) -> Facts:
        """The facts of the same clip played backwards (only actions that can be played backwards have a twin)."""
        return replace(
            self,
            right=-self.right,
            rise=-self.rise,
            closer=-self.closer,
            put_into=-self.put_into,
            put_onto=-self.put_onto,
            covers=-self.covers,
            turned_right=-self.turned_right,
        )


def _goes(facts: Facts, way: float, across: float) -> bool:
    return facts.held and way >= CLEAR_WAY and way >= 0.6 * abs(across)


def _sideways(facts: Facts, right: float) -> bool:
    far_push = facts.pushed is not None and not facts.fell and right >= CLEAR_WAY + 0.05
    return _goes(facts, right, facts.rise) or far_push


def _pushed(facts: Facts) -> bool:
    return facts.pushed is not None and facts.touched and facts.pushed > 0.01


RULES: Mapping[str, Callable[[Facts], bool]] = {
    "Moving something up": lambda f: _goes(f, f.rise, f.right),
    "Moving something down": lambda f: _goes(f, -f.rise, f.right),
    "Moving something from left to right": lambda f: _sideways(f, f.right),
    "Moving something from right to left": lambda f: _sideways(f, -f.right),
    "Moving something and something closer to each other": lambda f: f.closer > 0,
    "Moving something and something apart": lambda f: f.closer < 0,
    "Pushing something": _pushed,
    "Pushing something so that it slightly moves": lambda f: (
        _pushed(f) and not f.fell and (f.pushed or 0) <= SLIGHT_WAY
    ),
    "Pushing something so that it falls off the table": lambda f: _pushed(f) and f.fell,
    "Pretending to push something": lambda f: f.pushed is not None and f.pushed <= ALMOST_NONE,
    "Dropping something": lambda f: f.dropped,
    "Dropping something onto something": lambda f: f.dropped and f.landed == "onto",
    "Dropping something into something": lambda f: f.dropped and _reads(f, "into"),
    "Dropping something behind something": lambda f: f.dropped and _reads(f, "behind"),
    "Throwing something": lambda f: bool(f.thrown),
    "Throwing something up and letting it fall": lambda f: f.thrown == "up",
    "Putting something onto something": lambda f: f.put_onto > 0,
    "Putting something next to something": lambda f: (
        f.beside is not None and f.nearer is not None and abs(f.beside) >= 0.6 and f.nearer <= 0.11
    ),
    "Putting something in front of something": lambda f: (
        f.beside is not None and f.nearer is not None and abs(f.beside) <= 0.8 and f.nearer >= 0.05
    ),
    "Putting something into something": lambda f: f.put_into > 0,
    "Taking something out of something": lambda f: f.put_into < 0,
    "Covering something with something": lambda f: f.covers > 0,
    "Uncovering something": lambda f: f.covers < 0,
    "Rolling something slowly": lambda f: f.roll is not None and f.roll < QUICK_ROLL,
    "Rolling something quickly": lambda f: f.roll is not None and f.roll >= QUICK_ROLL,
    "Rotating something slowly": lambda f: f.spin is not None and f.spin < QUICK_SPIN,
    "Rotating something quickly": lambda f: f.spin is not None and f.spin >= QUICK_SPIN,
    "Squeezing something": lambda f: f.squeezed is not None and f.touched and f.squeezed > 0.02,
    "Pretending to squeeze something": lambda f: f.squeezed is not None and f.squeezed < FIRM_SQUEEZE,
    "Showing something to the camera": lambda f: f.shown == "object",
    "Showing a photo of something to the camera": lambda f: f.shown == "photo",
    "Turning the camera left while filming something": lambda f: f.turned_right < 0,
    "Turning the camera right while filming something": lambda f: f.turned_right > 0,
}
"""Label -> whether it holds, over the facts of a clip. Whatever says yes is in the clip's true set."""


def _reads(facts: Facts, landing: Landing) -> bool:
    return facts.landed == landing or (facts.level_view and facts.landed in ("into", "behind"))


def holding(facts: Facts) -> tuple[str, ...]:
    """The labels that hold, in the order of `RULES`."""
    return tuple(name for name, rule in RULES.items() if rule(facts))
