"""Limits of requests: the size of bodies that are not uploads, the fields of forms, and requests per minute."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import Message, Receive

#: A form of the page has a field for each column of a roster; other bodies are short (bytes).
MAX_FORM_BYTES, MAX_SMALL_BODY_BYTES = 1024 * 1024, 64 * 1024
MAX_FIELDS, MAX_FIELD_BYTES = 2_000, 64 * 1024
#: A length with more digits is larger than everything.
MAX_DIGITS = 20
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
#: Paths that take a roster; `receive_upload` counts its bytes.
_UPLOAD_PATHS = ("/api/jobs", "/api/check", "/drafts")
_SMALL_BODY_PATHS = ("/api/", "/sign-in")


def media_type_of(request: Request) -> str:
    """Return the media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_length_of(request: Request) -> float:
    """Return the Content-Length; 0 without one, infinity for a number with too many digits to read."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal()):
        return 0
    return int(length) if len(length) <= MAX_DIGITS else math.inf


def check_content_length(request: Request) -> None:
    """Refuse (413) a body by its Content-Length, before it is read."""
    limit = _limit_of(request)
    if limit is not None and content_length_of(request) > limit:
        raise _too_long(limit)


def limit_body(request: Request, receive: Receive) -> Receive:
    """Return a `receive` that refuses (413) a body as soon as it is too long, whatever its Content-Length."""
    limit = _limit_of(request)
    received = 0

    async def take() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if limit is not None and received > limit:
            raise _too_long(limit)
        return message

    return take


async def read_form(
    request: Request, *, max_fields: int = MAX_FIELDS, max_field_bytes: int = MAX_FIELD_BYTES
) -> FormData:
    """Return the fields of a form without files.

    Raises HttpProblem 415 for a multipart form, HTTPException 400 for too many fields or too long ones.
    """
    if media_type_of(request) == MULTIPART:
        raise HttpProblem(415, "This address takes no files: send the fields as application/x-www-form-urlencoded")
    return await request.form(max_files=0, max_fields=max_fields, max_part_size=max_field_bytes)


def _limit_of(request: Request) -> int | None:
    path = request.url.path
    if path in _UPLOAD_PATHS and media_type_of(request) == MULTIPART:
        return None
    return MAX_SMALL_BODY_BYTES if path.startswith(_SMALL_BODY_PATHS) else MAX_FORM_BYTES


def _too_long(limit: int) -> HttpProblem:
    return HttpProblem(413, f"The request is too long: at most {limit // 1024:,} KB are taken at this address")


#: How many clients are remembered; the least recently seen one is forgotten first.
MAX_CLIENTS = 10_000


class RequestRateLimit:
    """A token bucket for each client."""

    def __init__(self, per_minute: int) -> None:
        self._burst = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, request: Request) -> None:
        """Count a request. Raises HttpProblem 429 with Retry-After when there were too many."""
        name = request.state.caller.name
        client = f"name:{name}" if name else f"host:{request.client.host if request.client else ''}"
        seconds = self.seconds_to_wait(client, time.monotonic())
        if seconds:
            again = {"Retry-After": str(math.ceil(seconds))}
            raise HttpProblem(
                429, f"More than {self._burst:,.0f} requests per minute; retry in {seconds:.1f} s", again
            )

    def seconds_to_wait(self, client: str, at: float) -> float:
        """Count a request of a client, or return the seconds to wait when there were too many."""
        left, since = self._buckets.pop(client, (self._burst, at))
        left = min(self._burst, left + (at - since) * self._per_second)
        seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[client] = (left if seconds else left - 1, at)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return seconds
