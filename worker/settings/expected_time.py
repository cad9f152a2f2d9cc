"""By when a new roster must have come: `07:00`, or `MON-FRI 07:00`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(?:(?P<days>[A-Za-z0-7,-]+)\s+)?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)")
EXAMPLES = '07:00, or "MON-FRI 07:00"'


@dataclass(frozen=True, slots=True)
class ExpectedTime:
    """A time of the day, and the days of the week as cron writes them; no days: all that the source has."""

    hour: int
    minute: int
    days: str = ""

    def __str__(self) -> str:
        """Return it as people write it."""
        time = f"{self.hour:02}:{self.minute:02}"
        return f"{self.days} {time}" if self.days else time


def parse_expected_time(text: str) -> ExpectedTime:
    """Return what a person wrote. Raises ValueError that says how to write it."""
    found = _FORM.fullmatch(text.strip())
    if found is None or not _are_days(days := (found["days"] or "").upper()):
        raise ValueError(f"{text!r} is not a time by which a roster can be expected; write {EXAMPLES}")
    return ExpectedTime(int(found["hour"]), int(found["minute"]), days)


def _are_days(days: str) -> bool:
    from cronsim.cronsim import CronSimError, Field  # noqa: PLC0415 - most configurations expect nothing

    try:
        return not days or bool(Field.DOW.parse(days))
    except (CronSimError, AssertionError, TypeError, ValueError):
        return False
