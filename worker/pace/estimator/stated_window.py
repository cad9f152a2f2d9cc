"""A stated quota that counts the calls of a window: fixed or sliding, and what others take of it. Pure."""

from __future__ import annotations

from bisect import bisect_right

from msgspec.structs import replace

from worker.pace.estimator import quota_gate, stated_bucket, stated_weighted
from worker.pace.estimator.stated_answer import Answer
from worker.pace.estimator.windows import ROUND
from worker.pace.state import Quota, QuotaKind

#: A window began where the server forgot this share of what we count, at least.
FORGOT_SHARE = 0.5
#: It did not begin where this share, and this many calls, are missing.
MISSING_SHARE, MISSING_CALLS = 0.3, 2.0
#: A bucket is one into which this many calls flow without a reset.
FLOWED_CALLS = 1.5
#: By then it has forgotten this many calls more than we count.
FORGOT_MORE = 1.0
#: They flow in within the time in which it fills, at this share at least of what a named window allows, and of what
#: the reset says.
LEAST_REFILL = 0.5
#: Its reset moves on with every call, by more seconds than rounding explains.
MOVED_SECONDS = 1.5
#: What others took is kept from answer to answer, by the number of refusals that our calls do not explain.
OTHERS_KEPT = (0.8, 0.97, 0.99)
#: The margin grows by the factor when a call came too early, up to the most, and shrinks with each accepted one.
MARGIN_GROWS, MOST_MARGIN, MARGIN_SHRINKS = 1.5, 1.5, 0.999
#: A refusal is unexplained where more than this share of the quota was left by our count; where most of it was not,
#: the call came too early. After this many it is paced evenly: it may be a weighted counter.
UNEXPLAINED_SHARE, EARLY_SHARE, EVEN_AFTER = 0.1, 0.85, 3
#: Where others have taken this many calls, what they may take within a trip is left to them: this many calls more
#: than they take in one on average.
OTHERS_CERTAIN, RESERVE_CALLS = 0.5, 1.5
#: From one reset to the next is the length of a window, of usual ones the nearest within this share.
NEAR_SHARE = 0.25
#: Where refusals alone state it, this share of the quota is no evidence of others.
FEW_SHARE = 0.05
#: A window that is longer than any (seconds).
EVER = 1e9
#: The shortest pause where a stated reset has gone by, and the least time to a reset that counts (seconds).
SHORTEST_PAUSE = 0.05


def taken(answer: Answer, known: Quota) -> Quota:
    """Learn from an answer that was no refusal."""
    quota = _with_margin(answer, _with_window(answer, known), known.margin_share * MARGIN_SHRINKS)
    passed = _has_passed(answer, known)
    if answer.hints.remaining is None:
        return _taken_unsaid(answer, known, quota, passed=passed)
    quota = _with_left(answer, quota)
    if answer.sent.at < quota.since:
        return quota
    if (passed and quota.kind is QuotaKind.FIXED) or _has_begun(answer, known, quota):
        since = answer.first_since(known.until) if passed else _begun_at(answer, quota)
        return _next_window(answer, quota, since)
    quota = _with_gap(answer, known, quota)
    refill = 0.0 if quota.kind is QuotaKind.FIXED else _refill(answer, quota)
    if refill:
        return stated_bucket.begun(answer, quota, refill)
    return _with_others(answer, replace(quota, refused=0))


def refused(answer: Answer, known: Quota) -> Quota:
    """Learn from a refusal: the quota was full; of a burst the first one tells."""
    if 0 < known.limit < known.calls:
        # More than it states was tried.
        known = replace(known, calls=known.limit)
    quota = _with_pause(answer, _with_window(answer, known))
    if answer.sent.at < max(quota.burst_until, quota.since):
        return quota
    passed, (most, least) = _has_passed(answer, known), _since_reset(answer, known)
    is_full = EARLY_SHARE * known.calls <= most and least <= known.calls + answer.flow.in_flight + 1
    early = passed and not is_full
    if passed and quota.kind is QuotaKind.UNKNOWN and not is_full:
        quota = replace(quota, kind=QuotaKind.SLIDING)
    elif passed and quota.kind is QuotaKind.UNKNOWN and most >= known.calls - 1:
        # A window that calls of others fill too may seem longer than it is.
        quota = _as_longer(known, quota)
    quota, missing, load = _full(answer, known, quota)
    unexplained = quota.unexplained + (missing > UNEXPLAINED_SHARE * quota.calls and load > 1)
    quota = replace(
        _refused_with(answer, known, quota, is_early=early or load >= EARLY_SHARE * quota.calls),
        unexplained=unexplained,
        others=quota.others if early else max(quota.others, missing),
    )
    if quota.kind is not QuotaKind.FIXED and not known.left_at and unexplained >= EVEN_AFTER:
        return stated_bucket.begun(answer, quota, quota.calls / quota.seconds)
    return quota


