"""Accounts, as `roster user` makes and changes them, and as somebody signs in to one."""

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
    """Nobody may try now; `seconds` says for how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many wrong passwords; try again in {_span(seconds)}")
        self.seconds = seconds


def add(ledger: Ledger, *, name: str, password: str, role: Role, by: str) -> None:
    """Add an account; raises UsageError when the name is taken or odd, or the password is too short."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an account: letters, digits and . @ + - _ will do")
    kept = passwords.hashed(password)
    with ledger.write() as tx:
        if accounts.find_account(tx, name):
            raise UsageError(
                f"There is an account {name} already; `roster user password {name}` changes its password"
            )
        accounts.add_account(tx, name=name, password=kept, role=role)
        accounts.note(tx, who=by, act="user add", detail=f"{name} as {role}")


def remove(ledger: Ledger, name: str, *, by: str) -> None:
    """Remove an account with its sessions and tokens."""
    with ledger.write() as tx:
        accounts.remove_account(tx, get(tx, name).id)
        accounts.note(tx, who=by, act="user remove", detail=name)


def change_password(ledger: Ledger, name: str, password: str, *, by: str) -> None:
    """Give an account another password, and end its sessions."""
    kept = passwords.hashed(password)
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.change_account(tx, known.id, password=kept)
        accounts.remove_sessions(tx, account_id=known.id)
        accounts.note(tx, who=by, act="user password", detail=known.name)


def change_role(ledger: Ledger, name: str, role: Role, *, by: str) -> None:
    """Give an account another role."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.change_account(tx, known.id, role=role)
        accounts.note(tx, who=by, act="user role", detail=f"{known.name} as {role}")


def make_token(ledger: Ledger, name: str, label: str, *, by: str) -> str:
    """Give an account a token and return it; it cannot be shown again."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.note(tx, who=by, act="user token", detail=f"{known.name}: {label}")
        return keys.make_token(tx, known.id, label)


def revoke_tokens(ledger: Ledger, name: str, *, by: str) -> int:
    """Take all tokens of an account back and return how many they were."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.note(tx, who=by, act="user token", detail=f"{known.name}: all revoked")
        return accounts.remove_tokens(tx, known.id)


def sign_in(ledger: Ledger, name: str, password: str, host: str) -> str:
    """Begin a session and return what its cookie holds.

    Raises LockedOut while nobody may try, WrongPassword when there is no such account with that password; the two
    cannot be told apart, nor by the time it takes.
    """
    with ledger.write() as tx:
        seconds = guessing.locked_for(tx, name, host)
        known = accounts.find_account(tx, name)
    if seconds:
        raise LockedOut(seconds)
    right = passwords.fits(password, known.password if known else None)
    with ledger.write() as tx:
        if not right or known is None:
            accounts.note(tx, who=known.name if known else "-", act="sign-in refused")
        else:
            guessing.forgive(tx, name, host)
            accounts.note(tx, who=known.name, act="sign in")
            return keys.open_session(tx, known.id)
    raise WrongPassword("There is no account with this name and password")


def get(tx: Transaction, name: str) -> Account:
    """Return the account of that name; raises UsageError that names those there are."""
    known = accounts.find_account(tx, name)
    if known is None:
        there = ", ".join(each.name for each, _ in accounts.list_accounts(tx)) or "none"
        raise UsageError(f"There is no account {name}; there are: {there}")
    return known


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1, round(seconds))} seconds"  # noqa: PLR2004
