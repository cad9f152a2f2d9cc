"""Send a message as a webhook: body, signatures, and the meaning of the response.

The form is that of Standard Webhooks 1.0.0 (standardwebhooks.com); the headers and keys of before are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.model import RowStatus
from worker.notifications import templates
from worker.notifications.delivery import DeliveryError
from worker.notifications.http import post
from worker.reports.lines import utc_text
from worker.settings import WebhookFormat, webhook_key

if TYPE_CHECKING:
    from worker.notifications.content import JobContent, Notification
    from worker.notifications.sources import SourceContent
    from worker.settings import Webhook

_OK, _REDIRECT, _GONE = 200, 300, 410


def send(receiver: Webhook, notification: Notification, at: float) -> None:
    """Post a message at the time `at`; raises DeliveryError unless the response is 2xx."""
    body = body_of(notification, receiver.format)
    status = post(receiver.url, body, headers_of(receiver, notification, body, at))
    if status == _GONE:
        raise DeliveryError("the receiver responded 410: it accepts no more messages", final=True)
    if not _OK <= status < _REDIRECT:
        raise DeliveryError(f"the receiver responded {status}")


def headers_of(receiver: Webhook, notification: Notification, body: bytes, at: float) -> dict[str, str]:
    """Return the headers: event, delivery, time, and the signatures, if the receiver has a secret."""
    timestamp = str(int(at))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"roster/{__version__}",
        "webhook-id": notification.delivery,
        "webhook-timestamp": timestamp,
        "Roster-Event": notification.event,
        "Roster-Delivery": notification.delivery,
        "Roster-Timestamp": timestamp,
    }
    secrets = [each.get_secret_value() for each in (receiver.secret, receiver.previous_secret) if each is not None]
    if secrets:
        signed = f"{notification.delivery}.{timestamp}.".encode() + body
        headers["webhook-signature"] = " ".join(standard_signature(secret, signed) for secret in secrets)
        headers["Roster-Signature"] = f"sha256={sign(secrets[0], timestamp, body)}"
    return headers


def standard_signature(secret: str, signed: bytes) -> str:
    """Return the signature of Standard Webhooks: `v1,` and the HMAC-SHA256 in base64."""
    digest = hmac.new(webhook_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of timestamp, a dot, and the body, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(notification: Notification, form: WebhookFormat = WebhookFormat.STANDARD) -> bytes:
    """Return the message as JSON: whole, or the text alone as Slack or Teams take it."""
    text = templates.chat_text(notification)
    content = {
        WebhookFormat.STANDARD: _standard,
        WebhookFormat.SLACK: lambda _, text: {"text": text},
        WebhookFormat.TEAMS: _teams,
    }[form](notification, text)
    return json.dumps(content, ensure_ascii=False).encode()


def _standard(notification: Notification, text: str) -> dict[str, Any]:
    at = utc_text(notification.at)
    data = {
        "connection": notification.connection or None,
        "job": _job(notification.job) if notification.job else None,
        "held_jobs": list(notification.held),
        "source": _source(notification.source) if notification.source else None,
    }
    former = {"event": notification.event, "delivery": notification.delivery, "at": at, **data}
    return {"type": notification.event, "timestamp": at, "data": data, "text": text, **former}


def _teams(_: Notification, text: str) -> dict[str, Any]:
    """Return the text as an adaptive card, which is all that a workflow of Teams shows."""
    first, *rest = text.split("\n")
    blocks = [{"type": "TextBlock", "text": first, "weight": "Bolder", "wrap": True}]
    blocks += [{"type": "TextBlock", "text": line, "wrap": True} for line in rest]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


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
        "problems": [
            {
                "codes": list(problem.codes),
                "columns": list(problem.columns),
                "meaning": problem.meaning,
                "rows": problem.rows,
                "first_row": problem.first_row,
            }
            for problem in job.problems[: templates.MAX_PROBLEMS]
        ],
        "not_before": None if summary.not_before is None else utc_text(summary.not_before),
        "started_at": None if summary.started_at is None else utc_text(summary.started_at),
        "finished_at": None if summary.finished_at is None else utc_text(summary.finished_at),
        "link": job.link or None,
    }
