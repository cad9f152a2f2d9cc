"""What the accounts promise on every database: SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from worker.accounts import guessing, keys, passwords, people
from worker.errors import UsageError
from worker.ledger import accounts, schema
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.model import Role

GOOD = "a long and quiet evening"


def add(ledger: Ledger, name: str = "ana", role: Role = Role.OPERATOR) -> None:
    people.add(ledger, name=name, password=GOOD, role=role, by="-")


def test_who_signs_in_holds_a_session_until_they_sign_out(ledger: Ledger) -> None:
    add(ledger)

    cookie = people.sign_in(ledger, "ANA", GOOD, "192.0.2.1")

    known = keys.owner_of_session(ledger, cookie, 60)
    assert known is not None
    assert (known.name, known.role) == ("ana", Role.OPERATOR)
    assert keys.owner_of_session(ledger, cookie + "x", 60) is None
    with ledger.write() as tx:
        keys.close_session(tx, cookie)
    assert keys.owner_of_session(ledger, cookie, 60) is None


def test_a_session_that_is_used_lasts_and_one_that_is_not_ends(ledger: Ledger) -> None:
    add(ledger)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1")

    def seen(ago: float, begun: float = 0.0) -> None:
        with ledger.write() as tx:
            tx.execute(update(schema.session).values(seen_at=now() - ago, created_at=now() - begun))

    seen(500)
    assert keys.owner_of_session(ledger, cookie, 600) is not None
    assert keys.owner_of_session(ledger, cookie, 60) is not None, "its use was not noted"
    seen(700)
    assert keys.owner_of_session(ledger, cookie, 600) is None
    seen(0, begun=keys.LONGEST_SESSION + 1)
    assert keys.owner_of_session(ledger, cookie, 600) is None


def test_neither_password_nor_cookie_nor_token_stands_in_the_ledger(ledger: Ledger) -> None:
    add(ledger)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1")
    token = people.make_token(ledger, "ana", "nightly", by="-")

    with ledger.read() as tx:
        tables = (schema.account, schema.session, schema.token, schema.audit, schema.guess)
        kept = str([tuple(line) for table in tables for line in tx.execute(table.select())])

    assert token.startswith(keys.PREFIX)
    assert [secret for secret in (GOOD, cookie, token) if secret in kept] == []
    assert "$argon2id$" in kept


def test_a_token_is_its_accounts_until_it_is_taken_back(ledger: Ledger) -> None:
    add(ledger)
    tokens = [people.make_token(ledger, "ana", f"t{n}", by="-") for n in range(2)]

    owners = [keys.owner_of_token(ledger, token) for token in tokens]

    assert [owner.name for owner in owners if owner] == ["ana", "ana"]
    assert people.revoke_tokens(ledger, "ana", by="-") == 2
    assert keys.owner_of_token(ledger, tokens[0]) is None


def test_wrong_names_and_wrong_passwords_cannot_be_told_apart(ledger: Ledger) -> None:
    add(ledger)
    said = set()
    for name, password in (("ana", "wrong"), ("nobody", "wrong"), ("nobody", GOOD), ("ana", ""), ("", "")):
        with pytest.raises(people.WrongPassword) as caught:
            people.sign_in(ledger, name, password, "192.0.2.1")
        said.add(str(caught.value))

    assert len(said) == 1


@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_guessing_at_a_name_is_locked_out_even_for_the_right_password(ledger: Ledger, name: str) -> None:
    add(ledger)
    for _ in range(guessing.FREE_OF_A_NAME):
        with pytest.raises(people.WrongPassword):
            people.sign_in(ledger, name, "wrong", "192.0.2.1")

    with pytest.raises(people.LockedOut, match="try again in"):
        people.sign_in(ledger, name, GOOD, "192.0.2.2")

    _let_pass(ledger)
    if name == "ana":
        assert people.sign_in(ledger, name, GOOD, "192.0.2.2")
        with pytest.raises(people.WrongPassword):
            people.sign_in(ledger, name, "wrong", "192.0.2.2")


def test_guessing_from_a_host_is_locked_out_whatever_the_names(ledger: Ledger) -> None:
    add(ledger)
    for number in range(guessing.FREE_OF_A_HOST):
        with ledger.write() as tx:
            assert guessing.locked_for(tx, f"name{number}", "192.0.2.1") == 0.0

    with pytest.raises(people.LockedOut):
        people.sign_in(ledger, "ana", GOOD, "192.0.2.1")
    assert people.sign_in(ledger, "ana", GOOD, "192.0.2.2")


def test_waits_double_up_to_a_quarter_of_an_hour_and_are_forgotten_after_a_day(ledger: Ledger) -> None:
    waits = []
    for _ in range(15):
        with ledger.write() as tx:
            assert guessing.locked_for(tx, "ana", "192.0.2.1") == 0.0
            waits.append(guessing.locked_for(tx, "ana", "192.0.2.1"))
        _let_pass(ledger)

    longest = [0.0, 0.0, *(min(15.0 * 2**n, guessing.LONGEST_WAIT) for n in range(13))]
    assert [wait for wait, most in zip(waits, longest, strict=True) if not most / 2 <= wait <= most] == []
    _let_pass(ledger, guessing.FORGOTTEN_AFTER + 1)
    with ledger.write() as tx:
        assert guessing.locked_for(tx, "ana", "192.0.2.1") == 0.0
        assert guessing.locked_for(tx, "ana", "192.0.2.1") == 0.0


def test_many_guesses_at_once_are_no_way_around(ledger: Ledger) -> None:
    def guess(_: int) -> bool:
        with ledger.write() as tx:
            return guessing.locked_for(tx, "ana", "192.0.2.1") == 0.0

    with ThreadPoolExecutor(8) as pool:
        let_through = sum(pool.map(guess, range(30)))

    assert let_through == guessing.FREE_OF_A_NAME


def test_accounts_are_changed_and_removed_with_all_that_is_theirs(ledger: Ledger) -> None:
    add(ledger)
    add(ledger, "bea", Role.VIEWER)
    cookie = people.sign_in(ledger, "ana", GOOD, "192.0.2.1")
    token = people.make_token(ledger, "ana", "nightly", by="-")

    people.change_role(ledger, "bea", Role.ADMIN, by="-")
    people.change_password(ledger, "ana", "another quiet evening", by="-")
    assert keys.owner_of_session(ledger, cookie, 60) is None
    people.remove(ledger, "ana", by="-")

    assert keys.owner_of_token(ledger, token) is None
    with ledger.read() as tx:
        assert [(each.name, each.role) for each, _ in accounts.list_accounts(tx)] == [("bea", Role.ADMIN)]
        assert [line.act for line in accounts.lines(tx, most=3)] == ["user remove", "user password", "user role"]
    for wrong in ("ana", "-"):
        with pytest.raises(UsageError, match="there are: bea"):
            people.remove(ledger, wrong, by="-")


def test_a_password_does_not_fit_a_spoilt_hash_nor_one_that_is_cut_short() -> None:
    kept = passwords.hashed("abcdefghijkl" * 80)

    assert passwords.fits("abcdefghijkl" * 80, kept)
    assert not passwords.fits("abcdefghijkl" * 500, kept)
    assert not passwords.fits("x", "no hash at all")


def _let_pass(ledger: Ledger, seconds: float = guessing.LONGEST_WAIT) -> None:
    with ledger.write() as tx:
        guess = schema.guess.c
        tx.execute(update(schema.guess).values(last_at=guess.last_at - seconds, locked_until=now() - 1))
