"""What the pages of a running campaign show, in words and numbers for people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from fastapi.concurrency import run_in_threadpool

from secondlook.annotate import dashboard, schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.dashboard import Cost, Progress, Stuck, WorkerRow
from secondlook.annotate.store import Store
from secondlook.errors import BadValue
from secondlook.web._campaign_urls import campaign_url
from secondlook.web._review_views import seconds_words

T = TypeVar("T")
CHART_WIDTH, CHART_HEIGHT = 480.0, 90.0
RESAMPLES = 100

SETTINGS: Mapping[str, tuple[str, str]] = {
    "question": ("Question", "Stands above the options."),
    "votes": ("Answers a video", "Each from another person."),
    "batch": ("Videos in a batch", "Given to one person in a row."),
    "reward": ("Paid for an approved answer", "Rejected answers are not paid."),
    "currency": ("Currency", ""),
    "lease_s": ("Seconds a video may be held", "Without a sign of life for so long, it is given to another person."),
    "gold_share": ("Share of gold videos", "0 to 1; their answer is known. After qualification."),
    "qualify": ("Gold videos to qualify with", "Given first; 0: nobody has to qualify."),
    "pass_rate": ("Of these to be right", "0 to 1; whoever has less is given no more videos."),
    "media_root": ("Folder of the videos", "The paths of the videos are relative to it."),
}
"""Setting -> its name for people, and what it does."""

WORKER_COLUMNS = (
    ("nickname", "Who", ""),
    ("role", "Role", ""),
    ("answers", "Answers", "num"),
    ("blank", "Blank", "num"),
    ("approval_rate", "Approval rate", "num"),
    ("judged", "Judged", "num"),
    ("seconds", "Median time", "num"),
    ("agreement", "With others", "num"),
    ("gold", "Gold right", "num"),
    ("last_s", "Last seen", ""),
)
"""Key to sort by, heading, class."""


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Runs what may wait for the disk outside the loop that answers requests."""
    return await run_in_threadpool(function, *arguments)


def share(rate: float | None) -> str:
    """A share as a percentage."""
    return "–" if rate is None else f"{rate:.0%}"


def plain_number(value: Any) -> Any:
    """Numbers as people type them: 1800, not 1800.0."""
    return int(value) if isinstance(value, float) and value == int(value) else value


def cost_words(found: Cost, currency: str) -> dict[str, str]:
    """Amounts with their currency."""
    return {name: f"{value:,.2f} {currency}" for name, value in vars(found).items()}


def pace_words(found: Progress, hours: Sequence[int]) -> str:
    """How fast answers come, and when that would be all of them."""
    day = sum(hours[-24:])
    if not day:
        return "No answer came in the last 24 hours."
    left = found.asked - found.given
    words = f"{day} answers in the last 24 hours"
    return words + (f"; at this pace the rest ({left}) takes {left / day:.1f} days." if left > 0 else ".")


def bars(counts: Sequence[int]) -> dict[str, Any]:
    """A small bar chart as attributes of SVG rectangles; the highest count fills the height."""
    most, step = max([*counts, 1]), CHART_WIDTH / max(len(counts), 1)
    return {
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "bars": [
            {
                "x": round(i * step, 2),
                "y": round(CHART_HEIGHT * (1 - n / most), 2),
                "width": round(step * 0.8, 2),
                "height": round(CHART_HEIGHT * n / most, 2),
                "words": f"{n} answers, {len(counts) - i} h ago",
            }
            for i, n in enumerate(counts)
        ],
    }


