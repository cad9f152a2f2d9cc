"""The commands on rows: `verify` and `resolve`. Each imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import completion
from worker.cli.context import actor, connection_of, record, with_existing_ledger
from worker.cli.exit_codes import ExitCode
from worker.cli.options import output_options
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.reports.lines import Summary


@click.command()
@click.argument("job", type=int, shell_complete=completion.jobs)
@output_options
@with_existing_ledger
def verify(services: Services, job: int, *, report: Path | None, as_json: bool, quiet: bool) -> int:
    """Compare the rows of a job that are done with the LMS.

    Reads only; sends nothing.

    Example: roster verify 7
    """
    from worker import control
    from worker.cli import interruption
    from worker.cli.output import print_summary
    from worker.jobs import lifecycle, reporting

    interruption.begin()
    with services.ledger.read() as tx:
        connection_of(services, lifecycle.get_job(tx, job).connection)
    show = _ignore if quiet else _print_progress
    try:
        stopped: object = control.verify(services, job, actor=actor(), report_dir=report, show=show)
        code = ExitCode.STOPPED
    except KeyboardInterrupt:
        interruption.note()
        stopped, code = "Interrupted", ExitCode.INTERRUPTED
    interruption.let_end(job)
    with services.ledger.read() as tx:
        verified = lifecycle.get_job(tx, job)
    summary = reporting.write_job_reports(services.ledger, verified)
    print_summary(summary, as_json=as_json)
    if stopped is not None:
        click.echo(f"{stopped}. Run `roster verify {job}` to start again", err=True)
        return code
    return _exit_code(summary)


def _ignore(_: str) -> None:
    pass


def _print_progress(text: str) -> None:
    click.echo(text, err=True)


def _exit_code(summary: Summary) -> int:
    """Return 0 when every row that is done was confirmed, 1 when some were not, 2 when none could be verified."""
    from worker.model import Verdict

    counts = summary.verified or {}
    if counts.get(Verdict.DIFFERS, 0):
        return ExitCode.NOT_DONE
    if not counts.get(Verdict.CONFIRMED, 0):
        return ExitCode.NOTHING_SENT
    return ExitCode.NOT_DONE if counts.get(Verdict.CANNOT_BE_VERIFIED, 0) else ExitCode.DONE


@click.command()
@click.argument("job", type=int, shell_complete=completion.jobs)
@click.argument("row", type=int, required=False)
@click.option("--candidate-id", metavar="ID", help="The person exists in the LMS with this ID.")
@click.option("--registration-id", metavar="ID", help="The registration exists in the LMS with this ID.")
@click.option("--absent", is_flag=True, help="It is not in the LMS; it may be sent again.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the answers for many rows from this file (- is standard input): all of them or none.",
)
@click.option(
    "--export", type=click.Path(path_type=Path), metavar="FILE", help="Write the unconfirmed rows to a CSV file."
)
@click.option("--encoding", metavar="NAME", help="The encoding of the --from file; detected by default.")
@with_existing_ledger
def resolve(services: Services, job: int, row: int | None, **options: Any) -> None:
    """Say what you found in the LMS for an unconfirmed row.

    Its status is in_doubt; a file may answer for many rows.

    Example: roster resolve 7 42 --absent

    Example: roster resolve 7 --export doubt.csv, fill it in, roster resolve 7 --from doubt.csv
    """
    from worker import control
    from worker.jobs.resolve import Resolution

    answer = Resolution(**{name: options[name] for name in ("candidate_id", "registration_id", "absent")})
    source, export = options["source"], options["export"]
    ways = [row is not None, source is not None, export is not None]
    if sum(ways) != 1 or (answer != Resolution() and row is None):
        raise click.UsageError(
            "Give a ROW with --candidate-id, --registration-id or --absent; or a file with --from or --export."
        )
    answers = (answer.candidate_id is not None, answer.registration_id is not None, answer.absent)
    if row is not None and sum(answers) != 1:
        raise UsageError(
            "Say what you found in the LMS by exactly one of --candidate-id ID, --registration-id ID and --absent"
        )
    if row is not None:
        click.echo(control.resolve(services, job, row, answer, actor=actor()))
    elif export is not None:
        _export(services, job, export)
    else:
        _resolve_from_file(services, job, source, options["encoding"])


def _resolve_from_file(services: Services, job: int, path: Path, encoding: str | None) -> None:
    from worker import control
    from worker.cli.standard_input import readable
    from worker.intake.answer_file import read_answer_file

    with readable([path], services.settings.serve.max_upload_mb) as (file,):
        if not file.is_file():
            raise UsageError(f"There is no file {file}")
        lines = list(read_answer_file(file, encoding=encoding))
    click.echo(control.resolve_from_file(services, job, file.name, lines, actor=actor()))


def _export(services: Services, job: int, path: Path) -> None:
    """Write the rows in doubt as a list to fill in."""
    from worker.intake.answer_file import CANDIDATE, REGISTRATION, RESOLVE, ROW
    from worker.jobs import lifecycle
    from worker.reports import csv_report, gather
    from worker.reports.labels import counted

    with services.ledger.read() as tx:
        exported = lifecycle.get_unpurged_job(tx, job)
    record(services, "resolve export", job_id=job)
    with services.ledger.read() as tx:
        count = csv_report.write_unconfirmed(path, exported.headings, lambda: gather.report_lines(tx, exported))
    click.echo(
        f"{path}: {counted(count, 'unconfirmed row')}. Look up each person in the LMS and fill in {RESOLVE} "
        f"(`absent`, `candidate 123`, `registration 456`), or its {REGISTRATION} or {CANDIDATE}; do not change "
        f"{ROW}. Then run `roster resolve {job} --from {path}`"
    )


COMMANDS = (verify, resolve)
