"""Accounts: created and changed by `roster user`, and signed in to on the page."""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.accounts import guessing, keys, passwords
from worker.errors import UsageError
from worker.ledger import accounts
from worker.ledger.database import now, take_lock
from worker.model import Actor, Role
from worker.quantities import counted

if TYPE_CHECKING:
    from worker.ledger.accounts import Account, Token
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger

MAX_NAME = 100
#: Further characters inside a name.
_PUNCTUATION = frozenset(".@+ -")
#: Marks that nobody sees: two names that differ in one would look alike.
_INVISIBLE = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}


class WrongPassword(UsageError):
    """There is no such account with that password; `account` is its name, or `-` when there is none."""

    def __init__(self, message: str, *, account: str) -> None:
        super().__init__(message)
        self.account = account


class LockedOut(UsageError):
    """Further attempts must wait `seconds`; `account` is the name of the account, or `-` when there is none."""

    def __init__(self, seconds: float, *, account: str) -> None:
        super().__init__(f"Too many wrong passwords; try again in {_duration(seconds)}")
        self.seconds = seconds
        self.account = account


def is_valid_name(name: str) -> bool:
    """Return whether an account may have this name: letters and digits of any script, inside also . @ + - space."""
    letters = [_is_letter(character) for character in name]
    return (
        0 < len(name) <= MAX_NAME
        and len(accounts.fold_name(name)) <= MAX_NAME
        and name[0].isalnum() | (name[0] == "_")
        and letters[-1]
        and all(is_letter or character in _PUNCTUATION for is_letter, character in zip(letters, name, strict=True))
    )


def _is_letter(character: str) -> bool:
    is_mark = unicodedata.category(character) in {"Mn", "Mc"} and character not in _INVISIBLE
    return character.isalnum() or character == "_" or is_mark


def add(ledger: Ledger, *, name: str, password: str, role: Role, by: Actor) -> None:
    """Add an account; raises UsageError when the name exists or is invalid, or the password is weak."""
    name = unicodedata.normalize("NFC", name)
    if not is_valid_name(name):
        raise UsageError(f"{name!r} is not a valid account name; use letters, digits and . @ + - _")
    password_hash = passwords.hash_password(password, personal=[name])
    with ledger.write() as tx:
        if known := accounts.find_account(tx, name):
            raise UsageError(
                f"There is already an account {known.name}; "
                f"`roster user password {known.name}` changes its password"
            )
        accounts.add_account(tx, name=name, password=password_hash, role=role)
        accounts.add_audit_entry(tx, actor=by, action="user add", detail=f"{name} as {role}")


def remove(ledger: Ledger, name: str, *, by: Actor, may_be_last: bool = False) -> None:
    """Remove an account with its sessions and tokens.

    Raises UsageError for the last account, unless it `may_be_last`.
    """
    with ledger.write() as tx:
        take_lock(tx, "accounts")
        known = get(tx, name)
        if not may_be_last and len(accounts.list_accounts(tx)) == 1:
            raise UsageError(
                f"{known.name} is the last account. Without it a `roster serve` that is running refuses everyone, "
                "and the next one serves only this machine, without sign-in. To remove it anyway, use --force"
            )
        accounts.remove_account(tx, known.id)
        accounts.add_audit_entry(tx, actor=by, action="user remove", detail=name)


def change_password(ledger: Ledger, name: str, password: str, *, by: Actor, revoke: bool = False) -> None:
    """Change the password of an account, and end its sessions; with `revoke`, revoke its tokens too."""
    with ledger.read() as tx:
        name = get(tx, name).name
    password_hash = passwords.hash_password(password, personal=[name])
    with ledger.write() as tx:
        _replace_password(tx, get(tx, name), password_hash, by=by, revoke=revoke)


def change_own_password(
    ledger: Ledger, account: Account, current: str, password: str, *, by: Actor, revoke: bool = False
) -> str:
    """Change the password of an account by somebody who knows the current one, and end its sessions.

    With `revoke`, revoke its tokens too. Return the cookie of a new session for the browser that asked. Raises
    WrongPassword; LockedOut after too many wrong ones, which are counted apart from those at signing in; UsageError
    when the new one is weak.
    """
    subject = f"account:{account.id}"
    with ledger.write() as tx:
        seconds = guessing.count_own(tx, subject)
    if seconds:
        raise LockedOut(seconds, account=account.name)
    if not passwords.matches(current, account.password):
        raise WrongPassword("The current password is not right; nothing was changed", account=account.name)
    with ledger.write() as tx:
        guessing.forgive_own(tx, subject)
    password_hash = passwords.hash_password(password, personal=[account.name])
    with ledger.write() as tx:
        _replace_password(tx, account, password_hash, by=by, revoke=revoke)
        return keys.open_session(tx, account.id)


def _replace_password(tx: Transaction, account: Account, password_hash: str, *, by: Actor, revoke: bool) -> None:
    accounts.change_account(tx, account.id, password=password_hash)
    accounts.remove_sessions(tx, account_id=account.id)
    if revoke:
        accounts.remove_tokens(tx, account.id)
    detail = f"{account.name}, with its tokens revoked" if revoke else account.name
    accounts.add_audit_entry(tx, actor=by, action="user password", detail=detail)


