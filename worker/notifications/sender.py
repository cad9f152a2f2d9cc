"""Send the due messages of the outbox, in threads of their own, so that they do not delay jobs.

A message is claimed with a lease before it is sent, and marked as sent afterwards: when a process dies in between,
it is sent again with the same delivery ID. A receiver that hangs delays only its own messages.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from worker.errors import RosterError
from worker.ledger import outbox
from worker.ledger.database import now
from worker.notifications import delivery, mail, webhook
from worker.notifications.content import read_notification
from worker.notifications.delivery import DeliveryError
from worker.safe_errors import location_of
from worker.settings import Webhook

if TYPE_CHECKING:
    from worker.ledger.outbox import Message
    from worker.ledger.transactions import Ledger
    from worker.notifications.content import Notification
    from worker.settings import MessageSettings

#: Maximum number of messages being sent at a time by one process, and of those to one receiver.
MAX_SENDING, MAX_SENDING_EACH = 8, 2
#: This many of the oldest due messages are read, so that those to a receiver that hangs do not hide the others.
MAX_DUE = 200
log = structlog.get_logger("roster")


@dataclass(slots=True)
class Sender:
    """Sends the due messages from one process."""

    ledger: Ledger
    _busy: dict[threading.Thread, str] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, settings: MessageSettings) -> None:
        """Start threads that send the due messages; return at once. Raises LedgerError."""
        self._busy = {thread: receiver for thread, receiver in self._busy.items() if thread.is_alive()}
        with self.ledger.read() as tx:
            waiting = outbox.due(tx, MAX_DUE)
        for message in waiting:
            each = Counter(self._busy.values())
            if each.total() < MAX_SENDING and each[message.receiver] < MAX_SENDING_EACH:
                self._start_thread(message, settings)

    def stop(self, seconds: float) -> None:
        """Start no further message, and wait up to `seconds` for those being sent; others are sent again later."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        for thread in self._busy:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start_thread(self, message: Message, settings: MessageSettings) -> None:
        claimed = _claim(self.ledger, message)
        if claimed is not None:
            thread = threading.Thread(target=self._send, args=(claimed, settings), daemon=True)
            self._busy[thread] = message.receiver
            thread.start()

    def _send(self, claimed: Message, settings: MessageSettings) -> None:
        """Send a message, then the next ones to its receiver until one fails."""
        following: Message | None = claimed
        while (
            following is not None and send_claimed(self.ledger, following, settings) and not self._stopping.is_set()
        ):
            following = _claim_next(self.ledger, claimed.receiver)


def _claim(ledger: Ledger, message: Message) -> Message | None:
    with ledger.write() as tx:
        return outbox.claim(tx, message, now() + delivery.LEASE_SECONDS)


def _claim_next(ledger: Ledger, receiver: str) -> Message | None:
    """Claim the next message to a receiver; None when there is none, or the ledger is unavailable."""
    with suppress(RosterError):
        with ledger.read() as tx:
            waiting = outbox.due(tx, MAX_SENDING, receiver)
        return next((claimed for claimed in (_claim(ledger, each) for each in waiting) if claimed), None)
    return None


def send_claimed(ledger: Ledger, message: Message, settings: MessageSettings) -> bool:
    """Send a claimed message and record the result; False when it failed, so that the next ones should wait.

    Raises nothing.
    """
    bound = log.bind(message=message.id, receiver=message.receiver, about=message.event, job=message.job_id)
    try:
        with ledger.read() as tx:
            content = read_notification(tx, message, settings.public_url)
        if content is not None:
            deliver(settings, message.receiver, content)
        with ledger.write() as tx:
            outbox.end(tx, message, sent=content is not None)
        bound.info("message sent" if content is not None else "message skipped: outdated")
    except DeliveryError as failure:
        bound.warning("message not sent", reason=str(failure), attempt=message.attempts)
        _record_failure(ledger, message, failure)
    except RosterError as error:
        bound.warning("message will be sent by a later sweep", reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the lease expires, and it is sent again
        bound.error("message will be sent by a later sweep", place=location_of(error))
    else:
        return True
    return False


def deliver(settings: MessageSettings, name: str, notification: Notification) -> None:
    """Send a message to a receiver; raises DeliveryError."""
    receiver = settings.receivers.get(name)
    if receiver is None:
        raise DeliveryError("the receiver is no longer in roster.toml", final=True)
    if isinstance(receiver, Webhook):
        webhook.send(receiver, notification, now())
    elif settings.mail is not None:
        mail.send(settings.mail, receiver, notification)


def _record_failure(ledger: Ledger, message: Message, failure: DeliveryError) -> None:
    later = now() + delivery.retry_delay(message.attempts)
    with suppress(RosterError), ledger.write() as tx:
        if failure.final or later > message.created_at + delivery.GIVE_UP_SECONDS:
            outbox.end(tx, message, sent=False, error=str(failure))
        else:
            outbox.postpone(tx, message, later, str(failure))
