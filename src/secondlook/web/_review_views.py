"""What the page of one task shows: columns of answers with their workers' records, the given label, notes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook import tables
from secondlook.annotate.reviewing import Counts, Given, Sheet
from secondlook.annotate.store import Store
from secondlook.annotate.suggesting import suggest
from secondlook.annotate.tasks import Task
from secondlook.errors import SecondlookError
from secondlook.labels import LabelSpace
from secondlook.web._setup_tables import tables_at_hand
from secondlook.web.context import Context


def columns(
    sheet: Sheet, task: Task, labels: LabelSpace, vectors_KD: npt.NDArray[np.float32] | None
) -> list[dict[str, Any]]:
    """One column an answer: what was chosen, how it stands, what is suggested."""
    found = []
    for answer in sheet.answers:
        others = [a for a in sheet.answers if a.number != answer.number]
        hint = suggest(answer, others, sheet.given_label, task.options, labels, vectors_KD)
        chosen = [
            {
                "text": labels.names[label],
                "rating": rating,
                "given": label == sheet.given_label,
                "shared": sum(label in other.labels for other in others),
                "added": label not in task.options,
            }
            for label, rating in answer.choices
        ]
        flags = [
            words
            for words, there in (
                ("No label fits", answer.no_match),
                ("Marked for review", answer.review),
                ("Unsuitable clip", answer.unsuitable),
            )
            if there
        ]
        advice = {True: "Approve", False: "Reject", None: "No suggestion"}[hint.approve]
        found.append(
            {
                "answer_id": answer.answer_id,
                "number": answer.number,
                "round": answer.round,
                "chosen": chosen,
                "flags": flags,
                "blank": answer.blank,
                "seconds": "" if answer.seconds is None else seconds_words(answer.seconds),
                "second": answer.second_review,
                "others": len(others),
                "advice": advice,
                "reason": hint.reason,
                **state(answer),
            }
        )
    return found


def state(answer: Given) -> dict[str, Any]:
    """How an answer stands, and its worker's record, as the page shows them after each decision."""
    stands = "open"
    if answer.approved is not None:
        stands = "approved" if answer.approved else "rejected"
    elif answer.blank:
        stands = "blank"
    return {
        "answer_id": answer.answer_id,
        "state": stands,
        "words": {
            "open": "Not judged yet",
            "approved": "Approved",
            "rejected": "Rejected",
            "blank": "Rejected by rule: blank",
        }[stands],
        "approved": stands == "approved",
        "rejected": stands in ("rejected", "blank"),
        "second": answer.second_review,
        "done": answer.counts.done,
        "blanks": answer.counts.blank,
        "rate": rate_words(answer.counts),
    }


def left_words(sheet: Sheet) -> str:
    """How many answers of a task wait for a verdict."""
    left = sum(a.approved is None and not a.blank for a in sheet.answers)
    return f"{left} not judged yet" if left else "All are judged"


def rate_words(counts: Counts) -> str:
    """The approval rate with what it is made of."""
    rate = counts.approval_rate
    judged = counts.approved + counts.rejected
    return "none judged yet" if rate is None else f"{rate:.0%} ({counts.approved} of {judged})"


def seconds_words(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def given(sheet: Sheet, labels: LabelSpace) -> dict[str, str]:
    """The given label and its coarse group; empty where there is none."""
    if sheet.given_label == tables.UNLABELLED:
        return {"text": "", "group": ""}
    label = labels.labels[sheet.given_label]
    return {"text": label.name, "group": label.group}


def notes(sheet: Sheet) -> list[dict[str, str]]:
    """Notes with their authors' roles and when they were written."""
    return [
        {
            "text": note.text,
            "role": note.role,
            "when": "" if note.written_s is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(note.written_s)),
        }
        for note in sheet.notes
    ]


def label_vectors(here: Context, store: Store) -> npt.NDArray[np.float32] | None:
    """A vector for each label of a campaign, if a table of them lies among the tables; None otherwise."""
    for found in tables_at_hand(here):
        if found.kind == "label_vectors" and found.rows == len(store.labels):
            try:
                table = tables.read(tables.LABEL_VECTORS, found.path).sort_by("index")
            except SecondlookError:
                continue
            if table["label"].to_pylist() == list(store.labels.names):
                return tables.matrix(table, "vector")
    return None