def sign_out_everywhere(ledger: Ledger, name: str, *, by: Actor) -> None:
    """End all sessions of an account; its tokens stay valid."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.remove_sessions(tx, account_id=known.id)
        accounts.add_audit_entry(tx, actor=by, action="sign out everywhere", detail=known.name)


def change_role(ledger: Ledger, name: str, role: Role, *, by: Actor) -> None:
    """Change the role of an account."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.change_account(tx, known.id, role=role)
        accounts.add_audit_entry(tx, actor=by, action="user role", detail=f"{known.name} as {role}")


def make_token(ledger: Ledger, name: str, token_name: str = "", *, by: Actor, lifetime: float | None = None) -> str:
    """Create a token for an account and return it; it cannot be shown again.

    It is valid for `lifetime` seconds. Without a name it gets `token-1`, `token-2`, …; a new one replaces an
    expired one of its name. Raises UsageError when the account has a token of that name.
    """
    with ledger.write() as tx:
        known = get(tx, name)
        token_name = _free_token_name(tx, known, token_name)
        accounts.add_audit_entry(tx, actor=by, action="user token", detail=f"{known.name}: {token_name}")
        expires_at = None if lifetime is None else now() + lifetime
        return keys.make_token(tx, known.id, token_name, expires_at=expires_at)


def _free_token_name(tx: Transaction, owner: Account, wanted: str) -> str:
    tokens = {token.name: token for token in accounts.list_tokens(tx, owner.id)}
    if not wanted:
        return next(name for name in map("token-{}".format, itertools.count(1)) if name not in tokens)
    if not wanted.isprintable() or wanted != wanted.strip() or len(wanted) > MAX_NAME:
        raise UsageError(f"{wanted!r} is not a valid name of a token; use up to {MAX_NAME} characters on one line")
    if wanted in tokens and not tokens[wanted].has_expired:
        raise UsageError(
            f"{owner.name} has a token {wanted} already; give the new one another --name, or revoke the old one: "
            f"`roster user revoke {owner.name} {wanted}`"
        )
    accounts.remove_tokens(tx, owner.id, name=wanted)
    return wanted


def tokens_of(ledger: Ledger, name: str) -> list[Token]:
    """Return the tokens of an account, oldest first. Raises UsageError when there is no such account."""
    with ledger.read() as tx:
        return accounts.list_tokens(tx, get(tx, name).id)


def revoke_token(ledger: Ledger, name: str, token_name: str, *, by: Actor) -> None:
    """Revoke one token of an account. Raises UsageError with the existing ones when there is none of that name."""
    with ledger.write() as tx:
        known = get(tx, name)
        if not accounts.remove_tokens(tx, known.id, name=token_name):
            names = ", ".join(token.name for token in accounts.list_tokens(tx, known.id)) or "none"
            raise UsageError(f"{known.name} has no token {token_name}; the tokens are: {names}")
        accounts.add_audit_entry(tx, actor=by, action="user revoke", detail=f"{known.name}: {token_name}")


def revoke_tokens(ledger: Ledger, name: str, *, by: Actor) -> int:
    """Revoke all tokens of an account. Return how many there were."""
    with ledger.write() as tx:
        known = get(tx, name)
        accounts.add_audit_entry(tx, actor=by, action="user revoke", detail=f"{known.name}: all tokens")
        return accounts.remove_tokens(tx, known.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The cookies of a browser that has signed in."""

    session: str
    #: By which the browser is known at its next sign-in.
    browser: str


def sign_in(
    ledger: Ledger, name: str, password: str, host: str, *, browser: str = "", replaces: str = ""
) -> SignedIn:
    """Start a session, and end the one that it `replaces`.

    `browser` and `replaces` are the cookies that the browser has. Raises LockedOut after too many failures,
    WrongPassword when there is no account with this name and password. An unknown name and a wrong password look
    the same and take the same time.
    """
    with ledger.write() as tx:
        seconds = guessing.count_attempt(tx, name, host, browser)
        known = accounts.find_account(tx, name)
    account = known.name if known else "-"
    if seconds:
        raise LockedOut(seconds, account=account)
    right = passwords.matches(password, known.password if known else None)
    if not right or known is None:
        raise WrongPassword("There is no account with this name and password", account=account)
    with ledger.write() as tx:
        guessing.forgive(tx, name, host, browser)
        if replaces:
            keys.close_session(tx, replaces)
        accounts.add_audit_entry(tx, actor=Actor(name=account, address=host), action="sign in")
        new_browser = keys.remember_browser(tx, known.id, browser)
        return SignedIn(session=keys.open_session(tx, known.id), browser=new_browser)


def get(tx: Transaction, name: str) -> Account:
    """Return the account of that name; raises UsageError with the existing names when there is none."""
    known = accounts.find_account(tx, name)
    if known is None:
        names = ", ".join(each.name for each, _ in accounts.list_accounts(tx)) or "none"
        raise UsageError(f"There is no account {name}; the accounts are: {names}")
    return known


def _duration(seconds: float) -> str:
    is_long = seconds >= 90  # noqa: PLR2004
    return counted(round(seconds / 60), "minute") if is_long else counted(max(1, round(seconds)), "second")
