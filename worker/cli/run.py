"""`run`, `check`, `resume` and `retry`: a job worked off, or rehearsed, in this process."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import lms
from worker.cli import output
from worker.cli.progress import shown
from worker.errors import NothingSent, RosterError, UsageError
from worker.intake.accept import accept, fingerprint
from worker.intake.importing import read_in, rehearse
from worker.intake.reading import roster_options
from worker.jobs import lifecycle
from worker.jobs.estimate import plan_of
from worker.ledger import jobs
from worker.model import JobState, RowStatus
from worker.runtime.embedded import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.bootstrap import Services
    from worker.intake.accept import Options
    from worker.jobs.estimate import Plan
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary
    from worker.settings import Connection

REPORTS = Path("reports")
#: So many problems are printed; the report has them all.
SHOWN_PROBLEMS = 20


def run(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Work rosters off, one after the other; return the gravest exit code."""
    connection = connection_of(services, options["to"])
    if len(files) > 1:
        _refuse_before_sending(services, files, connection, options)
    codes, summaries = [], []
    for file in files:
        code, summary = _run_one(services, file, connection, options)
        codes.append(code)
        summaries += [summary] if summary else []
        if code == output.INTERRUPTED:
            break
    output.tell_all(summaries, as_json=options["as_json"])
    return max(codes)


def _refuse_before_sending(
    services: Services, files: Sequence[Path], connection: Connection, options: dict[str, Any]
) -> None:
    """Read every file before the first is sent: one that must be mended then costs nothing."""
    read = roster_options(services, options)
    for file in files:
        with services.ledger.rehearse() as tx:
            _rehearse_reading(tx, file, connection, read)


def _run_one(
    services: Services, file: Path, connection: Connection, options: dict[str, Any]
) -> tuple[int, Summary | None]:
    accepted = accept(
        services.ledger,
        file,
        name=file.name,
        connection=connection,
        options=roster_options(services, options),
        store=services.store,
        report_dir=(options["report"] or REPORTS).absolute(),
    )
    if accepted.twin:
        with services.ledger.write() as tx:
            lifecycle.resume(tx, accepted.job_id)
        click.echo(f"{file.name} is at work already: going on with job {accepted.job_id}", err=True)
    return work_off(services, accepted.job_id, connection, quiet=options["quiet"])


