"""Validate cron lines and compute when they are due next, daylight saving included. Knows no ledger.

A line whose hour is `*` follows elapsed time. Every other one follows local time: a time that daylight saving skips
is due right after the gap, once; a time that occurs twice is due the first time.
"""

from __future__ import annotations

import difflib
import os
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.settings import ExpectedTime

_FIELDS = (
    (Field.MINUTE, "minute", "0-59"),
    (Field.HOUR, "hour", "0-23"),
    (Field.DAY, "day of the month", "1-31"),
    (Field.MONTH, "month", "1-12 or JAN-DEC"),
    (Field.DOW, "day of the week", "0-7 or SUN-SAT, 0 and 7 Sunday"),
)
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
EXAMPLE = '"0 2 * * 1-5" is 02:00 from Monday to Friday'


def check_cron(line: str) -> None:
    """Raise UsageError that says which field of a cron line is wrong and how to write it."""
    if line.strip().startswith("@"):
        if line.strip().casefold() not in _SHORTHANDS:
            raise UsageError(f"The cron line {line!r} is not one of {', '.join(_SHORTHANDS)}")
        return
    parts = line.split()
    if len(parts) != len(_FIELDS):
        raise UsageError(
            f"The cron line {line!r} has {len(parts)} fields; it needs five (minute hour day month weekday): "
            f"{EXAMPLE}"
        )
    for part, (field, name, range_) in zip(parts, _FIELDS, strict=True):
        if not _is_valid(field, part):
            raise UsageError(
                f"The cron line {line!r}: {part!r} is not a valid {name} ({range_}; also *, */5, 1-5, 1,15)"
            )
    _reject_impossible_day(line)


def _is_valid(field: Field, part: str) -> bool:
    try:
        return bool(field.parse(part.upper()))
    except (CronSimError, AssertionError, TypeError, ValueError):
        return False


def _reject_impossible_day(line: str) -> None:
    try:
        next(CronSim(_with_explicit_ranges(line), datetime(2024, 1, 1)))  # noqa: DTZ001 - any day is fine
    except (CronSimError, StopIteration):
        raise UsageError(f"The cron line {line!r} is for a day that does not exist") from None


def check_zone(name: str) -> None:
    """Raise UsageError, with the nearest name, when there is no such time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write one such as Europe/Dublin or UTC"
        raise UsageError(f"There is no time zone {name!r}; {hint}") from None


def machine_zone() -> str:
    """Return the name of this machine's time zone. Raises UsageError when it is not known."""
    places = [os.environ.get("TZ", "").removeprefix(":")]
    link = Path("/etc/localtime")
    if link.is_symlink():
        places.append(str(link.resolve()).partition("zoneinfo/")[2])
    written = Path("/etc/timezone")
    if written.is_file():
        places.append(written.read_text(encoding="utf-8", errors="replace").strip())
    for name in places:
        if name:
            try:
                check_zone(name)
            except UsageError:
                continue
            return name
    raise UsageError("The time zone of this machine is not known; give --zone, such as Europe/Dublin")


def next_run(line: str, zone: str, after: float) -> float:
    """Return when a checked cron line is due next, later than `after` (seconds since 1970)."""
    return next(runs(line, zone, after))


def previous_run(line: str, zone: str, before: float) -> float:
    """Return when a checked cron line was due last, earlier than `before` (seconds since 1970)."""
    start = datetime.fromtimestamp(before, zoneinfo.ZoneInfo(zone))
    times = (moment.timestamp() for moment in CronSim(_with_explicit_ranges(line), start, reverse=True))
    return next(at for at in times if at < before)


def deadline_line(expected: ExpectedTime, line: str = "* * * * *") -> str:
    """Return the cron line of a time of the day: on its own days, else on those of another line."""
    days = f"* * {expected.days}" if expected.days else " ".join(_SHORTHANDS.get(line.casefold(), line).split()[2:])
    return f"{expected.minute} {expected.hour} {days}"


def runs(line: str, zone: str, after: float) -> Iterator[float]:
    """Yield when a checked cron line is due: increasing times, all later than `after`."""
    start = datetime.fromtimestamp(after, zoneinfo.ZoneInfo(zone))
    last = after
    for moment in CronSim(_with_explicit_ranges(line), start):
        at = moment.timestamp()
        if at > last:
            yield at
            last = at


def _with_explicit_ranges(line: str) -> str:
    """Return the line with ranges for stars, so that the library follows local time unless the hour is `*`.

    It does that only for minutes and hours that do not begin with a star.
    """
    line = _SHORTHANDS.get(line.strip().casefold(), line)
    minute, hour, *days = line.split()
    if hour == "*":
        return line
    if minute.startswith("*"):
        minute = f"0-59{minute[1:]}"
    if hour.startswith("*"):
        hour = f"0-23{hour[1:]}"
    return " ".join([minute, hour, *days])
