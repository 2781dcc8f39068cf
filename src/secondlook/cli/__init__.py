"""The command line: one file = one verb. `main` finds the files, so a new verb is one new file.

A verb's file holds either one function `run` (the verb itself) or a `typer.Typer` called `app` (a verb with
sub-commands). Heavy imports (torch, pyarrow, matplotlib) stand inside the functions: `secondlook --help` stays fast.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from secondlook import __version__
from secondlook.errors import SecondlookError

ORDER = (
    "demo", "draw", "index", "prepare", "flow", "pose", "language", "weights", "pretrain", "train", "predict", "fuse",
    "stream", "similar", "explain", "evaluate_explanations", "foci", "audit", "annotate", "serve", "reassess",
    "evaluate", "report", "study", "export", "show", "figure", "list",
)  # fmt: skip
"""Order of the verbs in the help (as file names): that of the data. A verb that is not named here comes after them."""


def build_app() -> typer.Typer:
    """The application with every verb found in this folder."""
    app = typer.Typer(
        name="secondlook",
        help="Take a second look at video action recognition: train recognisers, see what they look at, find out "
        "whether a mistake is the model's or the label's.",
        epilog="Start with `secondlook demo`. Exit codes: 0 done, 1 done with failed rows, 2 wrong use.",
        no_args_is_help=True,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )

    @app.callback()
    def _options(
        version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
    ) -> None:
        if version:
            typer.echo(f"secondlook {__version__}")
            raise typer.Exit

    found = {p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")}
    for name in sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        module = importlib.import_module(f"secondlook.cli.{name}")
        verb = name.replace("_", "-")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(module.run)
    return app


def main() -> None:
    """Entry point of `secondlook`: a user's mistake is a sentence on stderr and exit code 2, never a traceback."""
    # Read when torch is loaded: threads that wait leave the cores to others instead of spinning (on a busy machine of
    # two cores, training was four times as fast with it).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        build_app()()
    except SecondlookError as error:
        from rich.console import Console

        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {_escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped by ctrl-C\n")
        sys.exit(130)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
