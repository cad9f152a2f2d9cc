"""Keep a claim alive while its work is done."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from worker.errors import LedgerError
from worker.ledger.leases import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def heartbeat(renew: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Renew a lease again and again while the block runs; a ledger that is away for a beat is asked at the next."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 6)
            with suppress(LedgerError):
                await renew()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
