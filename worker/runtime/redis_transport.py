"""Kombu's Redis transport, whose connection may be lost while a task is in progress."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """A channel that says that its connection was closed.

    Celery 5.7 clears the transport of a lost connection. What is acknowledged or put back on its channel afterwards
    has no address: an AttributeError, which ended the worker. A connection error is expected there, and logged: the
    message comes again, and its claim in the ledger makes that harmless.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - as Kombu declares it
        if self.connection.client is None:
            raise ConnectionError("The connection of this channel was lost")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class Transport(redis.Transport):
    """Kombu's Redis transport with such channels."""

    Channel = Channel
