"""How long a job still takes, as far as the ledger tells: the calls ahead at the pace that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import RosterError
from worker.ledger.engine import now
from worker.registration.estimate import estimate

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is ahead of a job."""

    #: Calls a second that are configured, or held when the credential was last used.
    rate: float
    #: The most calls that it still takes.
    calls: int
    #: How long they take, a pause that was asked for included.
    seconds: float


def forecast(services: Services, tx: Connection, job: Job) -> Forecast | None:
    """Return what is ahead of a job; None when no pace is known, or its connection is configured no longer."""
    try:
        connection = services.connection(job.connection)
    except RosterError:
        return None
    rate = services.known_rate(tx, connection)
    if rate is None:
        return None
    rules = lms.rules_of(connection)
    ahead = estimate(tx, job.id, rows_per_call=rules.rows_per_call, lists_people=rules.lists_people)
    pause = max(0.0, (job.not_before or 0.0) - now())
    return Forecast(rate=rate, calls=ahead.most, seconds=ahead.seconds(rate) + pause)
