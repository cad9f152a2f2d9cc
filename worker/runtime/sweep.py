"""Find what nobody was asked to do, or nobody did; and what comes in by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.errors import SettingsError
from worker.jobs import advance
from worker.jobs.webhooks import settle_all
from worker.ledger import batches, key_value, queue
from worker.ledger.database import now
from worker.ledger.queue import SWEPT
from worker.notifications import events
from worker.runtime import folder_sweep
from worker.runtime.sending import ring_for
from worker.safe_errors import left_to_next_sweep
from worker.schedules import due
from worker.settings import read_post

if TYPE_CHECKING:
    from worker.ledger.queue import Bell
    from worker.runtime.process import Workplace
    from worker.runtime.sending import Ring


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


log = structlog.get_logger("roster")


def sweep(here: Workplace, ring: Ring, *, forgotten: bool) -> None:
    """Find everything that is to be done, and ring for it; `forgotten`: the broker has lost every bell.

    What comes by itself is looked for in a thread: a share that hangs must not take a slot.
    """
    ring_for(here, recover(here, forgotten=forgotten), ring)
    here.begin_aside("attend", lambda: _attend_and_ring(here, ring))


def _attend_and_ring(here: Workplace, ring: Ring) -> None:
    with left_to_next_sweep("what comes by itself"):
        ring_for(here, attend(here), ring)


def attend(here: Workplace) -> list[Bell]:
    """Take in what comes by itself: files in drop folders, and schedules whose time has come."""
    rung: list[Bell] = []
    with left_to_next_sweep("schedules"):
        due.run_due(here.services)
    with left_to_next_sweep("drop folders"):
        folder_sweep.look(here)
    with left_to_next_sweep("files in the way"):
        rung += folder_sweep.lay_aside(here)
    with here.ledger.read() as tx:
        opened = queue.unheard(tx)
    for job_id in opened:
        with here.ledger.write() as tx:
            rung += advance.go_on(tx, job_id, here.window, now())
    return rung


def recover(here: Workplace, *, forgotten: bool) -> list[Bell]:
    """Find what nobody was asked to do, or nobody did."""
    with here.ledger.write() as tx:
        if forgotten:
            queue.unring_all(tx)
        opened = batches.reap(tx)
        key_value.remember(tx, SWEPT, {"at": now()})
        open_jobs = queue.open_jobs(tx)
    with left_to_next_sweep("webhooks"):
        settle_all(here.ledger)
    if opened:
        log.warning("claims of dead workers opened again", batches=opened)
    rung: list[Bell] = []
    for job_id in open_jobs:
        with here.ledger.write() as tx:
            rung += advance.go_on(tx, job_id, here.window, now())
    tell(here)
    return rung
