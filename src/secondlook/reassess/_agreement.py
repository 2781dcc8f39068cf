"""How much people agree when each may choose several labels, and why plain kappa is refused there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondlook.annotate.answers import Votes, count
from secondlook.errors import BadValue
from secondlook.reassess import _alpha, _label_kappa, _sets, _worker_agreement
from secondlook.reassess._bootstrap import Resamples
from secondlook.reassess._questions import of_counted

if TYPE_CHECKING:
    import pyarrow as pa

REFUSED = (
    "hold no label or several, and kappa (Cohen's or Fleiss') assumes exactly one for each rater and item: its chance "
    "agreement is a sum over single labels, and two sets that overlap would count as plain disagreement"
)
MOST_VIDEOS = 20_000
CURE = "Use Krippendorff's alpha with MASI or Jaccard distance, the mean Jaccard index, or kappa by label (`report`)."


@dataclass(frozen=True)
class Agreement:
    """Simple agreement over the videos with two or more answers."""

    videos: int
    mean_jaccard: float
    """Mean over videos of the mean over pairs of answers of |A and B| / |A or B|; two empty answers agree wholly."""
    identical: float
    """Share of videos whose answers are all the same set."""
    common: float
    """Share of videos with a label that every answer chose."""


def simple(answers: pa.Table | pd.DataFrame) -> Agreement:
    """Agreement that fits answers of several labels; all rounds together, verdicts left aside.

    Raises:
        BadValue: if no video has two answers.
    """
    votes = count(answers)
    everyone_A = np.ones(len(votes.task_A), np.bool_)
    jaccard_N, has_pairs_N = _pairwise(votes, everyone_A)
    if not has_pairs_N.any():
        raise BadValue(
            len(votes.tasks_N), "no video has two answers, so nothing can agree", "Ask for --votes 2 or more."
        )
    counts = _sets.tally(votes, everyone_A)
    return Agreement(
        videos=int(has_pairs_N.sum()),
        mean_jaccard=float(jaccard_N[has_pairs_N].mean()),
        identical=float((jaccard_N[has_pairs_N] == 1).mean()),
        common=float(counts.any_N(counts.share_all_P)[has_pairs_N].mean()),
    )


def _pairwise(votes: Votes, rating_A: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Mean Jaccard index over the pairs of answers of each task, and which tasks have any."""
    tasks = len(votes.tasks_N)
    sets_UK, code_A = _alpha.sets(votes, rating_A)
    size_U = np.asarray(sets_UK.sum(axis=1), dtype=np.float64)
    rated = np.flatnonzero(rating_A)
    left, right = _alpha.pairs(votes.task_A[rated])
    task_Q = votes.task_A[rated][left]
    first, second = code_A[rated[left]], code_A[rated[right]]
    like_Q = _alpha.similarity("jaccard", _alpha.shared(sets_UK, first, second), size_U[first], size_U[second])
    count_N = np.bincount(task_Q, minlength=tasks)
    return np.bincount(task_Q, weights=like_Q, minlength=tasks) / np.maximum(count_N, 1), count_N > 0


def fleiss_kappa(answers: pa.Table | pd.DataFrame) -> float:
    """Fleiss' kappa, for answers of exactly one label each and equally many answers a video.

    `kappa = (P - P_e) / (1 - P_e)`, P the mean over videos of the share of agreeing pairs, P_e the sum of squared label
    shares. J. L. Fleiss, "Measuring nominal scale agreement among many raters", 1971.

    Raises:
        BadValue: if an answer holds no label or several, or videos have different numbers of answers.
    """
    votes = _of_one_label(answers)
    counts = _sets.tally(votes, np.ones(len(votes.task_A), np.bool_))
    answered_N = counts.counted_N[counts.counted_N > 0]
    n = int(answered_N.max(initial=0))
    if n < 2 or (answered_N != n).any():
        raise BadValue(sorted(set(answered_N.tolist())), "every video needs the same number of answers, 2 or more")
    agreeing = float((counts.votes_P * (counts.votes_P - 1)).sum()) / (len(answered_N) * n * (n - 1))
    shares = np.bincount(counts.label_P, weights=counts.votes_P) / counts.votes_P.sum()
    by_chance = float((shares**2).sum())
    return 1.0 if by_chance == 1 else (agreeing - by_chance) / (1 - by_chance)


def cohen_kappa(answers: pa.Table | pd.DataFrame) -> float:
    """Cohen's kappa of two people who both answered every video with exactly one label.

    `kappa = (P - P_e) / (1 - P_e)`, P the share of videos with the same label, P_e the sum over labels of the product
    of their two shares. J. Cohen, "A coefficient of agreement for nominal scales", 1960.

    Raises:
        BadValue: if an answer holds no label or several, or there are not two people who answered the same videos.
    """
    votes = _of_one_label(answers)
    people = np.unique(votes.worker_A)
    if len(people) != 2:
        raise BadValue(len(people), "Cohen's kappa compares exactly two people", "Use `fleiss_kappa` for more.")
    label_A = np.zeros(len(votes.task_A), np.int64)
    label_A[votes.answer_C] = votes.label_C
    tasks = [votes.task_A[votes.worker_A == p] for p in people]
    if not np.array_equal(*tasks) or len(np.unique(tasks[0])) < len(tasks[0]):
        raise BadValue([len(t) for t in tasks], "both people must have answered the same videos, once each")
    first, second = (label_A[votes.worker_A == p] for p in people)
    shares = [np.bincount(x, minlength=int(label_A.max()) + 1) / len(x) for x in (first, second)]
    by_chance = float((shares[0] * shares[1]).sum())
    return 1.0 if by_chance == 1 else (float((first == second).mean()) - by_chance) / (1 - by_chance)


