"""Publish task messages, and note those that could not be published, so that a later sweep publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from worker.ledger import queue
from worker.ledger.queue import TaskMessage

if TYPE_CHECKING:
    from worker.runtime.process import WorkerProcess

#: Publishes messages and returns those that could not be published.
Publisher = Callable[[Sequence[TaskMessage]], list[TaskMessage]]


def publish(process: WorkerProcess, due: Sequence[TaskMessage], publisher: Publisher) -> None:
    """Publish the messages that are due."""
    if unsent := publisher(due):
        with process.ledger.write() as tx:
            queue.mark_unsent(tx, unsent)


async def publish_async(process: WorkerProcess, due: Sequence[TaskMessage], publisher: Publisher) -> None:
    """Publish the messages that are due, without blocking the calls of this process."""
    if unsent := await asyncio.to_thread(publisher, due):
        await process.ledger.run(lambda tx: queue.mark_unsent(tx, unsent))
