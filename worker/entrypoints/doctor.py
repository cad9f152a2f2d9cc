"""`doctor`: is everything that a job needs in order? One harmless call to each connection."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import click

from worker import bootstrap, lms
from worker.entrypoints import outcome
from worker.errors import RosterError
from worker.ledger import jobs

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.settings import Connection

#: Below this a job's ledger and reports may not find room (bytes).
LITTLE_ROOM = 200 * 1024 * 1024


def doctor(services: Services) -> int:
    """Print what is in order and what is not; exit 2 when something must be mended."""
    checks = [
        _ledger(services),
        _files(services),
        *(_connection(services, name) for name in services.settings.connections),
    ]
    if not services.settings.connections:
        checks.append((False, "no connection is configured in roster.toml"))
    for good, sentence in checks:
        click.secho(f"{'ok  ' if good else 'mend'}  {sentence}", fg="green" if good else "red")
    return outcome.DONE if all(good for good, _ in checks) else outcome.NOTHING_SENT


def _ledger(services: Services) -> tuple[bool, str]:
    with services.ledger.write() as tx:
        count = len(jobs.list_jobs(tx))
    return True, f"ledger: {services.ledger.engine.url.render_as_string(hide_password=True)}, {count} jobs"


def _files(services: Services) -> tuple[bool, str]:
    folder = services.files
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return False, f"files: {folder} cannot be written: {error.strerror}"
    return free > LITTLE_ROOM, f"files: {folder}, {free // (1024 * 1024):,} MB free"


def _connection(services: Services, name: str) -> tuple[bool, str]:
    try:
        connection = services.connection(name)
        return True, f"{name}: {connection.base_url} {asyncio.run(_probe(services, connection))}"
    except RosterError as error:
        return False, f"{name}: {error}"


async def _probe(services: Services, connection: Connection) -> str:
    wire = bootstrap.open_wire(services, connection)
    try:
        return await lms.connect(connection, bootstrap.open_door(wire, 0)).probe()
    finally:
        await wire.close()
