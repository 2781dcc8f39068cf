"""What was done in a workplace, by whom and when; append-only, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.standing import flag
from secondlook.errors import UnknownName


@dataclass(frozen=True)
class Event:
    """One thing that was done."""

    event_id: int
    at_s: float
    account_id: int | None
    """Who did it; None: the command line."""
    campaign: str
    """Empty: it was not about one campaign."""
    action: str
    about: Mapping[str, Any]


def record(
    connection: sa.Connection,
    action: str,
    now_s: float,
    account_id: int | None,
    campaign: str,
    about: Mapping[str, Any],
) -> None:
    """Adds an event; the caller's transaction writes.

    Raises:
        UnknownName: if there is no such campaign.
    """
    campaign_id = None
    if campaign:
        names = dict(connection.execute(sa.select(schema.campaigns.c.name, schema.campaigns.c.campaign_id)).all())
        if campaign not in names:
            raise UnknownName("campaign", campaign, names)
        campaign_id = names[campaign]
    row = {"at_s": now_s, "account_id": account_id, "campaign_id": campaign_id, "action": action, "about": dict(about)}
    connection.execute(schema.trail.insert(), row)


@dataclass(frozen=True)
class Judging:
    """The verdicts of one reviewer in one campaign within one hour (UTC)."""

    pseudonym: str
    account_id: int | None
    campaign: str
    verdicts: int
    approved: int
    last_s: float


def judged(connection: sa.Connection, limit: int = 100) -> list[Judging]:
    """The last hours in which somebody judged, the newest first; verdicts without a time are left out."""
    verdict, answer, task = schema.verdicts.c, schema.answers.c, schema.tasks.c
    worker, account, named = schema.workers.c, schema.accounts.c, schema.campaigns.c
    hour = sa.cast(verdict.given_s, sa.BigInteger) // 3600
    found = (
        sa.select(
            verdict.worker_id,
            task.campaign_id,
            sa.func.count().label("verdicts"),
            sa.func.sum(flag(verdict.approved)).label("approved"),
            sa.func.max(verdict.given_s).label("last_s"),
        )
        .join_from(schema.verdicts, schema.answers, answer.answer_id == verdict.answer_id)
        .join(schema.tasks, task.task_id == answer.task_id)
        .where(verdict.given_s.is_not(None))
        .group_by(verdict.worker_id, task.campaign_id, hour)
        .order_by(sa.desc("last_s"))
        .limit(limit)
        .subquery()
    )
    statement = (
        sa.select(worker.pseudonym, account.account_id, named.name, found.c.verdicts, found.c.approved, found.c.last_s)
        .join_from(found, schema.workers, worker.worker_id == found.c.worker_id)
        .join(schema.campaigns, named.campaign_id == found.c.campaign_id)
        .outerjoin(schema.accounts, account.worker_id == worker.worker_id)
        .order_by(found.c.last_s.desc(), worker.pseudonym, named.name)
    )
    return [Judging(*row) for row in connection.execute(statement)]


def read(connection: sa.Connection, campaign: str = "", limit: int = 100) -> list[Event]:
    """The last events, the newest first; of one campaign only, if one is named."""
    event, named = schema.trail.c, schema.campaigns.c
    statement = (
        sa.select(event.event_id, event.at_s, event.account_id, named.name, event.action, event.about)
        .select_from(schema.trail.outerjoin(schema.campaigns, named.campaign_id == event.campaign_id))
        .order_by(event.event_id.desc())
        .limit(limit)
    )
    if campaign:
        statement = statement.where(named.name == campaign)
    return [
        Event(r.event_id, r.at_s, r.account_id, r.name or "", r.action, r.about) for r in connection.execute(statement)
    ]