def _of_one_label(answers: pa.Table | pd.DataFrame) -> Votes:
    votes = count(answers)
    wrong = int((votes.chosen_A != 1).sum())
    if wrong:
        raise BadValue(f"{wrong} answers", REFUSED, CURE)
    return votes


def report(
    answers: pa.Table | pd.DataFrame,
    *,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    most: int = MOST_VIDEOS,
) -> dict[str, Any]:
    """Agreement of answers of several labels, each number with a bootstrap interval over tasks (JSON-ready).

    An answer counts if it chose a label or says that none fits; a blank one, or one that only says that the clip is
    unsuitable, is missing. All rounds together; a label rated Maybe counts as chosen; verdicts only matter for
    `reviewer`.

    Args:
        answers: as for `approval_rules.fit`; with `options`, kappa by label is over all labels shown, otherwise over
            those that somebody chose, which makes it lower.
        resamples: draws of the bootstrap; 0 for no intervals.
        seed: of the draws.
        level: of the intervals.
        most: of more videos than this, so many are drawn at random: alpha compares every two different sets of labels.

    Returns:
        `drawn_from`: how many videos there were, if not all were used, else 0; `simple`; `alpha` by distance (masi,
        jaccard, nominal); `mean_jaccard`; `labels` (kappa, PABAK and so on) and `mean_over_labels`; `workers` and
        `all_workers` (against the others' consensus, against the reviewer); `kappa`: plain Fleiss and Cohen where they
        are defined, or why they are refused.

    Raises:
        BadValue: if no video has two answers that count.
    """
    answers, drawn_from = _sample(answers, most, seed)
    votes = count(answers)
    rating_A = np.asarray((votes.chosen_A > 0) | (votes.no_match_A & ~votes.unsuitable_A), dtype=np.bool_)
    jaccard_N, has_pairs_N = _pairwise(votes, rating_A)
    if not has_pairs_N.any():
        raise BadValue(
            len(votes.tasks_N), "no video has two answers, so nothing can agree", "Ask for --votes 2 or more."
        )
    draws = Resamples.draw(len(votes.tasks_N), resamples, seed, level)
    questions = of_counted(votes, rating_A)
    labels, means = _label_kappa.by_label(questions, draws)
    workers, all_workers = _worker_agreement.by_worker(questions, draws)
    return {
        "videos": int(has_pairs_N.sum()),
        "drawn_from": drawn_from,
        "answers": int(rating_A.sum()),
        "missing": int((~rating_A).sum()),
        "asked": "labels shown" if len(votes.task_O) else "labels that somebody chose, and the given one",
        "resamples": resamples,
        "seed": seed,
        "level": level,
        "simple": asdict(simple(answers)),
        "alpha": {name: draws.interval(of_B) for name, of_B in _alpha.alphas(votes, rating_A, draws).items()},
        "mean_jaccard": draws.mean(jaccard_N, has_pairs_N),
        "labels": labels,
        "mean_over_labels": means,
        "workers": workers,
        "all_workers": all_workers,
        "kappa": {"fleiss": _or_why(fleiss_kappa, answers), "cohen": _or_why(cohen_kappa, answers)},
    }


def _sample(answers: pa.Table | pd.DataFrame, most: int, seed: int) -> tuple[pd.DataFrame, int]:
    """The answers of at most so many videos, drawn at random; and how many there were, or 0 if all are used."""
    frame = answers if isinstance(answers, pd.DataFrame) else answers.to_pandas()
    if "task" not in frame.columns:
        return frame, 0  # `count` says what is missing
    code_R, names = pd.factorize(frame["task"], sort=True)
    if len(names) <= most:
        return frame, 0
    kept_N = np.zeros(len(names), np.bool_)
    kept_N[np.random.default_rng(seed).choice(len(names), most, replace=False)] = True
    return frame[kept_N[code_R]], len(names)


def words(found: dict[str, Any]) -> list[str]:
    """The report in a few lines."""
    alpha, all_workers = found["alpha"], found["all_workers"]
    drawn = f", drawn at random from {found['drawn_from']}" if found["drawn_from"] else ""
    lines = [
        f"agreement over {found['videos']} videos of two or more answers{drawn} "
        f"({found['level']:.0%} intervals over videos):",
        f"  Krippendorff's alpha {_cell(alpha['masi'])} (MASI), {_cell(alpha['jaccard'])} (Jaccard)",
        f"  mean Jaccard index of two answers {_cell(found['mean_jaccard'])}; all the same in "
        f"{found['simple']['identical']:.0%} of the videos",
        f"  by label: mean kappa {_cell(found['mean_over_labels']['kappa'])}, "
        f"adjusted for prevalence (PABAK) {_cell(found['mean_over_labels']['pabak'])}",
        f"  an answer against the others' majority {_cell(all_workers['consensus'])}; "
        f"approved by the reviewer {_cell(all_workers['reviewer'])}",
    ]
    fleiss = found["kappa"]["fleiss"]
    if "value" in fleiss:
        lines.append(f"  Fleiss' kappa {fleiss['value']:.3f} (every answer is one label)")
    elif "assumes exactly one" in fleiss["refused"]:
        lines.append("  plain Cohen's and Fleiss' kappa are refused: they assume one label an answer, these are sets")
    return lines


def _or_why(kappa: Any, answers: Any) -> dict[str, Any]:
    try:
        return {"value": kappa(answers)}
    except BadValue as error:
        return {"refused": str(error)}


def _cell(of: dict[str, float | None]) -> str:
    if of["value"] is None:
        return "not defined"
    if of["low"] is None or of["high"] is None:
        return f"{of['value']:.3f}"
    return f"{of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"
