"""Learn from the limits that the LMS states: what is left, when it resets, and how a quota counts. Pure.

Every quota is a load compared with a number of calls: load + remaining = calls. Where the sum is too great, the
server has forgotten calls that we count: all at once at the reset of a fixed window, little by little in a bucket.
Where it is too small, others have called too. A reset says when calls may be forgotten; it is no order to wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec.structs import replace

from worker.pace.estimator import stated_bucket, stated_weighted, stated_window
from worker.pace.estimator.stated_answer import Answer
from worker.pace.hints.response import Hints
from worker.pace.state import Estimate, Grant, LimiterState, Quota, QuotaKind

#: The last calls that are remembered; a quota of more calls is counted by the LMS's own words alone.
HISTORY = 2000
#: The most quotas that are counted, those of the last answers: some LMSs state another limit with every answer.
MOST_QUOTAS = 8
#: A quota that no answer states is forgotten after this many windows and seconds, when another is stated. Simulated
#: runs state all of theirs more often; an LMS that names one of several seldom may not.
UNSTATED_WINDOWS, UNSTATED_SECONDS = 3.0, 5.0
#: Where only refusals state it, it is tried from above after this many windows; after one when it was remembered.
#: A bucket is tried after this many calls at least: each time may cost a refusal. The tests of a memory that is too
#: low hold REMEMBERED_MORE.
TRIED_WINDOWS, TRIED_MORE, REMEMBERED_MORE = 10.0, 1.05, 1.25
TRIED_CALLS = 200
#: A quota of up to this many calls that resets this soon (seconds) may be a bucket that fills many times a second.
TINY_CALLS, TINY_SECONDS = 5, 2.0
#: The pause after the second refusal in a row (seconds, or a trip); twice as long after each further one.
SHORTEST_PAUSE = 0.05


def is_stated(hints: Hints) -> bool:
    """Return whether an answer states a limit: a quota or what is left of it, and when it resets."""
    return not (hints.limit is None and hints.remaining is None) and hints.reset_in is not None


def learn(
    found: Estimate, flow: LimiterState, sent: Grant, hints: Hints, *, refused: int, now: float
) -> LimiterState:
    """Return the limiter's state after an answer; so far `refused` calls were refused."""
    if hints.throttled:
        flow = replace(flow, history=without(flow.history, sent.at))
    stated = is_stated(hints) and not (_is_tiny(hints) and not flow.quotas)
    if hints.concurrency or not (stated or flow.quotas):
        return flow
    quota = _stated_quota(flow, hints, sent) if stated else min(flow.quotas, key=_rate)
    answer = Answer(found=found, flow=flow, sent=sent, hints=hints, refused=refused, now=now)
    if quota.kind is QuotaKind.BUCKET:
        learnt = stated_bucket.refused(answer, quota) if hints.throttled else stated_bucket.taken(answer, quota)
    else:
        learnt = stated_window.refused(answer, quota) if hints.throttled else stated_window.taken(answer, quota)
        learnt = _as_weighted(answer, quota, learnt) if stated else learnt
    learnt = replace(learnt, stated_at=now) if stated else _tried_from_above(learnt, flow, now)
    if learnt.refused > max(1, quota.refused):
        flow = replace(flow, not_before=max(flow.not_before, now + _pause(learnt, now - sent.at, now)))
    kept = [
        each for each in flow.quotas if each.limit != quota.limit and not (stated and _is_gone(each, answer, now))
    ]
    return replace(flow, quotas=(*kept[-MOST_QUOTAS + 1 :], learnt))


def remembered(quotas: tuple[Quota, ...]) -> tuple[Quota, ...]:
    """Return quotas as the next run begins with them: what they are, and nothing of the calls that they counted."""
    return tuple(
        Quota(
            limit=each.limit,
            calls=each.calls,
            seconds=each.seconds,
            kind=each.kind if each.kind is QuotaKind.BUCKET else QuotaKind.UNKNOWN,
            refill=each.refill,
            left=each.calls if each.kind is QuotaKind.BUCKET else 0.0,
            margin=min(1.0, stated_bucket.KEPT_SHARE * each.calls) if each.kind is QuotaKind.BUCKET else 0.0,
        )
        for each in quotas
    )


