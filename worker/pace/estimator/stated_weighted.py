"""Whether a window counts the calls of the window before in part: such a weighted counter frees calls evenly. Pure.

Its load is this window's calls and those of the last one by the share of it that a window up to now still covers.
Where the windows begin is known to within the rounding of the reset: several beginnings are compared.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec.structs import replace

from worker.pace.estimator.stated_answer import Answer
from worker.pace.state import Quota

#: How many beginnings of the window are compared.
BEGINNINGS = 12
#: It is a weighted counter where what is believed missed by this share of the quota in all, between these
#: numbers of calls, and the weighted load by this share of that at most.
MISSED_SHARE, LEAST_MISSED, MOST_MISSED, EXPLAINED = 0.25, 2.0, 4.0, 0.1


def compared(answer: Answer, quota: Quota) -> Quota:
    """Return the quota with how far its load, and the weighted loads, were from what the answers say."""
    missed = _missed(answer, quota, max(quota.since, answer.sent.at - quota.seconds))
    if not quota.misses and not missed:
        return quota
    spread = min(quota.rounding, quota.seconds)
    # The same beginning has the same place with every answer.
    ends = (quota.until - (quota.until - each * spread / BEGINNINGS) % spread for each in range(BEGINNINGS))
    misses = (missed, *(_missed_weighted(answer, quota, end) for end in ends))
    earlier = quota.misses or (0.0,) * (BEGINNINGS + 1)
    return replace(quota, misses=tuple(was + now for was, now in zip(earlier, misses, strict=True)))


def is_weighted(quota: Quota) -> bool:
    """Return whether the weighted load explains the answers, and what is believed does not."""
    if not quota.misses:
        return False
    missed, *weighted = quota.misses
    return missed >= _least(quota) and min(weighted) <= EXPLAINED * missed


def is_contradicted(quota: Quota) -> bool:
    """Return whether neither the window that is believed nor a weighted counter explains the answers."""
    return min(quota.misses, default=0.0) >= _least(quota)


def _least(quota: Quota) -> float:
    return max(LEAST_MISSED, min(MOST_MISSED, MISSED_SHARE * quota.calls))


def _missed(answer: Answer, quota: Quota, begun: float, before: float = 0.0) -> float:
    """Return by how many calls the answer contradicts our calls since `begun`, and `before` more."""
    history = answer.flow.history
    # A call that was sent just before a reset may have arrived after it.
    late = answer.found.longest_trip if begun == quota.since else 0.0
    most = before + len(history) - bisect_right(history, begun - late)
    least = before + answer.loads(begun)[0]
    if answer.hints.throttled:
        return max(0.0, quota.calls - 1 - most)
    if answer.hints.remaining is None:
        return max(0.0, least - quota.calls)
    used = quota.calls - answer.left
    return max(0.0, used - 1 - most, least - used)


def _missed_weighted(answer: Answer, quota: Quota, until: float) -> float:
    """Return by how many calls the answer contradicts a weighted counter whose windows end at `until`."""
    over = (answer.arrived - until) % quota.seconds
    begun = answer.sent.at - over
    history = answer.flow.history
    # What was sent first in the window before, where it began between two of the beginnings.
    earlier = begun - quota.seconds - min(quota.rounding, quota.seconds) / BEGINNINGS
    before = bisect_right(history, begun) - bisect_right(history, earlier)
    return _missed(answer, quota, begun, before * (1 - over / quota.seconds))
