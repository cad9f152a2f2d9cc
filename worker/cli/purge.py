"""`purge`: remove the personal data of jobs that ended long ago."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from worker.cli import output
from worker.errors import UsageError
from worker.jobs import purge as purging

if TYPE_CHECKING:
    from worker.bootstrap import Services

_DAY = 86_400.0
_UNITS = {"d": _DAY, "w": 7 * _DAY}


def purge(services: Services, older_than: str) -> int:
    """Purge the jobs that ended at least this long ago, and print how many."""
    purged = purging.purge(services, seconds_of(older_than), _warn)
    unsent = f", {purged.drafts} unsent drafts of the page removed" if purged.drafts else ""
    click.echo(
        f"{purged.jobs} jobs purged{unsent}. Reports saved outside `files` were not deleted; delete them yourself."
    )
    return output.NOTHING_SENT if purged.left else output.DONE


def _warn(message: str) -> None:
    click.echo(f"{message}; run `roster purge` again", err=True)


def seconds_of(period: str) -> float:
    """Return a period such as 90d or 12w in seconds; raises UsageError."""
    match = re.fullmatch(r"(\d+)\s*([dw])", period.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--older-than {period!r} is not a period; write days or weeks, for example 90d or 12w")
    return int(match[1]) * _UNITS[match[2].lower()]
