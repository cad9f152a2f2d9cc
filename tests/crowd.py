"""Slow and greedy clients of a `roster serve`: idle sockets, and event streams that nobody closes."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tests.web_server import WebServer

HALF_A_HEAD = b"GET /api/jobs HTTP/1.1\r\nHost: "


@dataclass
class Crowd:
    """Sockets to a server, which only read; those that the server has closed are counted."""

    url: str
    sockets: list[socket.socket] = field(default_factory=list)

    def connect(self, count: int, first_bytes: bytes = b"") -> list[socket.socket]:
        """Open further sockets and send the same bytes over each."""
        where = urlsplit(self.url)
        opened = [socket.create_connection((where.hostname, where.port), 30) for _ in range(count)]
        for each in opened:
            with suppress(OSError):
                each.sendall(first_bytes)
        self.sockets += opened
        return opened

    def stream(self, count: int, job_id: int, token: str) -> list[int]:
        """Ask for a job's event stream that often at once, and return the status of each response."""
        netloc = urlsplit(self.url).netloc
        head = f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: {netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        asked = self.connect(count, head.encode())
        return [status_of(each) for each in asked]

    def still_open(self, sockets: list[socket.socket]) -> int:
        """Count the sockets that the server has not closed."""
        readable = set(_readable(sockets))
        return sum(each not in readable or bool(_peek(each)) for each in sockets)

    def answered(self, sockets: list[socket.socket]) -> list[int]:
        """Return the statuses of the responses that are there by now."""
        return [status_of(each, socket.MSG_PEEK) for each in _readable(sockets)]

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def status_of(connection: socket.socket, flags: int = 0) -> int:
    """Read the status line of a response; 0 when the connection was closed without one."""
    with suppress(OSError):
        words = connection.recv(12, flags).split()
        return int(words[1]) if len(words) > 1 else 0
    return 0


def _readable(sockets: list[socket.socket]) -> list[socket.socket]:
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        readable = {key.fileobj for key, _ in selector.select(0)}
    return [each for each in sockets if each in readable]


def _peek(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b"?"
    except OSError:
        return b""


class HealthAsked:
    """Asks `/healthz` again and again on new connections, as a supervisor does, until the block ends."""

    def __init__(self, served: WebServer, pause: float = 0.1) -> None:
        self._url = served.url
        self._tls = served.tls
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.statuses: list[int | str] = []
        self.slowest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(self._pause):
            asked = time.monotonic()
            try:
                status: int | str = httpx.get(f"{self._url}/healthz", timeout=20, verify=self._tls).status_code
            except httpx.HTTPError as error:
                status = type(error).__name__
            self.statuses.append(status)
            self.slowest = max(self.slowest, time.monotonic() - asked)
