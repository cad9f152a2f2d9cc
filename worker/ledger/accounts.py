"""Accounts, their sessions and API tokens. Of cookies and tokens the ledger has hashes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, insert, select, update

from worker.ledger.database import now, take_turns, upsert
from worker.ledger.schema import account, audit, guess, session, token
from worker.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who signs in; `password` is the hash of theirs."""

    id: int
    name: str
    password: str
    role: Role
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session or a token that is held, and whose it is."""

    account: Account
    created_at: float
    used_at: float | None


def _as_account(line: Row[Any]) -> Account:
    return Account(
        id=line.id, name=line.name, password=line.password, role=Role(line.role), created_at=line.created_at
    )


def any_account(tx: Transaction) -> bool:
    """Tell whether anybody has an account."""
    return bool(tx.execute(select(exists(select(account.c.id)))).scalar())


def add_account(tx: Transaction, *, name: str, password: str, role: Role) -> int:
    """Add an account and return its id."""
    line = insert(account).values(name=name, password=password, role=role, created_at=now())
    return int(tx.execute(line.returning(account.c.id)).scalar_one())


def find_account(tx: Transaction, name: str) -> Account | None:
    """Return the account of that name, whatever the case of its letters."""
    line = tx.execute(select(account).where(func.lower(account.c.name) == name.lower())).first()
    return _as_account(line) if line else None


def list_accounts(tx: Transaction) -> list[tuple[Account, int]]:
    """Return the accounts by name, each with the number of its tokens."""
    tokens = select(func.count()).where(token.c.account_id == account.c.id).scalar_subquery()
    query = select(account, tokens.label("tokens")).order_by(account.c.name)
    return [(_as_account(line), line.tokens) for line in tx.execute(query)]


def change_account(tx: Transaction, account_id: int, **values: Any) -> None:
    """Change an account."""
    tx.execute(update(account).where(account.c.id == account_id).values(**values))


def remove_account(tx: Transaction, account_id: int) -> None:
    """Remove an account with its sessions and tokens."""
    tx.execute(delete(account).where(account.c.id == account_id))


def add_session(tx: Transaction, account_id: int, mark: str) -> None:
    """Begin a session."""
    tx.execute(insert(session).values(mark=mark, account_id=account_id, created_at=now(), seen_at=now()))


def find_session(tx: Transaction, mark: str) -> Held | None:
    """Return the session of that mark."""
    query = select(account, session.c.created_at.label("begun"), session.c.seen_at.label("used"))
    return _held(tx.execute(query.join(session).where(session.c.mark == mark)).first())


def note_session(tx: Transaction, mark: str) -> None:
    """Note that a session was used."""
    tx.execute(update(session).where(session.c.mark == mark).values(seen_at=now()))


def remove_session(tx: Transaction, mark: str) -> None:
    """End a session."""
    tx.execute(delete(session).where(session.c.mark == mark))


def remove_sessions(tx: Transaction, *, account_id: int | None = None, seen_before: float | None = None) -> None:
    """End all sessions of an account, or all that were not used since."""
    statement = delete(session)
    if account_id is not None:
        statement = statement.where(session.c.account_id == account_id)
    if seen_before is not None:
        statement = statement.where(session.c.seen_at < seen_before)
    tx.execute(statement)


def add_token(tx: Transaction, account_id: int, *, name: str, mark: str) -> None:
    """Give an account a token."""
    tx.execute(insert(token).values(account_id=account_id, name=name, mark=mark, created_at=now()))


def find_token(tx: Transaction, mark: str) -> Held | None:
    """Return the token of that mark."""
    query = select(account, token.c.created_at.label("begun"), token.c.used_at.label("used"))
    return _held(tx.execute(query.join(token).where(token.c.mark == mark)).first())


def note_token(tx: Transaction, mark: str) -> None:
    """Note that a token was used."""
    tx.execute(update(token).where(token.c.mark == mark).values(used_at=now()))


def remove_tokens(tx: Transaction, account_id: int) -> int:
    """Take all tokens of an account back and return how many they were."""
    return int(tx.execute(delete(token).where(token.c.account_id == account_id)).rowcount)


def _held(line: Row[Any] | None) -> Held | None:
    return Held(account=_as_account(line), created_at=line.begun, used_at=line.used) if line else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """How often somebody tried, and until when nobody may."""

    failures: int
    last_at: float
    locked_until: float | None


def find(tx: Transaction, about: str) -> Guesses | None:
    """Return the tries about a name or host; only one transaction at a time looks and counts."""
    take_turns(tx, f"guess:{about}")
    query = select(guess.c.failures, guess.c.last_at, guess.c.locked_until).where(guess.c.about == about)
    line = tx.execute(query).first()
    return Guesses(failures=line.failures, last_at=line.last_at, locked_until=line.locked_until) if line else None


def keep(tx: Transaction, about: str, tries: Guesses) -> None:
    """Keep the tries about a name or host."""
    values = {"failures": tries.failures, "last_at": tries.last_at, "locked_until": tries.locked_until}
    upsert(tx, guess, {"about": about}, values, values)


def forget(tx: Transaction, about: Sequence[str], *, older_than: float) -> None:
    """Forget the tries about these, and all that are older than a moment."""
    tx.execute(delete(guess).where(guess.c.about.in_(about) | (guess.c.last_at < older_than)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One act of a person."""

    at: float
    who: str
    act: str
    job_id: int | None
    detail: str


def note(tx: Transaction, *, who: str, act: str, job_id: int | None = None, detail: str = "") -> None:
    """Add a line; `who` is an account's name, or `-` where nobody signs in."""
    tx.execute(insert(audit).values(at=now(), who=who, act=act, job_id=job_id, detail=detail))


def lines(tx: Transaction, *, job_id: int | None = None, most: int = 200) -> list[Line]:
    """Return the newest lines, newest first; of one job alone when it is named."""
    query = select(audit.c.at, audit.c.who, audit.c.act, audit.c.job_id, audit.c.detail)
    if job_id is not None:
        query = query.where(audit.c.job_id == job_id)
    found = tx.execute(query.order_by(audit.c.id.desc()).limit(most))
    return [Line(**line._mapping) for line in found]  # noqa: SLF001 - the documented way to read a line as a mapping
