"""How two labels are related by what their texts say: parent and child, preposition, viewpoint, force, and others.

Rules over words, no model: the labels are sentences made from one template language ("Pushing something so that it
slightly moves"), so their words say which of the source's confusion types a pair is (label-reassessment 3.7, 6.3).
The first rule that holds names the pair:

| Relation | When |
|---|---|
| pretend | one of them only pretends to do what the other does |
| opposite | they are the same but for opposites (up and down, open and close, put into and take out of) |
| viewpoint | one event told from its other end (pour into, pour out of), or by who moves, the camera or the thing |
| count | the same but for how many things |
| parent | one says everything that the other says, and more; or its verb is a special way of the other's |
| preposition | the same but for where: on, next to, behind ... |
| force | the same but for how strongly, or two of poke, push, touch, hit |
| synonym | the same in other words |
| event | what the one is about is a part of what happens in the other (throw and let fall; fall) |
| other | none of these |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from secondlook.labels import normalise

RELATIONS = (
    "parent", "preposition", "viewpoint", "force", "opposite", "count", "pretend", "synonym", "event", "other",
)  # fmt: skip

_PHRASES: Mapping[str, str] = {
    "in front of": "in_front_of", "out of": "out_of", "on top of": "on_top_of", "next to": "next_to",
    "away from": "away_from", "so that it": "so_it", "so it": "so_it", "onto a surface": "onto surface",
    "on a surface": "on surface", "something something and something": "several", "number of something": "many",
    "many somethings": "many", "something and something": "two", "some substance": "something soft",
}  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the", "your", "it", "and", "then", "as", "you", "to", "while", "of", "like"})
_PREPOSITIONS = frozenset({
    "on", "onto", "in", "into", "out_of", "in_front_of", "behind", "next_to", "on_top_of", "underneath", "under",
    "beside", "along", "with", "from", "at",
})  # fmt: skip
_DEGREES = frozenset({
    "slightly", "lightly", "so_it", "so", "almost", "completely", "hardly", "doesn't", "does", "not", "t", "or",
    "enough", "but",
})  # fmt: skip
_FORCE_VERBS = frozenset({"poke", "push", "touch", "hit"})
_LIGHT = frozenset({"let"})
_VERBS = frozenset({
    "approach", "bend", "close", "cover", "dig", "drop", "fail", "fall", "fold", "hit", "hold", "lay", "let",
    "lift", "move", "open", "pick", "plug", "poke", "pour", "pretend", "pull", "push", "put", "remove", "roll",
    "rotate", "scoop", "show", "slide", "spill", "spin", "spread", "sprinkle", "squeeze", "stack", "stick", "stuff",
    "take", "tear", "throw", "tilt", "tip", "touch", "turn", "twist", "uncover", "unfold", "wipe", "wring",
})  # fmt: skip
_STEMS: Mapping[str, str] = {"wringing": "wring", "somethings": "something", "underneath": "under"}
_WIDER: Mapping[str, str] = {"stack": "put", "stuff": "put", "plug": "put", "wring": "twist"}
"""Verbs that are a special way of another."""
_ENDS_IN: Mapping[str, str] = {"drop": "fall"}
"""Verbs whose event ends in that of another."""
_SAME = (frozenset({"lift", "pick"}), frozenset({"roll", "slide"}), frozenset({"spin", "rotate"}))
_OPPOSITES = tuple(
    frozenset(pair)
    for pair in (
        ("up", "down"), ("upwards", "downwards"), ("left", "right"), ("open", "close"), ("cover", "uncover"),
        ("fold", "unfold"), ("towards", "away_from"), ("closer", "apart"), ("closer", "away_from"), ("put", "take"),
        ("into", "out_of"), ("push", "pull"), ("approach", "away"), ("approach", "away_from"), ("slowly", "quickly"),
        ("with", "without"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """What two labels are to each other."""

    kind: str
    """One of `RELATIONS`."""
    parent: int | None = None
    """Of the two, the wider one: 0 or 1; None where neither is."""


def relation(one: str, other: str) -> Relation:
    """How two labels are related, by their words; see the table at the top of this file.

    Args:
        one: text of a label; brackets, case and punctuation do not matter.
        other: text of another.
    """
    a, b = _words(one), _words(other)
    set_a, set_b = set(a), set(b)
    if a == b:
        return Relation("synonym")
    if ("pretend" in set_a) != ("pretend" in set_b):
        acts = [_verbs(x) - {"pretend"} for x in (a, b)]
        return Relation("pretend" if acts[0] & acts[1] else "other")
    differ = set_a ^ set_b
    if _opposite(a, b):
        viewpoint = differ == {"into", "out_of"}
        return Relation("viewpoint" if viewpoint else "opposite")
    if _told_of_the_camera(set_a, set_b):
        return Relation("viewpoint")
    if differ & {"several", "many", "two"} and _verbs(a) & _verbs(b):
        return Relation("count")
    for wide, narrow, index in ((set_a, set_b, 0), (set_b, set_a, 1)):
        if (wide < narrow and _main(a) == _main(b)) or _WIDER.get(_main((b, a)[index])) == _main((a, b)[index]):
            return Relation("parent", index)
    plain = [x - _PREPOSITIONS - _LIGHT - {"something", "surface"} for x in (set_a, set_b)]
    if plain[0] == plain[1] and differ & _PREPOSITIONS:
        return Relation("preposition")
    mild = [x - _DEGREES - {"move", "fall", "something", "part"} for x in plain]
    if mild[0] == mild[1] or {_main(a), _main(b)} <= _FORCE_VERBS:
        return Relation("force")
    if any({_main(a), _main(b)} <= same for same in _SAME) or mild[0] - {"soft"} == mild[1] - {"soft"}:
        return Relation("synonym")
    for first, second in ((a, b), (b, a)):
        if _main(first) != _main(second) and _main(second) in {*_verbs(first), _ENDS_IN.get(_main(first))}:
            return Relation("force" if "without" in set_a ^ set_b else "event")
    return Relation("other")


@cache
def _words(text: str) -> tuple[str, ...]:
    """Words in their order, verbs as stems, fixed phrases as one word, articles left out."""
    folded = f" {normalise(text.replace('[', '').replace(']', ''))} "
    for phrase, word in _PHRASES.items():
        folded = folded.replace(f" {phrase} ", f" {word} ")
    return tuple(_stem(word) for word in folded.split() if word not in _ARTICLES)


def _stem(word: str) -> str:
    if word in _STEMS:
        return _STEMS[word]
    for ending in ("ing", "es", "s", "ed"):
        bare = word.removesuffix(ending)
        if bare != word:
            doubled = re.sub(r"(.)\1$", r"\1", bare)
            for found in (bare, f"{bare}e", doubled):
                if found in _VERBS:
                    return found
    return word


def _verbs(words: tuple[str, ...]) -> set[str]:
    return {word for word in words if word in _VERBS}


def _main(words: tuple[str, ...]) -> str:
    """The action: the first verb that is not a light one, "wring" before "twist"."""
    found = [word for word in words if word in _VERBS and word not in _LIGHT]
    return "wring" if "wring" in found else next(iter(found), "")


def _opposite(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether only opposites tell the two apart: at one place or more where they differ, the words are opposites."""
    set_a, set_b = set(a), set(b)
    only_a, only_b = set_a - set_b, set_b - set_a
    swapped = [tuple(x for x in words if x in ("left", "right")) for words in (a, b)]
    if not only_a and not only_b:
        return swapped[0] != swapped[1]
    if not only_a or not only_b:
        return only_a | only_b == {"without"}
    matched_a = {x for x in only_a for y in only_b if frozenset((x, y)) in _OPPOSITES}
    matched_b = {y for y in only_b for x in only_a if frozenset((x, y)) in _OPPOSITES}
    loose = _LIGHT | _DEGREES | {"something"} | ({"move"} if "camera" in set_a & set_b else set())
    return bool(matched_a) and not (only_a - matched_a - loose) and not (only_b - matched_b - loose)


def _told_of_the_camera(set_a: set[str], set_b: set[str]) -> bool:
    """The camera moves in the one, and the thing before it in the other, to the same effect."""
    if not ("camera" in set_a and "camera" in set_b):
        return False
    nearer, farther = {"approach", "towards", "closer"}, {"away_from", "away"}
    same_effect = any(set_a & way and set_b & way for way in (nearer, farther))
    return same_effect and ("with" in set_a) != ("with" in set_b)
