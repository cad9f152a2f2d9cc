"""A message as a webhook: its body, its signature, and what an answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.model import RowStatus
from worker.notifications.delivery import Undelivered
from worker.notifications.http import post
from worker.reports.lines import stamp

if TYPE_CHECKING:
    from worker.notifications.content import JobNews, News
    from worker.settings import Webhook

_OK, _REDIRECT, _GONE = 200, 300, 410


def send(receiver: Webhook, news: News, at: float) -> None:
    """Post a message at the time `at`; raises Undelivered unless the answer says that it was taken (2xx)."""
    body = body_of(news)
    status = post(receiver.url, body, headers_of(news, body, receiver.secret.get_secret_value(), at))
    if status == _GONE:
        raise Undelivered("the receiver answered 410: it wants no more of this", final=True)
    if not _OK <= status < _REDIRECT:
        raise Undelivered(f"the receiver answered {status}")


def headers_of(news: News, body: bytes, secret: str, at: float) -> dict[str, str]:
    """Return the headers that tell what this is, and prove who wrote it and when."""
    timestamp = str(int(at))
    return {
        "Content-Type": "application/json",
        "User-Agent": f"roster/{__version__}",
        "Roster-Event": news.event,
        "Roster-Delivery": news.delivery,
        "Roster-Timestamp": timestamp,
        "Roster-Signature": f"sha256={sign(secret, timestamp, body)}",
    }


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of timestamp, a point, and the body, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(news: News) -> bytes:
    """Return the message as JSON."""
    told: dict[str, Any] = {
        "event": news.event,
        "delivery": news.delivery,
        "at": stamp(news.at),
        "connection": news.connection or None,
        "job": _job(news.job) if news.job else None,
        "held_jobs": list(news.held),
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _job(job: JobNews) -> dict[str, Any]:
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
        "not_before": None if summary.not_before is None else stamp(summary.not_before),
        "started_at": None if summary.started_at is None else stamp(summary.started_at),
        "finished_at": None if summary.finished_at is None else stamp(summary.finished_at),
        "link": job.link or None,
    }
