"""Open the ledger's database and migrate it; what differs between SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event, exc, func, inspect, literal, make_url, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from worker.addresses import masked, without_quoted
from worker.errors import LedgerError, LedgerUnavailable, MissingLedger, RosterError, SettingsError
from worker.private_files import create_private_file, make_private, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL, Table

#: A connection with an open transaction; a connection to an LMS is `worker.settings.Connection`.
Transaction = Connection
#: The newest migration; a test compares it with the folder.
HEAD = "0018"
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
#: How long a new database's switch to write-ahead logging waits when another process is switching it.
SWITCH_RETRY_SECONDS = 0.01
#: How long rewriting waits for a table that another transaction uses.
LOCK_SECONDS = 10
#: Connections that a process keeps open, and further ones that it opens to PostgreSQL under load.
POOL_SIZE, MAX_OVERFLOW = 10, 5
#: What SQLite appends to the name of a database for the files next to it; they get the database's permissions.
_SIDE_FILES = ("", "-wal", "-shm", "-journal")
#: PostgreSQL's codes of transient errors: serialization failures, lost connections, a server that starts or stops,
#: a lock that was not free in time.
_TRANSIENT_CODES = ("40", "08", "57P", "55P03")


def open_engine(
    url: str, *, make: bool = True, before_migrating: Callable[[Engine], None] = lambda _engine: None
) -> Engine:
    """Connect to the database at `url` and migrate it to HEAD when it is older, or is not a ledger yet.

    `before_migrating` may raise to leave the database as it is. Raises SettingsError when the address is wrong or
    the database cannot be reached; without `make`, also when it is not a ledger yet: none is made to say that it is
    empty.
    """
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, **_options(parsed))
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError, TypeError) as error:
        raise SettingsError(
            f"ledger: {masked(url)} is not a database address that works here ({_cause(error)}); in a password "
            "write @ as %40, / as %2F and : as %3A"
        ) from None
    if engine.dialect.name == "sqlite":
        if not make and (file := sqlite_file(parsed)) is not None and not file.exists():
            raise _no_ledger(str(file), file)
        _make_files_private(parsed)
        _prepare_sqlite(engine)
    try:
        _refuse_newer(engine, url, must_exist=not make)
        before_migrating(engine)
        _migrate(engine)
    except RosterError:
        engine.dispose()
        raise
    except exc.DBAPIError as error:
        message = without_quoted(_primary_message(error), but=masked(url))
        raise SettingsError(f"ledger: {masked(url)} cannot be opened: {message}") from None
    except (ValueError, TypeError, UnicodeError):
        raise SettingsError(f"ledger: {masked(url)} has a part that its database does not accept") from None
    return engine


def open_as_it_is(url: str) -> Engine | None:
    """Connect to a ledger to read from it; None when there is none, or it is of another version.

    Nothing is made, migrated or waited for long. Raises the database's own errors.
    """
    parsed = make_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite and ((file := sqlite_file(parsed)) is None or not file.exists()):
        return None
    patience = {"timeout": 1} if is_sqlite else {"connect_timeout": 2}
    engine = create_engine(parsed, hide_parameters=True, connect_args=patience)
    return engine if _version(engine) == HEAD else None


def _cause(error: Exception) -> str:
    """Return why an address does not work, without anything of the address in it."""
    if isinstance(error, exc.NoSuchModuleError | ImportError):
        return "supported are sqlite:///FILE and postgresql+psycopg://USER@HOST/DATABASE"
    return "it cannot be read"


def load_driver(url: str) -> None:
    """Import the driver of the database at `url`; `open_engine` reports an address that is wrong."""
    with suppress(exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError):
        make_url(url).get_dialect().import_dbapi()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the database's errors into a LedgerError with what to do."""
    try:
        yield
    except exc.TimeoutError:
        raise LedgerUnavailable(
            "The ledger is too busy: no connection was free in time; try again in a moment"
        ) from None
    except exc.DBAPIError as error:
        kind = LedgerUnavailable if _is_transient(error) else LedgerError
        raise kind(
            f"The ledger cannot be read or written: {_primary_message(error)}. What was recorded is safe; "
            "fix the cause (disk space, permissions, the database server) and resume the job"
        ) from None


