"""For whom a workbook is written: how its sentences name what to do, and in which time zone its times are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from worker.reports.lines import STAMP, utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """The person who reads a workbook; without more, somebody who types commands."""

    #: Rewrites a sentence, which names commands, in the words of what the person uses.
    reworded: Callable[[str], str] = str
    #: The person's time zone; None for times as in the other files of a report.
    zone: ZoneInfo | None = None

    def sentence(self, text: str) -> str:
        """Return a sentence for this person, with its times in their time zone."""
        return STAMP.sub(lambda stamp: self.time_text(datetime.fromisoformat(stamp[0])), self.reworded(text))

    def time_text(self, when: datetime) -> str:
        """Return a time for a person: `2026-03-01T09:30:00Z`, or `1 Mar 2026, 10:30 (Europe/Berlin)`."""
        if self.zone is None:
            return utc_text(when)
        local = when.astimezone(self.zone)
        return f"{local.day} {local:%b %Y, %H:%M} ({self.zone.key})"


COMMAND_LINE = Audience()
