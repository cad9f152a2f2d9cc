"""Ask an LMS for the limits that it shows only when it is asked, for an estimate. Reads only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker import bootstrap, lms
from worker.errors import LmsError
from worker.ledger.learned_limits import LearnedLimits
from worker.lms.contract import bulk

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.settings import Connection

#: How long the LMS is asked for an estimate (seconds).
MAX_SECONDS = 20.0


def learn_limits(services: Services, connection: Connection, seconds: float = MAX_SECONDS) -> LearnedLimits | None:
    """Return what the LMS shows of its limits; None when they are declared, or it does not answer in time."""
    if not lms.rules_of(connection).people_per_lookup:
        return None
    try:
        return asyncio.run(_ask(services, connection, seconds))
    except (LmsError, TimeoutError):
        return None


async def _ask(services: Services, connection: Connection, seconds: float) -> LearnedLimits | None:
    session = bootstrap.open_lms_session(services, connection)
    try:
        connector = bulk(lms.connect(connection, bootstrap.open_lms_client(session, 0)))
        if connector is None:
            return None
        async with asyncio.timeout(seconds):
            return LearnedLimits(people_per_create=await connector.people_per_create(()))
    finally:
        await session.close()
