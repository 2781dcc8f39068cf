"""Ask people which labels hold: tasks, answers, verdicts, through one append-only store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress

app = typer.Typer(no_args_is_help=True, help=__doc__)

Candidates = Annotated[Path, typer.Argument(help="Candidates table that `secondlook audit` wrote.")]
Answers = Annotated[Path, typer.Argument(help="Folder of the store.")]
NewStore = Annotated[Path, typer.Option("-o", "--output", help="Folder of the store to make.")]
Votes = Annotated[int, typer.Option(help="Answers asked for a video, each from another person.")]
Name = Annotated[str, typer.Option(help="Name of the campaign.")]
SHOWN = 20
"""Refused rows that are printed; all of them stand in the file of rejected rows."""


@app.command()
def create(
    candidates: Candidates,
    output: NewStore,
    votes: Votes = 3,
    name: Name = "round1",
    reward: Annotated[float, typer.Option(help="Paid for an approved answer; used for the estimate only.")] = 0.03,
    as_json: AsJson = False,
) -> None:
    """Make an empty store with one task a candidate, ready for people's answers.

    Example: `secondlook annotate create candidates.parquet -o answers --votes 3`
    """
    from dataclasses import asdict

    from secondlook import tables
    from secondlook.annotate.store import Store
    from secondlook.annotate.tasks import estimate, from_candidates

    table = tables.read(tables.CANDIDATES, candidates)
    labels = tables.label_space(table)
    expected = estimate(table.num_rows, votes, reward)
    made = tables.provenance("annotate create", {"votes": votes, "name": name}, [candidates])
    with Store.create(output, from_candidates(table, labels), labels, votes=votes, name=name, made=made):
        pass
    words = (
        f"made {output}: {expected.videos} tasks, {expected.answers} answers to collect "
        f"(about {expected.cost:.2f} at {reward} each)\n"
        f"next: secondlook annotate questions {output} -o questions.csv   what to ask, for any annotation tool\n"
        f"then: secondlook annotate import {output} FILE.csv   columns video_id, worker, labels (separated by |)"
    )
    finish({"store": output, **asdict(expected)}, words, as_json)


@app.command()
def simulate(
    candidates: Candidates,
    output: NewStore,
    videos: Annotated[Path, typer.Option(help="Videos table that knows the true labels (drawn videos).")],
    workers: Annotated[int, typer.Option(help="Simulated people.")] = 12,
    votes: Votes = 3,
    skill: Annotated[float, typer.Option(help="Probability that a skilled worker picks an option that holds.")] = 0.9,
    spam: Annotated[float, typer.Option(help="Share of the workers who look at nothing.")] = 0.1,
    sloppy: Annotated[float, typer.Option(help="Share of the workers who miss much and err often.")] = 0.1,
    reviewer_error: Annotated[float, typer.Option(help="Probability that the reviewer decides the wrong way.")] = 0.05,
    name: Name = "round1",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make a store and let simulated people answer it; only where the true labels are known.

    Example: `secondlook annotate simulate candidates.parquet -o answers --videos videos.parquet --spam 0.2`
    """
    import hashlib
    import json
    from dataclasses import asdict

    from secondlook import tables
    from secondlook.annotate.simulate import Crowd, true_sets
    from secondlook.annotate.simulate import simulate as answer_all
    from secondlook.annotate.store import Store, making
    from secondlook.annotate.tasks import from_candidates
    from secondlook.errors import BadValue

    table = tables.read(tables.CANDIDATES, candidates)
    known = tables.read(tables.VIDEOS, videos)
    truth = true_sets(known)
    labels = tables.label_space(table)
    if tables.label_space(known).names != labels.names:
        raise BadValue(str(videos), f"has other labels than {candidates}", "Give the videos that were audited.")
    crowd = Crowd(workers, skill, spam=spam, sloppy=sloppy, reviewer_error=reviewer_error)
    settings = {"votes": votes, "name": name, **asdict(crowd)}
    made = tables.provenance("annotate simulate", settings, [candidates, videos], seed)
    tasks = from_candidates(table, labels)
    key = hashlib.blake2b(f"simulation {seed}".encode(), digest_size=32).digest()  # the same seed, the same store
    with making(output) as part:
        with (
            Store.create(part, tasks, labels, votes=votes, name=name, made=made, key=key) as store,
            progress("simulating answers", len(tasks)) as advance,
        ):
            done = answer_all(store, truth, votes=votes, crowd=crowd, seed=seed, advance=advance)
        about = {"settings": settings, "seed": seed, "kinds": done.kinds}
        (part / "simulated.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    words = (
        f"made {output}: {done.answers} simulated answers to {len(tasks)} videos, {done.approved} approved\n"
        f"next: secondlook reassess {output} -o labels.parquet"
    )
    finish({"store": output, "videos": len(tasks), **asdict(done)}, words, as_json)


