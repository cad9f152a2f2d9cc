"""Accounts, their sessions and API tokens. Of cookies and tokens the ledger has hashes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, insert, select, update

from worker.ledger.database import now
from worker.ledger.schema import account, session, token
from worker.model import Role

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


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


def any_account(tx: Connection) -> bool:
    """Tell whether anybody has an account."""
    return bool(tx.execute(select(exists(select(account.c.id)))).scalar())


def add_account(tx: Connection, *, name: str, password: str, role: Role) -> int:
    """Add an account and return its id."""
    line = insert(account).values(name=name, password=password, role=role, created_at=now())
    return int(tx.execute(line.returning(account.c.id)).scalar_one())


def find_account(tx: Connection, name: str) -> Account | None:
    """Return the account of that name, whatever the case of its letters."""
    line = tx.execute(select(account).where(func.lower(account.c.name) == name.lower())).first()
    return _as_account(line) if line else None


def list_accounts(tx: Connection) -> list[tuple[Account, int]]:
    """Return the accounts by name, each with the number of its tokens."""
    tokens = select(func.count()).where(token.c.account_id == account.c.id).scalar_subquery()
    query = select(account, tokens.label("tokens")).order_by(account.c.name)
    return [(_as_account(line), line.tokens) for line in tx.execute(query)]


def change_account(tx: Connection, account_id: int, **values: Any) -> None:
    """Change an account."""
    tx.execute(update(account).where(account.c.id == account_id).values(**values))


def remove_account(tx: Connection, account_id: int) -> None:
    """Remove an account with its sessions and tokens."""
    tx.execute(delete(account).where(account.c.id == account_id))


def add_session(tx: Connection, account_id: int, mark: str) -> None:
    """Begin a session."""
    tx.execute(insert(session).values(mark=mark, account_id=account_id, created_at=now(), seen_at=now()))


def find_session(tx: Connection, mark: str) -> Held | None:
    """Return the session of that mark."""
    query = select(account, session.c.created_at.label("begun"), session.c.seen_at.label("used"))
    return _held(tx.execute(query.join(session).where(session.c.mark == mark)).first())


def note_session(tx: Connection, mark: str) -> None:
    """Note that a session was used."""
    tx.execute(update(session).where(session.c.mark == mark).values(seen_at=now()))


def remove_session(tx: Connection, mark: str) -> None:
    """End a session."""
    tx.execute(delete(session).where(session.c.mark == mark))


def remove_sessions(tx: Connection, *, account_id: int | None = None, seen_before: float | None = None) -> None:
    """End all sessions of an account, or all that were not used since."""
    statement = delete(session)
    if account_id is not None:
        statement = statement.where(session.c.account_id == account_id)
    if seen_before is not None:
        statement = statement.where(session.c.seen_at < seen_before)
    tx.execute(statement)


def add_token(tx: Connection, account_id: int, *, name: str, mark: str) -> None:
    """Give an account a token."""
    tx.execute(insert(token).values(account_id=account_id, name=name, mark=mark, created_at=now()))


def find_token(tx: Connection, mark: str) -> Held | None:
    """Return the token of that mark."""
    query = select(account, token.c.created_at.label("begun"), token.c.used_at.label("used"))
    return _held(tx.execute(query.join(token).where(token.c.mark == mark)).first())


def note_token(tx: Connection, mark: str) -> None:
    """Note that a token was used."""
    tx.execute(update(token).where(token.c.mark == mark).values(used_at=now()))


def remove_tokens(tx: Connection, account_id: int) -> int:
    """Take all tokens of an account back and return how many they were."""
    return int(tx.execute(delete(token).where(token.c.account_id == account_id)).rowcount)


def _held(line: Row[Any] | None) -> Held | None:
    return Held(account=_as_account(line), created_at=line.begun, used_at=line.used) if line else None
