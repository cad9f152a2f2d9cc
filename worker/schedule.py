"""The beat table: beat rings `roster.sweep`, and nothing else. People's schedules stand in the ledger."""

from __future__ import annotations

from typing import Any

from worker.ledger.queue import Task

#: Whoever is at work sweeps by then, when every slot is taken.
VOID_AFTER_SECONDS = 60.0


def beat_table(every_seconds: float) -> dict[str, dict[str, Any]]:
    """Return what beat rings, and how often; a bell that nobody answered in time is void."""
    return {
        "sweep": {
            "task": Task.SWEEP.value,
            "schedule": every_seconds,
            "options": {"expires": VOID_AFTER_SECONDS, "priority": 0},
        }
    }
