"""One call and its answer, between the socket and the pretend LMSs. Knows no LMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

#: The operation of a call that asks for nothing the LMS knows.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer before it is written: JSON in `payload`, or `raw` bytes of another kind."""

    status: int
    payload: Any = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    #: When given it is sent instead of the payload; empty bytes are an answer without a body.
    raw: bytes | None = None
    content_type: bytes = b"application/json"
    #: Seconds for which the answer is held back.
    held: float = 0.0
    #: The connection is closed instead, without a word.
    dropped: bool = False


class Refused(Exception):
    """The pretend LMS will not do it; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whom a call touches, as the markers of rules and the messages of refusals need them."""

    name: str
    email: str = ""
    external_id: str = ""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request before its credentials are checked."""

    method: str
    #: Not yet unquoted, so that an external id may hold a slash.
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    #: What the LMS has read of the request already, for it to keep.
    form: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that the LMS has understood and let in."""

    system: str
    operation: str
    #: The account, such as a token or an API key.
    account: str
    path: str
    query: str
    body: bytes
    #: Seconds since the epoch.
    at: float
    #: What the LMS has read of the request.
    form: Any = None

    def json(self) -> dict[str, Any]:
        """Return the body, which has to be a JSON object; raise msgspec.DecodeError or TypeError."""
        value = msgspec.json.decode(self.body)
        if not isinstance(value, dict):
            raise TypeError("a JSON object is wanted")
        return value


@dataclass(frozen=True, slots=True)
class Work:
    """Work that shows only at its end, after these seconds, whether or not the client is still there."""

    seconds: float
    finish: Callable[[], Answer]


#: Does the work of one operation, or begins it.
Handler = Callable[[Call], Answer | Work]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a method and a path lead to."""

    operation: str
    handle: Handler


NOT_FOUND = Answer(status=HTTPStatus.NOT_FOUND, raw=b"")
EMPTY = Answer(status=HTTPStatus.NO_CONTENT, raw=b"")


def header(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    """Return a header of the request, or an empty text; `name` in lower case, as ASGI gives it."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


async def read_body(receive: Receive) -> bytes:
    """Read the whole body of a request."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def write(answer: Answer, scope: Scope, send: Send, more: Mapping[bytes, bytes]) -> None:
    """Write an answer to the socket, with `more` headers."""
    body = msgspec.json.encode(answer.payload) if answer.raw is None else answer.raw
    headers = [*answer.headers, *more.items()]
    if answer.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(body)))
    if body:
        headers.append((b"content-type", answer.content_type))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
