"""End the reading of a roster when the client that waits for the result has left."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from worker.errors import Abandoned

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

_left: ContextVar[threading.Event | None] = ContextVar("left", default=None)


@contextmanager
def ending_when(left: threading.Event) -> Iterator[None]:
    """Let what is read in the block, in this thread, end soon after `left` is set. It raises Abandoned then."""
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)


def raise_if_abandoned() -> None:
    """Raise Abandoned when nobody waits for what is being read any more."""
    left = _left.get()
    if left is not None and left.is_set():
        raise Abandoned("The client that waited for the roster to be read has left")
