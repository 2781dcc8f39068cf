"""A verdict suggested to a reviewer, with the reason for it; it is shown, and never applied by itself.

label-reassessment §1.7: a blank answer is rejected; labels correct or close to the given one are approved (near in
meaning counts); others are rejected. Closeness is read here from what is at hand, in this order:

| What holds | Suggestion |
|---|---|
| the answer is blank | reject |
| it flags the clip as unsuitable | none: look at the clip |
| every option is chosen (three or more) | reject: nothing was told apart |
| it chose the given label | approve |
| it chose a label that another worker chose | approve |
| it says that no label fits, and another worker says so too | approve |
| a chosen label is in the given label's coarse group | approve |
| a chosen label is near the given label (cosine of label vectors at least `near`) | approve |
| two others agree with each other and it shares nothing with anyone | reject |
| anything else | none |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secondlook.labels import LabelSpace
from secondlook.tables import UNLABELLED

if TYPE_CHECKING:
    from secondlook.annotate.reviewing import Given

NEAR = 0.8
"""Cosine from which labels are near. Close in wording is not always close in meaning: "moving up", "moving down"."""


@dataclass(frozen=True)
class Suggestion:
    """What to decide, and why, in words."""

    approve: bool | None
    """None: nothing speaks clearly for either."""
    reason: str


def suggest(
    answer: Given,
    others: Sequence[Given],
    given_label: int,
    options: Collection[int],
    labels: LabelSpace,
    vectors_KD: npt.NDArray[np.float32] | None = None,
    near: float = NEAR,
) -> Suggestion:
    """A verdict for one answer, from the given label and from what others answered.

    Args:
        answer: the answer.
        others: the other answers to the task.
        given_label: the label under suspicion; -1 where there is none.
        options: labels that were shown.
        labels: names and coarse groups.
        vectors_KD: a vector for each label, where a table of them is at hand.
        near: cosine from which two labels are near.
    """
    if answer.blank:
        return Suggestion(False, "Blank: nothing was chosen, and no flag says why.")
    if answer.unsuitable:
        return Suggestion(None, "Flagged as unsuitable: look at the clip.")
    if len(options) >= 3 and answer.labels >= frozenset(options):
        return Suggestion(False, f"Every one of the {len(options)} options is chosen.")
    if given_label in answer.labels:
        return Suggestion(True, "Chose the given label.")
    said = [other for other in others if not other.blank]
    shared = [other for other in said if other.labels & answer.labels]
    if shared:
        common = max(sorted(answer.labels), key=lambda label: sum(label in other.labels for other in said))
        times = sum(common in other.labels for other in said)
        return Suggestion(True, f"{times} of {len(said)} others chose “{labels.names[common]}” too.")
    if answer.no_match:
        same = sum(other.no_match for other in said)
        if same:
            return Suggestion(True, f"{same} of {len(said)} others say too that no label fits.")
        return Suggestion(None, "Says that no label fits; nobody else does.")
    if given_label != UNLABELLED:
        close = _close(answer.labels, given_label, labels, vectors_KD, near)
        if close:
            return Suggestion(True, close)
    if any(a.labels & b.labels for a, b in combinations(said, 2)):
        return Suggestion(False, "Shares no label with anyone, while others agree.")
    return Suggestion(None, "Nobody chose the same, and nothing is known of how near the labels are.")


def _close(
    chosen: frozenset[int],
    given_label: int,
    labels: LabelSpace,
    vectors_KD: npt.NDArray[np.float32] | None,
    near: float,
) -> str:
    """Why a chosen label is close to the given one; empty if none is known to be."""
    group = labels.labels[given_label].group
    for label in sorted(chosen):
        if group and labels.labels[label].group == group:
            return f"“{labels.names[label]}” is in the given label's group, {group}."
    if vectors_KD is not None and chosen:
        index = sorted(chosen)
        length_K = np.linalg.norm(vectors_KD, axis=1)
        scale = length_K[index] * length_K[given_label]
        cosine = np.divide(
            vectors_KD[index] @ vectors_KD[given_label], scale, out=np.zeros(len(index)), where=scale > 0
        )
        best = int(cosine.argmax())
        if cosine[best] >= near:
            return f"“{labels.names[index[best]]}” is near the given label (cosine {cosine[best]:.2f})."
    return ""
