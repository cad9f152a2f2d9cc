"""A stated quota that counts the calls of a window: fixed or sliding, and what others take of it. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right

from msgspec.structs import replace

from worker.pace.estimator import quota_gate, stated_bucket
from worker.pace.estimator.stated_answer import Answer
from worker.pace.estimator.windows import ROUND
from worker.pace.state import Quota, QuotaKind

#: A window began where the server forgot this share of what we count and this many calls, at least; half a call
#: more for each call in flight, since their order is not known; and this share of a window after the last one.
FORGOT_SHARE, FORGOT_CALLS, FORGOT_SECONDS = 0.5, 2.0, 0.6
#: It did not begin where this share, and this many calls, are missing.
MISSING_SHARE, MISSING_CALLS = 0.3, 2.0
#: A bucket is one into which this many calls flow without a reset: a number, shares of the quota and of the calls
#: in flight, and what jitter explains.
FLOWED_CALLS, FLOWED_SHARE, FLOWED_IN_FLIGHT = 1.5, 0.05, 0.1
#: Its reset moves on with every call: by more than rounding explains.
MOVED_SECONDS = 1.5
#: Weight of one answer in what is neither ours nor left.
GAP_WEIGHT = 0.2
#: What others took is kept from answer to answer, by the number of refusals that our calls do not explain.
OTHERS_KEPT = (0.8, 0.97, 0.99)
#: The margin grows by the factor when a call came too early, up to the most, and shrinks with each accepted one.
MARGIN_GROWS, MOST_MARGIN, MARGIN_SHRINKS = 1.5, 1.5, 0.999
#: A refusal is unexplained where more than this share of the quota was left by our count; where most of it was not,
#: the call came too early. After this many it is paced evenly: it may be a weighted counter.
UNEXPLAINED_SHARE, EARLY_SHARE, EVEN_AFTER = 0.1, 0.85, 3
#: Where others have taken this many calls, what they may take within a trip is left to them: this many calls more
#: than they take in one on average, and this multiple of the usual spread.
OTHERS_CERTAIN, RESERVE_CALLS, RESERVE_SPREAD = 0.5, 1.5, 2.0
#: A reset in less than this (seconds) says nothing of the rate at which a bucket fills.
SHORTEST_RESET = 0.5
#: A window that is longer than any (seconds).
EVER = 1e9
#: The shortest pause (seconds) where a reset that was stated has gone by.
SHORTEST_PAUSE = 0.05


def taken(answer: Answer, known: Quota) -> Quota:
    """Learn from an answer that was no refusal."""
    quota = _with_margin(answer, _with_window(answer, known), known.margin_share * MARGIN_SHRINKS)
    passed = 0 < known.until <= answer.sent.at and known.until > known.since
    if answer.hints.remaining is None:
        return _taken_unsaid(answer, known, quota, passed=passed)
    quota = _with_left(answer, quota)
    if answer.sent.at < quota.since:
        return quota
    load = answer.load(quota)
    gap = quota.calls - answer.left - load
    if (passed and quota.kind is QuotaKind.FIXED) or _has_begun(answer, known, gap, load, passed=passed):
        return _next_window(answer, quota, known.until if passed else _begun_at(answer, quota))
    first = not known.stated_at
    gap = gap if first else known.gap + GAP_WEIGHT * (gap - known.gap)
    if first or gap > quota.gap_before:
        quota = replace(quota, gap_before=gap, gap_at=answer.arrived)
    quota = replace(quota, gap=gap, first_until=quota.until if first else quota.first_until)
    if quota.kind is not QuotaKind.FIXED:
        refill = _refill(answer, quota, load)
        if refill:
            return stated_bucket.begun(answer, quota, refill)
    return _with_others(answer, replace(quota, refused=0))


def refused(answer: Answer, known: Quota) -> Quota:
    """Learn from a refusal: the quota was full; of a burst the first one tells."""
    quota = _with_window(answer, known)
    if quota.until <= answer.now:
        pause = max(SHORTEST_PAUSE, answer.now - answer.sent.at) * 2 ** min(10, quota.refused)
        quota = replace(quota, until=answer.now + pause)
    if answer.sent.at < max(quota.burst_until, quota.since):
        return quota
    passed = 0 < known.until <= answer.sent.at and known.until > known.since
    after = quota_gate.counted(answer.flow, replace(known, since=known.until, seconds=EVER), answer.sent.at)
    is_full = EARLY_SHARE * known.calls <= after <= known.calls + answer.flow.in_flight + 1
    early = passed and not is_full
    if passed and quota.kind is QuotaKind.UNKNOWN and is_full:
        quota = _as_longer(known, quota)
    if early and quota.kind is QuotaKind.UNKNOWN:
        quota = replace(quota, kind=QuotaKind.SLIDING)
    quota, missing, load = _full(answer, known, quota)
    share = quota.margin_share
    if early or load >= EARLY_SHARE * quota.calls:
        share = min(MOST_MARGIN, MARGIN_GROWS * share)
    unexplained = quota.unexplained + (missing > UNEXPLAINED_SHARE * quota.calls and load > 1)
    quota = replace(
        _with_margin(answer, quota, share),
        burst_until=answer.now,
        full_at=answer.sent.at,
        left=0.0,
        refused=quota.refused + 1,
        unexplained=unexplained,
        others=quota.others if early else max(quota.others, missing),
    )
    if quota.kind is not QuotaKind.FIXED and not known.left_at and unexplained >= EVEN_AFTER:
        return stated_bucket.begun(answer, quota, quota.calls / quota.seconds)
    return quota


def _as_longer(known: Quota, quota: Quota) -> Quota:
    """Return the quota as a fixed window that lasts from the last reset to this one, when that is longer."""
    lasts = quota.until - known.until
    near = min(ROUND, key=lambda each: abs(each - lasts))
    if near <= quota.seconds or abs(near - lasts) > quota.rounding:
        return quota
    return replace(quota, kind=QuotaKind.FIXED, since=known.until, seconds=near)


def _taken_unsaid(answer: Answer, known: Quota, quota: Quota, *, passed: bool) -> Quota:
    """Learn from an answer that does not say what is left: whether a sliding window would have refused."""
    if quota.seconds and passed and quota.kind is not QuotaKind.SLIDING:
        sliding = quota_gate.counted(answer.flow, known, answer.sent.at, margin=-2 * answer.jitter)
        if quota.kind is QuotaKind.FIXED or sliding > quota_gate.allowed(known):
            since = known.full_at if known.since < known.full_at else known.until
            until = known.until + quota.seconds
            quota = replace(
                quota, kind=QuotaKind.FIXED, since=since, until=until, alone=False, others=0.5 * quota.others
            )
    return replace(quota, refused=0) if answer.sent.at >= quota.burst_until else quota


def _with_window(answer: Answer, quota: Quota) -> Quota:
    """Return the quota with its reset, and the length of its window: round seconds, unless it is named."""
    until, least = answer.reset()
    if not until:
        return quota
    seconds = answer.hints.window or max(quota.seconds, next((each for each in ROUND if each > least), least))
    return replace(quota, seconds=seconds, until=until, rounding=until - answer.arrived - least)


def _with_margin(answer: Answer, quota: Quota, share: float) -> Quota:
    return replace(quota, margin_share=share, margin=share * answer.jitter)


def _with_left(answer: Answer, quota: Quota) -> Quota:
    """Return the quota with what is left: of calls that were out together, the last to arrive says the least."""
    calls = quota.calls
    if answer.left + 1 > calls:
        calls = min(quota.limit, answer.left + 1) if quota.limit else answer.left + 1
    if answer.sent.at >= quota.left_at or answer.left < quota.left:
        return replace(quota, calls=calls, left=answer.left, left_at=answer.now)
    return replace(quota, calls=calls)


def _has_begun(answer: Answer, known: Quota, gap: float, load: int, *, passed: bool) -> bool:
    """Return whether a fixed window began: the server forgot most of what we count, at once."""
    if known.kind is QuotaKind.SLIDING or known.gap <= -FLOWED_CALLS:
        return False
    if -gap < max(FORGOT_CALLS, FORGOT_SHARE * load) + (answer.sent.concurrency - 1) / 2:
        return False
    begun = max(known.since, answer.oldest(known))
    return passed or answer.sent.at - begun >= FORGOT_SECONDS * known.seconds


def _begun_at(answer: Answer, quota: Quota) -> float:
    """Return when a window began; of several, answers may have stated another limit since."""
    if len(answer.flow.quotas) == 1:
        return answer.sent.at - 1e-6
    return answer.sent_since(quota.calls - answer.left)


def _next_window(answer: Answer, quota: Quota, since: float) -> Quota:
    """Return the quota in the fixed window that began at `since`; as a sliding one when it did not begin."""
    begun = replace(quota, kind=QuotaKind.FIXED, since=since)
    gap = quota.calls - answer.left - answer.load(begun)
    if quota.kind is QuotaKind.FIXED and gap > max(MISSING_CALLS, MISSING_SHARE * quota.calls) + quota.others:
        return replace(quota, kind=QuotaKind.SLIDING, since=0.0)
    ours = since + quota.seconds + quota.margin
    begun = replace(
        begun,
        until=min(quota.until, ours),
        alone=ours < quota.until,
        gap=gap,
        gap_before=gap,
        gap_at=answer.arrived,
        refused=0,
    )
    return _with_others(answer, begun)


def _with_others(answer: Answer, quota: Quota) -> Quota:
    """Return the quota with what others have taken of it, and what they may take within a trip."""
    kept = OTHERS_KEPT[min(quota.unexplained, len(OTHERS_KEPT) - 1)] * quota.others
    others = max(0.0, quota.gap - 1, kept)
    trip = answer.found.longest_trip
    if others < OTHERS_CERTAIN:
        return replace(quota, others=others, reserve=0.0)
    expected = others * trip / max(trip, quota.seconds)
    reserve = RESERVE_CALLS + expected + RESERVE_SPREAD * math.sqrt(expected)
    return replace(quota, others=others, reserve=min(reserve, quota.calls / 2))


def _refill(answer: Answer, quota: Quota, load: int) -> float:
    """Return what flows into the bucket a second; 0 when it may as well be a window."""
    _, least = answer.reset()
    used = quota.calls - answer.left
    moved = quota.until - quota.first_until >= MOVED_SECONDS and answer.sent.at < quota.first_until
    if moved and quota.kind is QuotaKind.UNKNOWN:
        return used / (least + 1)
    flowed, seconds = quota.gap_before - quota.gap, answer.arrived - quota.gap_at
    jitter = answer.jitter * min(quota.calls, load) / quota.seconds
    doubt = FLOWED_CALLS + FLOWED_SHARE * quota.calls + FLOWED_IN_FLIGHT * answer.sent.concurrency + jitter
    if seconds <= 2 * answer.found.longest_trip or flowed < doubt * (1 + quota.no_bucket):
        return 0.0
    measured = flowed / seconds
    return min(measured, used / (least + SHORTEST_RESET)) if least > SHORTEST_RESET else measured


def _full(answer: Answer, known: Quota, quota: Quota) -> tuple[Quota, float, int]:
    """Return the quota that was full, the calls of it that are not ours, and those that are."""
    load = quota_gate.counted(answer.flow, quota, answer.sent.at)
    missing = quota.calls - load
    much = max(MISSING_CALLS, MISSING_SHARE * quota.calls)
    if quota.kind is QuotaKind.FIXED and missing > much + quota.others and known.left_at == 0:
        quota = replace(quota, kind=QuotaKind.SLIDING, since=0.0)
        load = quota_gate.counted(answer.flow, quota, answer.sent.at)
        missing = quota.calls - load
    if missing < -1 and quota.kind is not QuotaKind.FIXED:
        # More calls were taken than it allows: its window began after them.
        first = bisect_right(answer.flow.history, answer.sent.at) - int(quota.calls)
        return replace(quota, since=max(quota.since, answer.flow.history[max(0, first - 1)])), 0.0, int(quota.calls)
    if missing > much and quota.unexplained and known.left_at == 0 and quota.calls >= quota.limit:
        # It allows less than it states.
        return replace(quota, calls=float(max(1, load)), others=0.0), 0.0, load
    return quota, missing, load
