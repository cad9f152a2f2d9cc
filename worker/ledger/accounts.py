"""Accounts, sessions, API tokens, failed sign-ins and the audit log. Of cookies and tokens only hashes are kept."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, event, exists, func, insert, select, update

from worker.ledger.database import now, take_lock, upsert
from worker.ledger.schema import account, audit, known_browser, session, sign_in_failure, token
from worker.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.model import Actor

#: Of a server or worker it goes to the log stream; a command has none.
audit_log = logging.getLogger("roster.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user account; `password` is the Argon2id hash."""

    id: int
    name: str
    password: str
    role: Role
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A session or a token, with its account."""

    account: Account
    created_at: float
    used_at: float | None


def _as_account(record: Row[Any]) -> Account:
    return Account(
        id=record.id,
        name=record.name,
        password=record.password,
        role=Role(record.role),
        created_at=record.created_at,
    )


def any_account(tx: Transaction) -> bool:
    """Return whether there is any account."""
    return bool(tx.execute(select(exists(select(account.c.id)))).scalar())


def fold_name(name: str) -> str:
    """Return a name as it is compared: NFKC, case folded; by Python, since a database may know only ASCII."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def add_account(tx: Transaction, *, name: str, password: str, role: Role) -> int:
    """Add an account and return its id."""
    record = insert(account).values(
        name=name, name_key=fold_name(name), password=password, role=role, created_at=now()
    )
    return int(tx.execute(record.returning(account.c.id)).scalar_one())


def find_account(tx: Transaction, name: str) -> Account | None:
    """Return the account of that name, in any letter case.

    Of accounts from before names were folded, several may fold alike: the exact spelling then decides.
    """
    is_exact = account.c.name == name
    query = select(account).where(is_exact | (account.c.name_key == fold_name(name)))
    record = tx.execute(query.order_by(is_exact.desc()).limit(1)).first()
    return _as_account(record) if record else None


def list_accounts(tx: Transaction) -> list[tuple[Account, int]]:
    """Return the accounts by name, each with the number of its tokens."""
    tokens = select(func.count()).where(token.c.account_id == account.c.id).scalar_subquery()
    query = select(account, tokens.label("tokens")).order_by(account.c.name)
    return [(_as_account(record), record.tokens) for record in tx.execute(query)]


def change_account(tx: Transaction, account_id: int, **values: Any) -> None:
    """Change an account."""
    tx.execute(update(account).where(account.c.id == account_id).values(**values))


def remove_account(tx: Transaction, account_id: int) -> None:
    """Remove an account with its sessions and tokens."""
    tx.execute(delete(account).where(account.c.id == account_id))


def add_session(tx: Transaction, account_id: int, secret_hash: str) -> None:
    """Start a session."""
    tx.execute(
        insert(session).values(secret_hash=secret_hash, account_id=account_id, created_at=now(), seen_at=now())
    )


def find_session(tx: Transaction, secret_hash: str) -> Credential | None:
    """Return the session with that hash."""
    query = select(account, session.c.created_at.label("begun"), session.c.seen_at.label("used"))
    return _as_credential(tx.execute(query.join(session).where(session.c.secret_hash == secret_hash)).first())


def touch_session(tx: Transaction, secret_hash: str) -> None:
    """Record that a session was used now."""
    tx.execute(update(session).where(session.c.secret_hash == secret_hash).values(seen_at=now()))


def remove_session(tx: Transaction, secret_hash: str) -> None:
    """End a session."""
    tx.execute(delete(session).where(session.c.secret_hash == secret_hash))


