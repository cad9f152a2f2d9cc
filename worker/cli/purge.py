"""The body of `purge`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
    services: Services,
    older_than: str | None,
    *,
    held: bool,
    compact: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Purge the jobs that ended at least this long ago, and print how many, what was left and what may remain."""
    if older_than is None and not compact:
        raise UsageError("--older-than is missing; write how long ago the jobs ended, for example 90d or 12w")
    if compact:
        purge.refuse_compacting(services)
    seconds = None if older_than is None else parse_period("--older-than", older_than)
    if dry_run:
        _print_dry_run(services, seconds, held=held, compact=compact, as_json=as_json)
        return ExitCode.DONE
    purged = None if seconds is None else _purge(services, seconds, held=held, yes=yes)
    if compact:
        purge.compact(services)
        record(services, "purge", detail="rewrote the tables")
    if as_json:
        click.echo(json.dumps(_as_json(purged) | {"dry_run": False, "compact": compact}))
    else:
        _print_result(services, purged, held=held, compact=compact)
    return ExitCode.NOTHING_SENT if purged and purged.unreachable else ExitCode.DONE


def _print_dry_run(services: Services, seconds: float | None, *, held: bool, compact: bool, as_json: bool) -> None:
    plan = None if seconds is None else purge.plan(services, seconds, held=held)
    jobs, left = (plan.jobs, plan.left) if plan else ((), ())
    count = purge.count_rows(services, jobs)
    if as_json:
        expected = {"jobs": list(jobs), "rows": count, "left": _left_as_json(left)}
        click.echo(json.dumps(expected | {"dry_run": True, "compact": compact}))
        return
    if plan:
        click.echo(f"{counted(len(jobs), 'job')}{_listed(jobs)} would be purged. Nothing was changed.")
        if jobs:
            click.echo(f"That is the personal data of {counted(count, 'row')}, and the rosters and reports.")
        _print_left(left, held=held)
    if compact:
        click.echo("The ledger's tables would be rewritten.")


def _purge(services: Services, seconds: float, *, held: bool, yes: bool) -> Purged:
    plan = purge.plan(services, seconds, held=held)
    if plan.jobs:
        jobs = f"{counted(len(plan.jobs), 'job')}{_listed(plan.jobs)}"
        confirm(f"Delete the personal data of {jobs} for good?", is_confirmed=yes)
    purged = purge.purge(services, seconds, _warn, wanted=plan)
    removed = f"{counted(len(purged.jobs), 'job')}{_listed(purged.jobs)}"
    record(services, "purge", detail=f"of {seconds / DAY_SECONDS:g} days and older: {removed}")
    return purged


def _print_result(services: Services, purged: Purged | None, *, held: bool, compact: bool) -> None:
    if purged:
        _print_purged(services, purged, compact=compact)
        _print_left(purged.left, held=held)
    if compact:
        click.echo("The ledger's tables were rewritten: nothing that was deleted is left in its files.")


def _as_json(purged: Purged | None) -> dict[str, Any]:
    if purged is None:
        return {"jobs": [], "left": [], "drafts": 0, "unreachable": 0}
    return {
        "jobs": list(purged.jobs),
        "left": _left_as_json(purged.left),
        "drafts": purged.drafts,
        "unreachable": purged.unreachable,
    }


def _left_as_json(left: Sequence[LeftJob]) -> list[dict[str, Any]]:
    return [{"job": each.job_id, "reason": each.reason, "waits": each.waits} for each in left]


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