def _has_passed(answer: Answer, known: Quota) -> bool:
    """Return whether the call was sent after the reset that was known."""
    return 0 < known.until <= answer.sent.at and known.until > known.since


def _since_reset(answer: Answer, known: Quota) -> tuple[int, int]:
    """Return how many calls of ours may be counted since the reset that was known: the most and the least."""
    most, least = (
        quota_gate.counted(answer.flow, replace(known, since=since, seconds=EVER), answer.sent.at)
        for since in (_was_reset(known), known.until)
    )
    return most, least


def _was_reset(known: Quota) -> float:
    """Return when the reset that is known was; where the window does not explain the answers, at the earliest."""
    # Where several refusals are unexplained, others call.
    if known.unexplained > 1 or not stated_weighted.is_contradicted(known):
        return known.until
    return max(known.full_at, known.until - known.rounding)


def _with_pause(answer: Answer, quota: Quota) -> Quota:
    """Return the quota with a pause of its own where the reset that was stated has gone by."""
    if quota.until > answer.now:
        return quota
    pause = max(SHORTEST_PAUSE, answer.now - answer.sent.at) * 2 ** min(10, quota.refused)
    return replace(quota, until=answer.now + pause)


def _refused_with(answer: Answer, known: Quota, quota: Quota, *, is_early: bool) -> Quota:
    """Return the quota after a refusal; with a greater margin when the call came too early."""
    share = min(MOST_MARGIN, MARGIN_GROWS * quota.margin_share) if is_early else quota.margin_share
    return replace(
        _with_margin(answer, quota, share),
        first_until=known.first_until or quota.until,
        burst_until=answer.now,
        full_at=answer.sent.at,
        left=0.0,
        refused=quota.refused + 1,
    )


def _with_gap(answer: Answer, known: Quota, quota: Quota) -> Quota:
    """Return the quota with what is neither ours nor left, and where a slow fall of it began."""
    first = not known.stated_at
    least, most = answer.loads(_begun(answer, quota))
    used = quota.calls - answer.left
    gap = max(used - most, min(used - least, known.gap))
    stale = answer.arrived - quota.gap_at > quota.seconds
    if first or gap > quota.gap_before or stale:
        quota = replace(quota, gap_before=gap, gap_at=answer.arrived)
    return replace(quota, gap=gap, first_until=quota.until if first else quota.first_until)


def _as_longer(known: Quota, quota: Quota) -> Quota:
    """Return the quota as a fixed window that lasts from the last reset to this one, when that is longer."""
    lasts = quota.until - known.until
    near = min(ROUND, key=lambda each: abs(each - lasts))
    was_reset_sooner = known.until - known.first_until > quota.rounding
    if was_reset_sooner or near <= quota.seconds or abs(near - lasts) > quota.rounding:
        return quota
    return replace(quota, kind=QuotaKind.FIXED, since=_was_reset(known), seconds=near)


def _taken_unsaid(answer: Answer, known: Quota, quota: Quota, *, passed: bool) -> Quota:
    """Learn from an answer that does not say what is left: whether a sliding window would have refused."""
    if quota.seconds and passed and quota.kind is not QuotaKind.SLIDING:
        sliding = quota_gate.counted(answer.flow, known, answer.sent.at, margin=-2 * answer.jitter)
        # A few calls of others may be ours that were out when the first refusal came.
        is_shared = known.others > FEW_SHARE * known.calls
        most = quota_gate.allowed(known) if is_shared else known.calls
        if quota.kind is QuotaKind.FIXED or sliding - answer.out_before > most:
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
    if not (answer.hints.window or answer.hints.throttled) and len(answer.flow.quotas) <= 1:
        seconds = max(seconds, _between(answer, quota.until, until))
    return replace(quota, seconds=seconds, until=until, rounding=until - answer.arrived - least)


def _between(answer: Answer, last: float, until: float) -> float:
    """Return the length of a window from its last reset to this one; 0 when that is no usual length."""
    lasts = until - last
    if not 0 < last <= answer.sent.at:
        return 0.0
    near = min(ROUND, key=lambda each: abs(each - lasts))
    return near if abs(near - lasts) <= NEAR_SHARE * near else 0.0


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


def _has_begun(answer: Answer, known: Quota, quota: Quota) -> bool:
    """Return whether a fixed window began: the server forgot most of what we count, at once."""
    least, _ = answer.loads(_begun(answer, quota))
    forgot = least - (quota.calls - answer.left)
    return known.kind is not QuotaKind.SLIDING and forgot >= FORGOT_SHARE * least


def _begun(answer: Answer, quota: Quota) -> float:
    """Return when the oldest call that the quota counts was sent, at the earliest."""
    return max(quota.since, answer.sent.at - quota.seconds)


def _begun_at(answer: Answer, quota: Quota) -> float:
    """Return when a window began; of several, answers may have stated another limit since."""
    if len(answer.flow.quotas) == 1:
        return answer.sent.at - 1e-6
    return answer.sent_since(quota.calls - answer.left)


