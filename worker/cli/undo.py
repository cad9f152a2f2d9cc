"""`undo`: withdraw what a job registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker import lms
from worker.cli import output
from worker.cli.run import connection_of, work_off
from worker.jobs import lifecycle
from worker.jobs.undo import open_undo
from worker.ledger import jobs, rows

if TYPE_CHECKING:
    from worker.bootstrap import Services


def undo(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Withdraw what a job registered, by a job of its own."""
    with services.ledger.read() as tx:
        name = lifecycle.get_job(tx, job_id).connection
    connection = connection_of(services, name)
    with services.ledger.write() as tx:
        undoing = open_undo(tx, job_id, lms.rules_of(connection))
        if options["report"]:
            jobs.change_job(tx, undoing, report_dir=str(options["report"].absolute()))
        count = rows.tally(tx, undoing).total
    click.echo(f"Job {undoing} withdraws the {count} registrations that job {job_id} made", err=True)
    code, summary = work_off(services, undoing, connection, quiet=options["quiet"])
    output.tell_all([summary] if summary else [], as_json=options["as_json"])
    return code
