"""Schedules, for looking at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from worker.ledger.schema import schedule

if TYPE_CHECKING:
    from worker.ledger.access import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A schedule, and when it runs."""

    name: str
    cron: str
    zone: str
    source: str
    connection: str
    next_at: float
    last_at: float | None
    last_job_id: int | None
    last_error: str


def read_all(ledger: Ledger) -> list[Scheduled]:
    """Return all schedules, the next to run first."""
    columns = [schedule.c[name] for name in Scheduled.__dataclass_fields__]
    with ledger.read() as tx:
        return [Scheduled(**line._mapping) for line in tx.execute(select(*columns).order_by(schedule.c.next_at))]  # noqa: SLF001 - the documented way to read a line as a mapping
