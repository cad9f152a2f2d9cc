"""Statements that the driver executes itself: the same matches and the same errors as through SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import StaticPool, bindparam, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.builders import a_job, record_of
from worker.ledger import schema
from worker.ledger.transactions import compile_statement

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger

_RENAME = schema.job.update().where(schema.job.c.id == bindparam("b_id")).values(reason=bindparam("b_reason"))


@pytest.mark.parametrize("paramstyle", ["qmark", "named", "numeric"])
def test_values_reach_the_statement_however_the_driver_takes_them(paramstyle: Any) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, paramstyle=paramstyle)
    schema.metadata.create_all(engine)
    with engine.begin() as tx:
        ids = [a_job(tx), a_job(tx), a_job(tx)]

        hit = compile_statement(_RENAME, tx.dialect).execute(
            tx, [{"b_reason": f"for {id_}", "b_id": id_} for id_ in ids[:2]]
        )
        reasons = tx.execute(schema.job.select().order_by(schema.job.c.id)).all()

    assert hit == 2
    assert [record.reason for record in reasons] == [f"for {ids[0]}", f"for {ids[1]}", ""]
    engine.dispose()


def test_values_in_the_statement_itself_are_kept(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        fixed = schema.job.update().where(schema.job.c.id == bindparam("b_id")).values(reason="always so")

        assert compile_statement(fixed, tx.dialect).execute(tx, [{"b_id": job_id}, {"b_id": -1}]) == 1

    assert record_of(ledger, schema.job, job_id).reason == "always so"


def test_an_error_of_the_driver_comes_as_sqlalchemys_without_the_values(ledger: Ledger) -> None:
    rename = compile_statement(schema.job.update().values(reason=bindparam("b_reason")), ledger.engine.dialect)
    with ledger.engine.begin() as tx:
        a_job(tx)
        with pytest.raises(IntegrityError) as raised:
            rename.execute(tx, [{"b_reason": "Wilhelmina"}, {"b_reason": None}])

    assert "Wilhelmina" not in f"{raised.value} {raised.value.params}"
    assert raised.value.__cause__ is None
    assert not raised.value.connection_invalidated


def test_a_broken_connection_is_reported_and_not_used_again(ledger: Ledger) -> None:
    one = compile_statement(text("UPDATE job SET reason = :b_reason"), ledger.engine.dialect)

    with ledger.engine.connect() as tx:
        tx.connection.dbapi_connection.close()  # type: ignore[union-attr]
        with pytest.raises(DBAPIError) as raised:
            one.execute(tx, [{"b_reason": "x"}])

    assert raised.value.connection_invalidated
    with ledger.write() as tx:
        a_job(tx)
        assert one.execute(tx, [{"b_reason": "x"}]) == 1
