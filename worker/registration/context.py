"""What the batches of one job share while they run in this process, and how a changing call is made."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from worker.errors import AnswerLost, LmsUnavailable, RateLimited, Refused, RetryLater, RosterError, StopJob
from worker.ledger import jobs, learned_limits
from worker.ledger.learned_limits import CutOff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from worker.ledger.transactions import Ledger, Write
    from worker.lms.contract import Connector, Intent
    from worker.lms.http import LmsClient
    from worker.registration.breaker import CircuitBreaker

Result = TypeVar("Result")
Writes: TypeAlias = "tuple[Write, ...]"


def combined(writes: Iterable[Writes]) -> Writes:
    """Return the writes of several events as one tuple."""
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
class JobContext:
    """One running job in one process."""

    job_id: int
    connection: str
    owner: str
    ledger: Ledger
    connector: Connector
    client: LmsClient
    breaker: CircuitBreaker
    #: Whether the job has no other course: then a refused course holds the job.
    only_course: bool = False
    #: Rows that wait to be sent; the breaker stays closed when it would save no call.
    rows_left: int = 0
    #: A look-up that finds nothing is final after these pauses (seconds).
    lookup_pauses: tuple[float, ...]
    #: How long a call in doubt is looked up again after it was sent, when the look-ups fail (seconds).
    doubt_seconds: float = 3600.0
    #: Rows per registering call; reduced when the LMS answers that a call is too large.
    rows_per_call: int = 1
    #: People per creating call, as far as larger calls were cut off.
    people_per_create: int = sys.maxsize
    #: Whether each candidate is looked up before it is created, since the list of people was not read.
    check_candidates_first: bool = False
    #: Existing registrations by course key: candidate id → registration id.
    existing: dict[str, dict[str, str]] = field(default_factory=dict)
    #: People on a course whose registration is not active, by course key; and when its list was read.
    inactive: dict[str, frozenset[str]] = field(default_factory=dict)
    listed_at: dict[str, float] = field(default_factory=dict)
    #: Whether registrations are made even where they are known, and inactive ones activated.
    again: bool = False
    #: Courses whose registrations are looked up row by row before they are sent.
    check_courses_first: set[str] = field(default_factory=set)
    #: The LMS's id of a course that the roster names differently.
    course_ids: dict[str, str] = field(default_factory=dict)
    #: The candidates that this process created for the job: they have no registrations to look up.
    created: set[int] = field(default_factory=set)
    #: The registrations that this process made for the job: their state is known.
    registered: set[int] = field(default_factory=set)
    #: Whether people who exist already are updated before they are registered, and who was.
    update_existing: bool = False
    updated: set[int] = field(default_factory=set)
    bisected: int = 0
    #: Why nothing more may be sent; None while it may.
    stop_reason: Callable[[], RosterError | None] = lambda: None
    #: An error occurred that stops the job: nothing more is sent.
    halted: bool = False
    #: Held while the list of a course is read, so that batches that start together read it once.
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Held while a first person is created and read back.
    trying: asyncio.Lock = field(default_factory=asyncio.Lock)
    _first_call: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: The LMS has answered a changing call of this job, at least with a refusal of the row.
    _has_answered: bool = False
    _unreachable: tuple[float, LmsUnavailable] | None = None

    async def send(
        self,
        call: Callable[[Intent], Awaitable[Result]],
        sending: Callable[[], Writes],
        revert: Callable[[], Writes],
    ) -> Result:
        """Make one changing call: a permit of the rate limiter, the intent committed, the call; wait if short.

        `sending` is committed before the first byte; `revert` takes it back when the LMS certainly did nothing. The
        job's first call goes alone, so that an error that concerns all calls (a wrong token, an LMS that is down)
        costs one call. Raises RetryLater for longer waits, Refused, AnswerLost, StopJob (RetryLater and StopJob
        after `revert`).
        """
        if not self._has_answered:
            async with self._first_call:
                if not self._has_answered:
                    self._raise_if_unreachable()
                    result = await self._send(call, sending, revert)
                    self._has_answered = True
                    return result
        self._raise_if_unreachable()
        return await self._send(call, sending, revert)

    async def _send(
        self,
        call: Callable[[Intent], Awaitable[Result]],
        sending: Callable[[], Writes],
        revert: Callable[[], Writes],
    ) -> Result:
        while True:
            sent = False

            async def intent() -> None:
                nonlocal sent
                if reason := self.stop_reason():
                    raise reason
                if self.halted:
                    raise Stopped("another call of this job had an error that stops the job")
                await self._commit_with_calls(sending())
                sent = True

            try:
                return await call(intent)
            except (Refused, AnswerLost):
                self._has_answered = True
                raise
            except (RetryLater, StopJob) as error:
                # First, since other calls may start while the ledger commits.
                self._record_failure(error)
                if sent:
                    await self.ledger.commit(*revert())
                if not (sent and self._is_short_wait(error)):
                    raise

    async def _commit_with_calls(self, writes: Writes) -> None:
        """Commit writes together with the calls that were counted since: those of a killed process are not lost."""
        calls = self.client.take_calls()
        try:
            await self.ledger.commit(*writes, *jobs.calls_made(self.ledger.engine.dialect.name, self.job_id, calls))
        except Exception:
            self.client.unrecorded.update(calls)
            raise

    def _record_failure(self, error: RetryLater | StopJob) -> None:
        if isinstance(error, StopJob):
            self.halted = True
        if isinstance(error, LmsUnavailable):
            self._unreachable = (time.monotonic() + error.seconds, error)

    def _is_short_wait(self, error: RetryLater | StopJob) -> bool:
        """Return whether the wait is so short that the call is retried in place."""
        return isinstance(error, RateLimited) and error.seconds <= self.client.session.limiter.longest_wait

    async def learn_people_per_create(self, people: int) -> None:
        """Remember that no more people than this arrive with a creating call."""
        if people < self.people_per_create:
            self.people_per_create = people
            await self._save_cut_off(CutOff(people_per_create=people))

    async def learn_rows_per_call(self, rows: int) -> None:
        """Remember that no more rows than this arrive with a registering call."""
        if rows < self.rows_per_call:
            self.rows_per_call = rows
            await self._save_cut_off(CutOff(rows_per_call=rows))

    async def _save_cut_off(self, seen: CutOff) -> None:
        await self.ledger.run(lambda tx: learned_limits.save_cut_off(tx, self.connection, seen))

    def is_refused_too_often(self, subject: str, refused: Refused) -> bool:
        """Record a refusal of a single row; return whether the breaker opens and stopping would save calls."""
        return self.breaker.record_refusal(subject, refused) and self.rows_left > self.breaker.limit

    def halt(self, code: str, message: str, status: int | None) -> StopJob:
        """Stop all further calls of this job and return the error that says why."""
        self.halted = True
        return StopJob(code, message, status)

    def _raise_if_unreachable(self) -> None:
        """Raise LmsUnavailable without a call while another call has just found the LMS unreachable."""
        if self._unreachable is not None:
            until, error = self._unreachable
            left = until - time.monotonic()
            if left > 0:
                raise LmsUnavailable(left, error.message)
            self._unreachable = None

    async def sleep(self, seconds: float) -> None:
        """Wait, unless nothing more may be sent."""
        if reason := self.stop_reason():
            raise reason
        await asyncio.sleep(seconds)
