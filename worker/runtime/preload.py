"""Import what a worker's first jobs need before it forks: its processes share the memory, and no job waits for it.

Commands import these as late as they can; a worker needs all of them.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

from worker import lms
from worker.errors import SettingsError
from worker.ledger import rows
from worker.ledger.database import load_driver

_LATE_IMPORTS = (
    "pace.description",
    "pace.limiter",
    "pace.stores.persistence",
    "pace.stores.redis",
    "lms.http",
    "registration.breaker",
    "registration.context",
    "reports.workbook",
)


def preload(ledger: str) -> None:
    """Import LMS clients, the driver of the database at `ledger`, and report writers; connect to nothing."""
    load_driver(ledger)
    rows.row_type()
    for name in _LATE_IMPORTS:
        importlib.import_module(f"worker.{name}")
    for system in lms.systems():
        # A package that cannot be imported concerns only the connections that use it; they report it.
        with suppress(SettingsError):
            lms.load_connector(system)
