"""`secondlook` without its start: a server that has imported everything forks a process for each command.

The pages of the docs start a hundred commands, and most of each one's time is the import of torch. `write_client`
writes a program that stands for `secondlook`: it hands its arguments, folder, environment and open files to the server,
and ends with the exit code of the forked process, which runs the same `main`. Under the name `PYTHON` it stands for
`python -c`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

from secondlook.cli import build_app, main

PYTHON = "python-block"
_IMPORTED = (
    "torch", "lightning.pytorch", "pandas", "sklearn.linear_model", "matplotlib.pyplot", "sqlalchemy",
    "typer._adapters", "secondlook.train.loop", "secondlook.predict.run", "secondlook.evaluate.scores",
    "secondlook.explain", "secondlook.annotate.store", "secondlook.report.page",
)  # fmt: skip
"""What a fork need not import again."""
_CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""


def write_client(path: Path, address: str) -> None:
    """Writes the program that stands for `secondlook`, or for `python -c` where the path ends in `PYTHON`."""
    path.write_text(_CLIENT.format(python=sys.executable, address=address))
    path.chmod(0o755)


def serve(address: str) -> None:
    """Answers until it is killed; says "ready" once it does."""
    for name in _IMPORTED:
        importlib.import_module(name)
    build_app()
    gc.collect()
    gc.freeze()  # so that no fork walks through it again, and copies it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _run(connection)
            connection.close()


def _run(connection: socket.socket) -> None:
    """Becomes the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _, _ = socket.recv_fds(connection, 8, 3)
    size, request = int.from_bytes(head, "big"), b""
    while len(request) < size:
        request += connection.recv(size - len(request))
    program, arguments, folder, environment = json.loads(request)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["secondlook", *arguments]
    code = 0
    try:
        if program == PYTHON:
            sys.path.insert(0, "")
            exec(compile(arguments[0], "<block>", "exec"), {"__name__": "__main__"})
        else:
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
