"""What the accounts promise on every database: SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from worker.accounts import guessing, keys, passwords, people
from worker.errors import UsageError
from worker.ledger import accounts, schema
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.model import Actor, Role

GOOD = "a long and quiet evening"
LONG = "long sentences may have hundreds of characters, as this one; " * 15


def add(ledger: Ledger, name: str = "ana", role: Role = Role.OPERATOR) -> None:
    people.add(ledger, name=name, password=GOOD, role=role, by=Actor(name="-"))


def test_who_signs_in_holds_a_session_until_they_sign_out(ledger: Ledger) -> None:
    add(ledger)

    cookie = people.sign_in(ledger, "ANA", GOOD, "192.0.2.1").session

    known = keys.owner_of_session(ledger, cookie, 60)
    assert known is not None
    assert (known.name, known.role) == ("ana", Role.OPERATOR)
    assert keys.owner_of_session(ledger, cookie + "x", 60) is None
    with ledger.write() as tx:
        keys.close_session(tx, cookie)
    assert keys.owner_of_session(ledger, cookie, 60) is None


def test_a_session_that_is_used_lasts_and_one_that_is_not_ends(ledger: Ledger) -> None:
    add(ledger)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1").session

    def seen(ago: float, begun: float = 0.0) -> None:
        with ledger.write() as tx:
            tx.execute(update(schema.session).values(seen_at=now() - ago, created_at=now() - begun))

    seen(500)
    assert keys.owner_of_session(ledger, cookie, 600) is not None
    assert keys.owner_of_session(ledger, cookie, 60) is not None, "its use was not noted"
    seen(700)
    assert keys.owner_of_session(ledger, cookie, 600) is None
    seen(0, begun=keys.MAX_SESSION_SECONDS + 1)
    assert keys.owner_of_session(ledger, cookie, 600) is None


def test_the_ledger_contains_no_password_cookie_or_token(ledger: Ledger) -> None:
    add(ledger)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1").session
    token = people.make_token(ledger, "ana", "nightly", by=Actor(name="-"))

    with ledger.read() as tx:
        tables = (schema.account, schema.session, schema.token, schema.audit, schema.sign_in_failure)
        stored = str([tuple(record) for table in tables for record in tx.execute(table.select())])

    assert token.startswith(keys.PREFIX)
    assert [secret for secret in (GOOD, cookie, token) if secret in stored] == []
    assert "$argon2id$" in stored


def test_a_password_is_hashed_at_the_full_cost_outside_the_tests() -> None:
    code = f"from worker.accounts.passwords import hash_password; print(hash_password({GOOD!r}))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.hash_password(GOOD).startswith("$argon2id$v=19$m=8,t=1,p=1$")


def test_a_token_belongs_to_its_account_until_it_is_revoked(ledger: Ledger) -> None:
    add(ledger)
    tokens = [people.make_token(ledger, "ana", f"t{n}", by=Actor(name="-")) for n in range(2)]

    owners = [keys.owner_of_token(ledger, token) for token in tokens]

    assert [owner.name for owner in owners if owner] == ["ana", "ana"]
    assert people.revoke_tokens(ledger, "ana", by=Actor(name="-")) == 2
    assert keys.owner_of_token(ledger, tokens[0]) is None


def test_a_token_is_revoked_by_its_name_and_the_others_stay(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, "bea")
    ci, nightly, other = (
        people.make_token(ledger, *owner_and_name, by=Actor(name="-"))
        for owner_and_name in (("ana", "ci"), ("ana", "nightly"), ("bea", "ci"))
    )
    with pytest.raises(UsageError, match="has a token ci already"):
        people.make_token(ledger, "ana", "ci", by=Actor(name="-"))

    people.revoke_token(ledger, "ana", "ci", by=Actor(name="-"))

    owners = [keys.owner_of_token(ledger, token) for token in (ci, nightly, other)]
    assert [owner and owner.name for owner in owners] == [None, "ana", "bea"]
    with pytest.raises(UsageError, match="has no token ci; the tokens are: nightly"):
        people.revoke_token(ledger, "ana", "ci", by=Actor(name="-"))
    assert [token.name for token in people.tokens_of(ledger, "ANA")] == ["nightly"]


def test_a_token_is_refused_when_it_has_expired_and_makes_room_for_a_new_one(ledger: Ledger) -> None:
    add(ledger)
    token = people.make_token(ledger, "ana", "ci", by=Actor(name="-"), lifetime=3600)
    assert keys.owner_of_token(ledger, token) is not None
    with ledger.write() as tx:
        tx.execute(update(schema.token).values(expires_at=now()))

    assert keys.owner_of_token(ledger, token) is None
    assert [each.has_expired for each in people.tokens_of(ledger, "ana")] == [True]
    new = people.make_token(ledger, "ana", "ci", by=Actor(name="-"))
    assert keys.owner_of_token(ledger, new) is not None
    assert [each.has_expired for each in people.tokens_of(ledger, "ana")] == [False]


def test_a_new_password_revokes_the_tokens_when_asked(ledger: Ledger) -> None:
    add(ledger)
    token = people.make_token(ledger, "ana", by=Actor(name="-"))
    people.change_password(ledger, "ana", "another quiet evening", by=Actor(name="-"))
    assert keys.owner_of_token(ledger, token) is not None

    people.change_password(ledger, "ana", GOOD, by=Actor(name="-"), revoke=True)

    assert keys.owner_of_token(ledger, token) is None


def test_wrong_names_and_wrong_passwords_look_the_same(ledger: Ledger) -> None:
    add(ledger)
    said = set()
    for name, password in (("ana", "wrong"), ("unknown", "wrong"), ("unknown", GOOD), ("ana", ""), ("", "")):
        with pytest.raises(people.WrongPassword) as caught:
            people.sign_in(ledger, name, password, "192.0.2.1")
        said.add(str(caught.value))

    assert len(said) == 1


OWNER, GUESSER = "192.0.2.1", "198.51.100.7"


def guess(ledger: Ledger, name: str = "ana", host: str = GUESSER, browser: str = "") -> None:
    with pytest.raises(people.WrongPassword):
        people.sign_in(ledger, name, "wrong", host, browser=browser)


def counted(ledger: Ledger, name: str = "ana", host: str = GUESSER) -> float:
    """Count an attempt without the cost of a password; return how long it must wait."""
    with ledger.write() as tx:
        return guessing.count_attempt(tx, name, host)


@pytest.mark.parametrize("name", ["ana", "unknown"])
def test_guessing_a_name_makes_that_host_wait_even_with_the_right_password(ledger: Ledger, name: str) -> None:
    add(ledger)
    for _ in range(guessing.FREE_FAILURES):
        guess(ledger, name)

    with pytest.raises(people.LockedOut, match="try again in"):
        people.sign_in(ledger, name, GOOD, GUESSER)

    _let_pass(ledger)
    if name == "ana":
        assert people.sign_in(ledger, name, GOOD, GUESSER)
        guess(ledger)


def test_nobody_keeps_the_owner_of_an_account_out(ledger: Ledger) -> None:
    """From one host, from many, and again as soon as each wait is over."""
    add(ledger)
    hosts = [GUESSER, *(f"203.0.113.{number}" for number in range(40))]
    for _ in range(4):
        for host in hosts:
            while counted(ledger, host=host) == 0.0:
                pass
        assert people.sign_in(ledger, "ana", GOOD, OWNER)
        _let_pass(ledger, guessing.RECOVERY_SECONDS)


def test_a_browser_that_has_signed_in_before_has_an_allowance_that_no_stranger_uses_up(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, "bea")
    browser = people.sign_in(ledger, "ana", GOOD, OWNER, browser="first").browser
    for _ in range(guessing.FREE_FAILURES):
        counted(ledger, host=OWNER)
    assert counted(ledger, host=OWNER) > 0.0

    again = people.sign_in(ledger, "ana", GOOD, OWNER, browser=browser)

    assert again.browser != browser
    for stranger in (browser, "first", "guessed"):
        counted(ledger, host=OWNER)
        with pytest.raises(people.LockedOut):
            people.sign_in(ledger, "ana", GOOD, OWNER, browser=stranger)
    for _ in range(guessing.FREE_FAILURES):
        guess(ledger, host=OWNER, browser=again.browser)
    with pytest.raises(people.LockedOut):
        people.sign_in(ledger, "ana", GOOD, OWNER, browser=again.browser)
    for _ in range(guessing.FREE_FAILURES):
        assert counted(ledger, "bea", "192.0.2.9") == 0.0, "the browser is known for one account alone"


def test_waits_for_a_name_alone_are_short_however_many_guess_it(ledger: Ledger) -> None:
    waits = [counted(ledger, host=f"203.0.{number // 250}.{number % 250}") for number in range(400)]
    assert waits == [0.0] * 400, "a host that has not failed with this name is let through once"

    assert 0.0 < counted(ledger, host="203.0.0.1") <= guessing.RECOVERY_SECONDS
    assert counted(ledger, "bea", "203.0.0.1") == 0.0


def test_guessing_from_a_host_makes_it_wait_for_all_names_but_not_for_long(ledger: Ledger) -> None:
    add(ledger)
    for number in range(guessing.FREE_FAILURES_PER_HOST):
        assert counted(ledger, f"name{number}") == 0.0

    with pytest.raises(people.LockedOut) as caught:
        people.sign_in(ledger, "ana", GOOD, GUESSER)
    assert 0.0 < caught.value.seconds <= guessing.RECOVERY_SECONDS
    assert people.sign_in(ledger, "ana", GOOD, OWNER)
    _let_pass(ledger, guessing.RECOVERY_SECONDS)
    assert people.sign_in(ledger, "ana", GOOD, GUESSER)


def test_an_own_sign_in_gives_a_guesser_no_new_attempts(ledger: Ledger) -> None:
    add(ledger)
    tried = 0
    for number in range(guessing.FREE_FAILURES_PER_HOST + 8):
        if number % 15 == 14:
            people.sign_in(ledger, "ana", GOOD, GUESSER)
        tried += counted(ledger, f"name{number}") == 0.0

    assert tried == guessing.FREE_FAILURES_PER_HOST


def test_right_passwords_never_make_an_office_wait(ledger: Ledger) -> None:
    add(ledger)
    for _ in range(guessing.FREE_FAILURES_PER_HOST + 5):
        with ledger.write() as tx:
            assert guessing.count_attempt(tx, "ana", OWNER) == 0.0
        with ledger.write() as tx:
            guessing.forgive(tx, "ana", OWNER)


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2"),
        ("::ffff:192.0.2.5", "192.0.2.5"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("unix socket", "unix socket"),
    ],
)
def test_addresses_that_one_guesser_has_are_one_host(ledger: Ledger, host: str, same: str) -> None:
    for _ in range(guessing.FREE_FAILURES):
        assert counted(ledger, host=host) == 0.0

    assert counted(ledger, host=same) > 0.0


def test_spellings_of_a_name_are_counted_together(ledger: Ledger) -> None:
    for name in ("Ärger", "ärger", "ÄRGER", " ärger", "A\u0308rger"):
        assert counted(ledger, name) == 0.0

    assert counted(ledger, "ärger") > 0.0


def test_signing_in_again_ends_the_session_that_it_replaces(ledger: Ledger) -> None:
    add(ledger)
    old = people.sign_in(ledger, "ana", GOOD, OWNER)
    elsewhere = people.sign_in(ledger, "ana", GOOD, OWNER)

    new = people.sign_in(ledger, "ana", GOOD, OWNER, browser=old.browser, replaces=old.session)

    owners = [keys.owner_of_session(ledger, each.session, 60) for each in (old, elsewhere, new)]
    assert [owner is not None for owner in owners] == [False, True, True]


def test_waits_double_up_to_a_quarter_of_an_hour_and_reset_after_a_day(ledger: Ledger) -> None:
    waits = []
    for _ in range(15):
        assert counted(ledger) == 0.0
        waits.append(counted(ledger))
        _let_pass(ledger)

    longest = [0.0, 0.0, *(min(15.0 * 2**n, guessing.MAX_WAIT_SECONDS) for n in range(13))]
    assert [wait for wait, most in zip(waits, longest, strict=True) if not most / 2 <= wait <= most] == []
    _let_pass(ledger, guessing.RESET_AFTER_SECONDS + 1)
    for _ in range(guessing.FREE_FAILURES):
        assert counted(ledger) == 0.0


def test_many_guesses_at_once_are_counted_one_by_one(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        let_through = sum(pool.map(lambda _: counted(ledger) == 0.0, range(30)))

    assert let_through == guessing.FREE_FAILURES


def test_accounts_are_changed_and_removed_with_all_that_is_theirs(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, "bea", Role.VIEWER)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1").session
    token = people.make_token(ledger, "ana", "nightly", by=Actor(name="-"))

    people.change_role(ledger, "bea", Role.ADMIN, by=Actor(name="-"))
    people.change_password(ledger, "ana", "another quiet evening", by=Actor(name="-"))
    assert keys.owner_of_session(ledger, cookie, 60) is None
    people.remove(ledger, "ana", by=Actor(name="-"), may_be_last=True)

    assert keys.owner_of_token(ledger, token) is None
    with ledger.read() as tx:
        assert [(each.name, each.role) for each, _ in accounts.list_accounts(tx)] == [("bea", Role.ADMIN)]
        assert [record.action for record in accounts.audit_entries(tx, most=3)] == [
            "user remove",
            "user password",
            "user role",
        ]
    for wrong in ("ana", "-"):
        with pytest.raises(UsageError, match="the accounts are: bea"):
            people.remove(ledger, wrong, by=Actor(name="-"), may_be_last=True)


#: A name as it was added, and other ways to type it.
SPELLINGS = {
    "Ärger": ("ärger", "ÄRGER", "A\u0308rger"),
    "Отто": ("отто", "ОТТО"),  # noqa: RUF001 - it is Cyrillic
    "ben\u212a": ("benk", "BENK"),
    "İx": ("İX", "i\u0307x"),
    "Straße": ("STRASSE", "strasse"),
    "ΣΊΣΥΦΟΣ": ("σίσυφος", "σίσυφοσ"),
    "ﬁona": ("fiona", "FIONA"),
    "नमस्ते": ("\u0928\u092e\u0938\u094d\u0924\u0947 ".strip(),),
    "이영": ("\u110b\u1175\u110b\u1167\u11bc",),
    "\uff21\uff2e\uff21": ("ana", "Ana"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_an_account_with_a_name_of_any_script_is_used_and_removed_in_any_spelling(
    ledger: Ledger, name: str
) -> None:
    people.add(ledger, name=name, password=GOOD, role=Role.VIEWER, by=Actor(name="-"))
    for number, typed in enumerate((name, *SPELLINGS[name])):
        with pytest.raises(UsageError, match="There is already an account"):
            people.add(ledger, name=typed, password=GOOD, role=Role.VIEWER, by=Actor(name="-"))

        people.change_role(ledger, typed, Role.OPERATOR, by=Actor(name="-"))
        people.change_password(ledger, typed, GOOD, by=Actor(name="-"))
        token = people.make_token(ledger, typed, f"token {number}", by=Actor(name="-"))
        cookie = people.sign_in(ledger, typed, GOOD, "192.0.2.1").session

        owners = keys.owner_of_session(ledger, cookie, 60), keys.owner_of_token(ledger, token)
        assert [owner and owner.role for owner in owners] == [Role.OPERATOR] * 2
    people.remove(ledger, SPELLINGS[name][-1], by=Actor(name="-"), may_be_last=True)
    with ledger.read() as tx:
        assert accounts.list_accounts(tx) == []


@pytest.mark.parametrize(
    "name",
    ["", "-", " ana", "ana ", "ana-", "a\nb", "a\u200bb", "ana\ufe0f", "a/b", "x" * 101, "\ufdfa" * 9, "\u0308a"],
)
def test_a_name_that_cannot_be_told_from_another_or_typed_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid account name"):
        people.add(ledger, name=name, password=GOOD, role=Role.VIEWER, by=Actor(name="-"))


def test_a_password_does_not_match_a_damaged_or_truncated_hash() -> None:
    stored = passwords.hash_password(LONG)

    assert passwords.matches(LONG, stored)
    assert not passwords.matches(LONG * 5, stored)
    assert not passwords.matches("x", "no hash at all")


def _let_pass(ledger: Ledger, seconds: float = guessing.MAX_WAIT_SECONDS) -> None:
    with ledger.write() as tx:
        failure = schema.sign_in_failure.c
        tx.execute(update(schema.sign_in_failure).values(last_at=failure.last_at - seconds, locked_until=now() - 1))
