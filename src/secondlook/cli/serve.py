"""Let people annotate and review in a browser: the web app, on this machine or for a team."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A workplace (has store.sqlite), or a folder of tables whose workplace is in annotations/."
        ),
    ] = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8000,
    database: Annotated[
        str,
        typer.Option(
            envvar="SECONDLOOK_DATABASE", show_envvar=True, help="PostgreSQL address for a new workplace [SQLite]."
        ),
    ] = "",
    public_url: Annotated[
        str, typer.Option(help="Address by which people reach it, where a proxy with https stands in front.")
    ] = "",
    proxy: Annotated[
        str, typer.Option("--trust-proxy", help="Address of a proxy whose X-Forwarded-For is believed.")
    ] = "",
    short_side: Annotated[int, typer.Option(min=16, help="Shorter side of the clips made for browsers.")] = 480,
    cache_gb: Annotated[float, typer.Option(min=0.01, help="Clips made for browsers are kept up to this size.")] = 20.0,
    warm: Annotated[int, typer.Option(min=0, help="Clips of a campaign made ahead of being asked for.")] = 500,
    open_: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser [on a desktop, at the first start].")
    ] = None,
) -> None:
    """Serve the pages where people answer, review and look at the results; ctrl-C ends it.

    At the first start it prints a link that makes you the owner. Nothing is loaded from any other server.

    Example: `secondlook serve work --port 8000`
    """
    from secondlook.cli import _serving

    options = _serving.Options(
        folder, host, port, database, public_url, proxy, short_side, round(cache_gb * 1e9), warm, open_
    )
    _serving.serve(options)
