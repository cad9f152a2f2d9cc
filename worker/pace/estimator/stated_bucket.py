"""A stated quota that fills at a rate: what is left and what flows in, from what the answers say. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator import quota_gate
from worker.pace.estimator.stated_answer import Answer
from worker.pace.state import LimiterState, Quota, QuotaKind

#: Share of the bucket that stays in it, up to one call; one call more with each refusal, up to the second share, or
#: nothing would be left to take. That shrinks with each answer.
KEPT_SHARE, MOST_KEPT = 0.1, 0.5
KEPT_SHRINKS = 0.998
#: Weight of one answer in what is left, and of one measurement in what flows in.
LEFT_WEIGHT, REFILL_WEIGHT = 0.5, 0.5
#: What flows in is measured over at least this many seconds.
MEASURED_SECONDS = 0.5
#: It is a fixed window when more than this share of it is suddenly there.
FILLED_SHARE = 0.5
#: After this many bursts of refusals where this many calls, and half of what earlier ones keep in it, should have
#: been left it was no bucket.
NO_BUCKET_AFTER, MISSING_CALLS = 2, 3.0
#: Share of what flowed in that a measurement leaves at least.
REFILL_KEPT = 0.3


def begun(answer: Answer, quota: Quota, refill: float) -> Quota:
    """Return the quota as a bucket into which `refill` calls flow a second."""
    return replace(
        quota,
        kind=QuotaKind.BUCKET,
        refill=refill,
        left=answer.left,
        left_at=answer.arrived,
        number=answer.sent.number if not answer.hints.throttled else answer.flow.sent,
        gap_before=answer.total,
        gap_at=answer.arrived,
        refused=0,
        unexplained=0,
        margin=_least_kept(quota),
    )


def taken(answer: Answer, quota: Quota) -> Quota:
    """Learn from an answer that was no refusal."""
    if answer.hints.remaining is None:
        return replace(quota, refused=0) if answer.sent.at >= quota.burst_until else quota
    if answer.sent.number <= quota.number:
        return quota
    quota = replace(quota, calls=max(quota.calls, min(quota.limit or answer.left + 1, answer.left + 1)))
    expected = _expected(answer, quota)
    if quota.stated_at and answer.left - expected >= FILLED_SHARE * quota.calls:
        return _as_window(answer, quota)
    left = expected + LEFT_WEIGHT * (answer.left + 0.5 - expected) if quota.stated_at else answer.left
    quota = replace(
        quota,
        left=min(quota.calls, left),
        left_at=answer.arrived,
        number=answer.sent.number,
        refused=0,
        margin=max(_least_kept(quota), KEPT_SHRINKS * quota.margin),
        gap_at=quota.gap_at or answer.arrived,
        gap_before=quota.gap_before if quota.gap_at else answer.total,
    )
    return _measured(answer, quota)


def refused(answer: Answer, quota: Quota) -> Quota:
    """Learn from a refusal: the bucket was empty."""
    if answer.sent.at < quota.burst_until:
        # It was counted as taken when the first of the burst was refused.
        return replace(quota, gap_before=quota.gap_before - 1)
    expected = _expected(answer, quota) if quota.tried_at <= quota.burst_until else 0.0
    kept = min(MOST_KEPT * quota.calls, quota.margin + 1)
    quota = replace(quota, burst_until=answer.now, margin=max(1.0, kept))
    if quota.unexplained >= NO_BUCKET_AFTER and expected > MISSING_CALLS + (quota.margin - 1) / 2:
        return _as_unknown(answer, quota)
    return replace(
        quota,
        left=0.0,
        left_at=answer.arrived,
        number=answer.flow.sent,
        refill=_refill_at_refusal(answer, quota),
        refused=quota.refused + 1,
        unexplained=quota.unexplained + 1,
        gap_before=answer.flow.sent - answer.refused,
        gap_at=answer.arrived,
    )


def tried(quota: Quota, flow: LimiterState, more: float, now: float) -> Quota:
    """Return a bucket that only refusals state, into which `more` times as much is to flow from now on."""
    left = quota_gate.left_of(flow, quota, now).left
    return replace(quota, refill=more * quota.refill, tried_at=now, left=left, left_at=now, number=flow.sent)


def _refill_at_refusal(answer: Answer, quota: Quota) -> float:
    """Return what flows in: no more than was taken since the bucket was empty before."""
    seconds = answer.arrived - quota.gap_at
    # Where accepted answers do not say what is left, refusals alone measure; a short time says less.
    if quota.is_even or seconds <= 0:
        return quota.refill
    measured = max(REFILL_KEPT * quota.refill, min(quota.refill, (answer.total + 1 - quota.gap_before) / seconds))
    return quota.refill + min(1.0, seconds / MEASURED_SECONDS) * (measured - quota.refill)


def _as_unknown(answer: Answer, quota: Quota) -> Quota:
    """Return the quota as a window of which it is not known how it counts: it was no bucket."""
    return replace(
        _as_window(answer, quota),
        kind=QuotaKind.UNKNOWN,
        since=0.0,
        no_bucket=quota.no_bucket + 1,
        full_at=answer.sent.at,
        left=0.0,
    )


def _expected(answer: Answer, quota: Quota) -> float:
    """Return what should have been left when the call arrived."""
    return quota.left + quota.refill * (answer.arrived - quota.left_at) - (answer.sent.number - quota.number)


def _least_kept(quota: Quota) -> float:
    return min(1.0, KEPT_SHARE * quota.calls)


def _measured(answer: Answer, quota: Quota) -> Quota:
    """Measure what flows in; a full bucket takes in less than that."""
    seconds = answer.arrived - quota.gap_at
    if quota.is_even or seconds < MEASURED_SECONDS:
        return quota
    measured = (answer.total - quota.gap_before) / seconds
    full = answer.left >= quota.calls - 1 - answer.sent.concurrency
    refill = quota.refill
    if full and measured <= refill:
        return quota
    refill = max(REFILL_KEPT * refill, refill + REFILL_WEIGHT * (measured - refill))
    explained = max(0, quota.unexplained - 1)
    return replace(quota, refill=refill, gap_before=answer.total, gap_at=answer.arrived, unexplained=explained)


def _as_window(answer: Answer, quota: Quota) -> Quota:
    """Return the quota as a fixed window that began with this call."""
    return replace(
        quota,
        kind=QuotaKind.FIXED,
        is_even=False,
        no_bucket=quota.no_bucket + quota.is_even,
        since=answer.sent.at - 1e-6,
        gap=0.0,
        gap_before=0.0,
        gap_at=answer.arrived,
        others=0.0,
        refused=0,
        unexplained=0,
        margin=0.0,
        alone=True,
        left=0.0,
        left_at=answer.now,
    )
