"""Deeds against the pretend LMS, and against one that takes many rows a call: look, act, look; never blindly."""

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
    a_desk,
    a_job_of,
    a_row,
    claimed,
    lines_of,
    open_batches_of,
    reported,
    statuses_of,
    works_of,
)
from worker.errors import AnswerLost, RateLimited, Refused
from worker.ledger import action_intents, batches, schema
from worker.lms.contract import Deed, Done, Seen, Unfound
from worker.model import Action, RegistrationState, RowRules, RowStatus
from worker.registration.batch import BatchEnd, run_batch
from worker.sandbox.server import make_world, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from worker.ledger.transactions import Ledger
    from worker.lms.contract import Intent
    from worker.registration.context import Desk
    from worker.sandbox.world import World

    Sit = Callable[..., AbstractAsyncContextManager[tuple[Desk, World]]]

STUCK_SECONDS = 15.0


@pytest.fixture
def sit(ledger: Ledger) -> Iterator[Sit]:
    """Sit down at the desk of a job, before a KMI with people who are registered on course 58."""
    with ExitStack() as stack:

        @asynccontextmanager
        async def sit_down(job_id: int, *bad_days: str, **options: Any) -> AsyncIterator[tuple[Desk, World]]:
            world = make_world(bad_days=bad_days, **{"seed_users": 6, "registered": ["58:1-6"], **options})
            url = stack.enter_context(running(world))
            async with a_desk(ledger, job_id, a_connection("kmi", url)) as at_desk:
                yield at_desk, world

        yield sit_down


async def work_off(desk: Desk, ledger: Ledger) -> list[BatchEnd]:
    async with asyncio.timeout(STUCK_SECONDS):
        return [await run_batch(batch.id, desk) for batch in open_batches_of(ledger, desk.job_id)]


def asking(action: Action, count: int = 3) -> list[Any]:
    """Return rows that ask for an action on the sandbox's own people."""
    return [
        a_row(number, a_candidate(candidate_id=str(999 + number)), action=action) for number in range(2, 2 + count)
    ]


def standing(world: World) -> list[str]:
    return [str(each.status) for each in world.kmi.registrations.all.values()]


async def test_a_short_pause_is_sat_out_and_uses_up_no_attempt(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE))
    async with sit(job_id, "complete:throttle:every=2:retry-after=0:wait=0") as (desk, world):
        assert await work_off(desk, ledger) == [BatchEnd()]

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.COMPLETED}
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {1}
    assert standing(world)[:3] == ["Completed"] * 3


async def test_a_long_pause_leaves_no_trace(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *asking(Action.WITHDRAW, 1))
    async with sit(job_id, "withdraw:throttle:wait=900:retry-after=integer") as (desk, _):
        (end,) = await work_off(desk, ledger)

    assert isinstance(end.later, RateLimited)
    line = reported(ledger, job_id, 2)
    assert (line.status, line.attempts) == (RowStatus.NOT_ATTEMPTED, 0)
    (registration,) = lines_of(ledger, schema.registration)
    assert (registration.state, registration.claimed_by) == ("registered", None)


async def test_a_registration_that_another_job_is_at_work_on_is_left_for_later(ledger: Ledger, sit: Sit) -> None:
    other = a_job_of(ledger, *asking(Action.APPROVE, 1))
    claimed(ledger, other, ELSEWHERE)
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with sit(job_id) as (desk, world):
        (end,) = await work_off(desk, ledger)

    assert end.later is not None
    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED}
    assert standing(world)[0] == "Not Started"


@pytest.mark.parametrize(("gone", "status"), [(True, RowStatus.REGISTERED), (False, RowStatus.ALREADY_REGISTERED)])
async def test_a_withdrawal_in_doubt_is_settled_by_whoever_registers_next(
    ledger: Ledger, sit: Sit, gone: bool, status: RowStatus
) -> None:
    other = a_job_of(ledger, *asking(Action.WITHDRAW, 1))
    claim = claimed(ledger, other)
    (work,) = works_of(ledger, claim)
    await ledger.commit(*action_intents.sending(claim, work, Action.WITHDRAW, "100500"))
    with ledger.write() as tx:
        batches.release(tx, claim, closed=False)
    job_id = a_job_of(ledger, *asking(Action.REGISTER, 1))
    async with sit(job_id, registered=[] if gone else ["58:1-6"]) as (desk, world):
        await work_off(desk, ledger)

    assert statuses_of(ledger, job_id) == {2: status}
    (registration,) = lines_of(ledger, schema.registration)
    assert (registration.state, registration.series) == (RegistrationState.REGISTERED, int(gone))
    assert len(standing(world)) == (1 if gone else 6)


