"""Runs the web app: finds the workplace, takes the port, says where the pages are, and ends cleanly."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from secondlook.errors import BadValue, MissingFile

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from secondlook.annotate.workplace import Workplace

SHUTDOWN_S = 5
"""Time that requests under way have to end after ctrl-C."""


@dataclass(frozen=True)
class Options:
    """What the command line said; see `cli.serve.run`."""

    folder: Path
    host: str
    port: int
    database: str
    public_url: str
    proxy: str
    short_side: int
    cache_bytes: int
    warm: int
    open: bool | None


def serve(options: Options) -> None:
    """Serves until ctrl-C or a signal to end.

    Raises:
        MissingFile: if the folder is not there.
        BadValue: if the port cannot be had, or an option makes no sense.
    """
    from dataclasses import replace

    from secondlook.web.context import ServeSettings

    settings = ServeSettings(
        options.folder.resolve(),
        options.host,
        options.port,
        options.public_url,
        options.short_side,
        cache_bytes=options.cache_bytes,
        warm_clips=options.warm,
    )
    if not options.folder.is_dir():
        raise MissingFile(options.folder, "Give the folder in which the other verbs wrote their tables.")
    with listen(options.host, options.port) as listening:  # before anything is written
        import uvicorn

        from secondlook.annotate.workplace import Workplace
        from secondlook.web.app import make_app

        settings = replace(settings, port=listening.getsockname()[1])
        with Workplace.open_or_create(workplace_folder(options.folder), database_url=options.database) as workplace:
            server = uvicorn.Server(configured(make_app(workplace, settings), options.proxy))
            log_to_stderr()
            first = say_where(workplace, settings.address)
            if options.open or (options.open is None and first and has_desktop()):
                webbrowser.open(first or settings.address)
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends all requests, then raises it again
                server.run(sockets=[listening])
    sys.stderr.write("stopped\n")


def configured(app: FastAPI, proxy: str = "") -> uvicorn.Config:
    """How uvicorn runs the app: without a log of addresses, which hold the tokens of links (`headers.Shell` logs)."""
    import uvicorn

    logging.getLogger("uvicorn.access").disabled = True  # `access_log` alone gives way to a handler that is set later
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy or None,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def workplace_folder(folder: Path) -> Path:
    """Where the workplace of a folder is."""
    from secondlook.annotate.folders import holds_workplace

    return folder if holds_workplace(folder) else folder / "annotations"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        BadValue: if the port is in use, or the address is none of this machine.
    """
    try:
        kind, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise BadValue(host, "is no address of this machine", "Give --host 127.0.0.1 or 0.0.0.0.") from None
    # Without the protocol's number asyncio does not switch Nagle's algorithm off, and every answer takes 40 ms more.
    listening = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(128)
        return listening
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            cure = (
                f"Give another one, such as --port {port + 1 if port < 65535 else 8000}, or --port 0 for any free one."
            )
            raise BadValue(port, "this port is in use by another program, perhaps by another `serve`", cure) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise BadValue(port, "ports below 1024 are not for everyone", "Give one like --port 8000.") from None
        cure = "Give --host 127.0.0.1 or 0.0.0.0."
        raise BadValue(host, f"is no address of this machine ({error.strerror})", cure) from None


def say_where(workplace: Workplace, address: str) -> str:
    """Prints where the pages are; where there is no owner yet, with an invitation for one, which it gives."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"secondlook is at {address}   (ctrl-C ends it)", markup=False)
    console.print(f"answers are kept in {workplace.place}", markup=False)
    if any(account.role == "owner" and not account.disabled for account in workplace.accounts.all()):
        return ""
    link = f"{address}/join/{workplace.accounts.invite('owner', time.time())}"
    console.print(f"\nThere is no owner yet. Open this link to become one (it works once, for 14 days):\n  {link}\n")
    sys.stdout.flush()
    return link


def has_desktop() -> bool:
    """Whether there is likely a screen with a browser in front of a person."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def log_to_stderr() -> None:
    """One line a request and every warning, on stderr."""
    handler: Any = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    for name, level in (("secondlook", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
