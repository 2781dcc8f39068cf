"""A campaign: its settings, and how its tasks come into the database."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import lookups, schema
from secondlook.annotate.tasks import Task
from secondlook.annotate.workers import pseudonym
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace

MOST_VOTES = 100
QUESTION = "Which of these labels describe what happens in the clip? Choose all that fit."


@dataclass(frozen=True)
class Settings:
    """How a campaign asks; kept as JSON beside its tasks, and may change while it runs.

    The defaults are those of label-reassessment §1.5 and §1.6: batches of 40, three people a video, 0.03 dollars an
    approved answer.
    """

    votes: int = 3
    """Answers asked for a video, each from another person."""
    batch: int = 40
    """Videos that one person is given in a row."""
    reward: float = 0.03
    """Paid for an approved answer."""
    currency: str = "USD"
    lease_s: float = 1800.0
    """How long a person may hold a video without a sign of life before it is given to another."""
    gold_share: float = 0.0
    """Share of the videos given that are gold (their answer is known), once a person has qualified."""
    qualify: int = 0
    """Gold videos given first; whoever has less than `pass_rate` of them right is given no more."""
    pass_rate: float = 0.7
    media_root: str = ""
    """Folder that the tasks' paths are relative to."""
    question: str = QUESTION

    def __post_init__(self) -> None:
        if not 1 <= self.votes <= MOST_VOTES:
            raise BadValue(self.votes, f"votes a video must be from 1 to {MOST_VOTES}")
        if not 1 <= self.batch <= 1000:
            raise BadValue(self.batch, "a batch must be from 1 to 1000 videos")
        if not self.reward >= 0:
            raise BadValue(self.reward, "the reward must be at least 0")
        if not 10 <= self.lease_s <= 7 * 86_400:
            raise BadValue(self.lease_s, "the lease must be from 10 seconds to 7 days")
        if not 0 <= self.gold_share < 1:
            raise BadValue(self.gold_share, "the share of gold must be at least 0 and less than 1")
        if not 0 <= self.qualify <= 1000:
            raise BadValue(self.qualify, "gold videos to qualify with must be from 0 to 1000")
        if not 0 <= self.pass_rate <= 1:
            raise BadValue(self.pass_rate, "the pass rate must be from 0 to 1")
        if not self.question.strip():
            raise BadValue(self.question, "the question must not be empty")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Settings:
        """Reads what `to_dict` wrote; what is not named has its default.

        Raises:
            UnknownName: if it names a setting that does not exist.
            BadValue: if a setting is of the wrong type or out of its range.
        """
        read: dict[str, Any] = {}
        for name, value in given.items():
            if name not in _KINDS:
                raise UnknownName("setting", name, _KINDS)
            kind = _KINDS[name]
            right = isinstance(value, int | float) if kind is float else isinstance(value, kind)
            if not right or isinstance(value, bool):
                raise BadValue(value, f"the setting {name} must be {'a number' if kind is not str else 'a text'}")
            read[name] = float(value) if kind is float else value
        return cls(**read)


_KINDS = {setting.name: type(setting.default) for setting in dataclasses.fields(Settings)}


def check(tasks: Sequence[Task]) -> None:
    """Raises BadValue if these tasks cannot be asked."""
    if not tasks:
        raise BadValue(0, "there are no candidates, so there is nothing to ask", "Look at what `audit` found.")
    videos = Counter(task.video_id for task in tasks)
    if len(videos) < len(tasks):
        raise BadValue(videos.most_common(1)[0][0], "this video comes twice among the candidates", "Keep it once.")


def insert(
    connection: sa.Connection,
    key: bytes,
    tasks: Sequence[Task],
    labels: LabelSpace,
    name: str,
    settings: Settings,
    made: Mapping[str, Any],
) -> int:
    """Adds a campaign with its tasks and gives its number; the caller's transaction holds the write lock.

    Tasks are numbered in the order of their pseudonyms, which tells nothing about their place among the candidates.

    Raises:
        BadValue: if the name is taken or cannot be one, or these tasks cannot be asked.
    """
    check(tasks)
    if not name.strip() or name != name.strip() or "/" in name or len(name) > 100:
        raise BadValue(name, "a campaign's name is a short text without '/' or white space around it")
    if connection.scalar(sa.select(schema.campaigns.c.campaign_id).where(schema.campaigns.c.name == name)):
        raise BadValue(name, "a campaign of this name is there already", "Give a new name with --name.")
    row = {"name": name, "label_space": labels.to_dict(), "made": dict(made), "settings": settings.to_dict()}
    adding = schema.campaigns.insert().returning(schema.campaigns.c.campaign_id)
    campaign_id: int = connection.execute(adding, row | {"paused": False}).scalar_one()
    last = connection.scalar(sa.select(sa.func.max(schema.tasks.c.task_id))) or 0
    shown = sorted(tasks, key=lambda task: pseudonym(key, task.video_id, "v"))
    for chunk in lookups.chunks(enumerate(shown, start=last + 1)):
        rows, options, rounds = [], [], []
        for number, task in chunk:
            about = {"video_id": task.video_id, "path": task.path, "given_label": task.given_label, "gold": False}
            rows.append({"task_id": number, "campaign_id": campaign_id, **about})
            options += [{"task_id": number, "position": i, "label": label} for i, label in enumerate(task.options)]
            asked = {"votes": settings.votes, "taken": 0}
            rounds.append({"task_id": number, "round": 1, "campaign_id": campaign_id, **asked})
        connection.execute(schema.tasks.insert(), rows)
        connection.execute(schema.task_options.insert(), options)
        connection.execute(schema.rounds.insert(), rounds)
    return campaign_id


_STATE = sa.select(schema.campaigns.c.settings, schema.campaigns.c.paused).where(
    schema.campaigns.c.campaign_id == sa.bindparam("campaign_id")
)


def state(connection: sa.Connection, campaign_id: int) -> tuple[Settings, bool]:
    """A campaign's settings as they are now, and whether it is paused."""
    settings, paused = connection.execute(_STATE, {"campaign_id": campaign_id}).one()
    return Settings.from_dict(settings), bool(paused)


def change(connection: sa.Connection, campaign_id: int, changes: Mapping[str, Any]) -> Settings:
    """Changes settings. More or fewer votes hold for every present round that asks for the usual number, too.

    A round that has more answers already than are asked for now keeps them.
    """
    campaign, rounds = schema.campaigns.c, schema.rounds
    old, _ = state(connection, campaign_id)
    new = Settings.from_dict(old.to_dict() | dict(changes))
    where = schema.campaigns.update().where(campaign.campaign_id == campaign_id)
    connection.execute(where.values(settings=new.to_dict()))
    if new.votes != old.votes:
        later = rounds.alias()
        is_last = ~sa.exists().where(later.c.task_id == rounds.c.task_id, later.c.round > rounds.c.round)
        usual = sa.and_(rounds.c.campaign_id == campaign_id, rounds.c.votes == old.votes, is_last)
        at_least = sa.case((rounds.c.taken > new.votes, rounds.c.taken), else_=new.votes)
        connection.execute(rounds.update().where(usual).values(votes=at_least))
    return new