def _primary_message(error: exc.DBAPIError) -> str:
    """Return the database's message without its details, which may contain values of rows."""
    diagnosis = getattr(error.orig, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    message = primary or str(error.orig).partition("\n")[0]
    # An error of connecting quotes parts of the address, and they may be parts of its password.
    return message if primary or getattr(error.orig, "sqlite_errorcode", None) else without_quoted(message, but="")


def _is_transient(error: exc.DBAPIError) -> bool:
    """Return whether the same transaction may succeed in a moment: a conflict, or a server that is unavailable."""
    if getattr(error.orig, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return True
    code = getattr(error.orig, "sqlstate", "")
    passing = code is None or (code != "" and code.startswith(_TRANSIENT_CODES))
    return error.connection_invalidated or (isinstance(error, exc.OperationalError) and passing)


def take_lock(tx: Transaction, name: str) -> None:
    """Take the lock `name` until the transaction ends. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        tx.execute(select(func.pg_advisory_xact_lock(key)))


@contextmanager
def custom_plans(tx: Transaction) -> Iterator[None]:
    """Force custom plans in this block: PostgreSQL's generic plans scan the table for large IN lists.

    After a few uses of a statement PostgreSQL would choose a generic plan, which compares each record with all
    values of the list.
    """
    if tx.dialect.name != "postgresql":
        yield
        return
    # A transaction that reads streams what it selects, and this selects nothing.
    plainly = {"stream_results": False}
    tx.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"), execution_options=plainly)
    yield
    tx.execute(text("SET LOCAL plan_cache_mode = auto"), execution_options=plainly)


def upsert(
    tx: Transaction, table: Table, key: Mapping[str, Any], new: Mapping[str, Any], old: Mapping[str, Any]
) -> None:
    """Insert the record `key` with the values `new`, or change an existing one to `old`, in one statement."""
    record = insert_of(tx.dialect.name)(table).values(**key, **new)
    tx.execute(record.on_conflict_do_update(index_elements=list(key), set_=dict(old)))


def reading(engine: Engine) -> Connection:
    """Return a connection whose transactions read one snapshot; its results are streamed.

    In PostgreSQL's default isolation each statement would read a newer one.
    """
    one_snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    return engine.connect().execution_options(reads=True, stream_results=True, **one_snapshot)


def insert_of(dialect: str) -> Any:
    """Return the dialect's `insert`: `on conflict` is not in standard SQL."""
    if dialect != "postgresql":
        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - 50 ms that a ledger on SQLite does not need

    return insert


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # A connection is an open file: there may be as many as threads. A database in memory has no such pool.
        pool = {} if sqlite_file(url) is None else {"pool_size": POOL_SIZE, "max_overflow": -1}
        connect_args = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        return {"hide_parameters": True, "connect_args": connect_args, **pool}
    return {"hide_parameters": True, "pool_pre_ping": True, "pool_size": POOL_SIZE, "max_overflow": MAX_OVERFLOW}


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite database; None when it is in memory, or another kind of database."""
    database = url.database or ""
    if database.startswith("file:"):
        database = unquote(urlsplit(database).path)
    in_memory = database in {"", ":memory:"} or url.query.get("mode") == "memory"
    return None if in_memory or url.get_backend_name() != "sqlite" else Path(os.path.realpath(database))


def sqlite_files(url: URL) -> list[Path]:
    """Return the files that an SQLite database consists of; not all of them exist at all times."""
    file = sqlite_file(url)
    return [] if file is None else [file.with_name(f"{file.name}{suffix}") for suffix in _SIDE_FILES]


def _make_files_private(url: URL) -> None:
    """Create the database for its owner alone, and take the rights of others on an existing one of ours away."""
    for file in sqlite_files(url):
        if file.is_file():
            make_private(file)
    new = sqlite_file(url)
    if new is not None and url.query.get("mode") not in {"ro", "rw"}:
        with suppress(OSError):  # it exists, or SQLite says why it cannot be made
            create_private_file(new).close()


def _prepare_sqlite(engine: Engine) -> None:
    """Use write-ahead logging, sync every commit, and take the write lock at the start of a transaction."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        _enable_write_ahead_log(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        immediate = not connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _enable_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    """Switch the database to write-ahead logging when it is not; the mode is stored in the file.

    Two connections that switch a new database at the same moment both read it and want to write it. SQLite ends
    one of them with SQLITE_BUSY at once, since no busy time-out resolves that deadlock, so it is tried again here.
    Raises sqlite3.OperationalError when the database stays locked for BUSY_SECONDS.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = cursor.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(SWITCH_RETRY_SECONDS)
        else:
            return


@contextmanager
def dry_run_database(engine: Engine) -> Iterator[Engine]:
    """Return a database for a dry run, which changes nothing and blocks no other process.

    For SQLite, which has one writer, it is a copy that is deleted at the end; for PostgreSQL the database itself,
    where the caller rolls the transaction back.
    """
    if engine.dialect.name != "sqlite":
        yield engine
        return
    with scratch_folder() as folder:
        create_private_file(folder / "dry-run.db").close()
        url = make_url(f"sqlite:///{folder}/dry-run.db")
        copy = create_engine(url, **_options(url))
        try:
            with engine.connect().execution_options(reads=True) as source, copy.connect() as target:
                origin: Any = source.connection.driver_connection
                origin.backup(target.connection.driver_connection)
            _prepare_sqlite(copy)
            yield copy
        finally:
            copy.dispose()


def rewrite_tables(engine: Engine) -> None:
    """Rewrite all tables of a PostgreSQL ledger, and the statistics that have values of their columns.

    Raises DBAPIError when another transaction holds a table for LOCK_SECONDS.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
        try:
            quoted = engine.dialect.identifier_preparer.quote
            for table in inspect(connection).get_table_names():
                connection.execute(text(f"VACUUM (FULL, ANALYZE) {quoted(table)}"))
                if connection.execute(select(literal(1)).select_from(sql_table(table)).limit(1)).first() is None:
                    _remove_statistics(connection, table)
            # An account that does not own the database gets a notice instead, and these stay until vacuumed.
            connection.execute(text("VACUUM FULL pg_catalog.pg_statistic"))
        finally:
            connection.execute(text("RESET lock_timeout"))


def _remove_statistics(connection: Connection, table: str) -> None:
    """Remove the statistics of an empty table: ANALYZE leaves them, with values that the table once had."""
    quoted = connection.dialect.identifier_preparer.quote
    columns = connection.execute(
        text(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute JOIN pg_stats USING (attname) "
            "WHERE attrelid = CAST(:table AS regclass) AND schemaname = current_schema() AND tablename = :name"
        ),
        {"table": quoted(table), "name": table},
    )
    for name, kind in columns.all():
        # The server removes the statistics of a column that gets a type, also its own.
        connection.execute(text(f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(name)} TYPE {kind}"))


def _migrate(engine: Engine) -> None:
    if _version(engine) == HEAD:
        return
    from alembic import command  # noqa: PLC0415 - 150 ms that only a new or old ledger costs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7265737401)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _no_ledger(place: str, file: Path | None = None) -> MissingLedger:
    return MissingLedger(
        f"There is no ledger at {place} yet, so there are no jobs. The first `roster run FILE` makes it. If "
        "you expected jobs: run the command in the folder of roster.toml, or give --config FILE or ROSTER_LEDGER",
        place,
        file,
    )


def _refuse_newer(engine: Engine, url: str, *, must_exist: bool) -> None:
    version = _version(engine)
    if version is None and must_exist:
        raise _no_ledger(masked(url), sqlite_file(make_url(url)))
    if version is not None and version > HEAD:
        raise SettingsError(
            f"ledger: {masked(url)} was made by a newer Roster ({version}); upgrade Roster on this machine"
        )


def _version(engine: Engine) -> str | None:
    with engine.connect().execution_options(reads=True) as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def now() -> float:
    """Return the current time in seconds since 1970."""
    return time.time()
