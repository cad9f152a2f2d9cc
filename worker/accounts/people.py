"""Accounts: created and changed by `roster user`, and signed in to on the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.accounts import guessing, keys, passwords
from worker.errors import UsageError
from worker.ledger import accounts

if TYPE_CHECKING:
    from worker.ledger.accounts import Account
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.model import Role

_NAME = re.compile(r"[\w][\w.@+ -]{0,98}[\w]|[\w]")


class WrongPassword(UsageError):
    """There is no such account with that password."""


class LockedOut(UsageError):
    """The name or the host is locked for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many wrong passwords; try again in {_duration(seconds)}")
        self.seconds = seconds


def add(ledger: Ledger, *, name: str, password: str, role: Role, by: str) -> None:
    """Add an account; raises UsageError when the name exists or is invalid, or the password is too short."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid account name; use letters, digits and . @ + - _")
    password_hash = passwords.hash_password(password)
    with ledger.write() as tx:
        if accounts.find_account(tx, name):
            raise UsageError(
                f"There is already an account {name}; `roster user password {name}` changes its password"
            )
        accounts.add_account(tx, name=name, password=password_hash, role=role)
        accounts.add_audit_entry(tx, actor=by, action="user add", detail=f"{name} as {role}")


def remove(ledger: Ledger, name: str, *, by: str) -> None:
    """Remove an account with its sessions and tokens."""
    with ledger.write() as tx:
        accounts.remove_account(tx, get(tx, name).id)
        accounts.add_audit_entry(tx, actor=by, action="user remove", detail=name)


def change_password(ledger: Ledger, name: str, password: str, *, by: str) -> None:
    """Change the password of an account, and end its sessions."""
    password_hash = passwords.hash_password(password)
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.change_account(tx, known.id, password=password_hash)
        accounts.remove_sessions(tx, account_id=known.id)
        accounts.add_audit_entry(tx, actor=by, action="user password", detail=known.name)


def change_role(ledger: Ledger, name: str, role: Role, *, by: str) -> None:
    """Change the role of an account."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.change_account(tx, known.id, role=role)
        accounts.add_audit_entry(tx, actor=by, action="user role", detail=f"{known.name} as {role}")


def make_token(ledger: Ledger, name: str, label: str, *, by: str) -> str:
    """Create a token for an account and return it; it cannot be shown again."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.add_audit_entry(tx, actor=by, action="user token", detail=f"{known.name}: {label}")
        return keys.make_token(tx, known.id, label)


def revoke_tokens(ledger: Ledger, name: str, *, by: str) -> int:
    """Revoke all tokens of an account. Return how many there were."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.add_audit_entry(tx, actor=by, action="user token", detail=f"{known.name}: all revoked")
        return accounts.remove_tokens(tx, known.id)


def sign_in(ledger: Ledger, name: str, password: str, host: str) -> str:
    """Start a session. Return the value of its cookie.

    Raises LockedOut while the name or host is locked, WrongPassword when there is no account with this name and
    password. An unknown name and a wrong password look the same and take the same time.
    """
    with ledger.write() as tx:
        seconds = guessing.count_attempt(tx, name, host)
        known = accounts.find_account(tx, name)
    if seconds:
        raise LockedOut(seconds)
    right = passwords.matches(password, known.password if known else None)
    with ledger.write() as tx:
        if not right or known is None:
            accounts.add_audit_entry(tx, actor=known.name if known else "-", action="sign-in refused")
        else:
            guessing.reset(tx, name, host)
            accounts.add_audit_entry(tx, actor=known.name, action="sign in")
            return keys.open_session(tx, known.id)
    raise WrongPassword("There is no account with this name and password")


def get(tx: Transaction, name: str) -> Account:
    """Return the account of that name; raises UsageError with the existing names when there is none."""
    known = accounts.find_account(tx, name)
    if known is None:
        names = ", ".join(each.name for each, _ in accounts.list_accounts(tx)) or "none"
        raise UsageError(f"There is no account {name}; the accounts are: {names}")
    return known


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1, round(seconds))} seconds"  # noqa: PLR2004
