"""Time limits for work that asks an LMS while a client waits for the response."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import OutOfTime
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from worker.lms.http import LmsSession

#: How often the limits are checked (seconds).
CHECK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long work may take; whatever the LMS does, it ends then."""

    #: Without an answer of the LMS; and the longest pause that is waited for when the LMS asks for one (seconds).
    silent_seconds: float = 30.0
    #: In all: so long, and so much longer for each row (seconds).
    total_seconds: float = 300.0
    seconds_per_row: float = 1.0
    #: Set, by any thread, when the client no longer waits.
    abandoned: threading.Event = field(default_factory=threading.Event)

    def problem(self, session: LmsSession, began: float, row_count: int) -> str | None:
        """Return which limit has passed, if one has, for work over a session that began at a monotonic time."""
        at, allowed = time.monotonic(), self.total_seconds + row_count * self.seconds_per_row
        if self.abandoned.is_set():
            return "The client no longer waits"
        if at - max(began, session.quiet_since) > self.silent_seconds:
            return f"The LMS has not answered for {counted(round(self.silent_seconds), 'second')}"
        if at - began > allowed:
            return f"The LMS took longer than {counted(round(allowed), 'second')} in all"
        return None


async def within(
    limits: TimeLimits, work: Coroutine[Any, Any, None], session: LmsSession, *, row_count: int
) -> None:
    """Do work over a session, and end it when a limit passes. Raises OutOfTime then."""
    began, working = time.monotonic(), asyncio.create_task(work)
    try:
        while not working.done():
            await asyncio.wait({working}, timeout=CHECK_SECONDS)
            problem = None if working.done() else limits.problem(session, began, row_count)
            if problem is not None:
                raise OutOfTime(problem)
        working.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
