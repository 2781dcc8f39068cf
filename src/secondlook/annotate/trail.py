"""What was done in a workplace, by whom and when; append-only, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import schema
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