def resume(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Go on with a job where it stopped; with one that has ended, only what a person has opened again."""
    with services.ledger.write() as tx:
        job = lifecycle.resume(tx, job_id)
        if options["report"]:
            jobs.change_job(tx, job_id, report_dir=str(options["report"].absolute()))
    return _go_on(services, job, options)


def retry(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Send again the rows of a job whose status says that nothing was done."""
    with services.ledger.write() as tx:
        count = lifecycle.reopen(tx, job_id)
        job = lifecycle.resume(tx, job_id)
        if options["report"]:
            jobs.change_job(tx, job_id, report_dir=str(options["report"].absolute()))
    click.echo(f"Job {job_id}: {count} rows will be sent again", err=True)
    return _go_on(services, job, options)


def _go_on(services: Services, job: Job, options: dict[str, Any]) -> int:
    connection = connection_of(services, job.connection)
    code, summary = work_off(services, job.id, connection, quiet=options["quiet"])
    output.tell_all([summary] if summary else [], as_json=options["as_json"])
    return code


def work_off(services: Services, job_id: int, connection: Connection, *, quiet: bool) -> tuple[int, Summary | None]:
    """Read a job in if that is still to do, work it off, write its reports; return exit code and summary."""
    ledger = services.ledger
    with ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
    if job.state in {JobState.UPLOADED, JobState.VALIDATING}:
        try:
            job = _read_in(services, job_id, connection)
        except NothingSent as error:
            click.echo(str(error), err=True)
            return output.NOTHING_SENT, _report(services, job_id)
        _warn(services, job_id)
        if job.state is not JobState.QUEUED:
            return output.exit_code(job.state), _report(services, job_id)
    runner = Runner(services=services, job_id=job_id, connection=connection, seen=job.state)
    try:
        job = asyncio.run(_drive(runner, quiet=quiet))
    except UsageError:
        raise
    except asyncio.CancelledError:
        with ledger.write() as tx:
            jobs.change_job(tx, job_id, state=JobState.PAUSED, reason="interrupted")
        return output.INTERRUPTED, _report(services, job_id)
    except RosterError as error:
        click.echo(str(error), err=True)
        return output.WAITS, None
    code = output.INTERRUPTED if runner.interrupted.is_set() and not job.has_ended else output.exit_code(job.state)
    if code == output.WAITS and quiet:
        click.echo(f"Job {job_id} is {job.state}: {job.reason}. `roster resume {job_id}` goes on", err=True)
    return code, _report(services, job_id)


def _read_in(services: Services, job_id: int, connection: Connection) -> Job:
    """Read a job in, and return it as it then stands. Raises UsageError when somebody else is at it."""
    ledger, owner = services.ledger, services.owner
    with ledger.write() as tx:
        if not jobs.take_job(tx, job_id, owner):
            raise UsageError(f"Job {job_id} is being read by another process already; `roster status {job_id}`")
    try:
        read_in(ledger, job_id, lms.rules_of(connection), owner=owner)
    finally:
        with ledger.write() as tx:
            jobs.leave_job(tx, job_id, owner)
    with ledger.read() as tx:
        return lifecycle.get_job(tx, job_id)


async def _drive(runner: Runner, *, quiet: bool) -> Job:
    with _interruptible(runner):
        async with shown(runner, quiet=quiet):
            return await runner.work_off()


@contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """Let Ctrl-C (or a SIGTERM) finish the calls under way; a second one ends the program at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if runner.interrupted.is_set() and task is not None:
            task.cancel()
            return
        runner.interrupted.set()
        click.echo("Finishing the calls under way; press Ctrl-C again to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _report(services: Services, job_id: int) -> Summary | None:
    """Write the reports; when that fails the outcomes are safe in the ledger, and the summary is still told."""
    with services.ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
    summary = output.summary_of(services.ledger, job)
    if not summary.total:
        return summary
    try:
        return output.write_reports(services.ledger, job)
    except RosterError as error:
        click.echo(str(error), err=True)
        return summary


def _warn(services: Services, job_id: int) -> None:
    with services.ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
    for note in job.notes:
        click.echo(f"Note: {note}", err=True)


def check(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Read, validate and plan as `run` would, in a transaction that is rolled back; send nothing."""
    connection = connection_of(services, options["to"])
    codes, summaries = [], []
    read = roster_options(services, options)
    for file in files:
        with services.ledger.rehearse() as tx:
            summary = _rehearse(tx, services, file, connection, read)
        summaries.append(summary)
        invalid = summary.by_status[RowStatus.INVALID]
        codes.append((output.NOTHING_SENT if options["strict"] else output.NOT_DONE) if invalid else output.DONE)
    output.tell_all(summaries, as_json=options["as_json"])
    return max(codes)


def _rehearse(tx: Transaction, services: Services, file: Path, connection: Connection, options: Options) -> Summary:
    job = _rehearse_reading(tx, file, connection, options)
    for note in job.notes:
        click.echo(f"Note: {note}", err=True)
    output.tell_problems(tx, job, SHOWN_PROBLEMS)
    _tell_plan(plan_of(tx, services, job.id, connection))
    return output.rehearsed(tx, job)


def _rehearse_reading(tx: Transaction, file: Path, connection: Connection, options: Options) -> Job:
    fingerprint(file, connection.name, options)
    return rehearse(tx, file, connection, options, rules=lms.rules_of(connection))


def _tell_plan(plan: Plan) -> None:
    """Say how many calls the run will take, and how long at the pace that is known."""
    seconds, rate = plan.seconds, plan.rate
    time = f", about {seconds:,.0f} seconds at {rate:g} a second" if seconds is not None else ""
    click.echo(f"{plan.span} calls to the LMS{time}", err=True)


def connection_of(services: Services, name: str | None) -> Connection:
    """Return the connection to use, having told what a person should know about the configuration."""
    connection = services.connection(name)
    for warning in services.warnings(connection):
        click.echo(f"Warning: {warning}", err=True)
    return connection
