"""Statements compiled once for the database at hand and executed by its driver. Knows no table and no claim.

What SQLAlchemy does around a statement, at every execution, takes longer than the short updates before and after a
call; there are several for each row.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ClauseElement, Connection, Dialect


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the database takes it."""

    sql: str
    #: Puts the values into their order; None where the driver takes them by name.
    in_order: Callable[[Mapping[str, Any]], Any] | None
    #: The values that stand in the statement itself.
    fixed: Mapping[str, Any]

    def execute(self, tx: Connection, values: Sequence[Mapping[str, Any]]) -> int:
        """Execute it once for each of `values` and return how many lines were hit in all."""
        named = [{**self.fixed, **each} for each in values] if self.fixed else values
        try:
            with closing(tx.connection.cursor()) as cursor:
                cursor.executemany(self.sql, named if self.in_order is None else list(map(self.in_order, named)))
                return int(cursor.rowcount)
        except tx.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy_says_it(tx, self.sql, error) from None


def _as_sqlalchemy_says_it(tx: Connection, sql: str, error: Exception) -> BaseException:
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
