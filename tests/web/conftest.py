"""A workplace with a small campaign and real tiny clips drawn by code; browsers of every role; a server on a free port.

`client(role)` is a browser that has signed in: it sends its cookie, and its CSRF token as a header. `client("")` is
nobody. `live_server` is the same app behind uvicorn, for browsers that are real.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from secondlook.annotate.accounts import Account
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.cli._serving import configured, listen
from secondlook.labels import LabelSpace
from secondlook.web.app import make_app
from secondlook.web.context import Context, ServeSettings
from secondlook.web.identity import cookie_name

SITE = "http://127.0.0.1:8000"
CAMPAIGN = "round1"
SECRET_WORDS = ("pouring", "juggling")
"""Names of the folders that the clips lie in: the given class, which no annotator may learn."""


class Clock:
    """UNIX seconds that a test can move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Site:
    """One app, and accounts on it."""

    app: FastAPI
    workplace: Workplace
    clock: Clock
    people: dict[str, tuple[Account, str]] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        found: Context = self.app.state.context
        return found

    def person(self, role: str, name: str = "") -> tuple[Account, str]:
        """An account of this role and its sign-in token; the same name gives the same one."""
        name = name or role
        if name not in self.people:
            accounts = self.workplace.accounts
            self.people[name] = accounts.accept(accounts.invite(role, self.clock()), name, self.clock())
        return self.people[name]

    def client(self, role: str = "", name: str = "") -> TestClient:
        """A browser that has signed in as this person; `""`: as nobody."""
        browser = TestClient(self.app, base_url=SITE, follow_redirects=False)
        if role:
            account, _ = self.person(role, name)
            cookie, csrf = self.workplace.accounts.open_session(account.account_id, self.clock())
            browser.cookies.set(cookie_name(self.context), cookie)
            browser.headers["X-CSRF-Token"] = csrf
        return browser


@pytest.fixture(scope="session")
def clips(draw_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips: mp4 that browsers play, avi that they do not, one that is broken."""
    folder = tmp_path_factory.mktemp("clips")
    for index in range(4):
        draw_video(folder / "pouring" / f"p{index}.mp4", frames=6 + index)
        draw_video(folder / "juggling" / f"j{index}.avi", frames=6 + index, codec="mpeg4")
    (folder / "juggling" / "broken.avi").write_bytes(b"RIFF\x00\x00\x00\x00AVI not really" * 20)
    return folder


@pytest.fixture
def label_space() -> LabelSpace:
    return LabelSpace.from_names(["Pouring [water]", "Juggling", "Waving", "Sitting down", "Opening [a jar]"], "toy")


@pytest.fixture
def workplace(tmp_path: Path, clips: Path, label_space: LabelSpace) -> Iterator[Workplace]:
    """One campaign of eight clips, two votes each, batches of five."""
    with Workplace.create(tmp_path / "annotations") as opened:
        names = [f"pouring/p{i}.mp4" for i in range(4)] + [f"juggling/j{i}.avi" for i in range(4)]
        tasks = [Task(Path(n).stem, n, i % 2, (2, i % 2, 3)) for i, n in enumerate(names)]
        settings = Settings(votes=2, batch=5, media_root=str(clips))
        opened.add(tasks, label_space, name=CAMPAIGN, settings=settings)
        yield opened


@pytest.fixture
def store(workplace: Workplace) -> Store:
    return workplace.campaign(CAMPAIGN)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve_settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(folder=tmp_path, warm_clips=0, short_side=48)


@pytest.fixture
def site(workplace: Workplace, serve_settings: ServeSettings, clock: Clock) -> Iterator[Site]:
    app = make_app(workplace, serve_settings, clock)
    yield Site(app, workplace, clock)
    app.state.context.media.close()
    app.state.context.jobs.close()


@pytest.fixture
def client(site: Site) -> Callable[..., TestClient]:
    """`client("annotator")`: a browser signed in as one; a second argument names another person of the role."""
    return site.client


@dataclass
class LiveServer:
    """A server that answers on a port of this machine."""

    url: str
    site: Site

    def entry(self, role: str, name: str = "") -> str:
        """The personal sign-in link of a person: open it and press the button."""
        return f"{self.url}/enter/{self.site.person(role, name)[1]}"


@pytest.fixture
def live_server(workplace: Workplace, tmp_path: Path, clock: Clock) -> Iterator[LiveServer]:
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    settings = ServeSettings(folder=tmp_path, port=port, warm_clips=0, short_side=48)
    app = make_app(workplace, settings, clock)
    server = uvicorn.Server(configured(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    yield LiveServer(f"http://127.0.0.1:{port}", Site(app, workplace, clock))
    server.should_exit = True
    thread.join(15)
    listening.close()
    assert not thread.is_alive()
