"""Hold a job when a worker meets an error that is not the outcome of a row, so that a person reads why."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerError, NothingSent
from worker.jobs import lifecycle
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.runtime.process import WorkerProcess

log = structlog.get_logger("roster")


@asynccontextmanager
async def hold_on_failure(process: WorkerProcess, job_id: int) -> AsyncIterator[None]:
    """Hold the job when the block raises what it would raise at every further try.

    Errors of the ledger are raised: when it is back, the sweep has the work done.
    """
    try:
        yield
    except LedgerError:
        raise
    except NothingSent as error:
        await _hold(process, job_id, str(error), "configuration")
    except Exception as error:  # noqa: BLE001 - whatever it is, a job must not fail again and again unseen
        reason = f"Unexpected error: {place_of(error)}. What was recorded is safe; please report this"
        await _hold(process, job_id, reason, "unforeseen")


async def _hold(process: WorkerProcess, job_id: int, reason: str, code: str) -> None:
    log.error("job held", job=job_id, reason=reason)
    await process.ledger.run(lambda tx: lifecycle.hold(tx, job_id, reason, code))
