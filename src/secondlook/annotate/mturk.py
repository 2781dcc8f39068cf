"""Amazon Mechanical Turk: a batch as CSV and HTML, HITs whose question our server answers, answers, decisions.

Nothing is contacted unless a client is passed in, and then nothing is changed unless `dry_run=False`; the client is
that of the sandbox unless production is asked for (label-reassessment §1.6: three assignments a video, 0.03 dollars an
approved one, decisions sent at the end of each batch).

What a worker sees names a video by its pseudonym, and its options in shown order: no file name, no given label.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from secondlook.annotate import outside
from secondlook.annotate.export_csv import write_rows
from secondlook.annotate.rows import SEPARATOR, Imported, Row, take
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task, public_view
from secondlook.errors import BadValue

PRODUCTION, SANDBOX = "mturk", "mturk-sandbox"
ENDPOINTS = {
    PRODUCTION: "https://mturk-requester.us-east-1.amazonaws.com",
    SANDBOX: "https://mturk-requester-sandbox.us-east-1.amazonaws.com",
}
SUBMIT_TO = {"https://www.mturk.com": PRODUCTION, "https://workersandbox.mturk.com": SANDBOX}
"""Where a worker's page may send the answer on to."""
NOT_ACCEPTED = "ASSIGNMENT_ID_NOT_AVAILABLE"
"""Assignment of a worker who only looks at a HIT."""
_QUESTION = (
    '<ExternalQuestion xmlns="http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/'
    'ExternalQuestion.xsd"><ExternalURL>{url}</ExternalURL><FrameHeight>0</FrameHeight></ExternalQuestion>'
)


@dataclass(frozen=True)
class Hit:
    """How a HIT is offered."""

    title: str = "Which labels describe a short clip?"
    description: str = "Watch a clip of a few seconds and choose every label that describes what happens in it."
    keywords: str = "video, labels, action, classification"
    duration_s: int = 600
    """Time a worker has for one clip."""
    lifetime_s: int = 7 * 86_400
    auto_approve_s: int = 7 * 86_400
    """After this, Mechanical Turk approves what was not decided."""


@dataclass
class Done:
    """What was, or in a dry run would be, done."""

    done: int = 0
    cost: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What the platform refused, in words; all else was done."""


def write_batch(store: Store, folder: str | Path, media_url: str) -> tuple[Path, Path]:
    """Writes `input.csv` (one row a task) and `task.html`, the page that Mechanical Turk fills with a row.

    Columns: `video_id` (the pseudonym), `video_url`, `question`, `option_1` ... as many as the longest task has. Cells
    are escaped for HTML, because the platform puts them into the page as they are.

    Args:
        store: the campaign.
        folder: where to write.
        media_url: address under which workers' browsers find `<pseudonym>.mp4`; our server's `/media/<campaign>/`, or a
            bucket to which the proxies were copied.
    """
    asked = {task_id for task_id, _, _ in outside.open_rounds(store)}
    tasks = [task for task in store.tasks() if task.task_id in asked]
    width = max(len(task.options) for task in tasks)
    header = ("video_id", "video_url", "question", *(f"option_{i + 1}" for i in range(width)))
    rows = []
    for task in tasks:
        view = public_view(task, store.labels)
        options = [html.escape(option["text"]) for option in view["options"]]
        url = f"{media_url.rstrip('/')}/{quote(task.media)}.mp4"
        rows.append(
            [
                task.media,
                html.escape(url),
                html.escape(store.settings.question),
                *options,
                *[""] * (width - len(options)),
            ]
        )
    folder = Path(folder)
    sheet, page = folder / "input.csv", folder / "task.html"
    write_rows(sheet, header, rows)
    line = (
        '    <label class="option" data-text="${option_%d}"><input type="checkbox" value="${option_%d}">'
        "<span>${option_%d}</span></label>"
    )
    template = resources.files("secondlook.annotate").joinpath("mturk_task.html").read_text(encoding="utf-8")
    options_html = "\n".join(line % (i, i, i) for i in range(1, width + 1))
    page.write_text(template.replace("<!-- options -->", options_html), encoding="utf-8")
    return sheet, page


def signature(store: Store, task: Task) -> str:
    """What proves that an address of a task was made by us: a keyed hash of campaign and video."""
    words = f"external {store.campaign_id} {task.media}".encode()
    return hmac.new(store.key(), words, hashlib.blake2b).hexdigest()[:32]


def external_url(store: Store, task: Task, public_url: str) -> str:
    """The address at which our server asks about one task (route of `web/pages_external.py`)."""
    return (
        f"{public_url.rstrip('/')}/external/{quote(store.name, safe='')}/{task.media}?signed={signature(store, task)}"
    )


def connect(platform: str = SANDBOX) -> Any:
    """A boto3 client; credentials come from where boto3 finds them (environment, `~/.aws`) and are never shown.

    Raises:
        BadValue: if boto3 is not installed, or there are no credentials.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise BadValue("mturk", "needs boto3", "Install it: pip install 'secondlook[mturk]'.") from None
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise BadValue("mturk", "no AWS credentials were found", "Set AWS_PROFILE, or run `aws configure`.")
        return session.client("mturk", region_name="us-east-1", endpoint_url=ENDPOINTS[platform])
    except BotoCoreError as error:
        raise BadValue("mturk", f"cannot be reached ({type(error).__name__})", "Look at your AWS settings.") from None


