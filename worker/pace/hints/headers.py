"""Headers of an answer that speak of limits, as numbers in seconds and calls. Knows no status and no body.

Forms: X-RateLimit-*, X-Rate-Limit-*, RateLimit-* (IETF draft-ietf-httpapi-ratelimit-headers up to 06) and the
structured RateLimit and RateLimit-Policy (from 07). What cannot be read counts as absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

#: Longest pause that is believed, in seconds; a value above it is a mistake (a week holds any quota we know of).
LONGEST_BELIEVED = 7 * 86400.0

#: Larger numbers are milliseconds since 1970, and larger than the second are seconds since 1970.
EPOCH_MILLISECONDS = 1e12
EPOCH_SECONDS = 1e9

#: Prefixes of the families, and the infixes for several policies side by side (x-ratelimit-minute-remaining).
_FAMILY = re.compile(
    r"(?:x-)?rate-?limit-(?:[a-z0-9]+-)??(?P<what>limit|remaining|reset)(?:-(?:second|minute|hour|day))?"
)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,9})?(?:e[+-]?\d{1,2})?", re.IGNORECASE)
_PARAMETER = re.compile(
    r";\s*(?P<key>[a-z][a-z0-9_-]{0,20})\s*=\s*\"?(?P<value>-?\d{1,15}(?:\.\d{1,9})?)", re.IGNORECASE
)


def number(text: str) -> float | None:
    """Read a decimal number; None for words, NaN, infinity and what follows a number."""
    match = _NUMBER.fullmatch(text.strip())
    value = float(match[0]) if match else math.nan
    return value if math.isfinite(value) else None


def leading_number(text: str) -> float | None:
    """Read the number before a comma or semicolon ("100, 100;w=60"), as drafts up to 06 write it."""
    return number(re.split(r"[,;]", text, maxsplit=1)[0])


def rounded_up(seconds: float) -> float:
    """Round up to the next millisecond: never early, and a bucket that asks for 20 ms is not left for a second."""
    return math.ceil(seconds * 1000 - 1e-6) / 1000


# All answers of a second have the same date.
@lru_cache(maxsize=64)
def seconds_of_date(text: str) -> float | None:
    """Read an HTTP date, or an ISO time with its zone, as unix seconds."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        try:
            when = datetime.fromisoformat(text.strip())
        except ValueError:
            return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def believed(seconds: float | None) -> float | None:
    """Return what can be a pause: from 0 to a week; None otherwise."""
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_BELIEVED else None


def retry_after(text: str, *, now: float) -> float | None:
    """Read Retry-After in seconds from `now`: a number of seconds, or a date; a date gone by is 0."""
    seconds = number(text)
    if seconds is None:
        when = seconds_of_date(text)
        seconds = None if when is None else float(max(0, math.ceil(when - now)))
    wait = believed(seconds)
    return None if wait is None else rounded_up(wait)


def reset_in(text: str, *, now: float) -> float | None:
    """Read a reset in seconds from `now`; by its size a wait, unix seconds or unix milliseconds."""
    value = leading_number(text)
    if value is None:
        value = seconds_of_date(text)
    if value is None:
        return None
    if value >= EPOCH_MILLISECONDS:
        value /= 1000
    if value >= EPOCH_SECONDS:
        value = max(0.0, value - now)
    return believed(value)


def moment(text: str) -> float | None:
    """Read a reset, or a Retry-After, that is a time: unix seconds by the server's clock; None for a wait."""
    value = leading_number(text)
    if value is None:
        return seconds_of_date(text)
    if value >= EPOCH_MILLISECONDS:
        return value / 1000
    return value if value >= EPOCH_SECONDS else None


def family(headers: Mapping[str, str], *, now: float) -> Iterator[tuple[str, float]]:
    """Yield ("limit" | "remaining" | "reset", value) for every header of the families with one value."""
    for name, text in headers.items():
        match = _FAMILY.fullmatch(name)
        if match:
            what = match["what"]
            value = reset_in(text, now=now) if what == "reset" else leading_number(text)
            if value is not None:
                yield what, value


def policies(text: str) -> Iterator[dict[str, float]]:
    """Yield the parameters of each policy in `RateLimit` or `RateLimit-Policy`; a bare leading number is "q"."""
    for item in text.split(","):
        found = {match["key"].lower(): float(match["value"]) for match in _PARAMETER.finditer(item)}
        quota = leading_number(item)
        if quota is not None:
            found.setdefault("q", quota)
        for pair in re.finditer(r"\b(limit|remaining|reset)\s*=\s*(\d{1,15})", item):
            found.setdefault({"limit": "q", "remaining": "r", "reset": "t"}[pair[1]], float(pair[2]))
        if found:
            yield found
