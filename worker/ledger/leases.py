"""Who holds a claim, and whether they still live: a claim is a lease with a heartbeat."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from worker.errors import LedgerError
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

#: How long a claim holds without a heartbeat.
LEASE_SECONDS = 60.0


def owner_name() -> str:
    """Return who this process is: host, process and when it started, so that a dead one can be told."""
    process = psutil.Process()
    return f"{_host()}/{os.getpid()}/{process.create_time():.2f}"


def _host() -> str:
    """Return where process numbers mean what they mean here: containers of one host may share its name."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {space}"


def is_alive(owner: str) -> bool | None:
    """Tell whether the process that made a claim still runs; None when it is on another machine."""
    host, pid, started = owner.rsplit("/", 2)
    if host != _host():
        return None
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1
    except psutil.Error:
        return False


def is_dead(owner: str, lease_until: float) -> bool:
    """Tell whether a claim is void.

    A process that lives and let its lease run out has lost what it held: its database was away for too long.
    """
    return is_alive(owner) is False or lease_until < now()


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