def remove_sessions(tx: Transaction, *, account_id: int | None = None, seen_before: float | None = None) -> None:
    """End all sessions of an account, or all that were not used since `seen_before`."""
    statement = delete(session)
    if account_id is not None:
        statement = statement.where(session.c.account_id == account_id)
    if seen_before is not None:
        statement = statement.where(session.c.seen_at < seen_before)
    tx.execute(statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token of an account, without its secret."""

    name: str
    created_at: float
    used_at: float | None
    #: From then on it is refused; None when it is valid until it is revoked.
    expires_at: float | None

    @property
    def has_expired(self) -> bool:
        """Return whether it is refused by now."""
        return self.expires_at is not None and self.expires_at <= now()


def add_token(
    tx: Transaction, account_id: int, *, name: str, secret_hash: str, expires_at: float | None = None
) -> None:
    """Give an account a token."""
    values = {"name": name, "secret_hash": secret_hash, "expires_at": expires_at}
    tx.execute(insert(token).values(account_id=account_id, created_at=now(), **values))


def find_token(tx: Transaction, secret_hash: str) -> Credential | None:
    """Return the token with that hash; None when there is none, or it has expired."""
    query = select(account, token.c.created_at.label("begun"), token.c.used_at.label("used"))
    is_valid = token.c.expires_at.is_(None) | (token.c.expires_at > now())
    return _as_credential(tx.execute(query.join(token).where(token.c.secret_hash == secret_hash, is_valid)).first())


def list_tokens(tx: Transaction, account_id: int) -> list[Token]:
    """Return the tokens of an account, oldest first."""
    query = select(token.c.name, token.c.created_at, token.c.used_at, token.c.expires_at)
    found = tx.execute(query.where(token.c.account_id == account_id).order_by(token.c.id))
    return [Token(**record._mapping) for record in found]  # noqa: SLF001 - as in `audit_entries`


def touch_token(tx: Transaction, secret_hash: str) -> None:
    """Record that a token was used now."""
    tx.execute(update(token).where(token.c.secret_hash == secret_hash).values(used_at=now()))


def remove_tokens(tx: Transaction, account_id: int, *, name: str | None = None) -> int:
    """Revoke all tokens of an account, or the one of that name. Return how many there were."""
    statement = delete(token).where(token.c.account_id == account_id)
    if name is not None:
        statement = statement.where(token.c.name == name)
    return int(tx.execute(statement).rowcount)


def _as_credential(record: Row[Any] | None) -> Credential | None:
    return Credential(account=_as_account(record), created_at=record.begun, used_at=record.used) if record else None


def is_known_browser(tx: Transaction, account_id: int, secret_hash: str, *, since: float) -> bool:
    """Return whether an account has signed in with a browser since a moment."""
    query = select(known_browser.c.seen_at).where(
        known_browser.c.account_id == account_id,
        known_browser.c.secret_hash == secret_hash,
        known_browser.c.seen_at >= since,
    )
    return tx.execute(query).first() is not None


def remember_browser(tx: Transaction, account_id: int, old_hash: str, new_hash: str) -> None:
    """Record that an account signed in with a browser, whose cookie has changed from one to another."""
    tx.execute(update(known_browser).where(known_browser.c.secret_hash == old_hash).values(secret_hash=new_hash))
    key = {"account_id": account_id, "secret_hash": new_hash}
    upsert(tx, known_browser, key, {"seen_at": now()}, {"seen_at": now()})


def forget_browsers(tx: Transaction, *, seen_before: float) -> None:
    """Forget the browsers in which nobody has signed in since a moment."""
    tx.execute(delete(known_browser).where(known_browser.c.seen_at < seen_before))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInFailures:
    """Failed sign-ins of one subject, and until when it is locked; see `accounts.guessing`."""

    failures: int
    last_at: float
    locked_until: float | None


def find_failures(tx: Transaction, subject: str) -> SignInFailures | None:
    """Return the failures of a subject; one transaction at a time reads and counts them."""
    take_lock(tx, f"sign_in_failure:{subject}")
    query = select(sign_in_failure.c.failures, sign_in_failure.c.last_at, sign_in_failure.c.locked_until).where(
        sign_in_failure.c.subject == subject
    )
    record = tx.execute(query).first()
    return (
        SignInFailures(failures=record.failures, last_at=record.last_at, locked_until=record.locked_until)
        if record
        else None
    )


def save_failures(tx: Transaction, subject: str, found: SignInFailures) -> None:
    """Save the failures of a subject."""
    values = {"failures": found.failures, "last_at": found.last_at, "locked_until": found.locked_until}
    upsert(tx, sign_in_failure, {"subject": subject}, values, values)


def delete_failures(tx: Transaction, subjects: Sequence[str], *, older_than: float) -> None:
    """Delete the failures of these subjects, and all older than a moment."""
    tx.execute(
        delete(sign_in_failure).where(
            sign_in_failure.c.subject.in_(subjects) | (sign_in_failure.c.last_at < older_than)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action of a person, or a refusal."""

    at: float
    actor: str
    #: The caller's address, or `cli`; empty in entries of older versions.
    address: str
    action: str
    job_id: int | None
    detail: str
    #: How many times; more than once for refusals only.
    count: int


#: The lengths of the columns.
_MAX_ACTOR = _MAX_ADDRESS = 100


def add_audit_entry(
    tx: Transaction, *, actor: Actor, action: str, job_id: int | None = None, detail: str = ""
) -> int:
    """Add an entry to the audit log and return its id; when it is committed, it goes to the log stream too.

    There without the detail, which may name a file.
    """
    values = {"actor": actor.name[:_MAX_ACTOR], "address": actor.address[:_MAX_ADDRESS], "action": action}
    record = insert(audit).values(at=now(), job_id=job_id, detail=detail, count=1, **values)
    logged = {**values, "job": job_id}

    def log(_: Transaction) -> None:
        audit_log.info("audit", extra={name: value for name, value in logged.items() if value})

    event.listen(tx, "commit", log, once=True)
    return int(tx.execute(record.returning(audit.c.id)).scalar_one())


def count_audit_entry(tx: Transaction, entry_id: int, count: int) -> None:
    """Say how many times an entry of the audit log has happened by now."""
    tx.execute(update(audit).where(audit.c.id == entry_id).values(count=count))


def remove_audit_entries(tx: Transaction, *, before: float) -> int:
    """Remove the entries of the audit log from before a moment. Return how many there were."""
    return int(tx.execute(delete(audit).where(audit.c.at < before)).rowcount)


def audit_entries(tx: Transaction, *, job_id: int | None = None, most: int = 200) -> list[AuditEntry]:
    """Return the newest entries of the audit log, newest first; of one job when it is given."""
    address = func.coalesce(audit.c.address, "").label("address")
    query = select(
        audit.c.at, audit.c.actor, address, audit.c.action, audit.c.job_id, audit.c.detail, audit.c.count
    )
    if job_id is not None:
        query = query.where(audit.c.job_id == job_id)
    found = tx.execute(query.order_by(audit.c.id.desc()).limit(most))
    return [AuditEntry(**record._mapping) for record in found]  # noqa: SLF001 - the documented way to read a record as a mapping