async def test_a_look_that_fails_sends_nothing_and_goes_on_later(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with sit(job_id, "list_registrations:lost-before", "find_registration:lost-before") as (desk, _):
        (end,) = await work_off(desk, ledger)

        assert end.later is not None
        assert desk.door.calls["complete"] == 0
    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED}


async def test_a_look_that_is_not_allowed_is_said_on_the_row(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, 1))
    async with sit(job_id, "list_registrations:403", "find_registration:403") as (desk, _):
        assert await work_off(desk, ledger) == [BatchEnd()]

        assert desk.door.calls["complete"] == 0
    assert (reported(ledger, job_id, 2).status, reported(ledger, job_id, 2).code) == (
        RowStatus.REJECTED,
        "not_allowed",
    )


# An LMS that takes many rows a call, and answers errors as 200 with a body


@dataclass
class Batching:
    """An LMS as Moodle is one: all rows of a call or none, and what is refused stands in a success."""

    rules: RowRules = field(default_factory=lambda: RowRules(actions=frozenset(Action), rows_per_deed=10))
    bad: frozenset[str] = frozenset()
    #: The call is refused as a whole when a bad row is in it, or answered row by row.
    all_or_nothing: bool = True
    lose: int = 0
    done: set[str] = field(default_factory=set)
    calls: list[list[str]] = field(default_factory=list)

    async def look(self, asked: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
        return {
            each.row_id: Seen(lms_id=f"R{each.candidate_id}", reached=each.candidate_id in self.done)
            for each in asked
        }

    async def act(
        self, asked: Sequence[Deed], seen: Mapping[int, Seen], intent: Intent
    ) -> Mapping[int, Done | Refused]:
        await intent()
        self.calls.append([each.candidate_id for each in asked])
        no = Refused("action_refused", 200, "invalid_parameter_exception")
        if self.all_or_nothing and len(asked) > 1 and self.bad & set(self.calls[-1]):
            raise no
        self.done |= set(self.calls[-1]) - self.bad
        if self.lose:
            self.lose -= 1
            raise AnswerLost("lost", 500)
        return {each.row_id: no if each.candidate_id in self.bad else Done(http_status=200) for each in asked}


@asynccontextmanager
async def batching(ledger: Ledger, lms: Batching, count: int = 5) -> AsyncIterator[tuple[Desk, int]]:
    job_id = a_job_of(ledger, *asking(Action.COMPLETE, count))
    async with a_desk(ledger, job_id, a_connection("kmi"), connector=lms, rows_per_call=1) as desk:
        yield desk, job_id


async def test_many_rows_go_in_one_call_where_the_lms_takes_them(ledger: Ledger) -> None:
    lms = Batching()
    async with batching(ledger, lms, 12) as (desk, job_id):
        assert await work_off(desk, ledger) == [BatchEnd()]

    assert sorted(map(len, lms.calls)) == [2, 10]
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.COMPLETED}


@pytest.mark.parametrize("all_or_nothing", [True, False])
async def test_a_bad_row_does_not_stop_its_neighbours(ledger: Ledger, all_or_nothing: bool) -> None:
    lms = Batching(bad=frozenset({"1003"}), all_or_nothing=all_or_nothing)
    async with batching(ledger, lms) as (desk, job_id):
        await work_off(desk, ledger)

    found = statuses_of(ledger, job_id)
    assert found.pop(4) is RowStatus.REJECTED
    assert set(found.values()) == {RowStatus.COMPLETED}
    assert reported(ledger, job_id, 4).code == "action_refused"
    assert len(lms.calls) == (6 if all_or_nothing else 1)


async def test_a_lost_call_of_many_sends_again_only_what_was_not_done(ledger: Ledger) -> None:
    lms = Batching(bad=frozenset({"1003"}), all_or_nothing=False, lose=1)
    async with batching(ledger, lms) as (desk, job_id):
        await work_off(desk, ledger)

    assert lms.calls[1:] == [["1003"]]
    assert list(statuses_of(ledger, job_id).values()).count(RowStatus.COMPLETED) == 4
