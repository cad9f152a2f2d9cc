"""A ledger is copied to an empty database of either kind, record by record, or not at all."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Integer,
    String,
    Text,
    cast,
    create_engine,
    func,
    insert,
    inspect,
    null,
    select,
)

from tests.builders import a_job, a_job_of, a_row, change_records, claimed, open_ledger
from worker.errors import SettingsError, UsageError
from worker.ledger import copying, jobs, schema
from worker.ledger.copying import copy_ledger
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger
from worker.model import JobState

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = 3


@pytest.fixture
def target_url(ledger_url: str, request: pytest.FixtureRequest, tmp_path: Path, _empty_ledger: Path) -> str:
    """Return the address of a database of the other kind: a ledger in which there is nothing."""
    if not ledger_url.startswith("sqlite"):
        shutil.copyfile(_empty_ledger, tmp_path / "copy.db")
        return f"sqlite:///{tmp_path / 'copy.db'}"
    return str(request.getfixturevalue("database"))


def value_of(column: Column[Any], number: int) -> Any:
    """Return a value for a column of the record of a number; some have none."""
    if column.foreign_keys or (column.primary_key and isinstance(column.type, Integer)):
        return number
    if column.nullable and number == 1:
        return null()
    if isinstance(column.type, JSON):
        return [None, {"name": "Gráinne \u2028 \\u0000", "row": [1, None]}, []][number - 1]
    if isinstance(column.type, Boolean | Float | Integer):
        return {Boolean: number == 2, Float: 1_764_288_000.123456 + number}.get(type(column.type), number)
    return f"{column.name} {number} 'é' \n"[: column.type.length if isinstance(column.type, String) else None]


def fill(ledger: Ledger) -> None:
    """Write records with all kinds of values into every table."""
    with ledger.write() as tx:
        for table in schema.metadata.sorted_tables:
            for number in range(1, RECORDS + 1):
                tx.execute(insert(table).values({each: value_of(each, number) for each in table.columns}))


def contents(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Return all records of all tables; JSON as the text that it is."""
    with ledger.read() as tx:
        return {
            table.name: [
                tuple(record)
                for record in tx.execute(
                    select(*(cast(c, Text) if isinstance(c.type, JSON) else c for c in table.columns)).order_by(
                        *table.primary_key.columns
                    )
                )
            ]
            for table in schema.metadata.sorted_tables
        }


def test_every_record_is_copied_as_it_is_and_new_ones_are_numbered_after_them(
    ledger: Ledger, ledger_url: str, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "CHUNK", 2)
    fill(ledger)

    copied = copy_ledger(ledger, ledger_url, target_url)

    target = Ledger(open_engine(target_url))
    assert contents(target) == contents(ledger)
    assert copied.records == {table.name: RECORDS for table in schema.metadata.sorted_tables}
    assert copied.total == RECORDS * len(schema.metadata.sorted_tables)
    with target.write() as tx:
        assert a_job(tx) == RECORDS + 1
        assert tx.execute(select(func.count()).select_from(schema.row)).scalar_one() == RECORDS
    target.close()


def test_a_copy_needs_an_empty_database_and_leaves_another_as_it_is(
    ledger: Ledger, ledger_url: str, target_url: str
) -> None:
    fill(ledger)
    other = create_engine(target_url)
    with other.begin() as tx:
        tx.exec_driver_sql("CREATE TABLE invoices (id integer)")
    address = other.url.render_as_string(hide_password=False)
    with pytest.raises(UsageError, match="the table invoices"):
        copy_ledger(ledger, ledger_url, address)
    assert "invoices" in inspect(other).get_table_names()
    with other.begin() as tx:
        tx.exec_driver_sql("DROP TABLE invoices")
    other.dispose()

    assert copy_ledger(ledger, ledger_url, target_url).total
    before = Ledger(open_engine(target_url))
    kept = contents(before)
    with pytest.raises(UsageError, match="not empty: it has records in the table"):
        copy_ledger(ledger, ledger_url, target_url)
    assert contents(before) == kept
    before.close()


def test_a_ledger_is_not_copied_onto_itself(ledger: Ledger, ledger_url: str) -> None:
    with pytest.raises(UsageError, match="is the ledger that is to be copied"):
        copy_ledger(ledger, ledger_url, ledger_url)


def test_nothing_is_copied_while_a_job_is_at_work(ledger: Ledger, ledger_url: str, target_url: str) -> None:
    job = a_job_of(ledger, a_row())
    claim = claimed(ledger, job)
    for state in (JobState.RUNNING, JobState.PAUSED):
        with ledger.write() as tx:
            jobs.change_job(tx, job, state=state)
        with pytest.raises(UsageError, match=f"Jobs are at work: {job}"):
            copy_ledger(ledger, ledger_url, target_url)
    assert claim.job_id == job


def test_a_paused_and_a_scheduled_job_are_copied(ledger: Ledger, ledger_url: str, target_url: str) -> None:
    with ledger.write() as tx:
        a_job(tx, JobState.PAUSED)
        a_job(tx, JobState.SCHEDULED)
    assert copy_ledger(ledger, ledger_url, target_url).records["job"] == 2


def test_a_failed_copy_leaves_no_record(tmp_path: Path, database: str) -> None:
    """SQLite takes longer texts than the column says; PostgreSQL refuses them."""
    ledger = open_ledger(tmp_path)
    fill(ledger)
    change_records(ledger, schema.job, connection="x" * 300)
    with pytest.raises(Exception, match="too long"):
        copy_ledger(ledger, "sqlite:///roster.db", database)
    target = Ledger(open_engine(database))
    assert not any(contents(target).values())
    target.close()
    ledger.close()


def test_an_address_that_cannot_be_opened_is_a_plain_error(ledger: Ledger, ledger_url: str) -> None:
    for address in ("nonsense", "postgresql+psycopg://127.0.0.1:9/roster", "oracle://host/db"):
        with pytest.raises(SettingsError):
            copy_ledger(ledger, ledger_url, address)
