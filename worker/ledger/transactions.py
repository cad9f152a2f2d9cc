"""Read and write the ledger: plain transactions, and commits that calls in flight share.

A commit costs a sync of the disk. Intents and outcomes that are due at the same moment go into one transaction, run
by one thread: while a commit is under way the next ones gather, and nobody waits for longer than two commits.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from worker.errors import LedgerAway, StaleClaim
from worker.ledger import database as databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import ClauseElement, Dialect, Engine

    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the database takes it."""

    sql: str
    #: Puts the values into their order; None where the driver takes them by name.
    in_order: Callable[[Mapping[str, Any]], Any] | None
    #: The values that stand in the statement itself.
    fixed: Mapping[str, Any]

    def execute(self, tx: Transaction, values: Sequence[Mapping[str, Any]]) -> int:
        """Execute it once for each of `values` and return how many lines were hit in all."""
        named = [{**self.fixed, **each} for each in values] if self.fixed else values
        try:
            with closing(tx.connection.cursor()) as cursor:
                cursor.executemany(self.sql, named if self.in_order is None else list(map(self.in_order, named)))
                return int(cursor.rowcount)
        except tx.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy_says_it(tx, self.sql, error) from None


def _as_sqlalchemy_says_it(tx: Transaction, sql: str, error: Exception) -> BaseException:
    """Return the driver's error as SQLAlchemy would raise it; a broken connection is put away."""
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


def prepare(statement: ClauseElement, dialect: Dialect) -> Prepared:
    """Compile a statement for the database of `dialect`."""
    compiled = statement.compile(dialect=dialect)
    order = getattr(compiled, "positiontup", None)
    return Prepared(str(compiled), None if order is None else _in_order(order), dict(compiled.params))


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda named: tuple(named[name] for name in names)


Result = TypeVar("Result")
#: A database that is away is tried again for so long, with pauses of up to so much (seconds).
AWAY_SECONDS, AWAY_PAUSE_SECONDS = 30.0, 0.5


@dataclass(frozen=True, slots=True)
class Write:
    """One statement with its values; `fenced` ones must hit exactly one line, or the claim behind them is stale."""

    statement: ClauseElement
    values: Mapping[str, Any]
    fenced: bool = False


@dataclass(slots=True)
class _Waiting:
    """What one caller wants in the next commit: its writes all together, or a function's result."""

    work: tuple[Write, ...] | Callable[[Transaction], Any]


@dataclass(slots=True)
class _Joined(_Waiting):
    """What shares its commit with others, and who waits for it."""

    done: asyncio.Future[Any]


@dataclass(slots=True)
class Ledger:
    """The database, and the one thread through which a running job reaches it."""

    engine: Engine
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "ledger"))
    _gathered: list[_Joined] = field(default_factory=list)
    _busy: asyncio.Task[None] | None = None
    _prepared: dict[ClauseElement, Prepared] = field(default_factory=dict)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that changes something; committed at the end of the block."""
        with databases.translated(), self.engine.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction that only reads, seeing one state of the ledger throughout."""
        with (
            databases.translated(),
            self.engine.connect().execution_options(reads=True, stream_results=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def rehearse(self) -> Iterator[Transaction]:
        """Open a transaction that is rolled back at the end of the block, whatever was done in it."""
        with (
            databases.translated(),
            databases.rehearsal_of(self.engine) as engine,
            engine.connect() as connection,
        ):
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

    async def commit(self, *writes: Write) -> None:
        """Write all of `writes` in one transaction, shared with whatever else is due; return when it is on disk.

        Raises StaleClaim, with nothing of it written, when a fenced write hits no line.
        """
        await self._join(writes)

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """Run `work` in the next commit and return its result; it may be run twice, the first time rolled back."""
        result: Result = await self._join(work)
        return result

    async def aside(self, work: Callable[[Transaction], Result]) -> Result:
        """Run long `work` in a transaction of its own, beside the commits of calls in flight."""
        outcome = (await asyncio.to_thread(self._commit_together, [_Waiting(work)]))[0]
        if isinstance(outcome, Exception):
            raise outcome
        result: Result = outcome
        return result

    async def look(self, query: Callable[[Transaction], Result]) -> Result:
        """Run a `query` that only reads, beside the commits of calls in flight."""

        def look() -> Result:
            with self.read() as tx:
                return query(tx)

        return await asyncio.to_thread(look)

    def overwrite(self) -> None:
        """Give the space of what was removed back, so that it cannot be read from the file either.

        PostgreSQL does so by itself, in its own time.
        """
        if self.engine.dialect.name == "sqlite":
            with databases.translated(), self.engine.connect() as connection:
                raw = connection.connection
                raw.rollback()
                raw.execute("VACUUM")
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """End the thread and let go of the database."""
        self._thread.shutdown()
        self.engine.dispose()

    async def _join(self, work: tuple[Write, ...] | Callable[[Transaction], Any]) -> Any:
        waiting = _Joined(work, asyncio.get_running_loop().create_future())
        self._gathered.append(waiting)
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._drain())
        return await waiting.done

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._gathered:
            due, self._gathered = self._gathered, []
            outcomes = await loop.run_in_executor(self._thread, self._commit_together, due)
            for waiting, outcome in zip(due, outcomes, strict=True):
                _hand_over(waiting.done, outcome)

    def _commit_together(self, due: Sequence[_Waiting]) -> list[Any]:
        """Commit, and for a while again when the database is away: what an LMS has answered must not be forgotten.

        Whether a commit whose answer was lost took place is not known. All statements may be executed twice but for
        the counters, which may then be one too high; a claim that was won unseen runs out by itself.
        """
        patience = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                with self.write() as tx:
                    return self._execute_together(tx, due)
            except LedgerAway as away:
                if time.monotonic() > patience:
                    return [away] * len(due)
                time.sleep(random.uniform(0.02, AWAY_PAUSE_SECONDS))  # noqa: S311 - spreads herds, guards nothing
            except Exception as error:  # noqa: BLE001 - it belongs to one of them: find out to which
                return [error] if len(due) == 1 else [self._commit_together([waiting])[0] for waiting in due]

    def _execute_together(self, tx: Transaction, due: Sequence[_Waiting]) -> list[Any]:
        """Execute what is due, the same statements as one `executemany`, in the order of their first appearance."""
        writes: dict[ClauseElement, list[Mapping[str, Any]]] = {}
        fenced = set()
        for waiting in due:
            for write in waiting.work if isinstance(waiting.work, tuple) else ():
                writes.setdefault(write.statement, []).append(write.values)
                if write.fenced:
                    fenced.add(write.statement)
        for statement, values in writes.items():
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = self._prepared[statement] = prepare(statement, tx.dialect)
            if prepared.execute(tx, values) != len(values) and statement in fenced:
                raise StaleClaim("Another worker has taken this batch over")
        return [None if isinstance(waiting.work, tuple) else waiting.work(tx) for waiting in due]


def _hand_over(done: asyncio.Future[Any], outcome: Any) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