def post(
    store: Store,
    client: Any,
    public_url: str,
    now_s: float,
    *,
    platform: str = SANDBOX,
    hit: Hit | None = None,
    dry_run: bool = True,
    advance: Callable[[int], object] | None = None,
) -> Done:
    """Makes a HIT of every task's last round that has none yet; run again, it goes on where it was stopped.

    A request carries a token made from task and round, so that one that was cut short is not posted twice.

    Raises:
        BadValue: if `public_url` is not https: Mechanical Turk shows no other page.
    """
    if not public_url.startswith("https://"):
        raise BadValue(
            public_url, "workers' browsers show only https pages inside a HIT", "Give --public-url https://..."
        )
    hit, done, there = hit or Hit(), Done(), outside.posted(store, platform)
    tasks = {task.task_id: task for task in store.tasks()}
    for task_id, number, votes in outside.open_rounds(store):
        if (task_id, number) in there:
            continue
        if not dry_run:
            token = hashlib.sha256(f"{signature(store, tasks[task_id])} {number} {platform}".encode()).hexdigest()[:64]
            answer = _call(
                done, client.create_hit,
                MaxAssignments=votes, Reward=f"{store.settings.reward:.2f}", Title=hit.title,
                Description=hit.description, Keywords=hit.keywords, AssignmentDurationInSeconds=hit.duration_s,
                LifetimeInSeconds=hit.lifetime_s, AutoApprovalDelayInSeconds=hit.auto_approve_s,
                Question=_QUESTION.format(url=html.escape(external_url(store, tasks[task_id], public_url))),
                UniqueRequestToken=token, RequesterAnnotation=tasks[task_id].media,
            )  # fmt: skip
            if answer is None:
                continue
            outside.post(store, platform, answer["HIT"]["HITId"], task_id, number, now_s)
        done.done += 1
        done.cost += votes * store.settings.reward
        if advance:
            advance(1)
    return done


