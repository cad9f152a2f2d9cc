"""Empty the outbox: threads that send what is due, beside the work and never before it.

A message is claimed by a lease before it is sent, and noted as sent after: a process that dies between leaves it to
be sent again, with the same mark. A receiver that hangs holds up its own messages only.
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
from worker.notifications.content import read_news
from worker.notifications.delivery import Undelivered
from worker.safe_errors import place_of
from worker.settings import Webhook

if TYPE_CHECKING:
    from worker.ledger.outbox import Message
    from worker.ledger.transactions import Ledger
    from worker.notifications.content import News
    from worker.settings import MessageSettings

#: Messages under way at a time in one process, and of those to one receiver.
AT_ONCE, AT_ONCE_EACH = 8, 2
#: So many of the oldest are looked at each time, so that those of one that hangs do not hide the others.
LOOKED_AT = 200
log = structlog.get_logger("roster")


@dataclass(slots=True)
class Sender:
    """Sends what is due from one process."""

    ledger: Ledger
    _busy: dict[threading.Thread, str] = field(default_factory=dict)
    _ending: threading.Event = field(default_factory=threading.Event)

    def begin(self, post: MessageSettings) -> None:
        """Have what is due sent by threads of their own; returns at once. Raises LedgerError."""
        self._busy = {thread: receiver for thread, receiver in self._busy.items() if thread.is_alive()}
        with self.ledger.read() as tx:
            waiting = outbox.due(tx, LOOKED_AT)
        for message in waiting:
            each = Counter(self._busy.values())
            if each.total() < AT_ONCE and each[message.receiver] < AT_ONCE_EACH:
                self._start(message, post)

    def finish(self, seconds: float) -> None:
        """Begin no further message, and wait so long for what is under way; others send again what is not over."""
        self._ending.set()
        deadline = time.monotonic() + seconds
        for thread in self._busy:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, message: Message, post: MessageSettings) -> None:
        claimed = _claim(self.ledger, message)
        if claimed is not None:
            thread = threading.Thread(target=self._send, args=(claimed, post), daemon=True)
            self._busy[thread] = message.receiver
            thread.start()

    def _send(self, claimed: Message, post: MessageSettings) -> None:
        """Send a message, and its receiver's next ones for as long as they are taken."""
        following: Message | None = claimed
        while following is not None and send_claimed(self.ledger, following, post) and not self._ending.is_set():
            following = _claim_next(self.ledger, claimed.receiver)


def _claim(ledger: Ledger, message: Message) -> Message | None:
    with ledger.write() as tx:
        return outbox.claim(tx, message, now() + delivery.LEASE_SECONDS)


def _claim_next(ledger: Ledger, receiver: str) -> Message | None:
    """Claim a receiver's next message; None when there is none, or the ledger is away."""
    with suppress(RosterError):
        with ledger.read() as tx:
            waiting = outbox.due(tx, AT_ONCE, receiver)
        return next((claimed for claimed in (_claim(ledger, each) for each in waiting) if claimed), None)
    return None


def send_claimed(ledger: Ledger, message: Message, post: MessageSettings) -> bool:
    """Send a claimed message and note what became of it; False when the receiver had better be left alone for now.

    Raises nothing: whatever goes wrong, the work goes on.
    """
    told = log.bind(message=message.id, receiver=message.receiver, about=message.event, job=message.job_id)
    try:
        with ledger.read() as tx:
            news = read_news(tx, message, post.public_url)
        if news is not None:
            deliver(post, message.receiver, news)
        with ledger.write() as tx:
            outbox.end(tx, message, sent=news is not None)
        told.info("message sent" if news is not None else "message passed over")
    except Undelivered as failure:
        told.warning("message not sent", reason=str(failure), attempt=message.attempts)
        _note_failure(ledger, message, failure)
    except RosterError as error:
        told.warning("message left to a later sweep", reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the lease runs out, and it is sent again
        told.error("message left to a later sweep", place=place_of(error))
    else:
        return True
    return False


def deliver(post: MessageSettings, name: str, news: News) -> None:
    """Send a message to a receiver; raises Undelivered."""
    receiver = post.receivers.get(name)
    if receiver is None:
        raise Undelivered("the receiver is no longer in roster.toml", final=True)
    if isinstance(receiver, Webhook):
        webhook.send(receiver, news, now())
    elif post.mail is not None:
        mail.send(post.mail, receiver, news)


def _note_failure(ledger: Ledger, message: Message, failure: Undelivered) -> None:
    later = now() + delivery.pause_after(message.attempts)
    with suppress(RosterError), ledger.write() as tx:
        if failure.final or later > message.created_at + delivery.GIVE_UP_SECONDS:
            outbox.end(tx, message, sent=False, error=str(failure))
        else:
            outbox.postpone(tx, message, later, str(failure))
