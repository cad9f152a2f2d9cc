"""Actions against the sandbox, and an LMS with many rows per call: read before and after; never blindly."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import (
    ELSEWHERE,
    a_candidate,
    a_connection,
    a_job_context,
    a_job_of,
    a_row,
    claimed,
    items_of,
    open_batches_of,
    records_of,
    reported,
    statuses_of,
)
from worker.errors import AnswerLost, RateLimited, Refused
from worker.ledger import action_intents, batches, schema
from worker.lms.contract import ActionRequest, ActionResult, LookupMiss, RemoteState
from worker.model import Action, RegistrationState, RowRules, RowStatus
from worker.registration.batch import BatchEnd, run_batch
from worker.sandbox.server import make_state, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from worker.ledger.transactions import Ledger
    from worker.lms.contract import Intent
    from worker.registration.context import JobContext
    from worker.sandbox.state import SandboxState

    OpenJob = Callable[..., AbstractAsyncContextManager[tuple[JobContext, SandboxState]]]

STUCK_SECONDS = 15.0


@pytest.fixture
def open_job(ledger: Ledger) -> Iterator[OpenJob]:
    """Open the context of a job, with a KMI sandbox with people who are registered on course 58."""
    with ExitStack() as stack:

        @asynccontextmanager
        async def open_one(
            job_id: int, *bad_days: str, **options: Any
        ) -> AsyncIterator[tuple[JobContext, SandboxState]]:
            world = make_state(bad_days=bad_days, **{"seed_users": 6, "registered": ["58:1-6"], **options})
            url = stack.enter_context(running(world))
            async with a_job_context(ledger, job_id, a_connection("kmi", url)) as job_context:
                yield job_context, world

        yield open_one


async def run_batches(context: JobContext, ledger: Ledger) -> list[BatchEnd]:
    async with asyncio.timeout(STUCK_SECONDS):
        return [await run_batch(batch.id, context) for batch in open_batches_of(ledger, context.job_id)]


def asking(action: Action, count: int = 3) -> list[Any]:
    """Return rows that ask for an action on the sandbox's own people."""
    return [
        a_row(number, a_candidate(candidate_id=str(999 + number)), action=action) for number in range(2, 2 + count)
    ]


def standing(world: SandboxState) -> list[str]:
    return [str(each.status) for each in world.kmi.registrations.all.values()]


async def test_a_short_pause_is_waited_for_and_uses_no_attempt(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE))
    async with open_job(job_id, "complete:throttle:every=2:retry-after=0:wait=0") as (context, world):
        assert await run_batches(context, ledger) == [BatchEnd()]

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.COMPLETED}
    assert {line.attempts for line in records_of(ledger, schema.row)} == {1}
    assert standing(world)[:3] == ["Completed"] * 3


async def test_a_long_pause_leaves_no_trace(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *asking(Action.WITHDRAW, 1))
    async with open_job(job_id, "withdraw:throttle:wait=900:retry-after=integer") as (context, _):
        (end,) = await run_batches(context, ledger)

    assert isinstance(end.retry_later, RateLimited)
    line = reported(ledger, job_id, 2)
    assert (line.status, line.attempts) == (RowStatus.NOT_ATTEMPTED, 0)
    (registration,) = records_of(ledger, schema.registration)
    assert (registration.state, registration.claimed_by) == ("registered", None)


async def test_a_registration_that_another_job_is_processing_is_left_for_later(
    ledger: Ledger, open_job: OpenJob
) -> None:
    other = a_job_of(ledger, *asking(Action.APPROVE, 1))
    claimed(ledger, other, ELSEWHERE)
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with open_job(job_id) as (context, world):
        (end,) = await run_batches(context, ledger)

    assert end.retry_later is not None
    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED}
    assert standing(world)[0] == "Not Started"


@pytest.mark.parametrize(("gone", "status"), [(True, RowStatus.REGISTERED), (False, RowStatus.ALREADY_REGISTERED)])
async def test_a_withdrawal_in_doubt_is_reconciled_by_the_next_registration(
    ledger: Ledger, open_job: OpenJob, gone: bool, status: RowStatus
) -> None:
    other = a_job_of(ledger, *asking(Action.WITHDRAW, 1))
    claim = claimed(ledger, other)
    (work,) = items_of(ledger, claim)
    await ledger.commit(*action_intents.action_intent(claim, work, Action.WITHDRAW, "100500"))
    with ledger.write() as tx:
        batches.release(tx, claim, closed=False)
    job_id = a_job_of(ledger, *asking(Action.REGISTER, 1))
    async with open_job(job_id, registered=[] if gone else ["58:1-6"]) as (context, world):
        await run_batches(context, ledger)

    assert statuses_of(ledger, job_id) == {2: status}
    (registration,) = records_of(ledger, schema.registration)
    assert (registration.state, registration.series) == (RegistrationState.REGISTERED, int(gone))
    assert len(standing(world)) == (1 if gone else 6)