def fetch(store: Store, client: Any, rejected: Path, *, platform: str = SANDBOX) -> Imported:
    """Takes the submitted answers of all posted HITs into the store; what is there already is not stored twice."""
    tasks = {task.task_id: task for task in store.tasks()}
    result = Imported()

    def rows() -> Iterator[Row]:
        number = 0
        for (task_id, of_round), hit_id in sorted(outside.posted(store, platform).items()):
            for assignment in _assignments(client, hit_id):
                number += 1
                given, problem = _given(assignment, tasks[task_id].media, of_round)
                cells = [hit_id, assignment["AssignmentId"], assignment["WorkerId"], assignment.get("Answer", "")]
                result.rows += 1
                yield Row(number, given, cells, problem)

    return take(store, rows(), ("HITId", "AssignmentId", "WorkerId", "Answer"), rejected, result, platform=platform)


def decide(
    store: Store,
    client: Any,
    *,
    platform: str = SANDBOX,
    feedback: str = "",
    dry_run: bool = True,
    advance: Callable[[int], object] | None = None,
) -> Done:
    """Tells the platform each decision it was not told yet: approve, or reject with a word why.

    Idempotent: a decision is kept as told once the platform took it (label-reassessment, item R4).
    """
    done = Done()
    for decision in outside.undecided(store, platform):
        if not dry_run:
            why = feedback or ("No label was chosen." if decision.because == "blank" else "The labels do not fit.")
            if decision.approved:
                told = _call(done, client.approve_assignment, AssignmentId=decision.outside_id)
            else:
                told = _call(done, client.reject_assignment, AssignmentId=decision.outside_id, RequesterFeedback=why)
            if told is None:
                continue
            outside.told(store, decision)
        done.done += 1
        done.cost += store.settings.reward * decision.approved
        if advance:
            advance(1)
    return done


def _call(done: Done, function: Callable[..., Any], **values: Any) -> dict[str, Any] | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return dict(function(**values))
    except ClientError as error:
        done.problems.append(
            f"{values.get('AssignmentId', '')} {error.response['Error'].get('Message', error)}".strip()
        )
    except BotoCoreError as error:
        done.problems.append(f"{type(error).__name__}: the platform could not be reached")
    return None


def _assignments(client: Any, hit_id: str) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("list_assignments_for_hit").paginate(HITId=hit_id)
    for page in pages:
        yield from page["Assignments"]


def _given(assignment: dict[str, Any], media: str, of_round: int) -> tuple[dict[str, str], tuple[str, str] | None]:
    """A row of `rows.take` from an assignment, or why it cannot be read."""
    try:
        fields = form_fields(assignment.get("Answer", ""))
    except BadValue as error:
        return {}, ("Answer", str(error))
    given = {
        "video_id": media,
        "worker": assignment["WorkerId"],
        "labels": fields.get("selected", ""),
        "no_match": fields.get("no_match", ""),
        "unsuitable": fields.get("unsuitable", ""),
        "round": str(of_round),
        "assignment": assignment["AssignmentId"],
    }
    for name, key in (("started_s", "AcceptTime"), ("submitted_s", "SubmitTime")):
        if assignment.get(key) is not None:
            given[name] = str(assignment[key].timestamp())
    return given, None


def form_fields(answer_xml: str) -> dict[str, str]:
    """Name -> text of a `QuestionFormAnswers` document; several texts of one name are joined by the separator.

    Raises:
        BadValue: if it is not XML, or has a document type (where entities that blow up come from).
    """
    if re.search(r"<!DOCTYPE|<!ENTITY", answer_xml, re.IGNORECASE):
        raise BadValue(answer_xml[:40], "an answer has no document type")
    try:
        root = ElementTree.fromstring(answer_xml)  # noqa: S314
    except ElementTree.ParseError as error:
        raise BadValue(answer_xml[:40], f"is not XML ({error})") from None
    found: dict[str, list[str]] = {}
    for answer in root.iter():
        if answer.tag.rpartition("}")[2] == "Answer":
            texts = {child.tag.rpartition("}")[2]: child.text or "" for child in answer}
            found.setdefault(texts.get("QuestionIdentifier", ""), []).append(texts.get("FreeText", ""))
    return {name: SEPARATOR.join(t for t in texts if t) for name, texts in found.items()}
