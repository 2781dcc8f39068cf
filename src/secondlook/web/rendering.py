"""Templates into pages, and files of `static/` under addresses that change with their content."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from secondlook import __version__
from secondlook.annotate.accounts import Account
from secondlook.web.context import Context, context
from secondlook.web.identity import CSRF_FIELD, Anybody, find_session, may

NEED_A_CAMPAIGN = ("/annotate", "/review", "/run")
_HERE = Path(__file__).parent
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class Static:
    """The files of `static/`, read once. All share one hash in their address, so that modules find each other."""

    def __init__(self, folder: Path = _HERE / "static") -> None:
        paths = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        self.files = {path.name: path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, content in self.files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.hash = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Address of a file; a name that is none is our own mistake."""
        assert name in self.files, name
        return f"/static/{self.hash}/{name}"


class Pages:
    """The templates and the static files of one server."""

    def __init__(self) -> None:
        self.static = Static()
        self.environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(static=self.static.url, version=__version__, csrf_field=CSRF_FIELD)


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Fills a template. It also gets `account`, `csrf`, `campaigns`, `nav`, `here` (the path), `static`, `version`."""
    pages: Pages = request.app.state.pages
    around = context(request)
    session = find_session(request)
    account = None if session is None else session.account
    nav = [] if account is None else [(label, url) for label, url, _ in links(around, account)]
    about = {
        "account": account,
        "csrf": "" if session is None else session.csrf,
        "campaigns": [] if account is None else around.workplace.campaign_names(),
        "nav": nav,
        "here": request.url.path,
    }
    return HTMLResponse(pages.environment.get_template(name).render(about | values), status)


def links(here: Context, account: Account) -> list[tuple[str, str, str]]:
    """Label, address and role of the links of the page head for this account.

    Where there is no campaign, those that need one are left out.
    """
    found = [link for link in here.nav if may(account, link[2])]
    return found if here.workplace.campaign_names() else [link for link in found if link[1] not in NEED_A_CAMPAIGN]


router = APIRouter()


@router.get("/static/{version}/{name}")
def static_file(request: Request, version: str, name: str, session: Anybody) -> Response:
    """A file of `static/`: the names are a fixed list, so no path can lead elsewhere."""
    static: Static = request.app.state.pages.static
    content = static.files.get(name)
    if content is None:
        raise HTTPException(404, "There is no such file.")
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    lasting = "public, max-age=31536000, immutable" if version == static.hash else "no-cache"
    return Response(content, media_type=kind, headers={"Cache-Control": lasting})
