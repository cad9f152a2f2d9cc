"""The bodies of `run`, `resume`, `retry` and `undo`: run a job in this process."""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from worker import control, lms
from worker.cli import interruption, output
from worker.cli.context import REPORTS, actor, configure_log, connection_of
from worker.cli.exit_codes import ExitCode, exit_code
from worker.cli.explained import explained
from worker.cli.output import Unopened
from worker.cli.progress import show_progress
from worker.errors import NothingSent, RosterError, UsageError
from worker.intake.accept import Origin
from worker.intake.importing import import_roster
from worker.intake.options import parse_options
from worker.jobs import lifecycle, reporting, submission
from worker.jobs.check import check_roster
from worker.ledger import accounts, jobs
from worker.model import UNREAD, Driver, JobState
from worker.reports import gather
from worker.runtime.embedded import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.control import JobActionResult
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary
    from worker.settings import Connection

    JobCommand = Callable[[Services, int, dict[str, Any]], int]


def run_files(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Run rosters, one after the other; return the most severe exit code."""
    interruption.begin()
    connection = connection_of(services, options["to"])
    if len(files) > 1 and (failed := _check_all(services, files, connection, options)):
        output.print_results(failed, as_json=options["as_json"], as_list=True)
        return ExitCode.INTERRUPTED if interruption.is_noted() else ExitCode.NOTHING_SENT
    codes: list[int] = []
    results: list[Summary | Unopened] = []
    for place, file in enumerate(files, start=1):
        code, result = _run_or_explain(services, file, connection, options)
        codes.append(code)
        results += [result] if result else []
        if interruption.is_noted():
            left = files[place:]
            codes += [ExitCode.INTERRUPTED] * bool(left)
            results += [Unopened(file=each, error=output.interrupted(each)) for each in left]
            break
    output.print_results(results, as_json=options["as_json"], as_list=len(files) > 1)
    return max(codes)


def _run_or_explain(
    services: Services, file: Path, connection: Connection, options: dict[str, Any]
) -> tuple[int, Summary | Unopened | None]:
    """Run one roster, or return why it could not be opened."""
    interruption.begin()
    try:
        return _run_file(services, file, connection, options)
    except NothingSent as error:
        return ExitCode.NOTHING_SENT, Unopened(file=file, error=error)
    except KeyboardInterrupt:
        interruption.note()
        return ExitCode.INTERRUPTED, Unopened(file=file, error=output.interrupted(file))


def _check_all(
    services: Services, files: Sequence[Path], connection: Connection, options: dict[str, Any]
) -> list[Unopened]:
    """Import every file in a dry run before the first is sent; return those that must be fixed.

    After an interruption all of them are returned, since nothing of any of them is sent.
    """
    parsed, failed = parse_options(services.ledger, options, by=actor()), []
    try:
        for file in files:
            try:
                check_roster(services, file, connection, parsed)
            except NothingSent as error:
                failed.append(Unopened(file=file, error=error))
    except KeyboardInterrupt:
        interruption.note()
        return [Unopened(file=file, error=output.interrupted(file)) for file in files]
    return failed


def _run_file(
    services: Services, file: Path, connection: Connection, options: dict[str, Any]
) -> tuple[int, Summary | None]:
    submitted = submission.submit(
        services,
        file,
        name=file.name,
        connection=connection,
        options=parse_options(services.ledger, options, by=actor()),
        report_dir=(options["report"] or REPORTS).absolute(),
        origin=Origin(),
        record=_record_run,
        take_over=lambda tx, job_id: f"continuing job {lifecycle.resume(tx, job_id).id}",
    )
    if submitted.duplicate:
        click.echo(f"{file.name} was already submitted: {submitted.message}", err=True)
    return run_job(services, submitted.job_id, connection, quiet=options["quiet"])


def _record_run(tx: Transaction, opened: Submission) -> None:
    detail = "the same roster was open already" if opened.duplicate else ""
    accounts.add_audit_entry(tx, actor=actor(), action="run", job_id=opened.job_id, detail=detail)


def says_how_far(body: JobCommand) -> JobCommand:
    """Let the body of a command on a job handle interruptions, and print the job's summary after one."""

    @wraps(body)
    def call(services: Services, job_id: int, options: dict[str, Any]) -> int:
        interruption.begin()
        try:
            return body(services, job_id, options)
        except KeyboardInterrupt:
            if interruption.is_noted():
                raise
            interruption.note()
            output.print_results([_summarise(services, job_id)], as_json=options["as_json"])
            return ExitCode.INTERRUPTED

    return call


@says_how_far
def resume_job(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Resume a job; of one that has ended, run only the rows that a person has resolved."""
    resumed = control.resume(
        services,
        job_id,
        actor=actor(),
        driver=Driver.PROCESS,
        report_dir=options["report"],
        course=options["course"],
    )
    if not resumed.is_changed:
        return _show_unchanged(services, resumed, options)
    if options["course"] is not None:
        click.echo(resumed.message, err=True)
    return run_opened(services, job_id, options)


@says_how_far
def retry_job(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Send the rows of a job that were never sent, and with `--rejected` those that the LMS rejected."""
    retried = control.retry(
        services,
        job_id,
        actor=actor(),
        driver=Driver.PROCESS,
        report_dir=options["report"],
        rejected=options["rejected"],
    )
    if not retried.is_changed:
        return _show_unchanged(services, retried, options)
    click.echo(retried.message, err=True)
    return run_opened(services, job_id, options)


@says_how_far
def undo_job(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Withdraw what a job registered, in a separate job."""
    undoing = control.undo(services, job_id, actor=actor(), driver=Driver.PROCESS, report_dir=options["report"])
    click.echo(undoing.message, err=True)
    return run_opened(services, undoing.job_id, options)


def _show_unchanged(services: Services, result: JobActionResult, options: dict[str, Any]) -> int:
    """Show a job for which nothing was left to do; return the exit code of its state."""
    interruption.let_end(result.job_id)
    click.echo(result.message, err=True)
    summary = _write_reports(services, result.job_id)
    output.print_results([summary], as_json=options["as_json"])
    with services.ledger.read() as tx:
        return exit_code(lifecycle.get_job(tx, result.job_id).state)


def run_opened(services: Services, job_id: int, options: dict[str, Any]) -> int:
    """Run a job that is open in this process, and print its summary; `options` has `quiet` and `as_json`."""
    interruption.begin()
    with services.ledger.read() as tx:
        name = lifecycle.get_job(tx, job_id).connection
    code, summary = run_job(services, job_id, connection_of(services, name), quiet=options["quiet"])
    output.print_results([summary] if summary else [], as_json=options["as_json"])
    return code


def run_job(services: Services, job_id: int, connection: Connection, *, quiet: bool) -> tuple[int, Summary | None]:
    """Import a job's roster if need be, run the job, write its reports; return exit code and summary.

    Once the roster was read, one interruption does not end the command before it has returned.
    """
    configure_log(services)
    with services.ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
    if job.state.is_unread:
        try:
            job = _import(services, job_id, connection)
        except NothingSent as error:
            click.echo(explained(error), err=True)
            return ExitCode.NOTHING_SENT, _write_reports(services, job_id)
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED, _pause_import(services, job_id)
        output.print_notes(job)
        if job.state is not JobState.QUEUED:
            return exit_code(job.state), _write_reports(services, job_id)
    interruption.let_end(job_id)
    runner = Runner(services=services, job_id=job_id, connection=connection, expected_state=job.state)
    try:
        code = _send(runner, quiet=quiet)
        return code, _write_reports(services, job_id)
    except UsageError:
        raise
    except RosterError as error:
        click.echo(str(error), err=True)
        return ExitCode.STOPPED, None
    except KeyboardInterrupt:
        with services.ledger.write() as tx:
            lifecycle.stop_interrupted(tx, job_id)
        click.echo(f"The reports were not written; `roster report {job_id}` writes them", err=True)
        return ExitCode.INTERRUPTED, _summarise(services, job_id)


def _pause_import(services: Services, job_id: int) -> Summary:
    """Pause a job whose import was interrupted; it reads its roster from the start when it is resumed."""
    interruption.note()
    with services.ledger.write() as tx:
        jobs.change_job(tx, job_id, only_from=UNREAD, state=JobState.PAUSED, reason="interrupted")
    return _summarise(services, job_id)


def _send(runner: Runner, *, quiet: bool) -> int:
    """Run a job whose roster was read; return its exit code."""
    try:
        job = asyncio.run(_run(runner, quiet=quiet))
    except asyncio.CancelledError:
        with runner.services.ledger.write() as tx:
            job = lifecycle.stop_interrupted(tx, runner.job_id)
    if runner.interrupted.is_set() and not job.has_ended:
        return ExitCode.INTERRUPTED
    code = exit_code(job.state)
    if code == ExitCode.STOPPED and quiet:
        click.echo(f"Job {job.id} is {job.state}: {job.reason}. `roster resume {job.id}` continues it", err=True)
    return code


def _import(services: Services, job_id: int, connection: Connection) -> Job:
    """Import the roster of a job and return the job. Raises UsageError when another process imports it."""
    ledger, owner = services.ledger, services.owner
    with ledger.write() as tx:
        if not jobs.claim_job(tx, job_id, owner):
            raise UsageError(f"Another process is reading job {job_id}; `roster status {job_id}` shows it")
    try:
        import_roster(ledger, job_id, lms.rules_of(connection), owner=owner)
    finally:
        with ledger.write() as tx:
            jobs.release_job(tx, job_id, owner)
    with ledger.read() as tx:
        return lifecycle.get_job(tx, job_id)


async def _run(runner: Runner, *, quiet: bool) -> Job:
    """Run a job; Ctrl-C (or a SIGTERM) lets the calls in progress finish, and a second one does not."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if runner.interrupted.is_set() and task is not None:
            task.cancel()
            return
        runner.interrupted.set()
        click.echo("Finishing the calls in progress; press Ctrl-C again to stop at once", err=True)

    with interruption.asking(lambda: loop.call_soon_threadsafe(interrupt)):
        if interruption.is_noted():
            runner.interrupted.set()
        async with show_progress(runner, quiet=quiet):
            return await runner.run()


def _write_reports(services: Services, job_id: int) -> Summary:
    """Write the reports; when that fails the outcomes are safe in the ledger, and the summary is returned still."""
    with services.ledger.read() as tx:
        job = lifecycle.get_job(tx, job_id)
        summary = gather.summarise(tx, job)
    if not summary.total:
        return summary
    try:
        return reporting.write_job_reports(services.ledger, job)
    except RosterError as error:
        click.echo(str(error), err=True)
        return summary


def _summarise(services: Services, job_id: int) -> Summary:
    with services.ledger.read() as tx:
        return gather.summarise(tx, lifecycle.get_job(tx, job_id))
