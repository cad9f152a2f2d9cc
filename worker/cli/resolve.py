"""`resolve`: a person's answers on rows in doubt, one at a time or from a file they filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli import output
from worker.errors import UsageError
from worker.intake.answer_file import CANDIDATE, REGISTRATION, RESOLVE, ROW, read_filled_in
from worker.jobs import lifecycle, resolving
from worker.reports import csv_report, gather

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.jobs.lifecycle import Answer


def resolve(services: Services, job_id: int, number: int, answer: Answer) -> int:
    """Settle one row."""
    with services.ledger.write() as tx:
        click.echo(lifecycle.resolve(tx, job_id, number, answer))
    return output.DONE


def resolve_from(services: Services, job_id: int, path: Path, encoding: str | None) -> int:
    """Settle the rows in doubt that a file answers: all of them or none."""
    if not path.is_file():
        raise UsageError(f"There is no file {path}")
    lines = list(read_filled_in(path, encoding=encoding))
    with services.ledger.write() as tx:
        click.echo(resolving.resolve_all(tx, job_id, path.name, lines))
    return output.DONE


def export(services: Services, job_id: int, path: Path) -> int:
    """Write the rows in doubt as a list to fill in."""
    with services.ledger.read() as tx:
        job = lifecycle.get_whole_job(tx, job_id)
    count = csv_report.write_doubtful(path, job.headings, lambda: gather.lines_of(services.ledger, job))
    click.echo(
        f"{path}: {count} rows in doubt. Look each up at the LMS and fill in {RESOLVE} (`absent`, `candidate 123`, "
        f"`registration 456`), or its {REGISTRATION} or {CANDIDATE}; leave {ROW} as it is. Then "
        f"`roster resolve {job_id} --from {path}`"
    )
    return output.DONE
