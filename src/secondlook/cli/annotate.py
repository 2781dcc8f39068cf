"""Ask people which labels hold: campaigns, answers and verdicts in one append-only store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli import _platforms
from secondlook.cli._campaigns import add_verbs
from secondlook.cli._recovery import recovery
from secondlook.cli._say import AsJson, Seed, finish, progress

app = typer.Typer(no_args_is_help=True, help=__doc__)

Candidates = Annotated[Path, typer.Argument(help="Candidates table that `secondlook audit` wrote.")]
Answers = Annotated[Path, typer.Argument(help="Folder of the store.")]
NewStore = Annotated[Path, typer.Option("-o", "--output", help="Folder of the store to make.")]
Votes = Annotated[int, typer.Option(help="Answers asked for a video, each from another person.")]
Name = Annotated[str, typer.Option(help="Name of the campaign.")]
Campaign = Annotated[str, typer.Option(help="Name of the campaign; the only one if left out.")]
Format = Annotated[str, typer.Option("--format", help="csv, label-studio, cvat or fiftyone.")]


@app.command()
def create(
    candidates: Candidates,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the workplace, made if missing.")] = Path(
        "annotations"
    ),
    votes: Votes = 3,
    name: Name = "round1",
    reward: Annotated[float, typer.Option(help="Paid for an approved answer.")] = 0.03,
    batch: Annotated[int, typer.Option(help="Videos that one person is given in a row.")] = 40,
    lease: Annotated[float, typer.Option(help="Seconds that a person may hold a video without a sign of life.")] = 1800,
    question: Annotated[str, typer.Option(help="What is asked; a usual sentence if left out.")] = "",
    qualify: Annotated[int, typer.Option(help="Gold videos that a person is given first (`annotate gold`).")] = 0,
    pass_rate: Annotated[float, typer.Option(help="Share of these that must be right to be given more.")] = 0.7,
    gold_share: Annotated[float, typer.Option(help="Share of gold among the videos given afterwards.")] = 0.0,
    videos: Annotated[
        Path | None,
        typer.Option(help="Videos table: where the videos are, which are excluded by now; else as the candidates say."),
    ] = None,
    database: Annotated[
        str,
        typer.Option(help="URL of an empty PostgreSQL database instead of a file.", envvar="SECONDLOOK_DATABASE"),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make a campaign with one task a candidate, ready for people's answers; a folder may hold many campaigns.

    Example: `secondlook annotate create candidates.parquet --name round1 --votes 3`
    """
    from dataclasses import asdict

    from secondlook import tables
    from secondlook.annotate.campaigns import QUESTION, Settings, check
    from secondlook.annotate.tasks import estimate, from_candidates
    from secondlook.annotate.workplace import Workplace

    table = tables.read(tables.CANDIDATES, candidates)
    labels = tables.label_space(table)
    known = None if videos is None else tables.read(tables.VIDEOS, videos)
    root = tables.made(table if known is None else known).get("root", "")
    settings = Settings(
        votes=votes,
        batch=batch,
        reward=reward,
        lease_s=lease,
        gold_share=gold_share,
        qualify=qualify,
        pass_rate=pass_rate,
        media_root=str(root or ""),
        question=question or QUESTION,
    )
    made = tables.provenance(
        "annotate create", {"name": name, **settings.to_dict()}, [candidates, *([videos] if videos else [])]
    )
    tasks = from_candidates(table, labels)
    if known is not None:
        states = zip(known["video_id"].to_pylist(), known["status"].to_pylist(), strict=True)
        excluded = {video_id for video_id, status in states if status == "excluded"}
        tasks = [task for task in tasks if task.video_id not in excluded]
    check(tasks)
    expected = estimate(len(tasks), votes, reward)
    with Workplace.open_or_create(output, database_url=database) as workplace:
        workplace.add(tasks, labels, name=name, settings=settings, made=made)
        workplace.record("campaign made", time.time(), campaign=name, tasks=len(tasks), votes=votes)
    words = (
        f"made campaign {name} in {output}: {expected.videos} tasks, {expected.answers} answers to collect "
        f"(about {expected.cost:.2f} at {reward} each)\n"
        f"next: secondlook serve {output}   people answer in a browser\n"
        f"or:   secondlook annotate questions {output} -o questions.csv   what to ask, for any annotation tool\n"
        f"then: secondlook annotate import {output} FILE.csv   columns video_id, worker, labels (separated by |)"
    )
    finish({"store": output, "campaign": name, **asdict(expected)}, words, as_json)


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
    adversaries: Annotated[float, typer.Option(help="Share of the workers who choose what does not hold.")] = 0.0,
    colluders: Annotated[float, typer.Option(help="Share of the workers who copy one leader's answers.")] = 0.0,
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
    crowd = Crowd(
        workers, skill, spam=spam, sloppy=sloppy, adversaries=adversaries, colluders=colluders,
        reviewer_error=reviewer_error,
    )  # fmt: skip
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
    kind: Format = "csv",
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Store people's answers, and verdicts, from a CSV file; importing it again stores nothing twice.

    Further columns: rating (yes or maybe), verdict (approved or rejected), reviewer, no_match, review, unsuitable,
    started_s, submitted_s, round, note. Result files of Mechanical Turk are understood. With --format the file is an
    export of Label Studio (JSON), CVAT (XML, one person a file) or FiftyOne (JSON of samples).

    Example: `secondlook annotate import answers collected.csv`
    """
    from secondlook.annotate.import_csv import read_answers
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store, progress("reading rows", None) as advance:
        store.release_expired(time.time())
        if kind == "csv":
            done = read_answers(store, file, rejected, advance)
        else:
            done = _platforms.tool(kind).read_answers(store, file, rejected)
    _platforms.say_imported(answers, done, as_json)


@app.command()
def questions(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Write what to ask: one row a task, with its options in the order to show them.

    Example: `secondlook annotate questions answers -o questions.csv`
    """
    from secondlook.annotate.export_csv import write_questions
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        rows = write_questions(store, output)
    finish({"file": output, "rows": rows}, f"wrote {output}: {rows} tasks", as_json)


