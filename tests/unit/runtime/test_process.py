"""What one process of a worker keeps between tasks."""

from __future__ import annotations

import asyncio
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING

from worker.bootstrap import Services
from worker.runtime.multiplexer import MOST
from worker.runtime.process import Workplace
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger


def test_as_many_rosters_as_a_process_reads_may_stand_back_and_looks_go_on(ledger: Ledger) -> None:
    go_on = Event()

    async def look_beside_readings() -> int:
        readings = [asyncio.create_task(asyncio.to_thread(go_on.wait, 20)) for _ in range(MOST + 1)]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(ledger.look(lambda _tx: 7), 10)
        finally:
            go_on.set()
            await asyncio.gather(*readings)

    services = Services(settings=Settings(), ledger=ledger, owner="here/1/1.0")
    with closing(Workplace(services)) as workplace:
        assert workplace.run(look_beside_readings()) == 7
