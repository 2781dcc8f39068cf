"""Errors that say what to do next: the value, the rule it breaks, the cure, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SecondlookError(Exception):
    """Base of every error that a user can cause. The command line prints it without a traceback and exits with 2."""


class BadValue(SecondlookError, ValueError):  # noqa: N818 - reads as a sentence: raise BadValue(...)
    """A value that breaks a rule.

    Args:
        value: what was given, shown as `repr`; pass a `str` for a file name or a longer text.
        rule: what must hold ("must be a multiple of 8").
        cure: what to do next ("Give --frames 8 or 16.").
    """

    def __init__(self, value: object, rule: str, cure: str = "") -> None:
        self.value, self.rule, self.cure = value, rule, cure
        super().__init__(f"{value!r}: {rule}.{' ' + cure if cure else ''}")


class UnknownName(SecondlookError, LookupError):  # noqa: N818
    """A name that nothing answers to, with the nearest names that would.

    Args:
        kind: what the name should be the name of ("model", "dataset", "label").
        name: the name that was given.
        known: every valid name.
        cure: a further sentence, for example where the list of names can be seen.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], cure: str = "") -> None:
        self.kind, self.name, self.known = kind, name, list(known)
        near = nearest(name, self.known)
        if near:
            hint = f"Did you mean {' or '.join(repr(n) for n in near)}?"
        elif len(self.known) <= 12:
            hint = f"Known: {', '.join(sorted(self.known)) or 'none'}."
        else:
            hint = f"{len(self.known)} are known, such as {', '.join(sorted(self.known)[:5])}."
        super().__init__(f"{kind} {name!r} is not known. {hint}{' ' + cure if cure else ''}")

    def __str__(self) -> str:
        """The sentence itself (LookupError's own `str` would quote it)."""
        return str(self.args[0])


class MissingFile(SecondlookError, FileNotFoundError):  # noqa: N818
    """A file or folder that a step needs and that is not there."""

    def __init__(self, path: object, cure: str = "") -> None:
        self.path = path
        super().__init__(f"{str(path)!r} does not exist.{' ' + cure if cure else ''}")


def nearest(name: str, known: Iterable[str], at_most: int = 2) -> list[str]:
    """The valid names nearest to `name` (by difflib's ratio, case ignored), best first, none if nothing is near."""
    by_folded = {k.casefold(): k for k in known}
    return [by_folded[m] for m in difflib.get_close_matches(name.casefold(), by_folded, n=at_most, cutoff=0.6)]
