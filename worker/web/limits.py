"""How much a request may say where no roster is uploaded: refused by its length, or as soon as it is too long."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.types import Message, Receive

#: A form of the page names each heading of a roster; what strangers and programs send is a few words (bytes).
LARGEST_FORM, LARGEST_SAYING = 1024 * 1024, 64 * 1024
MOST_FIELDS, LONGEST_FIELD = 2_000, 64 * 1024
FORM, UPLOAD = "application/x-www-form-urlencoded", "multipart/form-data"
#: Addresses that take a roster; `take_upload` counts its bytes.
_UPLOADS = ("/api/jobs", "/drafts")
_SAYINGS = ("/api/", "/sign-in")


def kind_of(request: Request) -> str:
    """Return the media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_by_length(request: Request) -> None:
    """Refuse (413) a body that says itself that it is too long, before anything of it is read."""
    most, length = _most(request), request.headers.get("content-length", "")
    if most is not None and length.isdecimal() and int(length) > most:
        raise _too_long(most)


def counted(request: Request, receive: Receive) -> Receive:
    """Return a `receive` that refuses (413) a body, whatever it said of itself, once it is too long."""
    most = _most(request)
    taken = 0

    async def take() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if most is not None and taken > most:
            raise _too_long(most)
        return message

    return take


async def form_of(
    request: Request, *, most_fields: int = MOST_FIELDS, longest_field: int = LONGEST_FIELD
) -> FormData:
    """Return the fields of a form without files.

    Raises Problem 415 when it is a form for files, HTTPException 400 when it has too many fields or too long ones.
    """
    if kind_of(request) == UPLOAD:
        raise Problem(415, "This form takes no files: send its fields as the page does")
    return await request.form(max_files=0, max_fields=most_fields, max_part_size=longest_field)


def _most(request: Request) -> int | None:
    path = request.url.path
    if path in _UPLOADS and kind_of(request) == UPLOAD:
        return None
    return LARGEST_SAYING if path.startswith(_SAYINGS) else LARGEST_FORM


def _too_long(most: int) -> Problem:
    return Problem(413, f"The request is too long: at most {most // 1024:,} KB are taken at this address")


#: So many clients are remembered; the one that was away longest is forgotten first.
MOST_CLIENTS = 10_000


class Limits:
    """A bucket for each client, filled evenly."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, request: Request) -> None:
        """Count a call; raises Problem 429 that says when to come again."""
        name = request.state.who.name
        client = f"name:{name}" if name else f"host:{request.client.host if request.client else ''}"
        seconds = self.wait(client, time.monotonic())
        if seconds:
            again = {"Retry-After": str(math.ceil(seconds))}
            raise Problem(429, f"More than {self._size:,.0f} calls a minute; come again in {seconds:.1f} s", again)

    def wait(self, client: str, at: float) -> float:
        """Count a call of a client; when there were too many, count nothing and return the seconds to wait."""
        left, since = self._buckets.pop(client, (self._size, at))
        left = min(self._size, left + (at - since) * self._per_second)
        seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[client] = (left if seconds else left - 1, at)
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return seconds
