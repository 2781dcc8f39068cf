"""`secondlook serve` in a process of its own, as people start it: what it printed, its address; it can be killed."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Served:
    """A server that is up."""

    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    """Lines of its output, of both streams."""

    @property
    def invitation(self) -> str:
        """The link that makes an owner, as printed."""
        return next(m[0] for line in self.said if (m := re.search(r"http://\S+/join/\S+", line)))

    def kill(self) -> None:
        """Ends it at once, whatever it is at."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(folder: Path, *options: str, port: int = 0) -> Iterator[Served]:
    """Starts it on a folder, and waits until it answers; ends it if it was not killed."""
    program = Path(sys.executable).with_name("secondlook")
    command = [str(program), "serve", str(folder), "--port", str(port), "--no-open", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen(command, env=environment, cwd=folder, **streams)  # type: ignore[call-overload]
    served = Served("", process)

    def read() -> None:
        for line in process.stdout or ():
            served.said.append(line.rstrip("\n"))
            found = re.search(r"is at (http://\S+)", line)
            if found:
                served.url = found[1]

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise AssertionError("it did not come up: " + "\n".join(served.said))
            if served.url and _answers(served.url):
                break
            time.sleep(0.05)
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()


def _answers(url: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/enter")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
