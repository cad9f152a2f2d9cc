"""Find what nobody was asked to do, or nobody did; and what comes in by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog

from worker.duties import folders
from worker.duties.tell import tell
from worker.errors import RosterError
from worker.ledger import batches, bells, directory
from worker.ledger.bells import SWEPT
from worker.ledger.engine import now
from worker.registration import feed
from worker.registration.notices import settle_all
from worker.timetable import due
from worker.unforeseen import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.bells import Bell
    from worker.workplace import Workplace

Result = TypeVar("Result")
log = structlog.get_logger("roster")


def sweep(here: Workplace, ring: Callable[[list[Bell]], list[Bell]], *, forgotten: bool) -> None:
    """Find everything that is to be done, and ring for it; `forgotten`: the broker has lost every bell.

    What comes by itself is looked for in a thread: a share that hangs must not take a slot.
    """
    forget(here, ring(recover(here, forgotten=forgotten)))
    here.begin_aside("attend", lambda: _unless_it_fails(lambda: forget(here, ring(attend(here)))))


def attend(here: Workplace) -> list[Bell]:
    """Take in what comes by itself: files in drop folders, and schedules whose time has come."""
    _unless_it_fails(lambda: due.run_due(here.services))
    _unless_it_fails(lambda: folders.look(here))
    rung = _unless_it_fails(lambda: folders.lay_aside(here)) or []
    with here.ledger.read() as tx:
        opened = bells.unheard(tx)
    for job_id in opened:
        with here.ledger.write() as tx:
            rung += feed.go_on(tx, job_id, here.window, now())
    return rung


def _unless_it_fails(work: Callable[[], Result]) -> Result | None:
    """Return what the work returns; when it fails the next sweep does it again, and the rest goes on."""
    try:
        return work()
    except RosterError as error:
        log.warning("left to the next sweep", reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whatever it is, the bells that were noted must be rung
        log.error("left to the next sweep", place=place_of(error))  # noqa: TRY400 - a traceback may tell names
    return None


def recover(here: Workplace, *, forgotten: bool) -> list[Bell]:
    """Find what nobody was asked to do, or nobody did."""
    with here.ledger.write() as tx:
        if forgotten:
            bells.unring_all(tx)
        opened = batches.reap(tx)
        directory.remember(tx, SWEPT, {"at": now()})
        open_jobs = bells.open_jobs(tx)
    _unless_it_fails(lambda: settle_all(here.ledger))
    if opened:
        log.warning("claims of dead workers opened again", batches=opened)
    rung: list[Bell] = []
    for job_id in open_jobs:
        with here.ledger.write() as tx:
            rung += feed.go_on(tx, job_id, here.window, now())
    tell(here)
    return rung


def forget(here: Workplace, unrung: list[Bell]) -> None:
    """Note that these bells could not be rung, so that a later sweep rings them."""
    if unrung:
        with here.ledger.write() as tx:
            bells.unring(tx, unrung)
