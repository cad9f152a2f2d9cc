"""Send a message as a webhook: body, signature, and the meaning of the response."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.model import RowStatus
from worker.notifications.delivery import DeliveryError
from worker.notifications.http import post
from worker.reports.lines import utc_text

if TYPE_CHECKING:
    from worker.notifications.content import JobContent, Notification
    from worker.notifications.sources import SourceContent
    from worker.settings import Webhook

_OK, _REDIRECT, _GONE = 200, 300, 410


def send(receiver: Webhook, notification: Notification, at: float) -> None:
    """Post a message at the time `at`; raises DeliveryError unless the response is 2xx."""
    body = body_of(notification)
    status = post(receiver.url, body, headers_of(notification, body, receiver.secret.get_secret_value(), at))
    if status == _GONE:
        raise DeliveryError("the receiver responded 410: it accepts no more messages", final=True)
    if not _OK <= status < _REDIRECT:
        raise DeliveryError(f"the receiver responded {status}")


def headers_of(notification: Notification, body: bytes, secret: str, at: float) -> dict[str, str]:
    """Return the headers: event, delivery, time, and the signature."""
    timestamp = str(int(at))
    return {
        "Content-Type": "application/json",
        "User-Agent": f"roster/{__version__}",
        "Roster-Event": notification.event,
        "Roster-Delivery": notification.delivery,
        "Roster-Timestamp": timestamp,
        "Roster-Signature": f"sha256={sign(secret, timestamp, body)}",
    }


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of timestamp, a dot, and the body, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(notification: Notification) -> bytes:
    """Return the message as JSON."""
    content: dict[str, Any] = {
        "event": notification.event,
        "delivery": notification.delivery,
        "at": utc_text(notification.at),
        "connection": notification.connection or None,
        "job": _job(notification.job) if notification.job else None,
        "held_jobs": list(notification.held),
        "source": _source(notification.source) if notification.source else None,
    }
    return json.dumps(content, ensure_ascii=False).encode()


def _source(source: SourceContent) -> dict[str, Any]:
    return {
        "name": source.source,
        "problem": source.problem,
        "reason": source.reason,
        "since": utc_text(datetime.fromtimestamp(source.since, UTC)),
        "next_at": None if source.next_at is None else utc_text(datetime.fromtimestamp(source.next_at, UTC)),
        "link": source.link or None,
    }


def _job(job: JobContent) -> dict[str, Any]:
    summary = job.summary
    return {
        "id": summary.job,
        "roster": job.roster,
        "connection": summary.connection,
        "state": summary.state,
        "total": summary.total,
        "by_status": {status: summary.by_status.get(status, 0) for status in RowStatus},
        "not_done": summary.not_done,
        "not_done_percent": job.not_done_percent,
        "candidates_created": summary.candidates_created,
        "registrations_created": summary.registrations_created,
        "needs_person": job.needs_person,
        "reason": job.reason or None,
        "reason_code": job.reason_code,
        "not_before": None if summary.not_before is None else utc_text(summary.not_before),
        "started_at": None if summary.started_at is None else utc_text(summary.started_at),
        "finished_at": None if summary.finished_at is None else utc_text(summary.finished_at),
        "link": job.link or None,
    }
