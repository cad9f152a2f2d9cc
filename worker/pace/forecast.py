"""How long calls take: windows of stated limits, plus the rest, else by a rate. Reads what `to_memory` wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def seconds_left(
    calls: float, rate: float, quotas: Iterable[Mapping[str, Any]], *, not_before: float, now: float
) -> float:
    """Return the seconds until `calls` calls are done: by the stated quotas, else by `rate` calls a second."""
    paused, known = max(0.0, not_before - now), tuple(quotas)
    if known:
        return max(paused, seconds_for(calls, known, now=now))
    return calls / rate + paused


def seconds_for(calls: float, quotas: Iterable[Mapping[str, Any]], *, now: float) -> float:
    """Return the seconds that `calls` calls take under these quotas, from `now` on; 0 for none."""
    return max((_seconds(calls, quota, now) for quota in quotas), default=0.0)


def _seconds(calls: float, quota: Mapping[str, Any], now: float) -> float:
    most, length, left = float(quota["calls"]), float(quota["seconds"]), float(quota.get("left", 0.0))
    if quota.get("kind") == "bucket":
        return max(0.0, calls - left) / max(1e-6, float(quota["refill"]))
    frees = [float(at) for at in quota.get("frees") or []]
    if not frees or frees[-1] <= now:
        # The window that was counted is over.
        left, frees = most, [now + length]
    over = math.ceil(calls - left)
    if over <= 0:
        return 0.0
    whole, rest = divmod(over - 1, most)
    last = frees[min(len(frees) - 1, int(rest / most * len(frees)))]
    return max(0.0, last + whole * length - now)
