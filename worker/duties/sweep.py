"""Find what nobody was asked to do, or nobody did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.ledger import batches, bells, directory
from worker.ledger.bells import SWEPT
from worker.ledger.engine import now
from worker.registration import feed
from worker.registration.notices import settle_all

if TYPE_CHECKING:
    from worker.ledger.bells import Bell
    from worker.workplace import Workplace

log = structlog.get_logger("roster")


def sweep(here: Workplace, *, forgotten: bool) -> list[Bell]:
    """Find what nobody was asked to do, or nobody did; `forgotten`: the broker has lost every bell."""
    with here.ledger.write() as tx:
        if forgotten:
            bells.unring_all(tx)
        opened = batches.reap(tx)
        directory.remember(tx, SWEPT, {"at": now()})
        open_jobs = bells.open_jobs(tx)
    settle_all(here.ledger)
    if opened:
        log.warning("claims of dead workers opened again", batches=opened)
    rung: list[Bell] = []
    for job_id in open_jobs:
        with here.ledger.write() as tx:
            rung += feed.go_on(tx, job_id, here.window, now())
    return rung


def forget(here: Workplace, unrung: list[Bell]) -> None:
    """Note that these bells could not be rung, so that a later sweep rings them."""
    if unrung:
        with here.ledger.write() as tx:
            bells.unring(tx, unrung)
