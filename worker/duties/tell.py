"""Tell people what happened to jobs: put it into the outbox, and have what waits there sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.errors import SettingsError
from worker.messages import due
from worker.settings import read_post
from worker.unforeseen import left_to_next_sweep

if TYPE_CHECKING:
    from worker.workplace import Workplace

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
            due.put_due(tx, post)
        here.sender.begin(post)
