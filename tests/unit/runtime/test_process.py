"""What a worker process keeps between tasks."""

from __future__ import annotations

import asyncio
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING

from worker.bootstrap import Services
from worker.runtime.multiplexer import MAX_SIDE_JOBS
from worker.runtime.process import WorkerProcess
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger


def test_all_imports_of_a_process_may_wait_and_queries_still_run(ledger: Ledger) -> None:
    may_continue = Event()

    async def query_next_to_imports() -> int:
        imports = [asyncio.create_task(asyncio.to_thread(may_continue.wait, 20)) for _ in range(MAX_SIDE_JOBS + 1)]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(ledger.query(lambda _tx: 7), 10)
        finally:
            may_continue.set()
            await asyncio.gather(*imports)

    services = Services(settings=Settings(), ledger=ledger, owner="host/1/1.0")
    with closing(WorkerProcess(services)) as process:
        assert process.run(query_next_to_imports()) == 7
