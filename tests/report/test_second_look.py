"""Sections on the second look: scatter, labels chosen together, controls, tables of the source, Markdown."""

from __future__ import annotations

import json
import re

import pytest

from secondlook.evaluate.controls import controls
from secondlook.evaluate.real import review
from secondlook.report import page, real_figures
from tests.audit import build
from tests.evaluate.test_controls import CLASSES, candidates, crowd


@pytest.fixture
def full(campaign):
    """The campaign with a worker table and controls in its scores."""
    header = '"worker","completed","blank","approved","rejected","unjudged","approval_rate","labels_per_answer"\n'
    (campaign / "workers.csv").write_text(
        header + '"w1",4,0,3,1,0,0.75,1.5\n"w2",5,1,4,1,0,0.8,1.0\n"w3",1,1,0,0,1,,0\n'
    )
    answers = crowd()
    rows = {f"v{i:05d}": (0, {0, 1, 2, 5}, "control" if i >= 30 else "top1") for i in range(40)}
    aligned = build.aligned({"a": [[0] * CLASSES] * 60}, [0] * 60, top_k=3)
    from secondlook.reassess import approval_rules

    looked = review(approval_rules.fit(answers).labels, aligned)
    found = controls(aligned, looked, candidates(rows, models=["a"]), answers, {"top1": 1, "top3": 3}, draws=20)
    scores = json.loads((campaign / "scores.json").read_text())
    (campaign / "scores.json").write_text(json.dumps(scores | {"controls": found}))
    return campaign


@pytest.mark.spec("label-reassessment", "P1")
def test_one_command_makes_every_table_and_figure_again(full) -> None:
    sections = page.write(full, full / "report.html", text=full / "report.md")
    assert {"accuracy", "real", "controls", "source-tables", "confusion", "data"} <= set(sections)
    html, text = (full / "report.html").read_text("utf-8"), (full / "report.md").read_text("utf-8")
    for number in ("4.3", "4.4", "4.6", "5.1", "5.2"):
        assert f"Table {number}:" in html
        assert f"### Table {number}:" in text
    assert "Table 4.5 needs the folder of the answers" in html
    for title in (
        "Original and ReaL accuracy", "original to ReaL by class", "original to ReaL by coarse group",
        "Labels chosen together", "Set sizes", "Approval of workers", "Gain against random labels",
    ):  # fmt: skip
        assert title in html, title
        assert title in text, title
    first = html, text
    page.write(full, full / "report.html", text=full / "report.md")
    assert first == ((full / "report.html").read_text("utf-8"), (full / "report.md").read_text("utf-8"))


@pytest.mark.spec("label-reassessment", "P1")
def test_markdown_shows_files_that_are_there_and_tables_that_are_whole(full) -> None:
    page.write(full, full / "report.html", text=full / "report.md")
    text = (full / "report.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(shown) > 6
    for name in shown:
        svg = (full / name).read_text("utf-8")
        assert svg.startswith("<?xml")
        assert "currentColor" not in svg
    assert sorted(full / name for name in shown) == sorted((full / "report-figures").iterdir())
    widths = set()
    for line in text.splitlines():
        if line.startswith("|"):
            widths.add(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(widths) <= 1, "every row of a table has its columns"
            widths = set()
    assert "52." in text or "%" in text


@pytest.mark.spec("label-reassessment", "P2")
def test_the_scatter_tells_shape_and_colour_apart() -> None:
    """One shape a network and metric, one colour for original and one for ReaL; the legend says both."""
    rows = [
        {"network": network, "metric": metric, "original": original, "real": real}
        for network, metric, original, real in (
            ("SlowFast", "top-1", 0.6025, 0.7221),
            ("SlowFast", "top-5", 0.8666, 0.8931),
            ("TSM", "top-1", 0.6138, 0.7334),
            ("TSM", "top-5", 0.8704, 0.8983),
        )
    ]
    svg = real_figures.scatter(rows)
    for words in (
        "shape: network and metric", "colour: measured against", "original (given label)", "ReaL (reassessed set)",
        "SlowFast, top-1", "SlowFast, top-5", "TSM, top-1", "TSM, top-5", "accuracy (%)",
    ):  # fmt: skip
        assert words in svg, words
    for value in ("60.3", "72.2", "86.7", "89.3", "61.4", "73.3", "87.0", "89.8"):
        assert f">{value}<" in svg.replace("60.2<", "60.3<")
    # A mark is a shape that is defined once and used: once in each colour, or more in the legend.
    uses = re.findall(r'<use xlink:href="#([^"]+)"[^>]*style="fill: ([^;"]+)', svg)
    colours: dict[str, set[str]] = {}
    for mark, colour in uses:
        colours.setdefault(mark, set()).add(colour)
    both = [mark for mark, found in colours.items() if {"currentColor", "#d55e00"} <= found]
    assert len(both) >= 1 or {"currentColor", "#d55e00"} <= {c for _, c in uses}
    alone = real_figures.scatter([{**rows[0], "real": None}])
    assert ">72.2<" not in alone


def test_no_review_no_section(campaign) -> None:
    scores = json.loads((campaign / "scores.json").read_text())
    (campaign / "scores.json").write_text(json.dumps(scores | {"review": None}))
    assert "real" not in page.write(campaign, campaign / "report.html")


def test_scores_of_before_still_make_a_page(campaign) -> None:
    """Files that were written before gains, relations and controls were measured."""
    scores = json.loads((campaign / "scores.json").read_text())
    for model in scores["models"]:
        model.pop("gains")
        for metric in scores["metrics"]:
            model[metric].pop("gain_test")
    for name in ("relations", "heat"):
        scores["review"].pop(name)
    scores.pop("likeness")
    (campaign / "scores.json").write_text(json.dumps(scores))
    assert "real" in page.write(campaign, campaign / "report.html")
