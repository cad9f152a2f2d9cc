"""Apply what the LMS states: what is left of a quota, and too many calls at once. Measures nothing."""

from __future__ import annotations

from dataclasses import replace

from worker.pace.estimator.growth import HOLD_SECONDS, LONGEST_HOLD_SECONDS
from worker.pace.hints.response import Hints
from worker.pace.rate import SHARE
from worker.pace.state import Estimate, Grant, LimiterState

#: A reset in whole seconds is up to a second late; below this (seconds) that is too much to wait for.
SHORTEST_WHOLE_RESET = 2.0
#: How long a header's statement holds (seconds).
HEADER_SECONDS = 10.0


def apply_headers(
    found: Estimate, flow: LimiterState, sent: Grant, hints: Hints, *, now: float
) -> tuple[Estimate, LimiterState]:
    """Return estimate and limiter state with the headers of an answer applied."""
    if hints.remaining is None or hints.reset_in is None:
        if found.header_level and now - found.header_at > HEADER_SECONDS:
            found = replace(found, header_rate=0.0, header_level=0.0)
        return found, flow
    left = hints.remaining - (flow.sent - sent.number)
    precise = hints.reset_in >= SHORTEST_WHOLE_RESET or hints.reset_in != int(hints.reset_in)
    flow = replace(flow, left=left, left_until=now + hints.reset_in if precise else 0.0)
    if not hints.limit:
        return found, flow
    window = hints.window or max(found.header_window, hints.reset_in)
    rate = 0.0
    if window > 0 and (precise or hints.window) and left <= hints.limit / 2:
        rate = SHARE * max(hints.limit / window, left / hints.reset_in if hints.reset_in else 0.0)
    level = hints.limit / window if window else 0.0
    return replace(found, header_rate=rate, header_level=level, header_window=window, header_at=now), flow


def lower_concurrency(found: Estimate, sent: Grant, out: int, now: float) -> Estimate:
    """Take one slot away for each call of a burst that was one too many of `out`; the rate is not to blame."""
    if sent.at < found.answered_until and found.max_concurrency:
        return replace(found, max_concurrency=max(1, found.max_concurrency - 1))
    patience = min(LONGEST_HOLD_SECONDS, 2 * found.widen_hold_seconds) if found.max_concurrency else HOLD_SECONDS
    fewer = max(1, out - 1)
    return replace(
        found, max_concurrency=fewer, widen_at=now + patience, widen_hold_seconds=patience, answered_until=now
    )
