"""Re-enqueue lost or unclaimed work; import files of drop folders and run due schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.accounts import guessing
from worker.errors import SettingsError
from worker.jobs import advance
from worker.jobs.webhooks import apply_all
from worker.ledger import accounts, batches, key_value, queue
from worker.ledger.database import now
from worker.ledger.queue import LAST_SWEEP
from worker.notifications import events
from worker.runtime import folder_sweep
from worker.runtime.publishing import publish
from worker.safe_errors import log_and_continue
from worker.schedules import arrivals, due
from worker.settings import read_message_settings

if TYPE_CHECKING:
    from worker.ledger.queue import TaskMessage
    from worker.runtime.process import WorkerProcess
    from worker.runtime.publishing import Publisher

log = structlog.get_logger("roster")


def sweep(process: WorkerProcess, publisher: Publisher, *, messages_lost: bool) -> None:
    """Find everything that is to be done and publish it; `messages_lost`: the broker has lost all of them.

    Folders and schedules are checked in a thread: a share that hangs must not block a worker's slot.
    """
    publish(process, recover(process, messages_lost=messages_lost), publisher)
    process.start_thread("incoming", lambda: _publish_incoming(process, publisher))


def _publish_incoming(process: WorkerProcess, publisher: Publisher) -> None:
    with log_and_continue("folders and schedules"):
        publish(process, open_incoming(process), publisher)


def open_incoming(process: WorkerProcess) -> list[TaskMessage]:
    """Open the jobs of new files in drop folders and of due schedules; return the messages to publish."""
    messages: list[TaskMessage] = []
    with log_and_continue("schedules"):
        due.run_due(process.services)
    with log_and_continue("arrivals"):
        arrivals.check_schedules(process.services)
    with log_and_continue("drop folders"):
        folder_sweep.open_jobs(process)
    with log_and_continue("files of ended jobs"):
        messages += folder_sweep.archive_leftovers(process)
    with process.ledger.read() as tx:
        opened = queue.never_enqueued(tx)
    for job_id in opened:
        with process.ledger.write() as tx:
            messages += advance.advance(tx, job_id, process.window, now())
    return messages


def recover(process: WorkerProcess, *, messages_lost: bool) -> list[TaskMessage]:
    """Release the claims of dead workers and advance every open job; return the messages to publish."""
    with process.ledger.write() as tx:
        if messages_lost:
            queue.mark_all_unsent(tx)
        released = batches.reopen_abandoned(tx)
        key_value.put(tx, LAST_SWEEP, {"at": now()})
        open_jobs = queue.open_jobs(tx)
        guessing.forget_old(tx)
        accounts.remove_audit_entries(tx, before=now() - process.services.settings.serve.audit_seconds)
    with log_and_continue("webhooks"):
        apply_all(process.ledger)
    if released:
        log.warning("claims of dead workers released", batches=released)
    messages: list[TaskMessage] = []
    for job_id in open_jobs:
        with process.ledger.write() as tx:
            messages += advance.advance(tx, job_id, process.window, now())
    send_notifications(process)
    return messages


def send_notifications(process: WorkerProcess) -> None:
    """Queue the notifications that are due and send them in the background.

    Raises nothing: no job and no sweep fails because of a notification.
    """
    with log_and_continue("messages"):
        try:
            post = read_message_settings(process.services.settings)
        except SettingsError as error:
            log.error("no message is sent", reason=str(error))  # noqa: TRY400 - the sentence says everything
            return
        with process.ledger.write() as tx:
            events.enqueue_due(tx, post)
        process.sender.start(post)
