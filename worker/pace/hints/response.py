"""What an answer says about limits: status, headers and body in, one frozen value out. Knows no pace.

A 403 and a 503 can be throttles, a 401 never is. A 503 that neither names a time nor speaks of limits is no
throttle: the call may have been carried out, so its caller must treat it as a lost answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from worker.pace.hints import headers as read
from worker.pace.rate import UNITS

#: How many characters of a body are searched; a refusal is short, a list of ten thousand people is not.
SEARCHED_CHARACTERS = 4096

_THROTTLE = re.compile(r"rate.?limit|throttl|too many requests|quota", re.IGNORECASE)
_REFUSED_IN_A_SUCCESS = "rate_limit_exceeded"
_CONCURRENCY = re.compile(
    r"concurren|simultaneous|in parallel|parallel (?:requests|calls)"
    r"|(?:requests|calls) at (?:once|a time|the same time)",
    re.IGNORECASE,
)
_BODY_NUMBER = re.compile(
    r"[\"']retry_?after(?:_?seconds)?[\"']\s*:\s*[\"']?(\d{1,9}(?:\.\d{1,9})?)", re.IGNORECASE
)
_BODY_SENTENCE = re.compile(
    r"(?:again in|again after|retry in|retry after|wait(?: for)?(?: at least)?|available in)\s+"
    r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE,
)


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer said about limits; times in seconds, None where it said nothing that can be believed."""

    #: The LMS refused the call for being too fast or too many, and did nothing.
    throttled: bool = False
    #: The refusal speaks of too many calls at once, not of too many in a time.
    concurrency: bool = False
    #: The refusal itself named this wait, by Retry-After, in its body, or by a reset.
    retry_after: float | None = None
    limit: float | None = None
    remaining: float | None = None
    reset_in: float | None = None
    window: float | None = None
    #: Unix seconds by the clock of the server: when it answered (cut to a second), when the quota resets, and until
    #: when the refusal asks to wait.
    date: float | None = None
    reset_at: float | None = None
    retry_at: float | None = None


#: An answer that said nothing; most answers are this one.
NO_HINTS = Hints()


def read_hints(status: int, headers: Mapping[str, str], body: str, *, now: float) -> Hints:
    """Read the hints of an answer that arrived at `now` (unix seconds); whatever is unreadable counts as absent."""
    lowered = {name.lower(): text for name, text in headers.items()}
    body = body[:SEARCHED_CHARACTERS]
    limits = {name: text for name, text in lowered.items() if "limit" in name}
    date = read.seconds_of_date(lowered["date"]) if "date" in lowered else None
    if status < HTTPStatus.BAD_REQUEST and not limits and _REFUSED_IN_A_SUCCESS not in body.lower():
        return NO_HINTS if date is None else Hints(date=date)
    server_now = now if date is None else date
    return _limited(status, lowered, body, _quota(limits, now=server_now), date=date, now=server_now)


def _limited(
    status: int,
    headers: Mapping[str, str],
    body: str,
    quota: Mapping[str, float],
    *,
    date: float | None,
    now: float,
) -> Hints:
    """Return the hints of an answer that may speak of limits, at `now` by the server's clock."""
    stated = read.retry_after(headers["retry-after"], now=now) if "retry-after" in headers else None
    throttled = _throttled(status, body, stated=stated is not None, remaining=quota.get("remaining"))
    return Hints(
        throttled=throttled,
        concurrency=throttled and bool(_CONCURRENCY.search(body)),
        retry_after=_wait(stated, body, quota) if throttled else None,
        limit=quota.get("limit"),
        remaining=quota.get("remaining"),
        reset_in=quota.get("reset"),
        window=quota.get("window"),
        date=date,
        reset_at=quota.get("reset_at"),
        retry_at=read.moment(headers.get("retry-after", "")) if throttled else None,
    )


def _throttled(status: int, body: str, *, stated: bool, remaining: float | None) -> bool:
    """Return whether the answer is a refusal for speed, in which case the LMS did nothing."""
    speaks = bool(_THROTTLE.search(body))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    if status == HTTPStatus.FORBIDDEN:
        return speaks or (remaining is not None and remaining <= 0)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return speaks or stated or bool(_CONCURRENCY.search(body))
    return status < HTTPStatus.MULTIPLE_CHOICES and _REFUSED_IN_A_SUCCESS in body.lower()


def _wait(stated: float | None, body: str, quota: Mapping[str, float]) -> float | None:
    """Return the wait a refusal asks for: by header, else by its body, else by the reset of a quota used up."""
    if stated is not None:
        return stated
    spoken = _spoken_wait(body)
    if spoken is not None:
        return spoken
    return None if quota.keys() & {"limit", "remaining"} else quota.get("reset")


def _spoken_wait(body: str) -> float | None:
    """Return the seconds that a body names as a number or in a sentence."""
    match = _BODY_NUMBER.search(body)
    if match:
        wait = read.believed(float(match[1]))
    else:
        match = _BODY_SENTENCE.search(body)
        if match is None:
            return None
        wait = read.believed(float(match[1]) * _unit_seconds(match[2].lower()))
    return None if wait is None else read.rounded_up(wait)


def _unit_seconds(unit: str) -> float:
    """Return the seconds of a unit of time as sentences name it."""
    return 0.001 if unit.startswith(("ms", "milli")) else UNITS[unit[0]]


def _quota(headers: Mapping[str, str], *, now: float) -> dict[str, float]:
    """Return limit, remaining, reset and window of the tightest policy that the headers name."""
    tightest: dict[str, float] = {}
    for what, value in read.family(headers, now=now):
        keep = max if what == "reset" else min
        tightest[what] = keep(tightest.get(what, value), value)
    moments = [read.moment(text) for name, text in headers.items() if name.endswith("reset")]
    if any(moments):
        tightest["reset_at"] = max(filter(None, moments))
    for item in read.policies(headers.get("ratelimit", "")):
        if item.get("r", item.get("q", 0)) <= tightest.get("remaining", float("inf")):
            pairs = (("r", "remaining"), ("q", "limit"))
            tightest |= {long: item[short] for short, long in pairs if short in item}
            reset = read.believed(item.get("t"))
            tightest |= {} if reset is None else {"reset": reset}
    quota = tightest | _policy(headers.get("ratelimit-policy", "") or headers.get("ratelimit-limit", ""))
    # A limit of -1 is the usual way to state that there is none.
    return {} if quota.get("limit", 0) < 0 else quota


def _policy(text: str) -> dict[str, float]:
    """Return limit and window of the policy that allows the fewest calls per second."""
    named = [
        (item["q"], item["w"])
        for item in read.policies(text)
        if item.get("q", 0) > 0 and (read.believed(item.get("w")) or 0) > 0
    ]
    if not named:
        return {}
    limit, window = min(named, key=lambda policy: policy[0] / policy[1])
    return {"limit": limit, "window": window}