@app.command()
def export(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write; a folder for other formats.")],
    kind: Format = "csv",
    media_url: Annotated[
        str, typer.Option(help="Address under which other tools find the clips, as PSEUDONYM.mp4.")
    ] = "http://localhost:8000/media",
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Write every answer: task, video, worker's pseudonym, label, rating, verdict, flags.

    With --format, the whole campaign as another tool takes it: its tasks, options, and the answers so far.

    Example: `secondlook annotate export answers -o answers.csv`
    """
    from secondlook.annotate.export_csv import write_answers
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        if kind == "csv":
            rows = write_answers(store, output)
            result, words = {"file": output, "rows": rows}, f"wrote {output}: {rows} rows"
        else:
            paths = _platforms.tool(kind).write(store, output, media_url)
            result, words = {"files": paths}, f"wrote {len(paths)} files to {output}"
    finish(result, words, as_json)


@app.command()
def decisions(
    answers: Answers,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Write the decision about every answer: its last verdict; a blank one is rejected by rule.

    Example: `secondlook annotate decisions answers -o decisions.csv`
    """
    from dataclasses import asdict

    from secondlook.annotate.export_csv import write_decisions
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        done = write_decisions(store, output)
    words = f"wrote {output}: {done.approved} approved, {done.rejected} rejected ({done.rejected_as_blank} as blank); "
    finish({"file": output, **asdict(done)}, words + f"{done.undecided} without a verdict left out", as_json)


@app.command()
def repost(
    answers: Answers,
    file: Annotated[Path, typer.Argument(help="CSV file with a column video_id: `secondlook reassess --repost FILE`.")],
    votes: Votes = 3,
    campaign: Campaign = "",
    as_json: AsJson = False,
) -> None:
    """Open a further round for videos whose answers failed.

    Example: `secondlook annotate repost answers repost.csv`
    """
    from secondlook.annotate.import_csv import read_video_ids
    from secondlook.annotate.store import Store

    with Store.open(answers, campaign) as store:
        wanted = read_video_ids(store, file)
        done = store.repost(wanted, votes)
    waiting = len(wanted) - len(done)
    words = f"posted {len(done)} videos again ({votes} answers each); {waiting} still wait for answers"
    finish({"store": answers, "reposted": len(done), "still_open": waiting}, words, as_json)


add_verbs(app)
app.command()(recovery)
app.add_typer(_platforms.mturk_app, name="mturk")
