"""What a worker does with an error that is no outcome of a row: the job is held, and a person reads why."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerError, NothingSent
from worker.ledger import jobs
from worker.model import AT_WORK, TO_READ, JobState
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.runtime.process import Workplace

log = structlog.get_logger("roster")


@asynccontextmanager
async def held_on_trouble(here: Workplace, job_id: int) -> AsyncIterator[None]:
    """Hold the job when the block meets what every further try would meet again.

    A ledger that is away is not that: the sweep has the work done again.
    """
    try:
        yield
    except LedgerError:
        raise
    except NothingSent as error:
        await _hold(here, job_id, str(error), "configuration")
    except Exception as error:  # noqa: BLE001 - whatever it is, a job must not fail again and again unseen
        reason = f"This should not have happened: {place_of(error)}. What was recorded is safe; please report this"
        await _hold(here, job_id, reason, "unforeseen")


async def _hold(here: Workplace, job_id: int, reason: str, code: str) -> None:
    log.error("job held", job=job_id, reason=reason)
    held = {"state": JobState.HELD, "reason": reason, "reason_code": code, "not_before": None}
    await here.ledger.run(lambda tx: jobs.change_job(tx, job_id, only_from=(*TO_READ, *AT_WORK), **held))
