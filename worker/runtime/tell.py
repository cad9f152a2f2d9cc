"""Tell people what happened to jobs: put it into the outbox, and have what waits there sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.errors import SettingsError
from worker.notifications import events
from worker.safe_errors import left_to_next_sweep
from worker.settings import read_post

if TYPE_CHECKING:
    from worker.runtime.process import Workplace

log = structlog.get_logger("roster")


def tell(here: Workplace) -> None:
    """Do both, without waiting for any receiver. Raises nothing: no job and no sweep fails for a message."""
    with left_to_next_sweep("messages"):
        try:
            post = read_post(here.services.settings)
        except SettingsError as error:
            log.error("no message is sent", reason=str(error))  # noqa: TRY400 - our own sentence says all
            return
        with here.ledger.write() as tx:
            events.put_due(tx, post)
        here.sender.begin(post)
