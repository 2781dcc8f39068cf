"""Verbs of `annotate` for who runs campaigns: gold, invitations, pause and resume, how far they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, finish

Answers = Annotated[Path, typer.Argument(help="Folder of the store.")]
Campaign = Annotated[str, typer.Option(help="Name of the campaign; the only one if left out.")]
DAY_S = 86_400


def add_verbs(app: typer.Typer) -> None:
    """Makes the verbs below known."""
    for verb in (gold, invite, pause, resume, status):
        app.command()(verb)


def gold(
    answers: Answers,
    file: Annotated[Path, typer.Argument(help="CSV file with the columns video_id and labels (separated by |).")],
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Say what the answers to some videos are: they show who looks, and their answers are no votes.

    Example: `secondlook annotate gold annotations known.csv`
    """
    from secondlook.annotate.gold import read_file, set_all
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        known = read_file(file, store.task_ids(), store.labels)
        set_all(store, known)
        store.workplace.record("gold set", time.time(), campaign=store.name, tasks=len(known))
    finish({"store": answers, "gold": len(known)}, f"{len(known)} videos are gold now", as_json)


def invite(
    answers: Answers,
    role: Annotated[str, typer.Option(help="annotator, reviewer or owner; each may do what those before it may.")],
    uses: Annotated[int, typer.Option(help="How many people may use the link.")] = 1,
    days: Annotated[float, typer.Option(help="How long it is valid.")] = 14,
    as_json: AsJson = False,
) -> None:
    """Make a link that lets people in; it is shown this once. Put the address of `secondlook serve` before it.

    Example: `secondlook annotate invite annotations --role annotator --uses 5`
    """
    from secondlook.annotate.workplace import Workplace

    now_s = time.time()
    with Workplace.open(answers) as workplace:
        token = workplace.accounts.invite(role, now_s, uses=uses, valid_s=days * DAY_S)
        workplace.record("invited", now_s, role=role, uses=uses, days=days)
    people = "one person" if uses == 1 else f"{uses} people"
    words = f"/join/{token}\nlets {people} in as {role}, for {days:g} days"
    finish({"path": f"/join/{token}", "role": role, "uses": uses}, words, as_json)


def pause(answers: Answers, campaign: Campaign = "", as_json: AsJson = False) -> None:
    """Give nobody new videos from now on; who holds one may still answer it.

    Example: `secondlook annotate pause annotations --campaign round1`
    """
    _pause(answers, campaign, True, as_json)


def resume(answers: Answers, campaign: Campaign = "", as_json: AsJson = False) -> None:
    """Give people videos again.

    Example: `secondlook annotate resume annotations --campaign round1`
    """
    _pause(answers, campaign, False, as_json)


def _pause(answers: Path, campaign: str, paused: bool, as_json: bool) -> None:
    from secondlook.annotate.store import Store

    word = "paused" if paused else "resumed"
    with Store.open(answers, campaign) as store:
        (store.pause if paused else store.resume)()
        store.workplace.record(f"campaign {word}", time.time(), campaign=store.name)
        name = store.name
    finish({"store": answers, "campaign": name, "paused": paused}, f"{word} {name}", as_json)


def status(answers: Answers, as_json: AsJson = False) -> None:
    """Say how far the campaigns are: tasks, answers given and asked for, held by people just now, judged.

    Example: `secondlook annotate status annotations`
    """
    from dataclasses import asdict

    from secondlook.annotate.workplace import Workplace

    rows, words = [], []
    with Workplace.open(answers) as workplace:
        workplace_place = workplace.place
        for name in workplace.campaign_names():
            store = workplace.campaign(name)
            counts, paused = store.counts(), store.paused
            rows.append({"campaign": name, "paused": paused, **asdict(counts)})
            words.append(
                f"{name}{' (paused)' if paused else ''}: {counts.tasks} tasks, {counts.answers} of {counts.asked} "
                f"answers, {counts.held} held, {counts.judged} judged" + (f", {counts.gold} gold" * bool(counts.gold))
            )
    finish({"place": workplace_place, "campaigns": rows}, "\n".join(words) or "no campaign yet", as_json)
