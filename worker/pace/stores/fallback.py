"""The pace of one process while Redis is away: its share of what was known last. Does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from worker.pace.estimator import pace, quota_gate
from worker.pace.rate import Rate
from worker.pace.state import Decision, Grant, LimiterState, Limits, PaceState, Quota, QuotaKind

if TYPE_CHECKING:
    from worker.pace.hints.response import Hints


class LocalFallback:
    """The limiter of one process; the calls that it grants have negative numbers."""

    def __init__(self, known: PaceState, bounds: Limits, *, sharers: int, now: float) -> None:
        self._bounds = _share(bounds, sharers)
        found = replace(
            known.estimate,
            rate=known.estimate.rate / sharers,
            ceiling=known.estimate.ceiling / sharers,
            max_concurrency=-(-known.estimate.max_concurrency // sharers),
        )
        state = PaceState(
            estimate=found,
            limiter=replace(
                known.limiter, in_flight=0, sent=0, next_at=now, quotas=_quota_share(known.limiter, sharers, now)
            ),
            counts=known.counts,
        )
        self._state = pace.synchronized(state, self._bounds, now)
        #: When to try Redis again, on the monotonic clock.
        self.try_again_at = 0.0

    @property
    def state(self) -> PaceState:
        """Return the state of this process's share."""
        return self._state

    def reserve(self, now: float) -> Decision:
        """Grant one call now, or return when to ask again."""
        self._state, turn = pace.reserve(self._state, now)
        return replace(turn, grant=replace(turn.grant, number=-turn.grant.number)) if turn.grant else turn

    def report(self, sent: Grant, hints: Hints | None, now: float) -> None:
        """Apply the answer to a call."""
        ours = sent.number < 0
        if not ours:
            # Redis granted it: it holds no slot here.
            self._state = replace(
                self._state, limiter=replace(self._state.limiter, in_flight=self._state.limiter.in_flight + 1)
            )
        self._state = pace.report(self._state, self._bounds, replace(sent, number=abs(sent.number)), hints, now)

    def withdraw(self, sent: Grant) -> None:
        """Cancel the grant of a call that was not made."""
        self._state = pace.withdraw(self._state, replace(sent, number=-sent.number))


def _share(bounds: Limits, sharers: int) -> Limits:
    rate = bounds.rate
    return Limits(
        max_in_flight=max(1, bounds.max_in_flight // sharers),
        rate=Rate(calls=rate.calls / sharers, per_seconds=rate.per_seconds) if rate else None,
    )


def _quota_share(flow: LimiterState, sharers: int, now: float) -> tuple[Quota, ...]:
    """Return a process's share of the quotas; `history` holds the calls of all, which count until they leave."""
    shares = []
    for quota in flow.quotas:
        is_bucket = quota.kind is QuotaKind.BUCKET
        left = quota_gate.left_of(flow, quota, now).left if is_bucket else quota.left - flow.in_flight
        share = replace(
            quota,
            calls=max(1.0, quota.calls // sharers),
            refill=quota.refill / sharers,
            others=quota.others / sharers,
            reserve=quota.reserve / sharers,
            left=max(0.0, left) / sharers,
            left_at=now if is_bucket else quota.left_at,
            number=0,
        )
        shares.append(share)
    return tuple(shares)
