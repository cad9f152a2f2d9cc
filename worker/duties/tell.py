"""Tell people what happened to jobs: put it into the outbox, and have what waits there sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.errors import RosterError, SettingsError
from worker.messages import due
from worker.settings import read_post
from worker.unforeseen import place_of

if TYPE_CHECKING:
    from worker.workplace import Workplace

log = structlog.get_logger("roster")


def tell(here: Workplace) -> None:
    """Do both, without waiting for any receiver. Raises nothing: no job and no sweep fails for a message."""
    try:
        post = read_post(here.services.settings)
        with here.ledger.write() as tx:
            due.put_due(tx, post)
        here.sender.begin(post)
    except SettingsError as error:
        log.error("no message is sent", reason=str(error))  # noqa: TRY400 - our own sentence says all
    except RosterError as error:
        log.warning("messages left to the next sweep", reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whatever it is, the sweep goes on
        log.error("messages left to the next sweep", place=place_of(error))  # noqa: TRY400 - it may tell names
