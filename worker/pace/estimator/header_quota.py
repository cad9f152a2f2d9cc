"""Heed what the LMS says in so many words: what is left, and too many at once. Measures nothing."""

from __future__ import annotations

from dataclasses import replace

from worker.pace.estimator.growth import LONGEST_PATIENCE, PATIENCE
from worker.pace.hints.response import Hints
from worker.pace.rate import SHARE
from worker.pace.state import Flow, Found, Sent

#: A reset in whole seconds is up to a second late; below so many seconds that is too much to wait for.
SHORTEST_WHOLE_RESET = 2.0
#: Seconds for which a word from the headers holds.
FRESH = 10.0


def heeded(found: Found, flow: Flow, sent: Sent, hints: Hints, *, now: float) -> tuple[Found, Flow]:
    """Take the headers of an answer into account."""
    if hints.remaining is None or hints.reset_in is None:
        if found.header_level and now - found.header_at > FRESH:
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


def fewer_at_once(found: Found, sent: Sent, out: int, now: float) -> Found:
    """Take one slot away for each call of a burst that was one too many of `out`; the rate is not to blame."""
    if sent.at < found.answered_until and found.most_at_once:
        return replace(found, most_at_once=max(1, found.most_at_once - 1))
    patience = min(LONGEST_PATIENCE, 2 * found.widen_patience) if found.most_at_once else PATIENCE
    fewer = max(1, out - 1)
    return replace(found, most_at_once=fewer, widen_at=now + patience, widen_patience=patience, answered_until=now)
