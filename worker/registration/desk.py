"""What the batches of one job share while they are worked off in this process, and how a changing call is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from worker.errors import LmsUnavailable, RetryLater, RosterError, StopJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.ledger.access import Ledger, Write
    from worker.lms.contract import Connector, Intent
    from worker.lms.http import Door
    from worker.registration.breaker import Breaker

Result = TypeVar("Result")
Writes: TypeAlias = "tuple[Write, ...]"


class Stopped(RosterError):
    """A person paused, cancelled or interrupted the job: nothing more is sent."""


class CourseStopped(RosterError):
    """The LMS refuses the course itself; no further row of it is sent."""

    def __init__(self, course_key: str, code: str, message: str) -> None:
        super().__init__(message)
        self.course_key = course_key
        self.code = code
        self.message = message


@dataclass(slots=True, kw_only=True)
class Desk:
    """One job at work in one process."""

    job_id: int
    connection: str
    owner: str
    ledger: Ledger
    connector: Connector
    door: Door
    breaker: Breaker
    #: Whether the job is on no other course: then a refused course holds the job.
    only_course: bool = False
    #: Rows that wait to be sent; a breaker that would save nothing stays closed.
    rows_left: int = 0
    #: A look-up that finds nothing is believed after these pauses (seconds).
    lookup_pauses: tuple[float, ...]
    #: Rows that a registering call takes, found smaller than configured by a 413.
    rows_per_call: int = 1
    #: Whether each candidate is looked up before it is created, since nobody read the list of people.
    look_up_first: bool = False
    #: Who is registered already, by course key: candidate id → registration id.
    standing: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Courses whose registrations are looked up row by row before they are sent.
    look_before: set[str] = field(default_factory=set)
    #: The LMS's id of a course that the roster names otherwise.
    course_ids: dict[str, str] = field(default_factory=dict)
    bisected: int = 0
    #: Why nothing more may be sent; None while it may.
    stopping: Callable[[], RosterError | None] = lambda: None

    async def send(
        self,
        call: Callable[[Intent], Awaitable[Result]],
        sending: Callable[[], Writes],
        recall: Callable[[], Writes],
    ) -> Result:
        """Make one changing call: leave of the pace, the intent committed, the call; short refusals are sat out.

        `sending` is committed before the first byte; `recall` takes it back when the LMS surely did nothing.
        Raises RetryLater for longer waits, Refused, AnswerLost, StopJob (all but AnswerLost after the recall).
        """
        while True:
            sent = False

            async def intent() -> None:
                nonlocal sent
                if reason := self.stopping():
                    raise reason
                await self.ledger.commit(*sending())
                sent = True

            try:
                return await call(intent)
            except (RetryLater, StopJob) as error:
                if sent:
                    await self.ledger.commit(*recall())
                if not isinstance(error, RetryLater) or not sent or isinstance(error, LmsUnavailable):
                    raise
                if error.seconds > self.door.wire.gate.longest_wait:
                    raise

    async def sleep(self, seconds: float) -> None:
        """Wait a little, unless nothing more may be sent."""
        if reason := self.stopping():
            raise reason
        await asyncio.sleep(seconds)
