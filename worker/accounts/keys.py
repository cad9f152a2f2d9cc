"""What an account shows instead of its password: the cookie of a session, the token of a program."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from worker.ledger import accounts
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.accounts import Account
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger

#: Begins every token, so that one that has got where it does not belong is recognised.
PREFIX = "roster_"
#: A session ends after this even when it is used all the time (seconds).
LONGEST_SESSION = 7 * 24 * 3600.0
#: That something was used is noted so often at most (seconds).
NOTED_EVERY = 300.0
_LONGEST = 200


def open_session(tx: Transaction, account_id: int) -> str:
    """Begin a session and return what its cookie holds."""
    cookie = secrets.token_urlsafe(32)
    accounts.remove_sessions(tx, seen_before=now() - LONGEST_SESSION)
    accounts.add_session(tx, account_id, mark_of(cookie))
    return cookie


def close_session(tx: Transaction, cookie: str) -> None:
    """End a session."""
    accounts.remove_session(tx, mark_of(cookie))


def make_token(tx: Transaction, account_id: int, name: str) -> str:
    """Give an account a token and return it; it cannot be shown again."""
    token = f"{PREFIX}{secrets.token_urlsafe(32)}"
    accounts.add_token(tx, account_id, name=name, mark=mark_of(token))
    return token


def owner_of_session(ledger: Ledger, cookie: str, idle_seconds: float) -> Account | None:
    """Return whose session a cookie is, if it still holds."""
    mark = mark_of(cookie)
    with ledger.read() as tx:
        held = accounts.find_session(tx, mark)
    if held is None or held.used_at is None:
        return None
    at = now()
    if held.used_at < at - idle_seconds or held.created_at < at - LONGEST_SESSION:
        return None
    if held.used_at < at - min(NOTED_EVERY, idle_seconds / 10):
        with ledger.write() as tx:
            accounts.note_session(tx, mark)
    return held.account


def owner_of_token(ledger: Ledger, token: str) -> Account | None:
    """Return whose token this is."""
    mark = mark_of(token)
    with ledger.read() as tx:
        held = accounts.find_token(tx, mark)
    if held is not None and (held.used_at or 0.0) < now() - NOTED_EVERY:
        with ledger.write() as tx:
            accounts.note_token(tx, mark)
    return held.account if held else None


def mark_of(secret: str) -> str:
    """Return what the ledger keeps of a cookie or token: 256 random bits need no slow hash."""
    return hashlib.sha256(secret[:_LONGEST].encode("utf-8", "replace")).hexdigest()
