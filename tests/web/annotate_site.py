"""A campaign with coarse groups and long labels, for the tests of the annotator's page."""

from __future__ import annotations

from pathlib import Path

from secondlook.annotate.campaigns import Settings
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import Label, LabelSpace

NAME = "hands"
GROUPS = {
    "Camera motions": ("Turning the camera left while filming [something]", "Approaching [something] with your camera"),
    "Poking": (
        "Pretending to poke [something]",
        "Poking a hole into [something soft]",
        "Poking a stack of [something]",
    ),
    "Showing": ("Showing [something] on top of [something]", "Café crème being shown"),
    "Tilting": ("Tilting [something] with [something] on it slightly so it doesn't fall down",),
    "Hitting": ("Hitting [something] with [something]",),
}
LABELS = LabelSpace(tuple(Label(text, group) for group, texts in GROUPS.items() for text in texts), "hands")
OPTIONS = (4, 7, 5, 2, 8)
"""Of every task, in shown order."""

SERVER = """
import sys
import uvicorn
from pathlib import Path
from secondlook.annotate.workplace import Workplace
from secondlook.web.app import make_app
from secondlook.web.context import ServeSettings
folder, port = Path(sys.argv[1]), int(sys.argv[2])
with Workplace.open(folder) as workplace:
    app = make_app(workplace, ServeSettings(folder=folder, port=port, warm_clips=0))
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, ws="none")
"""
"""A server in a process of its own, so that it can be killed: `python -c SERVER FOLDER PORT`."""


def add(
    workplace: Workplace,
    clips: Path,
    given: int = OPTIONS[0],
    *,
    name: str = NAME,
    videos: int = 6,
    batch: int = 4,
    backwards: bool = False,
) -> Store:
    """A campaign of drawn clips whose given label is the same for all, in one order of candidates or the other."""
    paths = [f"pouring/p{i}.mp4" for i in range(4)] + [f"juggling/j{i}.avi" for i in range(4)]
    tasks = [Task(Path(path).stem, path, given, OPTIONS) for path in paths[:videos]]
    tasks = tasks[::-1] if backwards else tasks
    settings = Settings(votes=2, batch=batch, media_root=str(clips))
    return workplace.add(tasks, LABELS, name=name, settings=settings, made={"command": "audit"})