def ago(then_s: float | None, now_s: float) -> str:
    """How long ago something was."""
    if then_s is None:
        return ""
    seconds = max(now_s - then_s, 0)
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            many = int(seconds // size)
            return f"{many} {unit}{'s' if many > 1 else ''} ago"
    return "just now"


def moment(at_s: float, zone: str = " UTC") -> str:
    """A time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_s)) + zone


def stuck_rows(store: Store, found: Stuck, now_s: float) -> dict[str, Any]:
    """What does not move, with links to the tasks."""
    tasks = f"{campaign_url('review', store.name)}/task"
    names = nicknames(store, [name for _, name, _ in found.held])
    return {
        "held_count": found.held_count,
        "held": [
            {"task": t, "url": f"{tasks}/{t}?queue=answered", "who": names.get(w) or w, "since": ago(s, now_s)}
            for t, w, s in found.held
        ],
        "waiting_count": found.waiting_count,
        "waiting": [
            {"task": t, "url": f"{tasks}/{t}?queue=answered", "given": n, "asked": votes,
             "since": ago(s, now_s) or "never"}
            for t, n, votes, s in found.waiting
        ],
    }  # fmt: skip


def nicknames(store: Store, pseudonyms: Iterable[str]) -> dict[str, str]:
    """Nickname by pseudonym, of people who have an account."""
    worker, account = schema.workers.c, schema.accounts.c
    statement = sa.select(worker.pseudonym, account.nickname).join_from(
        schema.workers, schema.accounts, account.worker_id == worker.worker_id
    )
    with store.reading() as connection:
        return dict(connection.execute(statement.where(worker.pseudonym.in_(set(pseudonyms)))).all())


def worker_rows(store: Store, now_s: float, sort: str, down: bool) -> list[dict[str, Any]]:
    """The worker table; rows that have nothing to sort by stand last."""
    known = _agreement_now(store)
    agree = known["workers"] if known else {}

    def key(row: WorkerRow) -> Any:
        if sort == "agreement":
            return agree.get(row.pseudonym)
        if sort == "gold":
            return row.gold_right / row.gold_given if row.gold_given else None
        if sort in ("nickname", "role"):
            return (getattr(row, sort) or row.pseudonym).casefold()
        return getattr(row, sort if sort in {name for name, *_ in WORKER_COLUMNS} else "answers")

    rows = dashboard.workers(store)
    with_key = sorted((r for r in rows if key(r) is not None), key=key, reverse=down)
    return [
        {
            "pseudonym": row.pseudonym,
            "nickname": row.nickname,
            "role": row.role or "imported",
            "answers": row.answers,
            "blank": row.blank,
            "approval_rate": share(row.approval_rate),
            "approved": f"{row.approved} of {row.approved + row.rejected}" if row.approved + row.rejected else "",
            "judged": row.judged,
            "seconds": "–" if row.seconds is None else seconds_words(row.seconds),
            "agreement": f"{agree[row.pseudonym]:.2f}" if row.pseudonym in agree else "–",
            "gold": f"{row.gold_right} of {row.gold_given}" if row.gold_given else "–",
            "last": ago(row.last_s, now_s) or "–",
            "account_id": row.account_id,
            "disabled": row.disabled,
            "active": bool(row.answers or row.gold_given or row.judged),
        }
        for row in [*with_key, *(r for r in rows if key(r) is None)]
    ]


def invitation_rows(invitations: Iterable[Any], now_s: float) -> list[dict[str, Any]]:
    """Invitations, those that can still be used first."""
    rows = [
        {
            "invitation_id": found.invitation_id,
            "role": found.role,
            "made": ago(found.made_s, now_s),
            "used": found.used,
            "left": max(found.uses - found.used, 0) if found.expires_s > now_s else 0,
            "open": found.expires_s > now_s and found.used < found.uses,
            "ends": time.strftime("%Y-%m-%d", time.gmtime(found.expires_s)),
        }
        for found in invitations
    ]
    return sorted(rows, key=lambda row: (not row["open"], -row["invitation_id"]))


def read_settings(typed: Mapping[str, str]) -> dict[str, Any]:
    """Settings as typed into a form, by their types.

    Raises:
        BadValue: if a number is none.
    """
    usual = Settings().to_dict()
    read: dict[str, Any] = {}
    for name, text in typed.items():
        kind = type(usual[name])
        try:
            read[name] = text.strip() if kind is str else kind(text)
        except ValueError:
            raise BadValue(text, f"{SETTINGS[name][0]} must be a {'whole ' if kind is int else ''}number") from None
    return read


# -- agreement: counted once for each state of the answers -------------------------------------------------------------

_KEPT: dict[tuple[str, int], tuple[tuple[int, int], dict[str, Any]]] = {}
_LOCK = threading.Lock()
_MOST_KEPT = 50


def agreement(store: Store) -> dict[str, Any]:
    """Agreement of a campaign's answers, from memory if no answer or verdict came since."""
    with _LOCK:  # one at a time: it reads every answer
        known = _agreement_now(store)
        if known is not None:
            return known
        stamp = _stamp(store)
        found = _measure(store)
        while len(_KEPT) >= _MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[str(store.folder), store.campaign_id] = (stamp, found)
    return found


def _agreement_now(store: Store) -> dict[str, Any] | None:
    """What `agreement` gave for exactly these answers."""
    stamp, found = _KEPT.get((str(store.folder), store.campaign_id), (None, None))
    return found if stamp == _stamp(store) else None


def _stamp(store: Store) -> tuple[int, int]:
    with store.reading() as connection:
        answers = connection.scalar(sa.select(sa.func.max(schema.answers.c.answer_id))) or 0
        return answers, connection.scalar(sa.select(sa.func.max(schema.verdicts.c.verdict_id))) or 0


def _measure(store: Store) -> dict[str, Any]:
    from secondlook.reassess import _agreement

    try:
        found = _agreement.report(store.answers(), resamples=RESAMPLES)
    except BadValue as error:
        return {"tiles": [], "words": f"{error.rule[:1].upper()}{error.rule[1:]}.", "workers": {}}

    def tile(label: str, of: Mapping[str, float | None]) -> dict[str, str]:
        if of["value"] is None:
            return {"label": label, "value": "–", "note": "not defined here"}
        low, high = of.get("low"), of.get("high")
        note = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
        return {"label": label, "value": f"{of['value']:.2f}", "note": note}

    tiles = [
        tile("Krippendorff's alpha (MASI)", found["alpha"]["masi"]),
        tile("Krippendorff's alpha (Jaccard)", found["alpha"]["jaccard"]),
        tile("Mean overlap of two answers (Jaccard)", found["mean_jaccard"]),
    ]
    consensus = {w["worker"]: w["consensus"]["value"] for w in found["workers"]}
    return {
        "tiles": tiles,
        "words": f"Over {found['videos']} videos with two or more answers, with {found['level']:.0%} intervals.",
        "workers": {name: value for name, value in consensus.items() if value is not None},
    }
