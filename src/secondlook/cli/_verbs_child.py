"""A child process that runs verbs: a JSON object of words and a log a line in, how it ended a line out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO


def run_verb(words: Sequence[str], log: TextIO) -> dict[str, Any]:
    """Runs one verb in this process, as `secondlook WORDS` would.

    Returns:
        `{"code", "words", "printed"}`: exit code, why it is not 0, what went to stdout.
    """
    import click

    from secondlook.cli import build_app
    from secondlook.errors import SecondlookError

    printed = io.StringIO()
    code, why = 3, ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(log):
        try:
            code = int(build_app()(list(words), standalone_mode=False) or 0)
        except SecondlookError as error:
            code, why = 2, str(error)
        except click.ClickException as error:
            code, why = 2, error.format_message()
        except SystemExit as error:
            code = int(error.code or 0) if isinstance(error.code, int | None) else 3
        except Exception as error:
            traceback.print_exc(file=log)
            why = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if why:
        log.write(why + "\n")
    return {"code": code, "words": why, "printed": printed.getvalue()}


def main() -> None:
    """Answers until its stdin is closed."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Whatever else writes to stdout, a library for example, must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        with Path(asked["log"]).open("a", encoding="utf-8") as log:
            log.write(f"$ secondlook {' '.join(asked['words'])}\n")
            log.flush()
            answer = run_verb(asked["words"], log)
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:  # who asked is gone
            os._exit(1)


if __name__ == "__main__":
    main()
