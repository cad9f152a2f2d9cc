"""Credentials in place of a password: session cookies and API tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from worker.accounts import guessing
from worker.ledger import accounts
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.accounts import Account
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger

#: The prefix of every token, so that a leaked one is recognised.
PREFIX = "roster_"
#: A session ends after this time even if it is in use (seconds).
MAX_SESSION_SECONDS = 7 * 24 * 3600.0
#: The time of last use is written at most this often (seconds).
TOUCH_INTERVAL_SECONDS = 300.0
_MAX_LENGTH = 200


def open_session(tx: Transaction, account_id: int) -> str:
    """Start a session. Return the value of its cookie."""
    cookie = secrets.token_urlsafe(32)
    accounts.remove_sessions(tx, seen_before=now() - MAX_SESSION_SECONDS)
    accounts.add_session(tx, account_id, hash_secret(cookie))
    return cookie


def remember_browser(tx: Transaction, account_id: int, cookie: str) -> str:
    """Record that an account signed in with a browser. Return the new value of the browser's cookie.

    It is a new one, so that nobody knows it who gave the browser the old one.
    """
    new = secrets.token_urlsafe(24)
    accounts.forget_browsers(tx, seen_before=now() - guessing.BROWSER_KNOWN_SECONDS)
    accounts.remember_browser(tx, account_id, guessing.hash_browser(cookie), guessing.hash_browser(new))
    return new


def close_session(tx: Transaction, cookie: str) -> None:
    """End a session."""
    accounts.remove_session(tx, hash_secret(cookie))


def make_token(tx: Transaction, account_id: int, name: str, *, expires_at: float | None = None) -> str:
    """Create a token for an account and return it; it cannot be shown again."""
    token = f"{PREFIX}{secrets.token_urlsafe(32)}"
    accounts.add_token(tx, account_id, name=name, secret_hash=hash_secret(token), expires_at=expires_at)
    return token


def owner_of_session(ledger: Ledger, cookie: str, idle_seconds: float, *, touch: bool = True) -> Account | None:
    """Return the account of a session by its cookie; None when it has ended. With `touch` this is a use of it."""
    secret_hash = hash_secret(cookie)
    with ledger.read() as tx:
        credential = accounts.find_session(tx, secret_hash)
    if credential is None or credential.used_at is None:
        return None
    at = now()
    if credential.used_at < at - idle_seconds or credential.created_at < at - MAX_SESSION_SECONDS:
        return None
    if touch and credential.used_at < at - min(TOUCH_INTERVAL_SECONDS, idle_seconds / 10):
        with ledger.write() as tx:
            accounts.touch_session(tx, secret_hash)
    return credential.account


def owner_of_token(ledger: Ledger, token: str, *, touch: bool = True) -> Account | None:
    """Return the account of a token; None when there is no such token, or it has expired.

    With `touch` this is a use of it.
    """
    secret_hash = hash_secret(token)
    with ledger.read() as tx:
        credential = accounts.find_token(tx, secret_hash)
    if touch and credential is not None and (credential.used_at or 0.0) < now() - TOUCH_INTERVAL_SECONDS:
        with ledger.write() as tx:
            accounts.touch_token(tx, secret_hash)
    return credential.account if credential else None


def hash_secret(secret: str) -> str:
    """Return the hash of a cookie or token for the ledger; 256 random bits need no slow hash."""
    return hashlib.sha256(secret[:_MAX_LENGTH].encode("utf-8", "replace")).hexdigest()
