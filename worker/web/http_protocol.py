"""The server's side of a connection: uvicorn's, with time limits for slow clients and a bound on idle ones.

Uvicorn has a time limit for the pause between two requests only; the first byte of a request ends it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from worker.settings import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long a client may take (seconds)."""

    #: For the head of a request, from the connection or its first byte on.
    head: float = 15.0
    #: Before a connection without a request may be closed because its client has too many.
    grace: float = 5.0
    #: Without any byte of a body that is not complete.
    body_pause: float = 20.0
    #: A body must arrive at this rate on average (bytes per second), after a first `body_pause`.
    body_rate: float = 500.0
    #: For the rest of a body whose request was answered already.
    rest: float = 5.0
    #: Without reading any of the response.
    reading: float = 60.0


@dataclass(slots=True)
class IdleConnections:
    """The connections without a request to answer, the oldest first; too many are closed, oldest first.

    New connections are never refused, and have a moment to send a request: a client with many idle ones still gets
    a response on its next one.
    """

    #: How many a client address, after that moment, and all together may have.
    per_client: int = 50
    total: int = 2_000
    #: Proxies: their connections are those of many clients.
    proxies: Sequence[Network] = ()
    _all: dict[GuardedProtocol, str] = field(default_factory=dict)
    _by_client: dict[str, dict[GuardedProtocol, None]] = field(default_factory=dict)

    def add(self, connection: GuardedProtocol, client: str) -> None:
        """Count a connection as idle from now on, and close the oldest ones when there are too many."""
        self.remove(connection)
        self._all[connection] = client
        self._by_client.setdefault(client, {})[connection] = None
        if len(self._all) > self.total:
            next(iter(self._all)).abort()

    def is_one_too_many(self, connection: GuardedProtocol) -> bool:
        """Return whether a connection is idle and its client has too many such ones."""
        client = self._all.get(connection)
        return client is not None and len(self._by_client[client]) > self.per_client and not self._is_proxy(client)

    def remove(self, connection: GuardedProtocol) -> None:
        """Count a connection as idle no longer."""
        client = self._all.pop(connection, None)
        if client is None:
            return
        own = self._by_client[client]
        del own[connection]
        if not own:
            del self._by_client[client]

    def _is_proxy(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in proxy for proxy in self.proxies)


class _Phase(Enum):
    """What the server waits for on a connection."""

    #: Uvicorn closes it after its pause between requests.
    NEXT_REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    #: The rest of the body of a request that was answered already.
    REST = auto()
    #: Its own response.
    RESPONSE = auto()

    @property
    def is_idle(self) -> bool:
        """Return whether there is no request to answer."""
        return self in {_Phase.NEXT_REQUEST, _Phase.HEAD, _Phase.REST}


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when its client is too slow."""

    def __init__(self, *args: Any, limits: TimeLimits, idle: IdleConnections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._idle = idle
        self._phase = _Phase.NEXT_REQUEST
        self._since = self._progress_at = 0.0
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        """Close the connection without waiting for the client."""
        self._idle.remove(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection and wait for the head of its first request."""
        super().connection_made(transport)
        self._wait_for(_Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._idle.remove(self)
        for timer in (self._timer, self._reading_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._reading_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive bytes; those after a pause are the head of the next request."""
        if self._phase is _Phase.NEXT_REQUEST:
            self._wait_for(_Phase.HEAD)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Wait for the head of a request, also of one that was sent before the response to another."""
        self._wait_for(_Phase.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait for the body."""
        self._wait_for(_Phase.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body."""
        self._received += len(body)
        self._progress_at = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the response, or the next request if there was one already."""
        super().on_message_complete()
        is_answered = self.cycle is not None and self.cycle.response_complete
        self._wait_for(_Phase.NEXT_REQUEST if is_answered else _Phase.RESPONSE)

    def on_response_complete(self) -> None:
        """Wait for the next request, or the rest of the body."""
        super().on_response_complete()
        if self.transport.is_closing():
            # It is closed once the client has read the response, which it may never do.
            self._timer = self.loop.call_later(self._limits.reading, self.transport.abort)
        elif self._phase is _Phase.RESPONSE and not self.pipeline:
            self._wait_for(_Phase.NEXT_REQUEST)
        elif self._phase is _Phase.BODY:
            self._wait_for(_Phase.REST)

    def pause_writing(self) -> None:
        """Give the client time to read."""
        super().pause_writing()
        if self._reading_timer is None:
            self._reading_timer = self.loop.call_later(self._limits.reading, self.abort)

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _wait_for(self, phase: _Phase) -> None:
        if self.transport.is_closing():
            return
        self._phase = phase
        self._since = self._progress_at = self.loop.time()
        self._received = 0
        if phase.is_idle:
            self._idle.add(self, self.client[0] if self.client else "")
        else:
            self._idle.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._deadline()
        if deadline is not None and self._phase.is_idle:
            deadline = min(deadline, max(self._since, self.loop.time()) + self._limits.grace)
        self._timer = None if deadline is None else self.loop.call_at(deadline, self._check_time)

    def _deadline(self) -> float | None:
        limits = self._limits
        if self._phase is _Phase.HEAD:
            return self._since + limits.head
        if self._phase is _Phase.REST:
            return self._since + limits.rest
        if self._phase is _Phase.BODY:
            at_rate = self._since + limits.body_pause + self._received / limits.body_rate
            return min(at_rate, self._progress_at + limits.body_pause)
        return None

    def _check_time(self) -> None:
        """Close the connection when its time is over; not while the server itself does not read from it."""
        if self.flow.read_paused:
            self._since = self._progress_at = self.loop.time()
            self._received = 0
        deadline = self._deadline()
        if (deadline is not None and deadline <= self.loop.time()) or self._idle.is_one_too_many(self):
            self.abort()
        else:
            self._set_timer()
