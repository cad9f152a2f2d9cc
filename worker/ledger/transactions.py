"""Read and write the ledger: plain transactions, and commits that calls in flight share.

A commit costs a sync of the disk. Intents and outcomes that are due at the same time go into one transaction, run
by one thread: while a commit is running the next ones are collected, so that each waits for two commits at most.
The callers may be on several event loops, each in a thread of its own: the thread of the commits belongs to none of
them, and gives each its results through its own loop. A loop that has ended gets none, and keeps none from others.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from worker.errors import LedgerError, LedgerUnavailable, StaleClaim
from worker.ledger import database as databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import ClauseElement, Dialect, Engine

    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A statement compiled for the database's driver."""

    sql: str
    #: Puts the values in order; None where the driver takes them by name.
    in_order: Callable[[Mapping[str, Any]], Any] | None
    #: The values in the statement itself.
    fixed: Mapping[str, Any]

    def execute(self, tx: Transaction, values: Sequence[Mapping[str, Any]]) -> int:
        """Execute it once for each of `values`. Return how many records matched in all."""
        named = [{**self.fixed, **each} for each in values] if self.fixed else values
        try:
            with closing(tx.connection.cursor()) as cursor:
                cursor.executemany(self.sql, named if self.in_order is None else list(map(self.in_order, named)))
                return int(cursor.rowcount)
        except tx.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy_error(tx, self.sql, error) from None


def _as_sqlalchemy_error(tx: Transaction, sql: str, error: Exception) -> BaseException:
    """Return the driver's error as SQLAlchemy would raise it; a broken connection is invalidated."""
    dialect = tx.dialect
    lost = dialect.is_disconnect(error, tx.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if lost:
        tx.invalidate()
    return DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )


def compile_statement(statement: ClauseElement, dialect: Dialect) -> CompiledStatement:
    """Compile a statement for the database of `dialect`."""
    compiled = statement.compile(dialect=dialect)
    order = getattr(compiled, "positiontup", None)
    return CompiledStatement(str(compiled), None if order is None else _in_order(order), dict(compiled.params))


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda named: tuple(named[name] for name in names)


Result = TypeVar("Result")
#: How long an unavailable database is retried, and the longest pause between tries (seconds).
RETRY_SECONDS, RETRY_PAUSE_SECONDS = 30.0, 0.5


@dataclass(frozen=True, slots=True)
class Write:
    """A statement with its values; a `fenced` one must match exactly one record, otherwise its claim is stale."""

    statement: ClauseElement
    values: Mapping[str, Any]
    fenced: bool = False
    #: The place of this write among those of the same statement in a commit: records that several processes write
    #: are written in one order, so that no two of them wait for each other.
    order: tuple[Any, ...] = ()


@dataclass(slots=True)
class _PendingWork:
    """The work of one caller for the next commit: all of its writes, or a function with a result."""

    work: tuple[Write, ...] | Callable[[Transaction], Any]


@dataclass(slots=True)
class _SharedCommit(_PendingWork):
    """Work that shares a commit with others, and the future that waits for it."""

    done: asyncio.Future[Any]


