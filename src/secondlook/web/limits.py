"""How often one person or one address may ask: a bucket of tokens each, that fills at a steady rate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import HTTPException


@dataclass(frozen=True)
class Rate:
    """So many at once, then so many a second."""

    burst: int
    per_s: float


RATES: Mapping[str, Rate] = {
    "entry": Rate(20, 0.2),
    "read": Rate(600, 50.0),
    "write": Rate(400, 10.0),
    "media": Rate(400, 30.0),
    "upload": Rate(30, 0.2),
}
"""By kind of request: signing in and joining (an address), pages, answers and drafts, clips, files (a session each).

A person who answers every three seconds and whose page saves a draft with every click stays far below.
"""
_MOST = 20_000


class Limits:
    """Token buckets in memory, one a (kind, who); safe to share between threads."""

    def __init__(
        self, rates: Mapping[str, Rate] = RATES, clock: Callable[[], float] = time.monotonic, most: int = _MOST
    ) -> None:
        self._rates, self._clock, self._most = {**RATES, **rates}, clock, most
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, kind: str, who: str) -> float:
        """Takes a token; 0, or the seconds until there will be one."""
        rate, now = self._rates[kind], self._clock()
        with self._lock:
            level, since = self._buckets.pop((kind, who), (float(rate.burst), now))
            level = min(rate.burst, level + (now - since) * rate.per_s)
            wait_s = 0.0 if level >= 1 else (1 - level) / rate.per_s
            self._buckets[kind, who] = (level if wait_s else level - 1, now)  # last in the order: latest used
            if len(self._buckets) > self._most:
                self._forget(now)
        return wait_s

    def check(self, kind: str, who: str) -> None:
        """Takes a token.

        Raises:
            HTTPException: 429 with `Retry-After`, if there is none.
        """
        wait_s = self.wait_s(kind, who)
        if wait_s:
            words = "That was too often in a short time. Wait a moment and try again; nothing was lost."
            raise HTTPException(429, words, {"Retry-After": str(math.ceil(wait_s))})

    def _forget(self, now: float) -> None:
        """Drops full buckets, which say nothing, then those that were used longest ago."""
        for key, (level, since) in list(self._buckets.items()):
            if level + (now - since) * self._rates[key[0]].per_s >= self._rates[key[0]].burst:
                del self._buckets[key]
        while len(self._buckets) > self._most * 3 // 4:
            del self._buckets[next(iter(self._buckets))]
