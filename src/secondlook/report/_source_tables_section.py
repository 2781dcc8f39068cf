"""Tables 4.3 to 5.2 of the source, made again from the files of a folder."""

from __future__ import annotations

from typing import Any

from secondlook.audit import Aligned, align
from secondlook.errors import SecondlookError
from secondlook.evaluate import source_tables
from secondlook.evaluate.source_tables import SourceTable
from secondlook.report.collect import Findings


def section(found: Findings) -> dict[str, Any]:
    """The section; empty without scores. Tables whose files are not there are left out, and `missing` says why."""
    if not found.scores:
        return {}
    missing = []
    answers = None
    if found.answers is not None:
        answers, problem = _answers(found)
        missing += [problem] * bool(problem)
    elif found.scores.get("review"):
        missing.append("Table 4.5 needs the folder of the answers.")
    aligned, problem = _aligned(found)
    missing += [problem] * bool(problem)
    tables = source_tables.build(found.scores, aligned, answers, unjudged="reject")
    return {"tables": [shown(table) for table in tables], "missing": missing, "made": tables}


def shown(table: SourceTable) -> dict[str, Any]:
    """A table as the page draws it: which columns are numbers, which are not the source's."""
    numeric = [
        all(not row[c] or row[c].lstrip("+-")[:1].isdigit() for row in table.rows) for c in range(len(table.columns))
    ]
    return {**table.to_dict(), "numeric": numeric, "printed": table.printed or len(table.columns)}


def _answers(found: Findings) -> tuple[Any, str]:
    from secondlook.annotate.store import Store

    assert found.answers is not None
    try:
        with Store.open(found.answers) as store:
            return store.answers(), ""
    except SecondlookError as error:
        return None, f"Tables 4.5 and 4.6 were not made from the answers: {error}"


def _aligned(found: Findings) -> tuple[Aligned | None, str]:
    """The predictions that the scores were made from, on the same videos."""
    names = {model["name"] for model in found.scores["models"]}
    own = {name: table for name, table in found.predictions.items() if name in names}
    if set(own) != names:
        own = dict(found.predictions) if len(found.predictions) == len(names) else {}
    if not own:
        return None, "Table 4.4 needs the predictions that were scored."
    try:
        return align(own, found.videos, top_k=found.scores["top_k"], split=found.scores["split"]), ""
    except SecondlookError as error:
        return None, f"Table 4.4 was not made: {error}"
