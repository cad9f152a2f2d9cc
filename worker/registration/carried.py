"""No two calls at once carry one person in the same kind of write, in whichever job, course or process.

Where a call takes many people, each is claimed by the LMS's id before the call, and until its outcome is known.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from worker.errors import HeldElsewhere
from worker.ledger import person_claims
from worker.lms.contract import bulk
from worker.registration.blocked import MAX_WAIT_SECONDS, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from worker.ledger.batches import Claim
    from worker.registration.context import JobContext


class Write(StrEnum):
    """What a call changes of its people."""

    #: Their registrations: made, withdrawn.
    REGISTRATION = "registration"
    #: Their accounts: updated, deactivated, activated.
    ACCOUNT = "account"


@asynccontextmanager
async def carried(
    context: JobContext, claim: Claim, write: Write, people: Mapping[int, str]
) -> AsyncIterator[bool]:
    """Hold people while a call carries them; `people` has the LMS's ids by candidate.

    Yields whether another call has just carried one of them under another record: what it did is to be read first.
    Raises HeldElsewhere when such a call takes long. Nobody is held while this waits for others.
    """
    if bulk(context.connector) is None:
        yield False
        return
    was_other_record = await _claim(context, claim, write, people)
    try:
        yield was_other_record
    finally:
        await context.ledger.commit(*person_claims.people_released(claim, people))


async def _claim(context: JobContext, claim: Claim, write: Write, people: Mapping[int, str]) -> bool:
    was_other_record, waited = False, 0.0
    while True:
        holders = await context.ledger.run_separately(
            lambda tx: person_claims.claim_for_write(tx, claim, context.connection, write, people)
        )
        if not holders:
            return was_other_record
        was_other_record |= not holders <= people.keys()
        if waited >= MAX_WAIT_SECONDS:
            raise HeldElsewhere(1.0, "Another call is changing the same person")
        await context.sleep(POLL_SECONDS)
        waited += POLL_SECONDS
