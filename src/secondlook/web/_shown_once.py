"""Links that hold a token, between the form that made them and the page that shows them once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from secondlook.annotate.accounts import Session

_KEPT = 100
VALID_S = 600.0


@dataclass(frozen=True)
class Invited:
    """A new invitation."""

    link: str
    words: str
    """Who may come."""
    made_s: float


class ShownOnce:
    """The last new invitation of each session, in memory only; taking it out forgets it."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Invited] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, session: Session, found: Invited) -> None:
        """Keeps it for the next page of this session; the oldest of other sessions are forgotten."""
        with self._lock:
            self._of.pop(session.csrf, None)
            self._of[session.csrf] = found
            while len(self._of) > _KEPT:
                self._of.popitem(last=False)

    def take(self, session: Session, now_s: float) -> Invited | None:
        """What was kept for this session, this once; None if it is older than `VALID_S`."""
        with self._lock:
            found = self._of.pop(session.csrf, None)
        return found if found is not None and now_s - found.made_s <= VALID_S else None


INVITED = ShownOnce()