@app.command("import")
def import_(
    answers: Answers,
    file: Annotated[Path, typer.Argument(help="CSV file with the columns video_id, worker, labels (separated by |).")],
    rejected: Annotated[
        Path | None, typer.Option(help="Where rows that cannot be taken are written; by default beside FILE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store people's answers, and verdicts, from a CSV file; importing it again stores nothing twice.

    Further columns: rating (yes or maybe), verdict (approved or rejected), reviewer, no_match, review, unsuitable,
    started_s, submitted_s, round, note. Result files of Mechanical Turk are understood.

    Example: `secondlook annotate import answers collected.csv`
    """
    from dataclasses import asdict

    from secondlook.annotate.import_csv import read_answers
    from secondlook.annotate.store import Store

    with Store.open(answers) as store, progress("reading rows", None) as advance:
        done = read_answers(store, file, rejected, advance)
    words = [
        f"{done.rows} rows: {done.stored} stored, {done.already_there} there already, {len(done.problems)} refused; "
        f"{done.blank} blank, {done.verdicts} new verdicts"
    ]
    if done.ignored_columns:
        words.append(f"columns left aside: {', '.join(done.ignored_columns)}")
    words += [str(problem) for problem in done.problems[:SHOWN]]
    if done.problems:
        words.append(f"all refused rows: {done.rejected_file}")
    finish({"store": answers, **asdict(done)}, "\n".join(words), as_json, failed_rows=len(done.problems))


@app.command()
def questions(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write what to ask: one row a task, with its options in the order to show them.

    Example: `secondlook annotate questions answers -o questions.csv`
    """
    from secondlook.annotate.export_csv import write_questions
    from secondlook.annotate.store import Store

    with Store.open(answers) as store:
        rows = write_questions(store, output)
    finish({"file": output, "rows": rows}, f"wrote {output}: {rows} tasks", as_json)


@app.command()
def export(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write every answer: task, video, worker's pseudonym, label, rating, verdict, flags.

    Example: `secondlook annotate export answers -o answers.csv`
    """
    from secondlook.annotate.export_csv import write_answers
    from secondlook.annotate.store import Store

    with Store.open(answers) as store:
        rows = write_answers(store, output)
    finish({"file": output, "rows": rows}, f"wrote {output}: {rows} rows", as_json)


@app.command()
def decisions(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write the decision about every answer: its last verdict; a blank one is rejected by rule.

    Example: `secondlook annotate decisions answers -o decisions.csv`
    """
    from dataclasses import asdict

    from secondlook.annotate.export_csv import write_decisions
    from secondlook.annotate.store import Store

    with Store.open(answers) as store:
        done = write_decisions(store, output)
    words = f"wrote {output}: {done.approved} approved, {done.rejected} rejected ({done.rejected_as_blank} as blank); "
    finish({"file": output, **asdict(done)}, words + f"{done.undecided} without a verdict left out", as_json)


@app.command()
def repost(
    answers: Answers,
    file: Annotated[Path, typer.Argument(help="CSV file with a column video_id: `secondlook reassess --repost FILE`.")],
    votes: Votes = 3,
    as_json: AsJson = False,
) -> None:
    """Open a further round for videos whose answers failed.

    Example: `secondlook annotate repost answers repost.csv`
    """
    from secondlook.annotate.import_csv import read_video_ids
    from secondlook.annotate.store import Store

    with Store.open(answers) as store:
        wanted = read_video_ids(store, file)
        done = store.repost(wanted, votes)
    waiting = len(wanted) - len(done)
    words = f"posted {len(done)} videos again ({votes} answers each); {waiting} still wait for answers"
    finish({"store": answers, "reposted": len(done), "still_open": waiting}, words, as_json)
