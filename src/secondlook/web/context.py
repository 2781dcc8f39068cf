"""What every page needs: the workplace, the settings of the server, the clock, clips, limits and jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from secondlook.errors import BadValue
from secondlook.web.limits import RATES, Limits, Rate

if TYPE_CHECKING:
    from secondlook.annotate.store import Store
    from secondlook.annotate.workplace import Workplace
    from secondlook.web.jobs import Jobs
    from secondlook.web.media import Media


@dataclass(frozen=True)
class ServeSettings:
    """How the server is reached and how much it keeps and takes.

    Raises:
        BadValue: if the public address is no http(s) address, or a number makes no sense.
    """

    folder: Path = field(default_factory=Path)
    """Folder of tables; the paths of clips are relative to it where a campaign names no `media_root`."""
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    """Address by which people reach the server, such as `https://look.example.org`; empty: the one it listens on."""
    short_side: int = 480
    """Shorter side of the clips that are made for browsers; smaller ones are not enlarged."""
    cache_bytes: int = 20 * 10**9
    """Clips made for browsers are kept up to this size; those that were not watched for longest go first."""
    warm_clips: int = 500
    """Clips made ahead of being asked for, of each campaign; 0: none."""
    media_wait_s: float = 20.0
    """A browser that asks for a clip that is not made yet waits so long at most, then is told to come again."""
    clip_timeout_s: float = 120.0
    """Time to make one clip; what takes longer is taken as broken."""
    upload_bytes: int = 2 * 10**9
    """Largest file that an owner may send."""
    session_s: float = 30 * 86400.0
    rates: Mapping[str, Rate] = field(default_factory=lambda: RATES)

    def __post_init__(self) -> None:
        if self.public_url:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise BadValue(self.public_url, "is no web address", "Give one like https://look.example.org.")
            if parts.path not in ("", "/"):
                raise BadValue(self.public_url, "has a path, and pages stand at the root", "Give it a name of its own.")
        if not 0 <= self.port <= 65535:
            raise BadValue(self.port, "a port is a number from 0 to 65535")
        if self.short_side < 16:
            raise BadValue(self.short_side, "a clip's short side must have at least 16 pixels")

    @property
    def secure(self) -> bool:
        """Whether people come by https, so that cookies may travel by nothing else."""
        return self.public_url.startswith("https://")

    @property
    def address(self) -> str:
        """Where the pages are, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"


@dataclass
class Context:
    """One a server. Routes get it by `context(request)`."""

    workplace: Workplace
    settings: ServeSettings
    media: Media
    limits: Limits
    jobs: Jobs
    clock: Callable[[], float] = time.time
    nav: tuple[tuple[str, str, str], ...] = ()
    """Label, address and role of each link of the page head."""
    _stores: dict[str, Store] = field(default_factory=dict)

    def store(self, name: str) -> Store:
        """A campaign by name, opened once: what a store learns about its tasks is kept.

        Raises:
            UnknownName: if there is none of this name.
        """
        found = self._stores.get(name)
        if found is None:
            found = self._stores[name] = self.workplace.campaign(name)
        return found


def context(request: HTTPConnection) -> Context:
    """The server's context."""
    return cast(Context, request.app.state.context)
