"""What was done in a workplace as rows for people: events, and verdicts summed up by reviewer and hour."""

from __future__ import annotations

from typing import Any

from secondlook.annotate.workplace import Workplace
from secondlook.web._run_views import ago, moment

HOUR_S = 3600


def event_rows(workplace: Workplace, most: int, now_s: float) -> list[dict[str, Any]]:
    """The last events and hours of judging, newest first."""
    names = {a.account_id: a.nickname or a.pseudonym for a in workplace.accounts.all()}
    rows: list[tuple[float, dict[str, Any]]] = []
    for event in workplace.events(limit=most):
        row = {
            "at": moment(event.at_s),
            "who": names.get(event.account_id, "command line") if event.account_id else "command line",
            "action": event.action,
            "campaign": event.campaign,
            "about": ", ".join(f"{name}: {value}" for name, value in sorted(event.about.items())),
        }
        rows.append((event.at_s, row))
    for hour in workplace.judged(limit=most):
        begun_s = int(hour.last_s) // HOUR_S * HOUR_S
        row = {
            "at": f"{moment(begun_s, '')} to {moment(begun_s + HOUR_S)[11:]}",
            "who": names.get(hour.account_id) or hour.pseudonym if hour.account_id else hour.pseudonym,
            "action": "judged",
            "campaign": hour.campaign,
            "about": f"{hour.verdicts} verdict{'s' * (hour.verdicts != 1)}: {hour.approved} approved, "
            f"{hour.verdicts - hour.approved} rejected",
        }
        rows.append((hour.last_s, row))
    rows.sort(key=lambda both: both[0], reverse=True)
    return [{"when": ago(at_s, now_s), **row} for at_s, row in rows[:most]]
