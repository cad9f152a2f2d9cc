"""A roster read and planned as the real run would, within a transaction that is rolled back; nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.intake.accept import open_job
from worker.intake.read_in import read_rows_in
from worker.ledger.reading import within
from worker.registration import steer
from worker.registration.estimate import estimate

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection as Transaction

    from worker.bootstrap import Services
    from worker.intake.accept import Options
    from worker.intake.files import RosterFile
    from worker.intake.headers import Headings
    from worker.ledger.jobs import Job
    from worker.registration.estimate import Estimate
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many calls a job will take, and how fast they may go as far as anybody knows."""

    calls: Estimate
    #: Calls a second; None when no pace is known yet.
    rate: float | None

    @property
    def span(self) -> str:
        """Return the number of calls as a person reads it."""
        least, most = self.calls.least, self.calls.most
        return f"{least:,}" if least == most else f"{least:,} to {most:,}"

    @property
    def seconds(self) -> float | None:
        """Return how long the most of them take at the known pace."""
        return self.calls.seconds(self.rate) if self.rate else None


def rehearse_reading(
    tx: Transaction,
    file: Path,
    connection: Connection,
    options: Options,
    *,
    name: str | None = None,
    opened: tuple[RosterFile, Headings] | None = None,
) -> Job:
    """Read a roster into a job that is rolled back with `tx`. Raises UnreadableRoster or UsageError."""
    job_id = open_job(
        tx,
        path=file.absolute(),
        name=name or file.name,
        connection=connection,
        options=options,
        report_dir=file.parent,
    )
    read_rows_in(within(tx), steer.get_job(tx, job_id), lms.rules_of(connection), opened=opened)
    return steer.get_job(tx, job_id)


def plan_of(tx: Transaction, services: Services, job: Job, connection: Connection) -> Plan:
    """Return what the job will cost."""
    rules = lms.rules_of(connection)
    calls = estimate(tx, job.id, rows_per_call=rules.rows_per_call, lists_people=rules.lists_people)
    return Plan(calls=calls, rate=services.known_rate(tx, connection))
