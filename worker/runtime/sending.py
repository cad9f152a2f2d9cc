"""Ring bells, and note those that could not be rung, so that a later sweep rings them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from worker.ledger import queue
from worker.ledger.queue import Bell

if TYPE_CHECKING:
    from worker.runtime.process import Workplace

#: Sends bells and returns those that could not be sent.
Ring = Callable[[Sequence[Bell]], list[Bell]]


def ring_for(here: Workplace, due: Sequence[Bell], ring: Ring) -> None:
    """Ring the bells that are due."""
    if unrung := ring(due):
        with here.ledger.write() as tx:
            queue.unring(tx, unrung)


async def ring_aside(here: Workplace, due: Sequence[Bell], ring: Ring) -> None:
    """Ring the bells that are due, without holding up the calls of this process."""
    if unrung := await asyncio.to_thread(ring, due):
        await here.ledger.run(lambda tx: queue.unring(tx, unrung))