@dataclass(slots=True)
class Ledger:
    """The database, and the one thread that runs shared commits."""

    engine: Engine
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "ledger"))
    #: Guards what is pending, and whether the thread is at work on it.
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pending: list[_SharedCommit] = field(default_factory=list)
    _is_committing: bool = False
    _compiled: dict[ClauseElement, CompiledStatement] = field(default_factory=dict)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that changes something; committed at the end of the block."""
        with databases.translated_errors(), self.engine.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction that only reads, from one snapshot of the ledger."""
        with (
            databases.translated_errors(),
            databases.reading(self.engine) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def dry_run(self) -> Iterator[Transaction]:
        """Open a transaction that is always rolled back at the end of the block."""
        with (
            databases.translated_errors(),
            databases.dry_run_database(self.engine) as engine,
            engine.connect() as connection,
        ):
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

    async def commit(self, *writes: Write) -> None:
        """Write all of `writes` in one transaction, shared with other work that is due; return when it is on disk.

        Raises StaleClaim, with none of it written, when a fenced write matches no record.
        """
        await self._enqueue(writes)

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """Run `work` in the next commit and return its result; it may be run twice, the first time rolled back."""
        result: Result = await self._enqueue(work)
        return result

    async def run_separately(self, work: Callable[[Transaction], Result]) -> Result:
        """Run long `work` in a transaction of its own, in another thread than shared commits."""
        outcome = (await asyncio.to_thread(self._commit_together, [_PendingWork(work)]))[0]
        if isinstance(outcome, Exception):
            raise outcome
        result: Result = outcome
        return result

    async def query(self, query: Callable[[Transaction], Result]) -> Result:
        """Run a `query` that only reads, in another thread than shared commits."""

        def read() -> Result:
            with self.read() as tx:
                return query(tx)

        return await asyncio.to_thread(read)

    def vacuum(self) -> None:
        """Free the space of deleted records of SQLite, so that they cannot be read from its files either.

        PostgreSQL keeps them until its own vacuum, or `compact`. Raises LedgerUnavailable when another process
        reads all the time.
        """
        if self.engine.dialect.name == "sqlite":
            with databases.translated_errors(), self.engine.connect() as connection:
                raw = connection.connection
                raw.rollback()
                raw.execute("VACUUM")
                (is_busy, *_) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                raise LedgerUnavailable(
                    "What was purged can still be read in the ledger's -wal file, since another process reads the "
                    "ledger; run `roster purge` again in a moment"
                )

    def compact(self) -> None:
        """Rewrite the tables, so that deleted records cannot be read from the database's files.

        Raises LedgerUnavailable when another transaction has a table for too long.
        """
        self.vacuum()
        if self.engine.dialect.name == "postgresql":
            with databases.translated_errors():
                databases.rewrite_tables(self.engine)

    def close(self) -> None:
        """Stop the thread and close the database."""
        self._thread.shutdown()
        self.engine.dispose()

    async def _enqueue(self, work: tuple[Write, ...] | Callable[[Transaction], Any]) -> Any:
        waiting = _SharedCommit(work, asyncio.get_running_loop().create_future())
        with self._lock:
            self._pending.append(waiting)
            if not self._is_committing:
                self._thread.submit(self._commit_pending)
                self._is_committing = True
        return await waiting.done

    def _commit_pending(self) -> None:
        """Commit what is pending, until nothing is."""
        while True:
            with self._lock:
                due, self._pending = self._pending, []
                self._is_committing = bool(due)
            if not due:
                return
            _give_results(due, self._commit_together(due))

    def _commit_together(self, due: Sequence[_PendingWork]) -> list[Any]:
        """Commit, and retry for a while when the database is unavailable: an answer of an LMS must not be lost.

        It is unknown whether a commit whose answer was lost took place. All statements may be executed twice, but
        counters may then be one too high; a claim that was won unnoticed expires by itself.
        """
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with self.write() as tx:
                    return self._execute_together(tx, due)
            except LedgerUnavailable as away:
                if time.monotonic() > deadline:
                    return [away] * len(due)
                time.sleep(random.uniform(0.02, RETRY_PAUSE_SECONDS))  # noqa: S311 - spreads retries, guards nothing
            except BaseException as error:  # noqa: BLE001 - one of them failed: find out which
                if len(due) > 1:
                    return [self._commit_together([waiting])[0] for waiting in due]
                return [_as_result(error)]

    def _execute_together(self, tx: Transaction, due: Sequence[_PendingWork]) -> list[Any]:
        """Execute what is due, the same statements as one `executemany`, in the order of their first appearance."""
        writes: dict[ClauseElement, list[Write]] = {}
        fenced = set()
        for waiting in due:
            for write in waiting.work if isinstance(waiting.work, tuple) else ():
                writes.setdefault(write.statement, []).append(write)
                if write.fenced:
                    fenced.add(write.statement)
        for statement, together in writes.items():
            values = [write.values for write in sorted(together, key=lambda write: write.order)]
            prepared = self._compiled.get(statement)
            if prepared is None:
                prepared = self._compiled[statement] = compile_statement(statement, tx.dialect)
            if prepared.execute(tx, values) != len(values) and statement in fenced:
                raise StaleClaim("Another worker has claimed this batch")
        return [None if isinstance(waiting.work, tuple) else waiting.work(tx) for waiting in due]


def _give_results(due: Sequence[_SharedCommit], outcomes: Sequence[Any]) -> None:
    """Give each caller its result, in its own event loop: a future must not be changed from another thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for waiting, outcome in zip(due, outcomes, strict=True):
        by_loop.setdefault(waiting.done.get_loop(), []).append((waiting.done, outcome))
    for loop, results in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(_set_results, results)


def _as_result(error: BaseException) -> Exception:
    """Return an error that a future takes: it takes no StopIteration, and the thread must not end."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return LedgerError(f"A transaction ended with {type(error).__name__}; none of it was written")


def _set_results(results: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for done, outcome in results:
        if done.done():
            continue
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)
