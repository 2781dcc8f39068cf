"""The verb `annotate recovery`: which rule finds the true labels, by answers a clip and by share of spammers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress


def recovery(
    videos: Annotated[Path, typer.Argument(help="Videos table that knows the true labels (drawn videos).")],
    candidates: Annotated[Path, typer.Argument(help="Candidates table that `secondlook audit` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON file to write.")],
    votes: Annotated[str, typer.Option(help="Answers a clip of the first panel, joined by commas.")] = "1,2,3,5,7,9",
    spam: Annotated[
        str, typer.Option(help="Shares of spammers of the second panel, joined by commas.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6",
    usual_votes: Annotated[int, typer.Option(help="Answers a clip of the second panel.")] = 3,
    workers: Annotated[int, typer.Option(help="Simulated people.")] = 40,
    skill: Annotated[float, typer.Option(help="Probability that a skilled worker picks an option that holds.")] = 0.9,
    usual_spam: Annotated[float, typer.Option(help="Share of spammers of the first panel.")] = 0.1,
    sloppy: Annotated[float, typer.Option(help="Share of the workers who miss much and err often.")] = 0.1,
    adversaries: Annotated[float, typer.Option(help="Share of the workers who choose what does not hold.")] = 0.0,
    colluders: Annotated[float, typer.Option(help="Share of the workers who copy one leader's answers.")] = 0.0,
    seeds: Annotated[int, typer.Option(help="Simulated campaigns a point; the intervals are over them.")] = 5,
    rule: Annotated[list[str] | None, typer.Option(help="These curves only; repeat. All of them if left out.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Also draw the curves: a .png, .svg or .pdf file.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure which rule recovers the true label sets from simulated answers: before asking people, or paying them.

    Example: `secondlook annotate recovery videos.parquet candidates.parquet -o recovery.json --figure recovery.png`
    """
    import json

    from secondlook import tables
    from secondlook.annotate.simulate import Crowd, true_sets
    from secondlook.annotate.tasks import from_candidates
    from secondlook.cli._words import numbers
    from secondlook.errors import BadValue
    from secondlook.reassess import _recovery_curves as curves
    from secondlook.whole_files import whole

    known = tables.read(tables.VIDEOS, videos)
    table = tables.read(tables.CANDIDATES, candidates)
    labels = tables.label_space(table)
    if tables.label_space(known).names != labels.names:
        raise BadValue(str(videos), f"has other labels than {candidates}", "Give the videos that were audited.")
    crowd = Crowd(workers, skill, spam=usual_spam, sloppy=sloppy, adversaries=adversaries, colluders=colluders)
    by_votes, by_spam = numbers(votes), _shares(spam)
    # Shares that cannot be are refused here, before anything is simulated.
    curves.points(by_votes, by_spam, crowd, usual_votes)
    with progress("simulating campaigns", seeds * (len(by_votes) + len(by_spam))) as advance:
        found = curves.study(
            from_candidates(table, labels), true_sets(known), crowd=crowd, votes=by_votes, spam=by_spam,
            usual_votes=usual_votes, seeds=seeds, seed=seed, rules=rule or tuple(curves.RULES), advance=advance,
        )  # fmt: skip
    found["made"] = tables.provenance("annotate recovery", found["settings"], [videos, candidates], seed)
    with whole(output) as part:
        part.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if figure:
        from secondlook.figure_files import save
        from secondlook.report.recovery_figures import curves as drawn

        save(drawn(found), figure)
    facts = {"file": output, "figure": figure, **{k: found[k] for k in ("ceiling", "by_votes", "by_spam")}}
    finish(facts, _words(found, output), as_json)


def _shares(text: str) -> tuple[float, ...]:
    from secondlook.errors import BadValue

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BadValue(text, "shares are numbers from 0 to 1", "Join them by commas: 0,0.2,0.4.") from None


def _words(found: dict[str, Any], output: Path) -> str:
    lines = []
    for panel, head, unit in (("by_votes", "answers a clip", "votes"), ("by_spam", "share of spammers", "spam")):
        if not found[panel]:
            continue
        at = list(dict.fromkeys(row[unit] for row in found[panel]))
        lines.append(f"F1 by {head:<33}" + "".join(f"{value:>8g}" for value in at))
        for rule in dict.fromkeys(row["rule"] for row in found[panel]):
            row = {r[unit]: r["f1"]["mean"] for r in found[panel] if r["rule"] == rule}
            lines.append(f"  {rule:<37}" + "".join(f"{row[value]:>8.3f}" for value in at))
        lines.append("")
    return "\n".join([*lines, f"wrote {output}"])
