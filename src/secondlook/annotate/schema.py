"""The store's tables: what people are asked, what they gave, who they are.

```
campaigns 1-n tasks 1-n task_options, gold_labels
                tasks 1-n rounds 1-n answers 1-n answer_choices, verdicts n-1 workers (the reviewer)
                             rounds 1-n assignments n-1 workers        answers 1-1 outside_answers
                tasks 1-n notes n-1 workers (the author)               rounds 1-n postings
workers 1-n answers, assignments, drafts      workers 1-1 accounts 1-n sessions      invitations      trail
```

What people gave (`answers`, `answer_choices`, `verdicts`, `notes`) and what was done (`trail`) is append-only: triggers
refuse every change and deletion. A person who changes an answer gives a new revision of it. The types are portable; the
triggers are written for SQLite and for PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sa

VERSION = 2
"""Version of the tables below. Raise it with every change of them, and say in `migrate` how to get there."""
APPEND_ONLY = ("answers", "answer_choices", "verdicts", "notes", "trail")

metadata = sa.MetaData()
schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("campaign_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("label_space", sa.JSON, nullable=False, comment="LabelSpace.to_dict()"),
    sa.Column("made", sa.JSON, nullable=False, comment="how the tasks were made"),
    sa.Column("settings", sa.JSON, nullable=False, comment="campaigns.Settings; may change"),
    sa.Column("paused", sa.Boolean, nullable=False, default=False, comment="no task is dealt while it is"),
)
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.campaign_id"), nullable=False),
    sa.Column("video_id", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("given_label", sa.Integer, nullable=False),
    sa.Column("gold", sa.Boolean, nullable=False, default=False, comment="its answer is known: everyone gets it once"),
    sa.UniqueConstraint("campaign_id", "video_id"),
)
task_options = sa.Table(
    "task_options",
    metadata,
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, comment="0, 1, ... in the order shown"),
    sa.Column("label", sa.Integer, nullable=False),
    sa.UniqueConstraint("task_id", "label"),
    sqlite_with_rowid=False,
)
gold_labels = sa.Table(
    "gold_labels",
    metadata,
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), primary_key=True),
    sa.Column("label", sa.Integer, primary_key=True, comment="one of the labels that hold"),
    sqlite_with_rowid=False,
)
rounds = sa.Table(
    "rounds",
    metadata,
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True, comment="1; 2 once the task was posted again; ..."),
    sa.Column("votes", sa.Integer, nullable=False, comment="answers asked for in this round"),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.campaign_id"), nullable=False, comment="the task's"),
    sa.Column("taken", sa.Integer, nullable=False, default=0, comment="answers given and assignments held"),
    sa.CheckConstraint("votes > 0 AND round > 0", name="something_is_asked"),
    sa.CheckConstraint("taken >= 0 AND taken <= votes", name="never_more_than_asked"),
    sqlite_with_rowid=False,
)
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.Integer, primary_key=True),
    sa.Column("pseudonym", sa.Text, nullable=False, unique=True, comment="keyed hash; the raw id is kept nowhere"),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("answer_id", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False, comment="1..votes: two writers cannot both take the last one"),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False, default=1, comment="the highest of a worker's counts"),
    sa.Column("started_s", sa.Float, comment="seconds, as the caller counts them; null if unknown"),
    sa.Column("submitted_s", sa.Float),
    sa.Column("no_match", sa.Boolean, nullable=False),
    sa.Column("review", sa.Boolean, nullable=False),
    sa.Column("unsuitable", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
    sa.UniqueConstraint("task_id", "round", "slot", "revision"),
    sa.UniqueConstraint("task_id", "round", "worker_id", "revision"),
    sa.Index("answers_of_worker", "worker_id", "task_id"),
)
answer_choices = sa.Table(
    "answer_choices",
    metadata,
    sa.Column("answer_id", sa.ForeignKey("answers.answer_id"), primary_key=True),
    sa.Column("label", sa.Integer, primary_key=True),
    sa.Column("rating", sa.Text, nullable=False),
    sa.CheckConstraint("rating IN ('yes', 'maybe')", name="rating_is_known"),
    sqlite_with_rowid=False,
)
assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("assignment_id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.campaign_id"), nullable=False),
    sa.Column("task_id", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False),
    sa.Column("batch", sa.Integer, nullable=False, comment="1, 2, ... of this worker; 0: lost to another"),
    sa.Column("position", sa.Integer, nullable=False, comment="1, 2, ... in the batch: the order shown"),
    sa.Column("state", sa.Text, nullable=False, comment="held, answered, or expired (its place was given to another)"),
    sa.Column("given_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float, nullable=False, comment="a held one is given to another after this"),
    sa.ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
    sa.UniqueConstraint("task_id", "round", "worker_id"),
    sa.UniqueConstraint("campaign_id", "worker_id", "batch", "position"),
    sa.CheckConstraint("state IN ('held', 'answered', 'expired')", name="state_is_known"),
    sa.Index("assignments_held", "campaign_id", "state", "expires_s"),
)
drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("task_id", sa.Integer, primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), primary_key=True),
    sa.Column("content", sa.JSON, nullable=False, comment="drafts.Draft: what stands on the page, not yet given"),
    sa.Column("saved_s", sa.Float, nullable=False),
    sa.ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
)
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("verdict_id", sa.Integer, primary_key=True, comment="the highest of an answer is the one that counts"),
    sa.Column("answer_id", sa.ForeignKey("answers.answer_id"), nullable=False, index=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, comment="the reviewer"),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("second_review", sa.Boolean, nullable=False),
    sa.Column("given_s", sa.Float),
)
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("note_id", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), nullable=False, index=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, comment="the author"),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("written_s", sa.Float),
)
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account_id", sa.Integer, primary_key=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, unique=True),
    sa.Column("person", sa.Text, nullable=False, unique=True, comment="random; the raw id behind the pseudonym"),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("nickname", sa.Text, nullable=False, comment="the person's own word for themselves; owners see it"),
    sa.Column("entry_hash", sa.Text, nullable=False, unique=True, comment="SHA-256 of the personal sign-in token"),
    sa.Column("made_s", sa.Float, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    sa.CheckConstraint("role IN ('annotator', 'reviewer', 'owner')", name="role_is_known"),
)
invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("invitation_id", sa.Integer, primary_key=True),
    sa.Column("token_hash", sa.Text, nullable=False, unique=True, comment="SHA-256; the token itself is kept nowhere"),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("made_by", sa.ForeignKey("accounts.account_id"), comment="null: the command line"),
    sa.Column("made_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False, comment="how many people may use it"),
    sa.Column("used", sa.Integer, nullable=False, default=0),
    sa.CheckConstraint("used <= uses", name="not_used_up"),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_hash", sa.Text, primary_key=True, comment="SHA-256 of the cookie"),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("made_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float, nullable=False),
    sa.Index("sessions_of_account", "account_id"),
)
trail = sa.Table(
    "trail",
    metadata,
    sa.Column("event_id", sa.Integer, primary_key=True),
    sa.Column("at_s", sa.Float, nullable=False),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), comment="null: the command line"),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.campaign_id")),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("about", sa.JSON, nullable=False, comment="no secret, no token"),
)
postings = sa.Table(
    "postings",
    metadata,
    sa.Column("outside_id", sa.Text, primary_key=True, comment="what the platform calls it, a HIT's id"),
    sa.Column("platform", sa.Text, primary_key=True, comment="mturk, mturk-sandbox, ..."),
    sa.Column("task_id", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("posted_s", sa.Float, nullable=False),
    sa.ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
)
outside_answers = sa.Table(
    "outside_answers",
    metadata,
    sa.Column("answer_id", sa.ForeignKey("answers.answer_id"), primary_key=True),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("outside_id", sa.Text, nullable=False, comment="what the platform calls it, an assignment's id"),
    sa.Column("decided", sa.Text, nullable=False, default="", comment="approved, rejected; empty: not told yet"),
    sa.UniqueConstraint("platform", "outside_id"),
)
sa.Index("tasks_of_campaign", tasks.c.campaign_id, tasks.c.gold)
sa.Index("rounds_wanting", rounds.c.campaign_id, rounds.c.taken, rounds.c.task_id)

_REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$
"""
sa.event.listen(metadata, "after_create", sa.DDL(_REFUSE).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
for _table in APPEND_ONLY:
    for _change in ("UPDATE", "DELETE"):
        _name = f"CREATE TRIGGER {_table}_no_{_change.lower()} BEFORE {_change} ON {_table} "
        _statements = {
            "sqlite": f"BEGIN SELECT RAISE(ABORT, '{_table} is append-only'); END",
            "postgresql": "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        }
        for _dialect, _body in _statements.items():
            _trigger = sa.DDL(_name + _body).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
            sa.event.listen(metadata, "after_create", _trigger)
    _emptying = f"CREATE TRIGGER {_table}_no_truncate BEFORE TRUNCATE ON {_table} EXECUTE FUNCTION refuse_change()"
    sa.event.listen(metadata, "after_create", sa.DDL(_emptying).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
