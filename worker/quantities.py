"""Say how many there are of something, in the singular or the plural."""

from __future__ import annotations

_PLURALS = {"person": "people", "batch": "batches"}


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 row`, `1,200 rows`, `2 people`, `3 more invalid rows`."""
    *before, last = noun.split(" ")
    plural = " ".join([*before, _PLURALS.get(last, f"{last}s")])
    return f"{count:,} {noun if count == 1 else plural}"