async def test_a_failed_read_sends_nothing_and_is_retried_later(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with open_job(job_id, "list_registrations:lost-before", "find_registration:lost-before") as (context, _):
        (end,) = await run_batches(context, ledger)

        assert end.retry_later is not None
        assert context.client.calls["complete"] == 0
    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED}


async def test_a_forbidden_read_is_reported_on_the_row(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with open_job(job_id, "list_registrations:403", "find_registration:403") as (context, _):
        assert await run_batches(context, ledger) == [BatchEnd()]

        assert context.client.calls["complete"] == 0
    assert (reported(ledger, job_id, 2).status, reported(ledger, job_id, 2).code) == (
        RowStatus.REJECTED,
        "not_allowed",
    )


# An LMS that takes many rows per call, and answers errors as 200 with a body


@dataclass
class BatchingLms:
    """An LMS like Moodle: all rows of a call or none, and refusals are in a success response."""

    rules: RowRules = field(default_factory=lambda: RowRules(actions=frozenset(Action), rows_per_action=10))
    bad: frozenset[str] = frozenset()
    #: The call is refused as a whole when a bad row is in it, or answered row by row.
    all_or_nothing: bool = True
    lose: int = 0
    done: set[str] = field(default_factory=set)
    calls: list[list[str]] = field(default_factory=list)

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        return {
            each.row_id: RemoteState(lms_id=f"R{each.candidate_id}", is_done=each.candidate_id in self.done)
            for each in requests
        }

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        await intent()
        self.calls.append([each.candidate_id for each in requests])
        no = Refused("action_refused", 200, "invalid_parameter_exception")
        if self.all_or_nothing and len(requests) > 1 and self.bad & set(self.calls[-1]):
            raise no
        self.done |= set(self.calls[-1]) - self.bad
        if self.lose:
            self.lose -= 1
            raise AnswerLost("lost", 500)
        return {
            each.row_id: no if each.candidate_id in self.bad else ActionResult(http_status=200) for each in requests
        }


@asynccontextmanager
async def open_batching(ledger: Ledger, lms: BatchingLms, count: int = 5) -> AsyncIterator[tuple[JobContext, int]]:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, count))
    async with a_job_context(ledger, job_id, a_connection("kmi"), connector=lms, rows_per_call=1) as context:
        yield context, job_id


async def test_many_rows_go_in_one_call_where_the_lms_accepts_them(ledger: Ledger) -> None:
    lms = BatchingLms()
    async with open_batching(ledger, lms, 12) as (context, job_id):
        assert await run_batches(context, ledger) == [BatchEnd()]

    assert sorted(map(len, lms.calls)) == [2, 10]
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.COMPLETED}


@pytest.mark.parametrize("all_or_nothing", [True, False])
async def test_a_bad_row_does_not_stop_its_neighbours(ledger: Ledger, all_or_nothing: bool) -> None:
    lms = BatchingLms(bad=frozenset({"1003"}), all_or_nothing=all_or_nothing)
    async with open_batching(ledger, lms) as (context, job_id):
        await run_batches(context, ledger)

    found = statuses_of(ledger, job_id)
    assert found.pop(4) is RowStatus.REJECTED
    assert set(found.values()) == {RowStatus.COMPLETED}
    assert reported(ledger, job_id, 4).code == "action_refused"
    assert len(lms.calls) == (6 if all_or_nothing else 1)


async def test_a_lost_call_of_many_sends_again_only_what_was_not_done(ledger: Ledger) -> None:
    lms = BatchingLms(bad=frozenset({"1003"}), all_or_nothing=False, lose=1)
    async with open_batching(ledger, lms) as (context, job_id):
        await run_batches(context, ledger)

    assert lms.calls[1:] == [["1003"]]
    assert list(statuses_of(ledger, job_id).values()).count(RowStatus.COMPLETED) == 4