def _is_tiny(hints: Hints) -> bool:
    """Return whether rounding to a second hides how fast a quota of a few calls fills: the search finds that."""
    few = hints.limit is not None and hints.limit <= TINY_CALLS
    return few and (hints.reset_in or 0.0) <= TINY_SECONDS and (hints.window or 0.0) <= 1


def _as_weighted(answer: Answer, known: Quota, learnt: Quota) -> Quota:
    """Return what was learnt of a window; as what fills evenly where it counts the last window's calls in part."""
    # A fixed window that only refusals state is not known to the call.
    certain = learnt.kind is not QuotaKind.FIXED or known.left_at > 0
    if learnt.kind is QuotaKind.BUCKET or not (certain and known.seconds) or len(answer.flow.quotas) > 1:
        return learnt
    compared = stated_weighted.compared(answer, replace(learnt, calls=min(known.calls, known.limit or known.calls)))
    learnt = replace(learnt, misses=compared.misses)
    if answer.sent.at < known.first_until or known.no_bucket or not stated_weighted.is_weighted(compared):
        return learnt
    even = stated_bucket.begun(answer, compared, compared.calls / compared.seconds)
    return replace(even, is_even=known.left_at > 0, misses=())


def _rate(quota: Quota) -> float:
    return quota.calls / max(quota.seconds, 0.01)


def _stated_quota(flow: LimiterState, hints: Hints, sent: Grant) -> Quota:
    """Return the quota that an answer states, as known so far; what is left bounds a new one from above."""
    name = hints.limit or 0.0
    for quota in flow.quotas:
        if quota.limit == name:
            return quota
    calls = name
    if hints.remaining is not None and not hints.throttled:
        seen = hints.remaining + bisect_right(flow.history, sent.at)
        calls = min(name or seen, seen)
    return Quota(limit=name, calls=max(1.0, calls or len(flow.history)))


def _tried_from_above(quota: Quota, flow: LimiterState, now: float) -> Quota:
    """Return a quota that only refusals state with a little more, when none came for long."""
    if not quota.seconds:
        return quota
    if quota.stated_at:
        since = now - quota.stated_at
        is_bucket = quota.kind is QuotaKind.BUCKET
        if since < max(UNSTATED_SECONDS, TRIED_WINDOWS * quota.seconds):
            return quota
        if is_bucket and since * quota.refill < TRIED_CALLS:
            return quota
        if is_bucket:
            return stated_bucket.tried(replace(quota, stated_at=now), flow, TRIED_MORE, now)
        return replace(quota, calls=quota.calls * TRIED_MORE, stated_at=now)
    full = len(flow.history) >= quota.calls
    return replace(quota, calls=quota.calls * REMEMBERED_MORE, stated_at=now) if full else quota


def _is_gone(quota: Quota, answer: Answer, now: float) -> bool:
    """Return whether the LMS gave up a quota: it states another one for long, of which a greater share is left.

    Remembered ones are gone once another is stated.
    """
    if now - quota.stated_at <= max(UNSTATED_SECONDS, UNSTATED_WINDOWS * quota.seconds):
        return False
    if not quota.stated_at or not answer.hints.limit:
        return True
    # Calls that were out together may have arrived in another order.
    most_left = quota.calls - answer.load(quota) + answer.sent.concurrency - 1
    return most_left / quota.calls < answer.left / answer.hints.limit


def _pause(quota: Quota, trip: float, now: float) -> float:
    pause = max(SHORTEST_PAUSE, trip) * 2 ** min(10, quota.refused - 2)
    is_first = quota.kind is QuotaKind.UNKNOWN and not quota.left_at and quota.until <= quota.first_until
    if is_first and quota.unexplained <= 1:
        # Our calls filled the first window: it may be a fixed one, which is full until its reset.
        pause = max(pause, quota.until - now)
    return float(min(pause, max(1.0, quota.seconds)))


def without(history: tuple[float, ...], at: float) -> tuple[float, ...]:
    """Return the history without the call that was sent at this time."""
    index = bisect_left(history, at)
    found = index < len(history) and history[index] == at
    return history[:index] + history[index + 1 :] if found else history
