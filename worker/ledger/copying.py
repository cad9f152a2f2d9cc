"""Copy a ledger to an empty database of either kind: all tables in one transaction, checked by counts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Text, bindparam, cast, func, insert, inspect, literal, select, text, type_coerce

from worker.addresses import masked
from worker.errors import LedgerError, UsageError
from worker.ledger import batches, purging, schema
from worker.ledger.database import open_engine, sqlite_file, translated_errors
from worker.ledger.transactions import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Column, Engine, Insert, Select, Table

    from worker.ledger.database import Transaction

#: Records that are read and written at a time.
CHUNK = 1000
#: The table of Alembic, with the version of the ledger.
VERSION_TABLE = "alembic_version"
TABLES: list[Table] = schema.metadata.sorted_tables


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: the number of records of each table, and the addresses without their passwords."""

    source: str
    target: str
    records: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return how many records were copied in all."""
        return sum(self.records.values())


def copy_ledger(source: Ledger, source_url: str, target_url: str) -> Copied:
    """Copy a ledger to the empty database at `target_url`, which becomes a ledger; nobody writes meanwhile.

    All is copied, or nothing. Raises UsageError when a job moves or the target is not empty, SettingsError when the
    target cannot be opened, LedgerError when it has another number of records in the end.
    """
    with source.write() as tx:
        _block_writers(tx)
        _refuse_moving(tx)
        target = open_engine(target_url, before_migrating=partial(_refuse_used, masked(target_url), source.engine))
        with closing(Ledger(target)) as ledger, translated_errors(), ledger.write() as into:
            records = {table.name: _copy_table(tx, into, table) for table in TABLES}
            _set_sequences(into)
            _check_counts(into, records)
    return Copied(masked(source_url), masked(target_url), records)


def _block_writers(tx: Transaction) -> None:
    """Let other processes only read until the transaction ends; SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        quote = tx.dialect.identifier_preparer.quote
        tx.execute(text(f"LOCK TABLE {', '.join(quote(table.name) for table in TABLES)} IN SHARE MODE"))


def _refuse_moving(tx: Transaction) -> None:
    if moving := sorted({*purging.moving_jobs(tx), *batches.claimed_jobs(tx)}):
        listed = ", ".join(map(str, moving))
        raise UsageError(
            f"Jobs are at work: {listed}. Nothing was copied; wait for their end or pause them (`roster pause`), "
            "stop the workers and `roster serve`, then try again"
        )


def _refuse_used(name: str, source: Engine, target: Engine) -> None:
    """Raise UsageError when the target is the ledger itself, or has tables or records already."""
    if _is_same(source, target):
        raise UsageError(f"{name} is the ledger that is to be copied; give another database")
    ours = {table.name: table for table in TABLES}
    with target.connect().execution_options(reads=True) as tx:
        for table in inspect(tx).get_table_names():
            known = ours.get(table)
            if table != VERSION_TABLE and (known is None or _has_records(tx, known)):
                what = "the table" if known is None else "records in the table"
                raise UsageError(
                    f"{name} is not empty: it has {what} {table}. Nothing was copied; give an empty database"
                )


def _is_same(one: Engine, other: Engine) -> bool:
    files = sqlite_file(one.url), sqlite_file(other.url)
    if any(files):
        return files[0] == files[1]
    return one.url.set(drivername="", password=None) == other.url.set(drivername="", password=None)


def _has_records(tx: Transaction, table: Table) -> bool:
    return tx.execute(select(literal(1)).select_from(table).limit(1)).first() is not None


def _copy_table(source: Transaction, target: Transaction, table: Table) -> int:
    """Copy the records of a table; return how many the source has."""
    statement = _insert(table, target.dialect.name)
    names = [column.name for column in table.columns]
    streamed = source.execute(_select(table), execution_options={"yield_per": CHUNK})
    for chunk in streamed.partitions(CHUNK):
        target.execute(
            statement, [dict(zip(map(_parameter, names), record, strict=True)) for record in map(tuple, chunk)]
        )
    return _count(source, table)


def _select(table: Table) -> Select[Any]:
    """Select all columns; JSON as the text that it is, which tells no value from the JSON value `null`."""
    return select(
        *(cast(each, Text).label(each.name) if _is_json(each) else each for each in table.columns)
    ).order_by(*table.primary_key.columns)


def _insert(table: Table, dialect: str) -> Insert:
    return insert(table).values({each.name: _value(each, dialect) for each in table.columns})


def _value(column: Column[Any], dialect: str) -> Any:
    if not _is_json(column):
        return bindparam(_parameter(column.name), type_=column.type)
    as_text = bindparam(_parameter(column.name), type_=Text())
    return cast(as_text, JSON) if dialect == "postgresql" else type_coerce(as_text, Text)


def _parameter(name: str) -> str:
    return f"b_{name}"


def _is_json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def _count(tx: Transaction, table: Table) -> int:
    return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def _set_sequences(tx: Transaction) -> None:
    """Let PostgreSQL number new records after the copied ones; SQLite does so by itself."""
    if tx.dialect.name != "postgresql":
        return
    quote = tx.dialect.identifier_preparer.quote
    for table in TABLES:
        for column in table.primary_key.columns:
            if column.autoincrement is True:
                sequence = func.pg_get_serial_sequence(quote(table.name), column.name)
                tx.execute(select(func.setval(sequence, func.max(column))))


def _check_counts(tx: Transaction, wanted: Mapping[str, int]) -> None:
    """Raise LedgerError when a table has another number of records than its source: nothing is committed then."""
    for table in TABLES:
        found = _count(tx, table)
        if found != wanted[table.name]:
            raise LedgerError(
                f"The copy of the table {table.name} has {found:,} records and the ledger {wanted[table.name]:,}. "
                "Nothing was copied; try again while nothing else uses either database"
            )
