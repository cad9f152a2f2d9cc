"""What of a pace outlives the run: a small dictionary for the ledger. Knows no storage.

A level that held yesterday is where the next run begins; one of last week is taken with care, since limits change
with contracts (lms-apis.md §5.1, Docebo); an older one is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worker.pace.estimator.growth import PATIENCE
from worker.pace.state import Found, PaceState

#: Up to this age in seconds a memory is believed, and up to the second one it is believed in part.
FRESH_SECONDS = 86400.0
LONGEST_SECONDS = 30 * 86400.0
#: Share of the rate at which to begin when the memory is no longer fresh; from there it creeps up.
STALE_SHARE = 0.7


def to_memory(state: PaceState, *, now: float) -> dict[str, float]:
    """Return what is worth remembering; a rate or a number of 0 was not found out."""
    found = state.found
    return {"at": now, "rate": found.rate, "most_at_once": float(found.most_at_once)}


def from_memory(data: Mapping[str, Any], *, now: float) -> Found:
    """Return what a memory still says at `now`; one that cannot be read says nothing."""
    try:
        at, rate, most = float(data["at"]), float(data["rate"]), float(data["most_at_once"])
    except (KeyError, TypeError, ValueError):
        return Found()
    age = max(0.0, now - at)
    if not all(math.isfinite(value) and value >= 0 for value in (at, rate, most)) or age > LONGEST_SECONDS:
        return Found()
    fresh = age <= FRESH_SECONDS
    known = rate > 0
    return Found(
        rate=rate if fresh else STALE_SHARE * rate,
        ceiling=rate,
        sure=known and fresh,
        patience=PATIENCE,
        probe_at=now + PATIENCE,
        calls_per_slot=0.0 if known else Found().calls_per_slot,
        most_at_once=int(most),
        widen_at=now + PATIENCE,
        widen_patience=PATIENCE,
    )
