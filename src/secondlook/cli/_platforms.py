"""Verbs of `annotate` that speak with other platforms: Mechanical Turk, Label Studio, CVAT, FiftyOne."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, finish, progress
from secondlook.errors import UnknownName

TOOLS = ("label_studio", "cvat", "fiftyone")
SHOWN = 20
"""Refused rows, or problems of a platform, that are printed."""
mturk_app = typer.Typer(
    no_args_is_help=True, help="Ask through Amazon Mechanical Turk; a dry run unless told otherwise."
)

Answers = Annotated[Path, typer.Argument(help="Folder of the store.")]
Campaign = Annotated[str, typer.Option(help="Name of the campaign; the only one if left out.")]
Production = Annotated[bool, typer.Option("--production", help="The real platform, with real money; else the sandbox.")]
Really = Annotated[bool, typer.Option("--really", help="Do it. Without this, it is only told what would be done.")]
MediaUrl = Annotated[str, typer.Option(help="Address under which browsers find the clips by pseudonym.")]


@mturk_app.command("export")
def export_batch(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for input.csv and task.html.")],
    media_url: MediaUrl,
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Write a batch for the requester's web site: a CSV with a row a task, and the page it fills.

    Example: `secondlook annotate mturk export answers -o batch --media-url https://example.org/clips`
    """
    from secondlook.annotate.mturk import write_batch
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        sheet, page = write_batch(store, output, media_url)
    finish({"input": sheet, "page": page}, f"wrote {sheet} and {page}", as_json)


@mturk_app.command()
def post(
    answers: Answers,
    public_url: Annotated[str, typer.Option(help="https address of `secondlook serve`, as workers reach it.")],
    campaign: Campaign = "",
    production: Production = False,
    really: Really = False,
    as_json: AsJson = False,
) -> None:
    """Make a HIT of every task that has none, whose question our server answers. Run it again to go on.

    Example: `secondlook annotate mturk post answers --public-url https://label.example.org --really`
    """
    from secondlook.annotate import mturk
    from secondlook.annotate.store import Store

    platform = mturk.PRODUCTION if production else mturk.SANDBOX
    with Store.open(answers, campaign) as store, progress("posting", None) as advance:
        client = mturk.connect(platform) if really else None
        done = mturk.post(
            store, client, public_url, time.time(), platform=platform, dry_run=not really, advance=advance
        )
    _finish(done, "posted", "HITs", platform, really, as_json)


@mturk_app.command()
def fetch(
    answers: Answers,
    campaign: Campaign = "",
    production: Production = False,
    rejected: Annotated[Path, typer.Option(help="Where answers that cannot be taken are written.")] = Path(
        "mturk.rejected.csv"
    ),
    as_json: AsJson = False,
) -> None:
    """Take the answers of posted HITs into the store; what is there already is not stored twice.

    Example: `secondlook annotate mturk fetch answers`
    """
    from secondlook.annotate import mturk
    from secondlook.annotate.store import Store

    platform = mturk.PRODUCTION if production else mturk.SANDBOX
    with Store.open(answers, campaign) as store:
        done = mturk.fetch(store, mturk.connect(platform), rejected, platform=platform)
    say_imported(answers, done, as_json)


@mturk_app.command()
def decide(
    answers: Answers,
    campaign: Campaign = "",
    production: Production = False,
    really: Really = False,
    feedback: Annotated[str, typer.Option(help="What a rejected worker is told.")] = "",
    as_json: AsJson = False,
) -> None:
    """Approve and reject on the platform what was decided here; a decision is told once.

    Example: `secondlook annotate mturk decide answers --production --really`
    """
    from secondlook.annotate import mturk
    from secondlook.annotate.store import Store

    platform = mturk.PRODUCTION if production else mturk.SANDBOX
    with Store.open(answers, campaign) as store, progress("telling", None) as advance:
        client = mturk.connect(platform) if really else None
        done = mturk.decide(store, client, platform=platform, feedback=feedback, dry_run=not really, advance=advance)
    _finish(done, "told", "decisions", platform, really, as_json)


def say_imported(answers: Path, done: Any, as_json: bool) -> None:
    """What became of a file of answers; exit code 1 if a row was refused."""
    from dataclasses import asdict

    words = [
        f"{done.rows} rows: {done.stored} stored, {done.already_there} there already, {len(done.problems)} refused; "
        f"{done.blank} blank, {done.verdicts} new verdicts"
    ]
    if done.ignored_columns:
        words.append(f"columns left aside: {', '.join(done.ignored_columns)}")
    words += [str(problem) for problem in done.problems[:SHOWN]]
    if done.problems:
        words.append(f"all refused rows: {done.rejected_file}")
    finish({"store": answers, **asdict(done)}, "\n".join(words), as_json, failed_rows=len(done.problems))


def tool(name: str) -> Any:
    """The module of another tool's format.

    Raises:
        UnknownName: if there is none for it.
    """
    import importlib

    if name.replace("-", "_") not in TOOLS:
        raise UnknownName("format", name, ("csv", *TOOLS))
    return importlib.import_module(f"secondlook.annotate.{name.replace('-', '_')}")


def _finish(done: Any, verb: str, what: str, platform: str, really: bool, as_json: bool) -> None:
    from dataclasses import asdict

    words = [f"{verb if really else f'would be {verb}'} to {platform}: {done.done} {what}, {done.cost:.2f} in rewards"]
    if not really:
        words.append("nothing was contacted; add --really to do it")
    words += done.problems[:SHOWN]
    finish({"platform": platform, "dry_run": not really, **asdict(done)}, "\n".join(words), as_json, len(done.problems))
