"""What the pace of an account is, for people: how it is known, why, and until when it waits.

How it is known is one of three words, and no percentage: the scores of the estimate are no probabilities.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.pace.rate import Rate


class Source(enum.StrEnum):
    """How a pace is known."""

    #: The LMS states it, or the configuration does.
    NAMED = "named"
    #: Refusals have shown where the limit is.
    MEASURED = "measured"
    #: Nothing was refused so far, or too little to be sure.
    GUESSED = "guessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceDescription:
    """The pace of an account as it was last known."""

    source: Source
    #: One sentence without a full stop, such as "the LMS states 40 calls per second".
    why: str
    #: Unix seconds until which no call may go; None when it waits for nothing.
    waits_until: float | None = None
    #: What it waits for; empty when it waits for nothing.
    waits_for: str = ""

    @property
    def text(self) -> str:
        """Return the description as a person reads it, without the time."""
        return f"{self.source}: {self.why}"


def describe(stored: Mapping[str, Any], configured: Rate | None, *, now: float) -> PaceDescription:
    """Return what the record in the ledger and the configuration say of a pace."""
    source, why = _source(stored, configured)
    pause, used_up = _number(stored, "not_before"), _number(stored, "quota_until")
    until = max(pause, used_up)
    if until <= now:
        return PaceDescription(source=source, why=why)
    reason = "the LMS asked for a pause" if pause >= used_up else "the limit that the LMS states is used up"
    return PaceDescription(source=source, why=why, waits_until=until, waits_for=reason)


def _source(stored: Mapping[str, Any], configured: Rate | None) -> tuple[Source, str]:
    quotas = stored.get("quotas") or []
    if quotas:
        return Source.NAMED, f"the LMS states {' and '.join(_quota_text(each) for each in quotas)}"
    if configured is not None:
        return Source.NAMED, "by `rate` in the configuration"
    if not _number(stored, "rate"):
        return Source.GUESSED, "the LMS has refused no call for speed so far"
    if stored.get("is_sure", True):
        return Source.MEASURED, "by when the LMS refused calls"
    return Source.GUESSED, "from the first refusals; it is still searched for"


def _quota_text(quota: Mapping[str, Any]) -> str:
    calls, seconds, refill = (_number(quota, name) for name in ("calls", "seconds", "refill"))
    number = "1 call" if round(calls) == 1 else f"{calls:,.0f} calls"
    if quota.get("kind") == "bucket":
        return f"{number}, refilled at {refill:,.3g} a second"
    return f"{number} per {_time_text(seconds)}"


def _time_text(seconds: float) -> str:
    for unit, length in (("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length and seconds % length == 0:
            many = seconds / length
            return unit if many == 1 else f"{many:g} {unit}s"
    return f"{seconds:g} seconds"


def _number(record: Mapping[str, Any], name: str) -> float:
    """Return a number of a record; 0 for what is none, since another version may have written it."""
    try:
        value = float(record.get(name) or 0)
    except (TypeError, ValueError):
        return 0.0
    return value if math.isfinite(value) else 0.0
