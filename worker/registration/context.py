"""What the batches of one job share while they are worked off in this process, and how a changing call is made."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from worker.errors import AnswerLost, LmsUnavailable, RateLimited, Refused, RetryLater, RosterError, StopJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from worker.ledger.transactions import Ledger, Write
    from worker.lms.contract import Connector, Intent
    from worker.lms.http import Door
    from worker.registration.breaker import Breaker

Result = TypeVar("Result")
Writes: TypeAlias = "tuple[Write, ...]"


def together(writes: Iterable[Writes]) -> Writes:
    """Return the writes of several events as those of one."""
    return tuple(chain.from_iterable(writes))


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
    #: The candidates that this process created for the job: nobody need look whether they are registered.
    created: set[int] = field(default_factory=set)
    #: The registrations that this process made for the job: nobody need look how they stand.
    registered: set[int] = field(default_factory=set)
    #: Whether people who are there already are brought up to date before they are registered, and who was.
    update_existing: bool = False
    refreshed: set[int] = field(default_factory=set)
    bisected: int = 0
    #: Why nothing more may be sent; None while it may.
    stopping: Callable[[], RosterError | None] = lambda: None
    #: Something was met that stops the job: nothing more is sent.
    halted: bool = False
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: The LMS has answered a changing call of this job, be it with a refusal of the row.
    _opened: bool = False
    _away: tuple[float, LmsUnavailable] | None = None

    async def send(
        self,
        call: Callable[[Intent], Awaitable[Result]],
        sending: Callable[[], Writes],
        recall: Callable[[], Writes],
    ) -> Result:
        """Make one changing call: leave of the pace, the intent committed, the call; short refusals are sat out.

        `sending` is committed before the first byte; `recall` takes it back when the LMS surely did nothing. The
        job's first call goes alone: what it meets (a wrong token, an LMS that is down) it meets for all.
        Raises RetryLater for longer waits, Refused, AnswerLost, StopJob (all but AnswerLost after the recall).
        """
        if not self._opened:
            async with self._first:
                if not self._opened:
                    self._refuse_if_away()
                    result = await self._send(call, sending, recall)
                    self._opened = True
                    return result
        self._refuse_if_away()
        return await self._send(call, sending, recall)

    async def _send(
        self,
        call: Callable[[Intent], Awaitable[Result]],
        sending: Callable[[], Writes],
        recall: Callable[[], Writes],
    ) -> Result:
        while True:
            sent = False

            async def intent() -> None:
                nonlocal sent
                if reason := self.stopping():
                    raise reason
                if self.halted:
                    raise Stopped("another call of this job met something that stops it")
                await self.ledger.commit(*sending())
                sent = True

            try:
                return await call(intent)
            except (Refused, AnswerLost):
                self._opened = True
                raise
            except (RetryLater, StopJob) as error:
                if sent:
                    await self.ledger.commit(*recall())
                self._note(error)
                if not (sent and self._comes_soon(error)):
                    raise

    def _note(self, error: RetryLater | StopJob) -> None:
        if isinstance(error, StopJob):
            self.halted = True
        if isinstance(error, LmsUnavailable):
            self._away = (time.monotonic() + error.seconds, error)

    def _comes_soon(self, error: RetryLater | StopJob) -> bool:
        """Tell whether a refusal is so short that it is sat out where the call stands."""
        return isinstance(error, RateLimited) and error.seconds <= self.door.wire.gate.longest_wait

    def stop(self, code: str, message: str, status: int | None) -> StopJob:
        """Let nothing more be sent for this job and return why."""
        self.halted = True
        return StopJob(code, message, status)

    def _refuse_if_away(self) -> None:
        """Spare every waiting call its own attempt to reach an LMS that another call just found away."""
        if self._away is not None:
            until, error = self._away
            left = until - time.monotonic()
            if left > 0:
                raise LmsUnavailable(left, error.message)
            self._away = None

    async def sleep(self, seconds: float) -> None:
        """Wait a little, unless nothing more may be sent."""
        if reason := self.stopping():
            raise reason
        await asyncio.sleep(seconds)
