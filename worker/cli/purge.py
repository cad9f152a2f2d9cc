"""The body of `purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli.context import record
from worker.cli.exit_codes import ExitCode
from worker.cli.options import confirm, parse_period
from worker.errors import UsageError
from worker.jobs import purge
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.jobs.purge import LeftJob, Purged

#: Up to this many job numbers are printed.
MAX_LISTED = 20
DAY_SECONDS = 86_400


def purge_jobs(
    services: Services, older_than: str | None, *, held: bool, compact: bool, dry_run: bool, yes: bool
) -> int:
    """Purge the jobs that ended at least this long ago, and print how many, what was left and what may remain."""
    if older_than is None and not compact:
        raise UsageError("--older-than is missing; write how long ago the jobs ended, for example 90d or 12w")
    if compact:
        purge.refuse_compacting(services)
    code = ExitCode.DONE
    if older_than is not None:
        seconds = parse_period("--older-than", older_than)
        code = _purge(services, seconds, held=held, compact=compact, dry_run=dry_run, yes=yes)
    if compact and not dry_run:
        purge.compact(services)
        record(services, "purge", detail="rewrote the tables")
        click.echo("The ledger's tables were rewritten: nothing that was deleted is left in its files.")
    return code


def _purge(services: Services, seconds: float, *, held: bool, compact: bool, dry_run: bool, yes: bool) -> ExitCode:
    plan = purge.plan(services, seconds, held=held)
    jobs = f"{counted(len(plan.jobs), 'job')}{_listed(plan.jobs)}"
    if dry_run:
        click.echo(f"{jobs} would be purged. Nothing was changed.")
        _print_left(plan.left, held=held)
        return ExitCode.DONE
    if plan.jobs:
        confirm(f"Delete the personal data of {jobs} for good?", is_confirmed=yes)
    purged = purge.purge(services, seconds, _warn, wanted=plan)
    removed = f"{counted(len(purged.jobs), 'job')}{_listed(purged.jobs)}"
    record(services, "purge", detail=f"of {seconds / DAY_SECONDS:g} days and older: {removed}")
    _print_purged(services, purged, compact=compact)
    _print_left(purged.left, held=held)
    return ExitCode.NOTHING_SENT if purged.unreachable else ExitCode.DONE


def _print_purged(services: Services, purged: Purged, *, compact: bool) -> None:
    drafts = f", {counted(purged.drafts, 'unsent upload')} of the page deleted" if purged.drafts else ""
    click.echo(
        f"{counted(len(purged.jobs), 'job')} purged{drafts}. Reports saved outside `files` were not deleted; "
        "delete them yourself."
    )
    if services.ledger.engine.dialect.name == "postgresql" and not compact:
        click.echo(
            "What was deleted may remain in PostgreSQL's files until it has vacuumed the tables and reused their "
            "space (`roster purge --compact` rewrites them now), in its write-ahead log (WAL) until that is "
            "recycled, and in backups."
        )
    elif purged.jobs:
        click.echo(
            "What was deleted may remain in backups, and in PostgreSQL's write-ahead log (WAL)."
            if compact
            else "What was deleted may remain in backups."
        )


def _print_left(jobs: Sequence[LeftJob], *, held: bool) -> None:
    for left in jobs:
        remedy = "; `--held` purges it too" if left.waits and not held else ""
        click.echo(f"Job {left.job_id} was left: it {left.reason}{remedy}.")


def _listed(jobs: Sequence[int]) -> str:
    if not jobs:
        return ""
    more = f" and {len(jobs) - MAX_LISTED} more" if len(jobs) > MAX_LISTED else ""
    return f" ({', '.join(map(str, jobs[:MAX_LISTED]))}{more})"


def _warn(message: str) -> None:
    click.echo(f"{message}; run `roster purge` again", err=True)
