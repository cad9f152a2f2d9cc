"""The part of a Celery worker that reads from the broker; it must outlive a Redis that goes away."""

from __future__ import annotations

from contextlib import suppress

from celery.worker.consumer import Consumer


class RedisConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which connects again after every loss of the connection."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the lost connection.

        Celery 5.7 first collects the connection, which clears its transport, and then closes it. Kombu's Redis channel
        puts unacknowledged messages back at that moment, with an address that it no longer has: the AttributeError
        ended the worker. Those messages come again: the sweep publishes what nobody has claimed.
        """
        with suppress(AttributeError):
            super().on_connection_error_after_connected(exc)