def _next_window(answer: Answer, quota: Quota, since: float) -> Quota:
    """Return the quota in the fixed window that began at `since`; as a sliding one when it did not begin."""
    begun = replace(quota, kind=QuotaKind.FIXED, since=since)
    gap = quota.calls - answer.left - answer.load(begun)
    if quota.kind is QuotaKind.FIXED and gap > _much(quota) + quota.others:
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
    others = max(0.0, quota.gap, kept)
    trip = answer.found.longest_trip
    if others < OTHERS_CERTAIN:
        return replace(quota, others=others, reserve=0.0)
    reserve = RESERVE_CALLS + others * trip / max(trip, quota.seconds)
    return replace(quota, others=others, reserve=reserve)


def _refill(answer: Answer, quota: Quota) -> float:
    """Return what flows into the bucket a second; 0 when it may as well be a window."""
    _, least = answer.reset()
    used = quota.calls - answer.left
    # Of a window the reset moves on only when calls are forgotten.
    counts_all = answer.sent.at < quota.first_until and answer.oldest_call() > answer.sent.at - quota.seconds
    moved = counts_all and quota.until - quota.first_until >= MOVED_SECONDS
    if moved and quota.kind is QuotaKind.UNKNOWN:
        return used / max(SHORTEST_PAUSE, least + 1)
    flowed, seconds = quota.gap_before - quota.gap, answer.arrived - quota.gap_at
    forgot = -quota.gap >= FORGOT_MORE and flowed >= FLOWED_CALLS * (1 + quota.no_bucket)
    if seconds <= 2 * answer.found.longest_trip or not forgot:
        return 0.0
    measured = flowed / seconds
    named = quota.calls / answer.hints.window if answer.hints.window else 0.0
    # A reset is stated late, by the rounding: at least this much flows in.
    stated = used / max(SHORTEST_PAUSE, quota.until - answer.arrived)
    return 0.0 if measured < LEAST_REFILL * max(named, stated) else max(measured, stated)


def _with_length(answer: Answer, known: Quota, quota: Quota) -> Quota:
    """Return the quota with a longer window where our calls fill that one, and its first leaves it at the reset.

    Only where refusals alone state it. A first refusal may be that of a bucket; of several limits the second is a
    long window more often.
    """
    is_second = not known.stated_at and any(each.limit != known.limit for each in answer.flow.quotas)
    missing = quota.calls - quota_gate.counted(answer.flow, quota, answer.sent.at)
    least, most = answer.loads(quota.since)
    # At the first refusal all our calls so far may be those that fill it: none that others took are missing.
    are_all = not known.seconds and least - 1 <= quota.calls <= most
    much = MISSING_CALLS if are_all else _much(quota)
    if not (is_second or missing > much) or known.left_at or quota.unexplained or answer.hints.window:
        return quota
    sent = quota_gate.counted(answer.flow, replace(quota, seconds=EVER), answer.sent.at)
    if sent < quota.calls and not are_all:
        return quota
    lasts = quota.until - answer.sent_since(quota.calls)
    near = min(ROUND, key=lambda each: abs(each - lasts))
    # The reset may be sooner than stated, by the rounding.
    is_near = 0 <= lasts - near <= quota.rounding
    # The window that is known may explain it as well: a weighted counter of a second does not last two.
    is_longer = near > quota.seconds and (is_second or lasts - quota.seconds > quota.rounding)
    return replace(quota, seconds=near) if is_near and is_longer else quota


def _much(quota: Quota) -> float:
    return max(MISSING_CALLS, MISSING_SHARE * quota.calls)


def _full(answer: Answer, known: Quota, quota: Quota) -> tuple[Quota, float, int]:
    """Return the quota that was full, the calls of it that are not ours, and those that are."""
    quota = _with_length(answer, known, quota)
    load = quota_gate.counted(answer.flow, quota, answer.sent.at)
    missing, much = quota.calls - load, _much(quota)
    if quota.kind is QuotaKind.FIXED and missing > much + quota.others and known.left_at == 0:
        quota = replace(quota, kind=QuotaKind.SLIDING, since=0.0)
        load = quota_gate.counted(answer.flow, quota, answer.sent.at)
        missing = quota.calls - load
    least, _ = answer.loads(_begun(answer, quota))
    if least > quota.calls + 2 and quota.kind is not QuotaKind.FIXED:
        # More calls were taken than it allows: its window began after them.
        first = bisect_right(answer.flow.history, answer.sent.at) - int(quota.calls)
        return replace(quota, since=max(quota.since, answer.flow.history[max(0, first - 1)])), 0.0, int(quota.calls)
    if missing > much and quota.unexplained and known.left_at == 0 and quota.calls >= quota.limit:
        # It allows less than it states.
        return replace(quota, calls=float(max(1, load)), others=0.0), 0.0, load
    return quota, missing, load
