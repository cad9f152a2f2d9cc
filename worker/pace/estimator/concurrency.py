"""Too many calls at once, where the LMS says so: lower their number, try one more later. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator.growth import HOLD_SECONDS, LONGEST_HOLD_SECONDS
from worker.pace.state import Estimate, Grant


def lower_concurrency(found: Estimate, sent: Grant, out: int, now: float) -> Estimate:
    """Take one slot away for each call of a burst that was one too many of `out`; the rate is not to blame."""
    if sent.at < found.answered_until and found.max_concurrency:
        return replace(found, max_concurrency=max(1, found.max_concurrency - 1))
    patience = min(LONGEST_HOLD_SECONDS, 2 * found.widen_hold_seconds) if found.max_concurrency else HOLD_SECONDS
    fewer = max(1, out - 1)
    return replace(
        found, max_concurrency=fewer, widen_at=now + patience, widen_hold_seconds=patience, answered_until=now
    )
