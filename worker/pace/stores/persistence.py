"""What is kept of a pace between runs: a small dictionary for the ledger. Knows no storage.

A rate that held yesterday is where the next run begins; one of last week is used with care, since limits change
with contracts; an older one is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from worker.pace.estimator import quota_gate, stated
from worker.pace.estimator.growth import HOLD_SECONDS
from worker.pace.state import Estimate, PaceState, Quota, QuotaKind

#: Up to this age in seconds a memory is believed, and up to the second one it is believed in part.
FRESH_SECONDS = 86400.0
LONGEST_SECONDS = 30 * 86400.0
#: A rate that refusals have shown is right enough for a forecast when it was sure for this long (seconds).
SETTLED_SECONDS = 10.0
#: Share of the rate at which to begin when the memory is no longer fresh; from there it ramps up.
STALE_KEPT = 0.7


#: What is remembered of a quota that the LMS states.
_QUOTA_NUMBERS = ("limit", "calls", "seconds", "refill")


def to_memory(state: PaceState, *, now: float) -> dict[str, Any]:
    """Return what is worth remembering; a rate or a number of 0 was not measured."""
    found, quotas = state.estimate, [each for each in state.limiter.quotas if each.seconds]
    rates = [quota.refill or quota.calls / quota.seconds for quota in quotas]
    return {
        "at": now,
        "rate": min(rates, default=found.rate),
        "is_sure": found.sure or bool(quotas),
        "is_settled": bool(quotas) or _is_settled(found, now),
        "most_at_once": float(found.max_concurrency),
        "quotas": [
            {
                "kind": each.kind,
                **{name: getattr(each, name) for name in _QUOTA_NUMBERS},
                **asdict(quota_gate.left_of(state.limiter, each, now)),
            }
            for each in quotas
        ],
        "quota_until": now + quota_gate.wait(state.limiter, now),
    }


def _is_settled(found: Estimate, now: float) -> bool:
    """Return whether a forecast can be made of the rate: none was refused, or it was sure for long enough."""
    if not found.rate or found.max_concurrency:
        return True
    return found.sure and now - found.cycle_from >= SETTLED_SECONDS


def quotas_from_memory(data: Mapping[str, Any], *, now: float) -> tuple[Quota, ...]:
    """Return the quotas that a memory holds, as a run begins with them."""
    try:
        if now - float(data["at"]) > LONGEST_SECONDS:
            return ()
        return stated.remembered(tuple(_quota(each) for each in data["quotas"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _quota(record: Mapping[str, Any]) -> Quota:
    numbers = {name: float(record[name]) for name in _QUOTA_NUMBERS}
    if not all(math.isfinite(value) and value >= 0 for value in numbers.values()):
        raise ValueError("a number of a quota is not finite")
    if numbers["calls"] < 1 or numbers["seconds"] <= 0:
        raise ValueError("a quota allows no call")
    return Quota(
        limit=numbers["limit"],
        calls=numbers["calls"],
        seconds=numbers["seconds"],
        refill=numbers["refill"],
        kind=QuotaKind(record["kind"]),
    )


def from_memory(data: Mapping[str, Any], *, now: float) -> Estimate:
    """Return what a memory still says at `now`; one that cannot be read says nothing."""
    try:
        at, rate, most = float(data["at"]), float(data["rate"]), float(data["most_at_once"])
    except (KeyError, TypeError, ValueError):
        return Estimate()
    age = max(0.0, now - at)
    if not all(math.isfinite(value) and value >= 0 for value in (at, rate, most)) or age > LONGEST_SECONDS:
        return Estimate()
    fresh = age <= FRESH_SECONDS
    known = rate > 0
    return Estimate(
        rate=rate if fresh else STALE_KEPT * rate,
        ceiling=rate,
        sure=known and fresh,
        hold_seconds=HOLD_SECONDS,
        probe_at=now + HOLD_SECONDS,
        calls_per_slot=0.0 if known else Estimate().calls_per_slot,
        max_concurrency=int(most),
        widen_at=now + HOLD_SECONDS,
        widen_hold_seconds=HOLD_SECONDS,
    )
