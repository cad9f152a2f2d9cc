"""Leases: which process holds a claim, and whether it is still alive."""

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
    """Return the name of this process: host, process id and start time, so that a dead one can be recognised."""
    process = psutil.Process()
    return f"{_host()}/{os.getpid()}/{process.create_time():.2f}"


def _host() -> str:
    """Return the host name and process namespace: containers of one host may share its name."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {space}"


def is_alive(owner: str) -> bool | None:
    """Return whether the process that made a claim is still running; None when it is on another machine."""
    host, pid, started = owner.rsplit("/", 2)
    if host != _host():
        return None
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1
    except psutil.Error:
        return False


def is_dead(owner: str, lease_until: float) -> bool:
    """Return whether a claim has expired or its process has died.

    A live process can lose a claim too, when it could not renew the lease because its database was unavailable.
    """
    return is_alive(owner) is False or lease_until < now()


@asynccontextmanager
async def heartbeat(renew: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Renew a lease regularly while the block runs; when the ledger is unavailable, retry at the next beat."""

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
