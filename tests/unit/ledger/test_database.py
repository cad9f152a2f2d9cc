"""Opening a ledger, and what a person reads when the disk does not do its part."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, text

from tests.builders import a_job, a_job_of, a_row, claimed, items_of, open_ledger, records_of, reported
from tests.syncing import synced
from worker.errors import LedgerError, RosterError, SettingsError
from worker.ledger import intents, schema
from worker.ledger.database import open_engine
from worker.ledger.intents import RowOutcome
from worker.model import RowStatus

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.transactions import Ledger


def full(ledger: Ledger) -> None:
    """Let the database grow no further: to SQLite the disk is full."""
    with ledger.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    ledger.engine.dispose()
    fail_as_full(ledger, pages)


def fail_as_full(ledger: Ledger, pages: int) -> None:
    @event.listens_for(ledger.engine, "connect")
    def _limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")


def make_read_only(ledger: Ledger) -> None:
    """Refuse every write, as a file without permission does (root may write to any file)."""
    ledger.engine.dispose()

    @event.listens_for(ledger.engine, "connect")
    def _refuse(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA query_only=ON")


def test_a_full_disk_is_a_plain_message_that_says_what_is_safe_and_what_to_do(ledger: Ledger) -> None:
    full(ledger)

    with pytest.raises(LedgerError, match="full") as raised, ledger.write() as tx:
        a_job(tx, roster="x" * 1_000_000)

    message = str(raised.value)
    assert "resume the job" in message
    assert "INSERT" not in message
    assert "sqlalche" not in message
    assert records_of(ledger, schema.job) == []


async def test_a_full_disk_in_mid_job_fails_the_commit_and_what_was_recorded_stays(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 8)))
    claim = claimed(ledger, job_id)
    works = items_of(ledger, claim)
    await ledger.commit(intents.row_outcome(claim, works[0], RowOutcome(status=RowStatus.REJECTED, error="first")))
    full(ledger)

    results = await asyncio.gather(
        *(
            ledger.commit(
                intents.row_outcome(claim, work, RowOutcome(status=RowStatus.REJECTED, error="x" * 50_000))
            )
            for work in works[1:]
        ),
        return_exceptions=True,
    )

    assert all(isinstance(result, LedgerError) for result in results)
    assert reported(ledger, job_id, 2).error == "first"
    assert reported(ledger, job_id, 3).status is RowStatus.NOT_ATTEMPTED


def test_a_read_only_ledger_is_a_plain_message(ledger: Ledger) -> None:
    make_read_only(ledger)

    with pytest.raises(LedgerError, match="cannot be read or written"), ledger.write() as tx:
        a_job(tx)


def test_a_ledger_can_be_read_where_it_cannot_be_written(ledger: Ledger) -> None:
    with ledger.write() as tx:
        a_job(tx)
    make_read_only(ledger)

    assert len(records_of(ledger, schema.job)) == 1


def test_a_message_of_the_ledger_never_shows_what_was_to_be_written(ledger: Ledger) -> None:
    make_read_only(ledger)

    with pytest.raises(LedgerError) as raised, ledger.write() as tx:
        a_job(tx, roster="wilhelmina.xlsx")

    assert "wilhelmina" not in f"{raised.value} {raised.value!r}"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x", "postgresql+nosuch://x/y", ""])
def test_an_invalid_address_is_named_in_the_message(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^ledger: "):
        open_engine(url)


def test_the_password_of_a_database_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        open_engine("nosuch://me:hunter2@host/db")

    assert "hunter2" not in str(raised.value)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        open_engine(f"sqlite:///{tmp_path / 'nowhere' / 'roster.db'}")


def test_a_file_that_is_not_a_database_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "roster.db").write_bytes(b"This is a letter, not a database." * 100)

    with pytest.raises(RosterError, match="cannot be opened"):
        open_ledger(tmp_path)


def test_a_ledger_of_a_newer_version_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with ledger.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    ledger.close()

    with pytest.raises(RosterError, match=r"(?i)newer|version|9999"):
        open_ledger(tmp_path)


def test_a_ledger_uses_write_ahead_logging_syncs_every_commit_and_enforces_references(ledger: Ledger) -> None:
    ledger.engine.dispose()

    with synced(), ledger.read() as tx:
        found = [
            tx.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert found == ["wal", 2, 1]


def test_forty_threads_read_a_ledger_of_sqlite_at_the_same_time(tmp_path: Path) -> None:
    """As those of `roster serve` do when requests are slow; a connection that waits for another one times out."""
    ledger = open_ledger(tmp_path)
    try:
        with ExitStack() as reading:
            for _ in range(40):
                tx = reading.enter_context(ledger.read())
                assert tx.execute(text("select 1")).scalar() == 1
    finally:
        ledger.close()
