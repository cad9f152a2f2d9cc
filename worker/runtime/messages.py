"""Do what a task message asks for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.ledger.queue import Task
from worker.runtime.publishing import publish_async
from worker.runtime.register import run_time_slice
from worker.runtime.report import report
from worker.runtime.split import split

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.queue import TaskMessage
    from worker.runtime.process import WorkerProcess
    from worker.runtime.publishing import Publisher


async def run_message(
    process: WorkerProcess,
    message: TaskMessage,
    publisher: Publisher,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Do what a message about a job asks for, and publish what comes next.

    `progress` is called with the number of rows of the job that are done, and of all.
    """
    if message.task is Task.SPLIT:
        await publish_async(process, await split(process, message.job_id), publisher)
    elif message.task is Task.REGISTER:
        await run_time_slice(process, message.job_id, message.id, publisher, progress)
    elif message.task is Task.REPORT:
        await asyncio.to_thread(report, process, message.job_id)
    else:
        raise ValueError(f"{message.task} is not about a job")
