"""`verify`: read back at the LMS what a job says it did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from worker import bootstrap
from worker.cli import output
from worker.cli.run import connection_of
from worker.errors import LmsError
from worker.jobs import lifecycle
from worker.jobs.verify import rows_to_verify
from worker.jobs.verify import verify as read_back
from worker.ledger import jobs
from worker.model import Verdict
from worker.registration.counters import Books

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.verify import DoneRow
    from worker.reports.lines import Summary
    from worker.settings import Connection


def verify(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Read a job's done rows back, write its reports again, and return what that showed as exit code."""
    with services.ledger.write() as tx:
        rows = rows_to_verify(tx, job_id)
        if options["report"]:
            jobs.change_job(tx, job_id, report_dir=str(options["report"].absolute()))
        name = lifecycle.get_job(tx, job_id).connection
    connection = connection_of(services, name)
    stopped = asyncio.run(_read_back(services, job_id, connection, rows, quiet=options["quiet"]))
    with services.ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
    summary = output.write_reports(services.ledger, job)
    output.tell(summary, as_json=options["as_json"])
    if stopped is not None:
        click.echo(f"{stopped}. `roster verify {job_id}` begins anew", err=True)
        return output.WAITS
    return exit_code(summary)


def exit_code(summary: Summary) -> int:
    """Return 0 when every row that is done was confirmed, 1 when some were not, 2 when none could be verified."""
    counts = summary.verified or {}
    if counts.get(Verdict.DIFFERS, 0):
        return output.NOT_DONE
    if not counts.get(Verdict.CONFIRMED, 0):
        return output.NOTHING_SENT
    return output.NOT_DONE if counts.get(Verdict.CANNOT_BE_VERIFIED, 0) else output.DONE


async def _read_back(
    services: Services, job_id: int, connection: Connection, rows: Sequence[DoneRow], *, quiet: bool
) -> LmsError | None:
    """Read the rows back through a line of its own, under the pace that all share; return what stopped it."""
    wire = bootstrap.open_wire(services, connection)
    door = bootstrap.open_door(wire, job_id)
    memory = bootstrap.pace_memory(connection)
    books = Books(ledger=services.ledger, job_id=job_id, door=door, pace_memory=memory)
    desk = bootstrap.open_desk(services, connection, job_id, door, lambda: None)
    desk.rows_left = len(rows)
    tell = (lambda _: None) if quiet else (lambda text: click.echo(text, err=True))
    try:
        await read_back(desk, rows, longest_pause=connection.longest_pause_seconds, tell=tell)
    except LmsError as error:
        return error
    finally:
        await books.write(desk)
        await wire.close()
    return None
