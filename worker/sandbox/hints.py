"""How an LMS says that it is asked too often: `Retry-After`, RateLimit headers, body. Knows no quota.

Every form occurs in the wild; which one Tahdah or KMI use is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from worker.sandbox.messages import Answer


class RetryAfter(StrEnum):
    """The forms of the header; a plain number such as `3` or `1.5` is accepted too and sent unchanged."""

    NONE = "none"
    #: Whole seconds, rounded up.
    INTEGER = "integer"
    FRACTION = "fraction"
    #: An HTTP-date, rounded up to the second.
    DATE = "date"
    PAST_DATE = "past-date"
    GARBAGE = "garbage"


class Headers(StrEnum):
    """The RateLimit headers; X-RateLimit-Reset in five units."""

    NONE = "none"
    #: Seconds from now.
    SECONDS = "x-ratelimit"
    EPOCH = "x-ratelimit-epoch"
    MILLISECONDS = "x-ratelimit-ms"
    EPOCH_MILLISECONDS = "x-ratelimit-epoch-ms"
    ISO = "x-ratelimit-iso"
    #: RateLimit-Limit, -Remaining and -Reset of the IETF draft up to -06.
    DRAFT_6 = "draft-6"
    #: `RateLimit: "default";r=0;t=30` and RateLimit-Policy, of the draft from -07 on.
    DRAFT_10 = "draft-10"


class Body(StrEnum):
    """What the refusal says."""

    #: "Too many requests" (K-reg) for a 429, a text that speaks of the rate limit for a 403, a plain 503.
    AUTO = "auto"
    KMI = "kmi"
    #: Django REST Framework.
    DRF = "drf"
    #: Azure API Management.
    AZURE = "azure"
    RETRY_AFTER = "retryAfter"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a refusal looks."""

    status: int = 429
    retry_after: str = RetryAfter.INTEGER
    headers: Headers = Headers.NONE
    body: Body = Body.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUsage:
    """The state of a quota: calls allowed, calls left, and seconds until it is fresh."""

    limit: int
    remaining: int
    reset: float
    #: The length of the quota's window in seconds.
    window: float


def retry_after_form(text: str) -> str:
    """Read a form of `Retry-After`: one of the names, or a number that is sent unchanged."""
    if text in set(RetryAfter):
        return text
    if math.isfinite(float(text)):
        return text
    raise ValueError("a name or a finite number")


def retry_after(form: str, wait: float, now: float) -> tuple[str | None, float | None]:
    """Return the header and the moment (seconds since the epoch) that it names, for a wait of `wait` seconds."""
    whole, rounded = math.ceil(wait), float(math.ceil(now + wait))
    known: dict[str, tuple[str | None, float | None]] = {
        RetryAfter.NONE: (None, None),
        RetryAfter.INTEGER: (str(whole), now + whole),
        RetryAfter.FRACTION: (f"{wait:.3f}", now + wait),
        RetryAfter.DATE: (formatdate(rounded, usegmt=True), rounded),
        RetryAfter.PAST_DATE: (formatdate(now - 3600, usegmt=True), None),
        RetryAfter.GARBAGE: ("soon", None),
    }
    return known[form] if form in known else (form, now + max(0.0, float(form)))


def rate_limit_headers(form: Headers, at: QuotaUsage, now: float) -> dict[bytes, bytes]:
    """Return the RateLimit headers in one of their forms."""
    seconds = math.ceil(at.reset)
    resets = {
        Headers.SECONDS: str(seconds),
        Headers.EPOCH: str(math.ceil(now + at.reset)),
        Headers.MILLISECONDS: str(math.ceil(at.reset * 1000)),
        Headers.EPOCH_MILLISECONDS: str(math.ceil((now + at.reset) * 1000)),
        Headers.ISO: datetime.fromtimestamp(math.ceil(now + at.reset), UTC).isoformat().replace("+00:00", "Z"),
    }
    window = max(1, math.ceil(at.window))
    values: dict[str, Any] = {}
    if form in resets:
        values = {
            "X-RateLimit-Limit": at.limit,
            "X-RateLimit-Remaining": at.remaining,
            "X-RateLimit-Reset": resets[form],
        }
    elif form is Headers.DRAFT_6:
        values = {
            "RateLimit-Limit": at.limit,
            "RateLimit-Remaining": at.remaining,
            "RateLimit-Reset": seconds,
            "RateLimit-Policy": f"{at.limit};w={window}",
        }
    elif form is Headers.DRAFT_10:
        values = {
            "RateLimit": f'"default";r={at.remaining};t={seconds}',
            "RateLimit-Policy": f'"default";q={at.limit};w={window}',
        }
    return {name.encode(): str(value).encode() for name, value in values.items()}


def body(style: Style, wait: float) -> Any:
    """Return the body of a refusal; None for none."""
    seconds = math.ceil(wait)
    auto: dict[int, Any] = {
        HTTPStatus.FORBIDDEN: {"detail": "Rate Limit Exceeded"},
        HTTPStatus.SERVICE_UNAVAILABLE: {"detail": "Service Unavailable"},
    }
    return {
        Body.AUTO: auto.get(style.status, {"detail": "Too many requests"}),
        Body.KMI: {"detail": "Too many requests"},
        Body.DRF: {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
        Body.AZURE: {
            "statusCode": style.status,
            "message": f"Rate limit is exceeded. Try again in {seconds} seconds.",
        },
        Body.RETRY_AFTER: {"message": "Too many requests.", "retryAfter": seconds},
        Body.EMPTY: None,
    }[style.body]


def refusal(style: Style, wait: float, now: float) -> tuple[Answer, float | None]:
    """Return the refusal, and the moment before which a client that obeys does not call (None: it named none)."""
    name, until = retry_after(style.retry_after, wait, now)
    payload = body(style, wait)
    answer = Answer(
        status=style.status,
        payload=payload,
        raw=b"" if payload is None else None,
        headers=() if name is None else ((b"retry-after", name.encode()),),
    )
    return answer, until
