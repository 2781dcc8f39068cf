"""The aggregators one reply at a time, as their papers write them. Slow and obvious.

A reply is (question, worker, kind); kinds are 0 no, 1 maybe, 2 yes for Dawid-Skene, else 0 no, 1 yes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from scipy.special import digamma

Reply = tuple[Any, Any, int]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def dawid_skene(replies: list[Reply], rounds: int, smoothing: float) -> tuple[dict[Any, float], Any]:
    p = _start(replies, {0: 0.0, 1: 0.5, 2: 1.0})
    workers = sorted({w for _, w, _ in replies})
    table: dict[Any, Any] = {}
    for _ in range(rounds):
        table = {w: [[smoothing] * 3, [smoothing] * 3] for w in workers}
        for q, w, r in replies:
            table[w][1][r] += p[q]
            table[w][0][r] += 1 - p[q]
        table = {w: [[x / sum(row) for x in row] for row in of] for w, of in table.items()}
        prior = (sum(p.values()) + smoothing) / (len(p) + 2 * smoothing)
        holds, fails = dict.fromkeys(p, prior), dict.fromkeys(p, 1 - prior)
        for q, w, r in replies:
            holds[q] *= table[w][1][r]
            fails[q] *= table[w][0][r]
        p = {q: holds[q] / (holds[q] + fails[q]) for q in p}
    return p, table


def mace(replies: list[Reply], rounds: int, variational: bool, alpha: float, beta: float, smoothing: float) -> Any:
    p = _start(replies, {0: 0.0, 1: 1.0})
    workers = sorted({w for _, w, _ in replies})
    theta = dict.fromkeys(workers, 0.5)
    spam = {(w, r): 0.25 for w in workers for r in (0, 1)}
    for _ in range(rounds):
        honest, spammed = defaultdict(float), defaultdict(float)
        for q, w, r in replies:
            right = p[q] if r == 1 else 1 - p[q]
            h = right * theta[w] / (theta[w] + spam[w, r])
            honest[w] += h
            spammed[w, r] += 1 - h
        for w in workers:
            n, s = honest[w], spammed[w, 0] + spammed[w, 1]
            if variational:
                theta[w] = math.exp(digamma(n + alpha) - digamma(n + s + 2 * alpha))
                spams = math.exp(digamma(s + alpha) - digamma(n + s + 2 * alpha))
                habit = [math.exp(digamma(spammed[w, r] + beta) - digamma(s + 2 * beta)) for r in (0, 1)]
            else:
                theta[w] = (n + smoothing) / (n + s + 2 * smoothing)
                spams = 1 - theta[w]
                habit = [(spammed[w, r] + smoothing) / (s + 2 * smoothing) for r in (0, 1)]
            for r in (0, 1):
                spam[w, r] = spams * habit[r]
        prior = (sum(p.values()) + 1) / (len(p) + 2)
        holds, fails = dict.fromkeys(p, prior), dict.fromkeys(p, 1 - prior)
        for q, w, r in replies:
            holds[q] *= theta[w] * (r == 1) + spam[w, r]
            fails[q] *= theta[w] * (r == 0) + spam[w, r]
        p = {q: holds[q] / (holds[q] + fails[q]) for q in p}
    return p


def glad(replies: list[Reply], rounds: int) -> tuple[dict[Any, float], dict[Any, float]]:
    p = _start(replies, {0: 0.0, 1: 1.0})
    workers = sorted({w for _, w, _ in replies})
    a, log_b = dict.fromkeys(workers, 1.0), dict.fromkeys(p, 1.0)

    def right(q: Any, r: int) -> float:
        return p[q] if r == 1 else 1 - p[q]

    def step(value: float, gradient: float, curvature: float) -> float:
        return max(-0.5, min(0.5, (gradient + 1 - value) / (curvature + 1)))

    for _ in range(rounds):
        up, bend = defaultdict(float), defaultdict(float)
        for q, w, r in replies:
            b = math.exp(log_b[q])
            s = sigmoid(a[w] * b)
            up[w] += (right(q, r) - s) * b
            bend[w] += s * (1 - s) * b * b
        a = {w: a[w] + step(a[w], up[w], bend[w]) for w in workers}
        up, bend = defaultdict(float), defaultdict(float)
        for q, w, r in replies:
            x = a[w] * math.exp(log_b[q])
            s = sigmoid(x)
            up[q] += (right(q, r) - s) * x
            bend[q] += s * (1 - s) * x * x
        log_b = {q: log_b[q] + step(log_b[q], up[q], bend[q]) for q in p}
        logit = dict.fromkeys(p, 0.0)
        for q, w, r in replies:
            logit[q] += (1 if r == 1 else -1) * a[w] * math.exp(log_b[q])
        p = {q: sigmoid(logit[q]) for q in p}
    return p, a


def wawa(replies: list[Reply]) -> tuple[dict[Any, float], dict[Any, float]]:
    p = _start(replies, {0: 0.0, 1: 1.0})
    right, total = defaultdict(float), defaultdict(float)
    for q, w, r in replies:
        right[w] += (p[q] > 0.5) == (r == 1)
        total[w] += 1
    weight = {w: right[w] / total[w] for w in total}
    yes, both = defaultdict(float), defaultdict(float)
    for q, w, r in replies:
        yes[q] += weight[w] * r
        both[q] += weight[w]
    return {q: yes[q] / both[q] if both[q] else p[q] for q in p}, weight


def _start(replies: list[Reply], worth: dict[int, float]) -> dict[Any, float]:
    found: dict[Any, list[float]] = defaultdict(list)
    for q, _, r in replies:
        found[q].append(worth[r])
    return {q: sum(of) / len(of) for q, of in sorted(found.items())}


def replies(rows: list[dict[str, Any]], with_maybe: bool) -> list[Reply]:
    """Of the rows of an answers table with `options`: every counted answer replies to every option and given label."""
    shown: dict[Any, set[int]] = defaultdict(set)
    answers: dict[tuple[Any, Any], dict[int, str]] = defaultdict(dict)
    speaks: set[tuple[Any, Any]] = set()
    for row in rows:
        shown[row["task"]] |= {*map(int, row["options"].split()), row["given_label"]}
        key = (row["task"], row["worker"])
        if row["label"] >= 0:
            answers[key][row["label"]] = row["rating"]
        if row["label"] >= 0 or row["no_match"] or row["unsuitable"]:
            speaks.add(key)
    made = []
    for task, worker in sorted(speaks):
        for label in sorted(shown[task]):
            rating = answers[task, worker].get(label)
            kind = 0 if rating is None else 1 if rating == "maybe" and with_maybe else 2 if with_maybe else 1
            made.append(((task, label), worker, kind))
    return made
