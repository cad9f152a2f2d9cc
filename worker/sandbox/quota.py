"""Quotas as an LMS would enforce them: their definitions. `limiters.py` counts.

The kinds are those found in the wild; what Tahdah and KMI enforce is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.sandbox import hints, rule_syntax
from worker.sandbox.hints import Style


class Kind(StrEnum):
    """How calls are counted."""

    #: `calls` per `seconds` drip into a bucket of `burst`.
    BUCKET = "bucket"
    #: `calls` in every window of `seconds`, the windows aligned to the clock.
    WINDOW = "window"
    #: `calls` in any stretch of `seconds`.
    LOG = "log"
    #: `calls` at the same time.
    AT_ONCE = "at-once"


class Share(StrEnum):
    """Whose calls are counted together."""

    CREDENTIAL = "credential"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One quota; the defaults are a plain 429 with whole seconds in `Retry-After`."""

    kind: Kind
    calls: int
    seconds: float = 1.0
    #: Of a bucket; as many as `calls` when 0.
    burst: int = 0
    share: Share = Share.CREDENTIAL
    style: Style = field(default_factory=Style)
    #: Refused calls use up the window too, as Cornerstone has it.
    counts_refused: bool = False

    def __str__(self) -> str:
        """Return the quota in the words of the command line."""
        speed = f"{self.calls}" if self.kind is Kind.AT_ONCE else f"{self.calls}/{self.seconds:g}s"
        burst = f":burst={self.burst}" if self.burst else ""
        return f"{self.kind}:{speed}{burst}:share={self.share}:status={self.style.status}"


_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0}
_UNITS |= {"hour": 3600.0, "day": 86400.0}
_READERS: dict[str, rule_syntax.Reader] = {
    "burst": int,
    "share": Share,
    "counts_refused": rule_syntax.yes,
    "status": int,
    "retry_after": hints.retry_after_form,
    "headers": hints.Headers,
    "body": hints.Body,
}


def _seconds(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip() or "s"
    if unit not in _UNITS:
        raise rule_syntax.RuleSyntaxError(f"{text!r} is no length of time; say second, 10s, minute, hour.")
    return float(number or 1) * _UNITS[unit]


def parse(text: str) -> Quota:
    """Read a quota: `bucket:20/second:burst=40`, `window:100/60s:retry-after=date`, `log:5/s`, `at-once:4`."""
    plain, named = rule_syntax.split(text)
    try:
        kind, speed = plain
        calls, _, per = speed.partition("/")
        quota: dict[str, Any] = {"kind": Kind(kind), "calls": int(calls), "seconds": _seconds(per or "s")}
    except ValueError as problem:
        if isinstance(problem, rule_syntax.RuleSyntaxError):
            raise
        raise rule_syntax.RuleSyntaxError(
            f"{text!r} is no quota; say bucket:20/second:burst=40, window:100/60s, log:100/10s or at-once:4."
        ) from None
    values = rule_syntax.read(named, _READERS, text)
    style = {key: values.pop(key) for key in ("status", "retry_after", "headers", "body") if key in values}
    return Quota(**quota, **values, style=Style(**style))


def allowed(quota: Quota, first: float, last: float, held: float) -> float | None:
    """Return the most calls that a quota lets in between two moments; `held` = mean seconds of a call in flight."""
    seconds = max(0.0, last - first)
    match quota.kind:
        case Kind.BUCKET:
            return (quota.burst or quota.calls) + quota.calls / quota.seconds * seconds
        case Kind.WINDOW:
            return quota.calls * (math.floor(last / quota.seconds) - math.floor(first / quota.seconds) + 1.0)
        case Kind.LOG:
            return quota.calls * (math.floor(seconds / quota.seconds) + 1.0)
        case Kind.AT_ONCE:
            return quota.calls * max(1.0, seconds / held) if held > 0 else None
