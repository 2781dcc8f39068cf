"""Simulated workers and a simulated reviewer, who answer drawn videos through the same store as people.

Worker model. For each option of a task, independently: a worker who is *skilled* picks a label that truly holds with
probability `skill`, one that does not with probability `false_pick`; a *sloppy* worker does the same with
`sloppy_skill` and `sloppy_false_pick`. Whoever picks nothing says that no label fits. A *spammer* looks at nothing: one
third pick 1 to 3 options at random, one third always the first option, one third leave the answer blank. An *adversary*
knows the truth and says the opposite: picks what does not hold with probability `skill`, what holds with `false_pick`.
*Colluders* all give one answer a task, that of a leader whom they copy (of kind `leader`, whether or not the leader was
asked), so that together they outvote the others wherever the leader errs.

Reviewer model (the policy of label-reassessment §1.7). A blank answer is rejected, always. Any other is approved if it
is correct or close: at least half of the chosen labels truly hold; "no label fits" is approved if indeed no option
holds. This verdict is then turned round with probability `reviewer_error`.

Departs from the source, whose reviewer judged closeness by the meaning of words: a label near in wording
("moving up", "moving down") can be plainly wrong, and here the truth is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.annotate.intake import Answer, Rating, Verdict
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task, deal
from secondlook.errors import BadValue

Kind = Literal["skilled", "sloppy", "spam_random", "spam_first", "spam_blank", "adversary", "colluder"]
Leader = Literal["skilled", "sloppy", "spam_random", "spam_first", "adversary"]
SPAM: tuple[Kind, ...] = ("spam_random", "spam_first", "spam_blank")
QUICK: tuple[Kind, ...] = (*SPAM, "colluder")
"""Kinds that do not watch the video."""
REVIEWER = "simulated reviewer"
_TASKS_AT_ONCE = 200


@dataclass(frozen=True)
class Crowd:
    """Who answers, and who reviews."""

    workers: int = 12
    skill: float = 0.9
    """Probability that a skilled worker picks an option that holds."""
    false_pick: float = 0.02
    """Probability that a skilled worker picks an option that does not hold."""
    sloppy: float = 0.1
    """Share of the workers who are sloppy, rounded to whole people."""
    sloppy_skill: float = 0.6
    sloppy_false_pick: float = 0.1
    spam: float = 0.1
    """Share of the workers who are spammers, rounded to whole people."""
    sure: float = 0.85
    """Probability of rating Yes what holds; of rating Maybe what does not."""
    slip: float = 0.002
    """Probability that an honest answer is flagged unsuitable by mistake."""
    reviewer_error: float = 0.05
    """Probability that the reviewer decides the wrong way."""
    adversaries: float = 0.0
    """Share of the workers who choose what does not hold, rounded to whole people."""
    colluders: float = 0.0
    """Share of the workers who copy one leader's answers, rounded to whole people."""
    leader: Leader = "sloppy"
    """Kind of the colluders' leader."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise BadValue(self.workers, "there must be at least one worker")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name not in ("workers", "leader") and not 0 <= value <= 1:
                raise BadValue(value, f"{name} must be from 0 to 1")
        if self.leader not in get_args(Leader):
            raise BadValue(self.leader, f"leader must be one of {', '.join(get_args(Leader))}")
        shares = (self.sloppy, self.spam, self.adversaries, self.colluders)
        if sum(shares) > 1 + 1e-9:
            raise BadValue(
                shares, "sloppy workers, spammers, adversaries and colluders cannot be more than all workers"
            )

    def kinds(self, generator: np.random.Generator) -> list[Kind]:
        """The kind of each worker, in shuffled order; spammers take turns through the three ways of spamming."""
        spammers, sloppy = round(self.spam * self.workers), round(self.sloppy * self.workers)
        kinds: list[Kind] = [SPAM[i % len(SPAM)] for i in range(spammers)]
        kinds += ["sloppy"] * min(sloppy, self.workers - spammers)
        others: tuple[tuple[Kind, float], ...] = (("adversary", self.adversaries), ("colluder", self.colluders))
        for kind, share in others:
            kinds += [kind] * min(round(share * self.workers), self.workers - len(kinds))
        kinds += ["skilled"] * (self.workers - len(kinds))
        return [kinds[i] for i in generator.permutation(self.workers)]


@dataclass(frozen=True)
class Simulated:
    """What a simulation put into the store."""

    answers: int
    approved: int
    kinds: dict[str, Kind]
    """Kind of each worker, by pseudonym."""


def true_sets(videos: pa.Table) -> dict[str, frozenset[int]]:
    """Every label that holds, by video_id; videos whose true labels are not known are left out.

    Raises:
        BadValue: if the table knows the true labels of no video.
    """
    known = {}
    if "true_labels" in videos.column_names:
        pairs = zip(videos["video_id"].to_pylist(), tables.lists(videos, "true_labels"), strict=True)
        known = {video_id: frozenset(labels) for video_id, labels in pairs if labels}
    if not known:
        raise BadValue(
            "true_labels",
            "these videos do not say which labels truly hold, and answers can only be simulated where that is known "
            "(drawn videos)",
            "Have people annotate: `secondlook annotate create candidates.parquet -o answers`, then "
            "`secondlook annotate import answers FILE.csv`.",
        )
    return known


def simulate(
    store: Store,
    true_labels: Mapping[str, Collection[int]],
    *,
    votes: int = 3,
    crowd: Crowd | None = None,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> Simulated:
    """Answers every task of a store `votes` times, then judges every answer. The same seed gives the same answers.

    Args:
        store: a store without answers.
        true_labels: every label that holds, by video_id (`true_sets`).
        votes: answers a task; at most what the store asks for.
        crowd: who answers.
        seed: of everything random.
        advance: called with the number of tasks done, for a progress bar.

    Raises:
        BadValue: if the true labels of a task's video are not known, or there are fewer workers than votes.
    """
    crowd = crowd or Crowd()
    generator = np.random.default_rng(seed)
    todo = store.tasks()
    for task in todo:
        if task.video_id not in true_labels:
            raise BadValue(task.video_id, "the true labels of this video are not known", "Simulate on drawn videos.")
    kinds = crowd.kinds(generator)
    names = [f"simulated worker {i + 1}" for i in range(crowd.workers)]
    dealt = deal(len(todo), crowd.workers, votes, generator)
    clock_s = np.zeros(crowd.workers)
    approved = 0
    for start in range(0, len(todo), _TASKS_AT_ONCE):
        asked = [(t, w) for t in range(start, min(start + _TASKS_AT_ONCE, len(todo))) for w in dealt[t]]
        given, decisions = [], []
        for t, w in asked:
            truth = frozenset(true_labels[todo[t].video_id])
            started_s = float(clock_s[w])
            clock_s[w] += generator.lognormal(np.log(2.0 if kinds[w] in QUICK else 9.0), 0.4)
            if kinds[w] == "colluder":
                copied = np.random.default_rng([seed, t])  # the same for all who copy, whatever else was drawn
                answer = answer_one(todo[t], truth, names[w], crowd.leader, crowd, copied)
            else:
                answer = answer_one(todo[t], truth, names[w], kinds[w], crowd, generator)
            given.append(replace(answer, started_s=started_s, submitted_s=float(clock_s[w])))
            decisions.append(review_one(given[-1], todo[t], truth, crowd.reviewer_error, generator))
        ids = store.submit(given)
        store.judge(
            [
                Verdict(i, decision, REVIEWER, answer.review, answer.submitted_s)
                for i, decision, answer in zip(ids, decisions, given, strict=True)
            ]
        )
        approved += sum(decisions)
        if advance:
            advance(len(asked) // votes)
    by_pseudonym = {store.pseudonym(name): kind for name, kind in zip(names, kinds, strict=True)}
    return Simulated(len(todo) * votes, approved, by_pseudonym)


def answer_one(
    task: Task,
    truth: frozenset[int],
    worker: str,
    kind: Kind,
    crowd: Crowd,
    generator: np.random.Generator,
) -> Answer:
    """One simulated answer, without its times (worker model: top of this file)."""
    if kind in SPAM:
        picked: list[int] = []
        if kind == "spam_first":
            picked = [task.options[0]]
        elif kind == "spam_random":
            size = min(int(generator.integers(1, 4)), len(task.options))
            picked = [task.options[i] for i in generator.permutation(len(task.options))[:size]]
        return Answer(task.task_id, worker, dict.fromkeys(picked, "yes"))
    sees, slips = picks(kind, crowd)
    if generator.random() < crowd.slip:
        return Answer(task.task_id, worker, unsuitable=True)
    choices: dict[int, Rating] = {}
    for label, (pick, doubt) in zip(task.options, generator.random((len(task.options), 2)), strict=True):
        holds = label in truth
        if pick < (sees if holds else slips):
            says = holds != (kind == "adversary")  # who lies is sure of the lie
            choices[label] = "yes" if (doubt < crowd.sure) == says else "maybe"
    review = "maybe" in choices.values() and generator.random() < 0.2
    return Answer(task.task_id, worker, choices, no_match=not choices, review=review)


def picks(kind: Kind, crowd: Crowd) -> tuple[float, float]:
    """Probability of picking an option that holds, and one that does not, of who looks at the video."""
    if kind == "adversary":
        return crowd.false_pick, crowd.skill
    return (crowd.sloppy_skill, crowd.sloppy_false_pick) if kind == "sloppy" else (crowd.skill, crowd.false_pick)


def review_one(answer: Answer, task: Task, truth: frozenset[int], error: float, generator: np.random.Generator) -> bool:
    """Whether the simulated reviewer approves (reviewer model: top of this file)."""
    if answer.blank:
        return False
    right, nothing_fits = len(truth.intersection(answer.choices)), truth.isdisjoint(task.options)
    close = 2 * right >= len(answer.choices) if answer.choices else answer.no_match and nothing_fits
    return bool(close != (generator.random() < error))
