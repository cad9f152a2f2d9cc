"""Schedules of a test office whose time has come."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from worker.ledger import schedules
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger

if TYPE_CHECKING:
    from tests.conftest import Office


def make_due(office: Office, name: str) -> None:
    """Let the time of a schedule have come, as the clock would."""
    with closing(Ledger(open_engine(f"sqlite:///{office.folder / 'roster.db'}"))) as ledger, ledger.write() as tx:
        schedules.finish_run(tx, schedules.find(tx, name), time.time() - 1)
