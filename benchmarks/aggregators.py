"""Weighing 900,000 votes of 85 workers: our aggregators against crowd-kit's, seconds and ratio in one run.

A vote is a yes or no of one worker to one question. crowd-kit is read from the folder that CROWDKIT names
(`pip install --target FOLDER crowd-kit`); without it ours are compared with Dawid-Skene written plainly in pandas.
Both run the same number of EM rounds, and both times hold everything from the table of votes to the decision.

Run: `CROWDKIT=FOLDER python benchmarks/aggregators.py` (some minutes); `--votes 90000` for a quick one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secondlook.annotate.simulate import Crowd
from secondlook.annotate.tasks import Task
from secondlook.reassess import dawid_skene, glad, mace, majority, worker_weighted
from secondlook.reassess._agreement import report
from secondlook.reassess._drawn_answers import draw

OPTIONS, VOTES, ROUNDS = 6, 3, 20


def answers(votes: int, workers: int = 85) -> tuple[pa.Table, pd.DataFrame]:
    """The same votes twice: our answers table, and one row a vote for crowd-kit (task, worker, label)."""
    rng = np.random.default_rng(0)
    tasks, truth = [], {}
    for i in range(votes // (OPTIONS * VOTES)):
        options = rng.choice(174, OPTIONS, replace=False).tolist()
        tasks.append(Task(f"video{i:06}", "", options[0], tuple(rng.permutation(options).tolist())))
        truth[f"video{i:06}"] = frozenset(options[: int(rng.integers(1, 4))])
    crowd = Crowd(workers=workers, spam=0.0, sloppy=0.3, slip=0.0, sure=1.0)
    table = draw(tasks, truth, votes=VOTES, crowd=crowd)[0].drop_columns("verdict")
    frame = table.select(["task", "worker", "label"]).to_pandas()
    everything = frame[["task", "worker"]].astype(str).drop_duplicates()
    options = pd.DataFrame([(t.video_id, label) for t in tasks for label in t.options], columns=["task", "label"])
    chosen = frame.astype({"task": str, "worker": str}).assign(yes=1)
    flat = everything.merge(options, on="task").merge(chosen, on=["task", "worker", "label"], how="left")
    question = flat["task"] + "/" + flat["label"].astype(str)
    return table, pd.DataFrame({"task": question, "worker": flat["worker"], "label": flat["yes"].fillna(0).astype(int)})


def plain_pandas(flat: pd.DataFrame, rounds: int) -> pd.Series:
    """Dawid-Skene of two replies, with group-bys."""
    flat = flat.assign(p=flat.groupby("task")["label"].transform("mean"))
    for _ in range(rounds):
        yes = flat.groupby(["worker", "label"])["p"].sum() + 0.1
        no = (1 - flat["p"]).groupby([flat["worker"], flat["label"]]).sum() + 0.1
        yes, no = (x / x.groupby("worker").transform("sum") for x in (yes, no))
        prior = flat.groupby("task")["p"].first().mean()
        evidence = np.log(yes / no).rename("evidence")
        logit = flat.join(evidence, on=["worker", "label"]).groupby("task")["evidence"].sum()
        flat["p"] = flat["task"].map(1 / (1 + np.exp(-(logit + np.log(prior / (1 - prior))))))
    return flat.groupby("task")["p"].first() > 0.5


def timed(what: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Fewest seconds of so many runs, and what came of the last."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = what()
        best = min(best, time.perf_counter() - start)
    return best, result


def theirs(name: str) -> Callable[[pd.DataFrame], Any] | None:
    """crowd-kit's aggregator of the same kind; None where it is not at hand."""
    if "CROWDKIT" not in os.environ:
        return None
    sys.path.append(os.environ["CROWDKIT"])
    from crowdkit import aggregation as kit  # type: ignore[import-not-found]

    made = {
        "majority": lambda: kit.MajorityVote(),
        "worker_weighted": lambda: kit.Wawa(),
        "dawid_skene": lambda: kit.DawidSkene(n_iter=ROUNDS, tol=-1.0),
        "glad": lambda: kit.GLAD(n_iter=ROUNDS, tol=0.0),
        "mace": lambda: kit.MACE(n_restarts=1, n_iter=ROUNDS, random_state=0, verbose=0),
    }
    return lambda flat: made[name]().fit_predict(flat)


def main() -> None:
    """Prints one JSON object a rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=900_000)
    parser.add_argument("--rules", nargs="*", default=["majority", "worker_weighted", "dawid_skene", "mace", "glad"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table, flat = answers(arguments.votes)
    ours: dict[str, Callable[[], Any]] = {
        "majority": lambda: majority.fit(table),
        "worker_weighted": lambda: worker_weighted.fit(table, iterations=1, weight="agreement"),
        "dawid_skene": lambda: dawid_skene.fit(table, maybe="count", iterations=ROUNDS, tolerance=0.0),
        "mace": lambda: mace.fit(table, iterations=ROUNDS, tolerance=0.0),
        "glad": lambda: glad.fit(table, iterations=ROUNDS, tolerance=0.0),
    }
    for name in arguments.rules:
        seconds, result = timed(ours[name], times=2)
        row: dict[str, Any] = {"rule": name, "votes": len(flat), "rounds": ROUNDS, "ours_s": round(seconds, 2)}
        kit = theirs(name)
        if kit is None and name == "dawid_skene":
            other_s, other = timed(lambda: plain_pandas(flat, ROUNDS))
            row["against"] = "plain pandas"
        elif kit is not None:
            try:
                other_s, other = timed(lambda kit=kit: kit(flat))  # type: ignore[misc]
                row["against"] = "crowd-kit"
            except AttributeError as error:  # some of crowd-kit does not run with a new scikit-learn
                row["against"], other = f"crowd-kit does not run here: {str(error)[:80]}", None
        else:
            other = None
        if other is not None:
            row |= {"theirs_s": round(other_s, 2), "theirs_over_ours": round(other_s / seconds, 1)}
            if result.probabilities is not None:
                found = result.probabilities.to_pandas()
                question = found["video_id"] + "/" + found["label"].astype(str)
                same = other.reindex(question).to_numpy().astype(bool) == (found["probability"] > 0.5).to_numpy()
                row["same_decisions"] = round(float(same.mean()), 4)
        print(json.dumps(row), flush=True)
    seconds, _ = timed(lambda: report(table))
    print(json.dumps({"agreement_report_s": round(seconds, 2), "tasks": table["task"].chunk(0).dictionary.__len__()}))


if __name__ == "__main__":
    main()
