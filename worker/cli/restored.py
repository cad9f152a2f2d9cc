"""The body of `roster ledger restored`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli.context import configure_log, record
from worker.jobs.restored import mark_restored
from worker.ledger.database import now
from worker.quantities import counted
from worker.schedules.due import skip_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.bootstrap import Services
    from worker.jobs.restored import Restored

#: Up to this many stored rosters are listed.
MAX_FILES = 10


def take_into_use(services: Services, *, as_json: bool) -> None:
    """Mark what may have been sent since the backup, skip missed runs of schedules, and say what is to be done."""
    configure_log(services)
    found = mark_restored(services, now())
    for schedule in found.schedules:
        skip_run(services, schedule, "The run was not caught up, since the ledger was restored from a backup")
    record(services, "ledger restored", detail=f"last written {_utc(found.last_written)}")
    if as_json:
        click.echo(json.dumps(_as_json(found)))
        return
    for line in _lines(found):
        click.echo(line)


def _as_json(found: Restored) -> dict[str, object]:
    return {
        "last_written": _utc(found.last_written),
        "held": [{"job": job, "in_doubt": count} for job, count in found.held.items()],
        "not_read": list(found.unread),
        "scheduled": list(found.ahead),
        "people_in_doubt": found.candidates,
        "registrations_in_doubt": found.registrations,
        "schedules_not_caught_up": [schedule.name for schedule in found.schedules],
        "unknown_rosters": [str(path) for path in found.unknown],
    }


def _lines(found: Restored) -> Iterator[str]:
    yield f"This ledger was last written {_utc(found.last_written)}. What happened after that is not in it."
    for job, count in found.held.items():
        yield f"Job {job} is held, with {counted(count, 'row')} in doubt: `roster resume {job}` looks them up."
    for job in found.unread:
        yield f"Job {job} is not sent: its roster was still to be read, and may have been sent since."
    for job in found.ahead:
        yield f"Job {job} stays scheduled. Cancel it if somebody started it early, after the backup was made."
    if found.candidates or found.registrations:
        yield (
            f"{counted(found.candidates, 'person')} and {counted(found.registrations, 'registration')} that "
            "were not sent by then are in doubt, also in ended jobs; they are looked up before they are sent."
        )
    else:
        yield "Nothing that this ledger has is in doubt: all of it had been sent by then."
    for schedule in found.schedules:
        yield f"Schedule {schedule.name}: runs that were due since then are not caught up."
    if found.unknown:
        yield (
            f"{counted(len(found.unknown), 'stored roster')} of no job in this ledger, probably sent since. "
            "Compare them with the LMS before their people are sent again:"
        )
        yield from (f"  {path}" for path in found.unknown[:MAX_FILES])
    yield "Jobs that were opened after the backup are not in this ledger. Do not run their rosters on an LMS that"
    yield "cannot be asked for people (Tahdah) without the LMS's ids in a candidate_id column."


def _utc(at: float | None) -> str:
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
