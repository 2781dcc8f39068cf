"""Who may come in: accounts, the invitations that make them, sign-in tokens and sessions.

No passwords. An owner hands out an invitation; who takes it up gets a personal sign-in token. Every token is 256 random
bits, is shown once, and only its SHA-256 is kept: whoever reads the database can sign in as nobody. (A slow hash
protects what can be guessed; these cannot.)
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from secondlook.annotate import lookups, schema
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.annotate.workplace import Workplace

ROLES = ("annotator", "reviewer", "owner")
"""Each may do what those before it may."""
DAY_S = 86_400.0
NICKNAME_LENGTH = 60
REMEMBERED_S = 1.0
"""How long a session that was looked up counts without another look, unless something is changed here meanwhile."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Account:
    """A person who may sign in."""

    account_id: int
    worker_id: int
    person: str
    """What goes into `Answer.worker`, `Verdict.reviewer` and `deal`; random, says nothing."""
    pseudonym: str
    """Name under which the person's answers stand."""
    role: str
    nickname: str
    disabled: bool

    def may(self, role: str) -> bool:
        """Whether this account may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Session:
    """A browser that is signed in."""

    account: Account
    csrf: str


@dataclass(frozen=True)
class Invitation:
    """An invitation without its token, which nobody can read any more."""

    invitation_id: int
    role: str
    made_by: int | None
    made_s: float
    expires_s: float
    uses: int
    used: int


class Accounts:
    """The accounts of a workplace."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._remembered: dict[str, tuple[float, float, Session | None]] = {}
        """By hash of the cookie: until when it counts (monotonic), when the session ends, the session."""
        self._changes = 0
        self._lock = threading.Lock()

    def invite(
        self, role: str, now_s: float, *, made_by: int | None = None, uses: int = 1, valid_s: float = 14 * DAY_S
    ) -> str:
        """Makes an invitation and gives its token, which is shown this once.

        Args:
            role: of those who take it up.
            now_s: the time.
            made_by: account that made it; None: the command line.
            uses: how many people may take it up.
            valid_s: for how long.

        Raises:
            UnknownName: if there is no such role.
            BadValue: if the number of uses or the time makes no sense.
        """
        _check_role(role)
        if not 1 <= uses <= 10_000:
            raise BadValue(uses, "uses of an invitation must be from 1 to 10000")
        if not 60 <= valid_s <= 366 * DAY_S:
            raise BadValue(valid_s, "an invitation must be valid for a minute to a year")
        token = secrets.token_urlsafe(32)
        row = {"token_hash": _hash(token), "role": role, "made_by": made_by, "uses": uses, "used": 0}
        with self._workplace.writing() as connection:
            connection.execute(schema.invitations.insert(), row | {"made_s": now_s, "expires_s": now_s + valid_s})
        return token

    def accept(self, token: str, nickname: str, now_s: float) -> tuple[Account, str]:
        """Takes an invitation up: a new account and its personal sign-in token, which is shown this once.

        Raises:
            BadValue: if the invitation is not known, used up or over, or the nickname is none.
        """
        nickname = " ".join(nickname.split())
        if not 0 < len(nickname) <= NICKNAME_LENGTH or not nickname.isprintable():
            raise BadValue(nickname[:80], f"a nickname must have 1 to {NICKNAME_LENGTH} letters")
        ticket, entry = schema.invitations, secrets.token_urlsafe(32)
        person = secrets.token_hex(16)
        with self._workplace.writing() as connection:
            found = connection.execute(ticket.select().where(ticket.c.token_hash == _hash(token))).first()
            if found is None or found.used >= found.uses or found.expires_s <= now_s:
                raise BadValue("invitation", "is not known, used up or over", "Ask for a new one.")
            this = ticket.update().where(ticket.c.invitation_id == found.invitation_id)
            connection.execute(this.values(used=found.used + 1))
            worker_id = lookups.worker_ids(connection, self._workplace.key(), {person})[person]
            row = {"worker_id": worker_id, "person": person, "role": found.role, "nickname": nickname}
            adding = schema.accounts.insert().returning(schema.accounts.c.account_id)
            about = {"entry_hash": _hash(entry), "made_s": now_s, "disabled": False}
            account_id = connection.execute(adding, row | about).scalar_one()
            return _one(connection, schema.accounts.c.account_id == account_id), entry

    def sign_in(self, entry_token: str) -> Account | None:
        """The account of a sign-in token; None if there is none, or it is disabled."""
        with self._workplace.reading() as connection:
            found = _find(connection, schema.accounts.c.entry_hash == _hash(entry_token))
        return None if found is None or found.disabled else found

    def renew_entry(self, account_id: int) -> str:
        """A new sign-in token; the old one opens nothing any more, and sessions stay."""
        entry = secrets.token_urlsafe(32)
        self._change(account_id, entry_hash=_hash(entry))
        return entry

    def open_session(self, account_id: int, now_s: float, valid_s: float = 30 * DAY_S) -> tuple[str, str]:
        """Signs a browser in: the value of its cookie, and its CSRF token.

        Raises:
            BadValue: if the account is disabled.
        """
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session = schema.sessions
        row = {"session_hash": _hash(cookie), "account_id": account_id, "csrf": csrf, "made_s": now_s}
        with self._workplace.writing() as connection:
            if _one(connection, schema.accounts.c.account_id == account_id).disabled:
                raise BadValue(account_id, "this account is disabled", "Ask an owner.")
            connection.execute(session.delete().where(session.c.expires_s <= now_s))
            connection.execute(session.insert(), row | {"expires_s": now_s + valid_s})
        return cookie, csrf

    def session(self, cookie: str, now_s: float) -> Session | None:
        """The session of a cookie; None if there is none, it is over, or its account is disabled.

        It is remembered for `REMEMBERED_S`. What this object changes holds from then on; what another process changes,
        such as the command line, a second later.
        """
        found = self.remembered(cookie, now_s)
        if found is not None:
            return found
        digest, changes = _hash(cookie), self._changes
        with self._workplace.reading() as connection:
            row = connection.execute(_SESSION, {"session_hash": digest}).first()
        if row is None or row.expires_s <= now_s or row.disabled:
            return None
        session = Session(_account(row), row.csrf)
        with self._lock:
            if changes == self._changes:  # nothing was changed since it was read
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[digest] = (time.monotonic() + REMEMBERED_S, row.expires_s, session)
        return session

    def remembered(self, cookie: str, now_s: float) -> Session | None:
        """The session of a cookie if it was looked up a moment ago; None says nothing. Does not wait for a disk."""
        until_s, expires_s, session = self._remembered.get(_hash(cookie), (0.0, 0.0, None))
        return session if time.monotonic() < until_s and now_s < expires_s else None

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """A transaction that changes accounts or sessions; nothing that was remembered before it counts after it."""
        with self._workplace.writing() as connection:
            yield connection
        with self._lock:
            self._changes += 1
            self._remembered.clear()

    def end_session(self, cookie: str) -> None:
        """Signs a browser out."""
        session = schema.sessions
        with self._changing() as connection:
            connection.execute(session.delete().where(session.c.session_hash == _hash(cookie)))

    def end_all(self, account_id: int) -> None:
        """Signs every browser of an account out."""
        session = schema.sessions
        with self._changing() as connection:
            connection.execute(session.delete().where(session.c.account_id == account_id))

    def all(self) -> list[Account]:
        """Every account, the oldest first."""
        with self._workplace.reading() as connection:
            rows = connection.execute(_accounts().order_by(schema.accounts.c.account_id))
            return [_account(row) for row in rows]

    def get(self, account_id: int) -> Account:
        """One account.

        Raises:
            BadValue: if there is none of this number.
        """
        with self._workplace.reading() as connection:
            return _one(connection, schema.accounts.c.account_id == account_id)

    def disable(self, account_id: int, disabled: bool = True) -> None:
        """Lets an account in no more, from this moment on; or lets it in again."""
        self._change(account_id, disabled=disabled)
        if disabled:
            self.end_all(account_id)

    def set_role(self, account_id: int, role: str) -> None:
        """Gives an account another role."""
        _check_role(role)
        self._change(account_id, role=role)

    def invitations(self) -> list[Invitation]:
        """Every invitation, the newest first."""
        ticket = schema.invitations.c
        columns = (ticket[name] for name in Invitation.__dataclass_fields__)
        with self._workplace.reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(ticket.invitation_id.desc()))
            return [Invitation(*row) for row in rows]

    def withdraw(self, invitation_id: int) -> None:
        """Makes an invitation useless to those who have not taken it up."""
        ticket = schema.invitations
        with self._workplace.writing() as connection:
            connection.execute(ticket.update().where(ticket.c.invitation_id == invitation_id).values(expires_s=0.0))

    def _change(self, account_id: int, **values: object) -> None:
        account = schema.accounts
        with self._changing() as connection:
            _one(connection, account.c.account_id == account_id)
            connection.execute(account.update().where(account.c.account_id == account_id).values(**values))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownName("role", role, ROLES)


def _accounts() -> sa.Select[Any]:
    return sa.select(schema.accounts, schema.workers.c.pseudonym).join_from(schema.accounts, schema.workers)


def _account(row: Any) -> Account:
    return Account(row.account_id, row.worker_id, row.person, row.pseudonym, row.role, row.nickname, bool(row.disabled))


_SESSION = (
    sa.select(schema.accounts, schema.workers.c.pseudonym, schema.sessions.c.csrf, schema.sessions.c.expires_s)
    .join_from(schema.sessions, schema.accounts, schema.accounts.c.account_id == schema.sessions.c.account_id)
    .join(schema.workers, schema.workers.c.worker_id == schema.accounts.c.worker_id)
    .where(schema.sessions.c.session_hash == sa.bindparam("session_hash"))
)


def _find(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Account | None:
    row = connection.execute(_accounts().where(where)).first()
    return None if row is None else _account(row)


def _one(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Account:
    found = _find(connection, where)
    if found is None:
        raise BadValue("account", "there is none of this number")
    return found
