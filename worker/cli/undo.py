"""`undo`: withdraw what a job registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker import control
from worker.cli import output
from worker.cli.run import connection_of, work_off
from worker.jobs import lifecycle
from worker.model import Driver

if TYPE_CHECKING:
    from worker.bootstrap import Services


def undo(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Withdraw what a job registered, by a job of its own."""
    with services.ledger.read() as tx:
        name = lifecycle.get_job(tx, job_id).connection
    connection = connection_of(services, name)
    undoing = control.undo(services, job_id, driver=Driver.PROCESS, report_dir=options["report"])
    click.echo(undoing.message, err=True)
    code, summary = work_off(services, undoing.job_id, connection, quiet=options["quiet"])
    output.tell_all([summary] if summary else [], as_json=options["as_json"])
    return code
