"""Load what a worker's first jobs need before it forks: its processes share it, and no job waits for it.

Commands load these as late as they can; a worker needs all of them sooner or later.
"""

from __future__ import annotations

import importlib

from worker import lms
from worker.ledger import rows
from worker.ledger.database import load_driver

_LATE = (
    "pace.limiter",
    "pace.stores.persistence",
    "pace.stores.redis",
    "lms.http",
    "registration.breaker",
    "registration.context",
    "reports.workbook",
)


def preload(ledger: str) -> None:
    """Load what talks to LMSs, to the database at the address `ledger`, and writes reports; connect to nothing."""
    load_driver(ledger)
    rows.row_type()
    for name in _LATE:
        importlib.import_module(f"worker.{name}")
    for system in lms.systems():
        lms.load(system)
