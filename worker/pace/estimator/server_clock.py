"""The server's clock and the way to it: the whole seconds of its Date headers narrow it to about a trip. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.state import Estimate

#: By this share of the difference an older trip counts less with each answer.
FADE = 0.01


def read(found: Estimate, sent_at: float, now: float, date: float | None) -> Estimate:
    """Return the estimate after an answer with this Date header (unix seconds, cut to a second; None: without)."""
    trip = max(0.0, now - sent_at)
    shortest, longest = found.shortest_trip or trip, found.longest_trip
    low, high = found.clock_low, found.clock_high
    if date is not None:
        low, high = _narrowed(found, date - now, date + 1 - sent_at)
    return replace(
        found,
        shortest_trip=min(trip, shortest + FADE * (trip - shortest)),
        longest_trip=max(trip, longest + FADE * (trip - longest)),
        clock_low=low,
        clock_high=high,
    )


def _narrowed(found: Estimate, low: float, high: float) -> tuple[float, float]:
    """Return what both an answer and the earlier ones say; the answer alone when a clock was set in between."""
    if found.clock_low >= found.clock_high:
        return low, high
    narrowed = max(low, found.clock_low), min(high, found.clock_high)
    return narrowed if narrowed[0] < narrowed[1] else (low, high)


def at_the_latest(found: Estimate, moment: float) -> float:
    """Return when, by our clock, the server's says `moment`, at the latest."""
    return moment - found.clock_low


def at_the_earliest(found: Estimate, moment: float) -> float:
    """Return when, by our clock, the server's says `moment`, at the earliest."""
    return moment - found.clock_high
