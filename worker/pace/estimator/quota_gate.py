"""When the quotas that the LMS states let the next call go. `reserve.lua` does the same; a test compares them."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from worker.pace.state import LimiterState, Quota, QuotaKind

#: Of the calls of a window about this many are kept for a forecast.
SAMPLES = 20


def wait(flow: LimiterState, now: float) -> float:
    """Return in how many seconds every quota has a call left; 0 when they all have one now."""
    return max((_wait(quota, flow, now) for quota in flow.quotas), default=0.0)


def counted(flow: LimiterState, quota: Quota, at: float, *, margin: float = 0.0) -> int:
    """Return how many calls of ours, sent up to `at`, the quota counts at that time."""
    begun = max(quota.since, at - quota.seconds - margin)
    return max(0, bisect_right(flow.history, at) - bisect_right(flow.history, begun))


def allowed(quota: Quota) -> float:
    """Return how many calls of ours a window takes: all but what others take, and one at least."""
    return max(1.0, quota.calls - math.floor(quota.others + quota.reserve + 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLeft:
    """How much of a quota is left; and when its used calls may go again, in unix seconds: a sample of them."""

    left: float
    frees: tuple[float, ...] = ()


def left_of(flow: LimiterState, quota: Quota, now: float) -> QuotaLeft:
    """Return how much of a quota is left, and when used calls may go again."""
    if quota.kind is QuotaKind.BUCKET:
        left = quota.left + quota.refill * (now - quota.left_at) - (flow.sent - quota.number)
        return QuotaLeft(left=min(quota.calls, left))
    length = quota.seconds + quota.margin
    counts = flow.history[bisect_right(flow.history, max(quota.since, now - length)) :]
    if not counts:
        return QuotaLeft(left=allowed(quota))
    sampled = counts[:: max(1, len(counts) // SAMPLES)]
    sooner = 0.0
    if quota.kind is not QuotaKind.SLIDING and quota.until > now:
        sooner = max(0.0, counts[0] + length - quota.until)
    frees = tuple(at + length - sooner for at in (*sampled, counts[-1]))
    return QuotaLeft(left=max(0.0, allowed(quota) - len(counts)), frees=frees)


def _wait(quota: Quota, flow: LimiterState, now: float) -> float:
    if quota.kind is QuotaKind.BUCKET:
        return _bucket_wait(quota, flow, now)
    history = flow.history
    if quota.kind is QuotaKind.UNKNOWN and quota.left < 1 and quota.until > now and _is_longer(quota, history):
        return quota.until - now
    begun = bisect_right(history, max(quota.since, now - quota.seconds - quota.margin))
    over = len(history) - begun + 1 - allowed(quota)
    if over <= 0 or quota.left >= flow.in_flight + 1 + quota.reserve:
        return 0.0
    if quota.kind is not QuotaKind.SLIDING and quota.until <= now:
        after = len(history) - bisect_right(history, _last_known(quota))
        if after == 0 or (not quota.alone and after + 1 <= allowed(quota)):
            return 0.0
    leaves = begun + math.ceil(over) - 1
    moment = history[leaves] + quota.seconds + quota.margin if leaves < len(history) else now + quota.seconds
    if quota.kind is not QuotaKind.SLIDING and quota.until > now:
        moment = min(moment, quota.until)
    return max(0.0, moment - now)


def _last_known(quota: Quota) -> float:
    """Return up to when it is known which calls the window held that ends at its reset."""
    return min(quota.left_at, quota.until) if quota.left_at else quota.until


def _is_longer(quota: Quota, history: tuple[float, ...]) -> bool:
    """Return whether the reset says that the window is longer than it is believed to be."""
    seen = max(quota.left_at, quota.full_at)
    first = bisect_right(history, max(quota.since, seen - quota.seconds - quota.margin))
    return first >= len(history) or history[first] + quota.seconds + quota.margin <= quota.until - quota.rounding


def _bucket_wait(quota: Quota, flow: LimiterState, now: float) -> float:
    left = quota.left + quota.refill * (now - quota.left_at) - (flow.sent - quota.number)
    # A bucket of one call can keep none.
    missing = min(quota.calls, 1 + quota.margin) - min(quota.calls, left)
    if missing <= 0:
        return 0.0
    return missing / quota.refill if quota.refill > 0 else quota.seconds
