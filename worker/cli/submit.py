"""`submit`: hand rosters to the queue."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import control, logs
from worker.cli import output
from worker.cli.run import REPORTS, connection_of
from worker.errors import UsageError
from worker.intake.accept import Arrival, accept, glance
from worker.intake.reading import roster_options
from worker.model import Driver
from worker.shadowing import shadowing_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.intake.accept import Accepted

TIMES = 'for example "2026-12-01 06:00", "06:00" (today, or tomorrow when that is past) or 2026-12-01T06:00+01:00'


def submit(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Keep each roster, open its job and ask the queue to work it off; print the jobs' ids."""
    if not services.settings.broker and not control.anybody_at_work(services):
        raise UsageError(
            "There is no queue: set `broker` in roster.toml (redis://host:6379/0) and start "
            "`celery -A worker worker`; or start `roster serve`; or use `roster run`, which needs no service"
        )
    logs.configure(services.settings.log, logging.ERROR)
    if services.settings.broker and (warning := shadowing_warning(Path.cwd())):
        click.echo(f"Warning: {warning}", err=True)
    connection = connection_of(services, options["to"])
    read = roster_options(services, options)
    start = starting_time(options["at"]) if options["at"] else None
    for file in files:
        glance(file, read)
    ids = []
    for file in files:
        accepted = accept(
            services.ledger,
            file,
            name=file.name,
            connection=connection,
            options=read,
            store=services.store,
            report_dir=(options["report"] or REPORTS).absolute(),
            arrival=Arrival(driver=Driver.QUEUE, start=start.timestamp() if start else None),
        )
        _tell_of(services, accepted, file, start)
        ids.append(accepted.job_id)
    _tell(ids, as_json=options["as_json"])
    return output.DONE


def _tell_of(services: Services, accepted: Accepted, file: Path, start: datetime | None) -> None:
    job_id = accepted.job_id
    if accepted.twin:
        click.echo(f"{file.name}: {control.adopt(services, job_id)}", err=True)
    elif start is not None:
        click.echo(f"{file.name}: job {job_id} begins {start:%Y-%m-%d %H:%M %Z}", err=True)
    elif not control.start(services, job_id):
        click.echo(f"The broker cannot be reached; job {job_id} is kept and begins when it is back", err=True)


def starting_time(text: str) -> datetime:
    """Return the time that a person wrote, in this machine's zone unless it names one; raises UsageError."""
    here = datetime.now().astimezone()
    try:
        if len(text) <= len("06:00:00") and ":" in text:
            hour = datetime.strptime(text, "%H:%M" if text.count(":") == 1 else "%H:%M:%S").time()  # noqa: DTZ007
            at = datetime.combine(here.date(), hour).astimezone()
            return at if at > here else datetime.combine(here.date() + timedelta(days=1), hour).astimezone()
        at = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"--at {text!r} is no time; write {TIMES}") from None
    if at < here - timedelta(minutes=1):
        raise UsageError(f"--at {text!r} is in the past; leave --at out to begin at once")
    return at


def _tell(ids: Sequence[int], *, as_json: bool) -> None:
    if not as_json:
        for job_id in ids:
            click.echo(f"job {job_id}: `roster status {job_id} --watch` follows it")
    elif len(ids) == 1:
        click.echo(json.dumps({"job": ids[0]}))
    else:
        click.echo(json.dumps({"jobs": [{"job": job_id} for job_id in ids]}))
