"""Which rule finds the true labels: drawn answers, the study, its figure, its section and its verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook.annotate.answers import count
from secondlook.annotate.simulate import Crowd, answer_one, review_one
from secondlook.cli import build_app
from secondlook.errors import BadValue, UnknownName
from secondlook.reassess._drawn_answers import draw
from secondlook.reassess._recovery_curves import interval, study
from secondlook.report import _recovery_section, page, recovery_figures
from tests.annotate.drawn import draw_tables
from tests.reassess.campaigns import ask_about

EVERYONE = Crowd(workers=20, spam=0.3, sloppy=0.2, adversaries=0.1, colluders=0.1, leader="sloppy", slip=0.01)


def test_drawn_answers_are_like_those_of_the_store() -> None:
    """The same rates, by kind of worker, as answering one task after another."""
    tasks, truth = ask_about(600)
    answers, kinds = draw(tasks, truth, votes=5, crowd=EVERYONE, seed=1)
    votes = count(answers)
    generator = np.random.default_rng(0)
    kind_A = np.array(kinds, dtype=object)[[int(w[1:]) for w in votes.workers_W[votes.worker_A]]]
    for kind in sorted(set(kinds)):
        as_kind = EVERYONE.leader if kind == "colluder" else kind
        slow = [answer_one(t, truth[t.video_id], "w", as_kind, EVERYONE, generator) for t in tasks for _ in range(3)]
        judged = [
            review_one(a, t, truth[t.video_id], EVERYONE.reviewer_error, generator)
            for a, t in zip(slow, (t for t in tasks for _ in range(3)), strict=True)
        ]
        of_A = kind_A == kind
        assert votes.chosen_A[of_A].mean() == pytest.approx(np.mean([len(a.choices) for a in slow]), abs=0.2)
        assert votes.approved_A[of_A].mean() == pytest.approx(np.mean(judged), abs=0.1)
        assert votes.no_match_A[of_A].mean() == pytest.approx(np.mean([a.no_match for a in slow]), abs=0.07)
        maybe = [r == "maybe" for a in slow for r in a.choices.values()]
        mine = votes.maybe_C[of_A[votes.answer_C]]
        assert len(mine) == len(maybe) == 0 or mine.mean() == pytest.approx(np.mean(maybe), abs=0.07)
    assert set(np.bincount(votes.task_A)) == {5}
    assert draw(tasks, truth, votes=5, crowd=EVERYONE, seed=1)[0].equals(answers)


def test_colluders_give_one_answer_a_task() -> None:
    tasks, truth = ask_about(80)
    answers, kinds = draw(tasks, truth, votes=6, crowd=Crowd(workers=6, colluders=0.5, spam=0.0, sloppy=0.0))
    votes = count(answers)
    given: dict[int, set[frozenset[int]]] = {}
    for a in range(len(votes.task_A)):
        if kinds[int(votes.workers_W[votes.worker_A[a]][1:])] == "colluder":
            given.setdefault(votes.task_A[a], set()).add(frozenset(votes.label_C[votes.answer_C == a].tolist()))
    assert len(given) == 80
    assert all(len(sets) == 1 for sets in given.values())


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    tasks, truth = ask_about(80)
    crowd = Crowd(workers=15)
    return study(tasks, truth, crowd=crowd, votes=(1, 3, 7), spam=(0.0, 0.6), seeds=3)


def test_more_answers_help_and_spam_hurts(found: dict[str, Any]) -> None:
    def f1(panel: str, rule: str, unit: str) -> list[float]:
        return [row["f1"]["mean"] for row in found[panel] if row["rule"] == rule]

    assert found["ceiling"] == 1.0
    for rule in found["settings"]["rules"]:
        by_votes, by_spam = f1("by_votes", rule, "votes"), f1("by_spam", rule, "spam")
        assert by_votes[2] > by_votes[0]
        assert by_spam[1] < by_spam[0]
    assert f1("by_spam", "dawid_skene", "spam")[1] > f1("by_spam", "majority", "spam")[1] + 0.05
    for row in found["by_votes"]:
        assert row["f1"]["low"] <= row["f1"]["mean"] <= row["f1"]["high"]
        assert len(row["precision"]["of_seeds"]) == 3


def test_intervals_over_seeds() -> None:
    assert interval([0.5])["low"] is None
    of = interval([0.4, 0.6])
    assert (of["mean"], of["low"], of["high"]) == pytest.approx((0.5, 0.0, 1.0))
    assert interval([0.4, 0.5, 0.6])["high"] == pytest.approx(0.5 + 4.3027 * 0.1 / np.sqrt(3), abs=1e-4)


def test_studies_that_cannot_be() -> None:
    tasks, truth = ask_about(5)
    with pytest.raises(UnknownName, match="Did you mean 'majority'"):
        study(tasks, truth, rules=["majorty"])
    with pytest.raises(BadValue, match="at least one task"):
        study(tasks, truth, seeds=0)
    with pytest.raises(BadValue, match="cannot be more than all"):
        study(tasks, truth, crowd=Crowd(workers=10, adversaries=0.5), spam=(0.9,), votes=(), seeds=1)


def test_figure_and_section(found: dict[str, Any]) -> None:
    svg = recovery_figures.svg(found)
    assert svg.startswith("<svg")
    assert svg == recovery_figures.svg(found)
    for text in ("answers a clip", "share of spammers", "dawid skene", "F1"):
        assert text in svg
    assert len(recovery_figures.curves(found, "recall").axes) == 2
    with pytest.raises(BadValue, match="no measure"):
        recovery_figures.curves(found, "speed")
    with pytest.raises(BadValue, match="no points"):
        recovery_figures.curves({"by_votes": [], "by_spam": []})
    assert _recovery_section.section([]) == {}
    view = _recovery_section.section([found])
    loader = jinja2.FileSystemLoader(Path(page.__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    html = environment.get_template("recovery.html").render(recovery=view)
    assert html.count("<svg") == 3
    assert "dawid skene" in html
    assert "3 campaigns a point" in html


def test_the_verb(tmp_path: Path) -> None:
    candidates, videos = draw_tables(tmp_path, 30)
    output = tmp_path / "new" / "recovery.json"
    arguments = ["annotate", "recovery", videos, candidates, "-o", output, "--votes", "1,3", "--spam", "0,0.5"]
    arguments += ["--seeds", "2", "--workers", "10", "--rule", "majority", "--rule", "mace"]
    arguments += ["--figure", tmp_path / "curves.png"]
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert "F1 by share of spammers" in result.stdout
    written = json.loads(output.read_text())
    assert {row["rule"] for row in written["by_spam"]} == {"majority", "mace"}
    assert written["made"]["command"] == "annotate recovery"
    assert (tmp_path / "curves.png").stat().st_size > 1000
    first = output.read_bytes()
    CliRunner().invoke(build_app(), [str(a) for a in arguments])
    assert output.read_bytes() == first
    wrong = CliRunner().invoke(build_app(), [*map(str, arguments), "--spam", "few"])
    assert isinstance(wrong.exception, BadValue)
