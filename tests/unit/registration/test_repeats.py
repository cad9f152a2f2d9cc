"""`--again`: what is known of a registration stays until it is known what became of the one that follows it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import (
    a_connection,
    a_job_context,
    a_job_of,
    a_row,
    claimed,
    items_of,
    open_batches_of,
    plan,
    records_of,
    reported,
    statuses_of,
)
from worker.jobs.resolve import Resolution, resolve_row
from worker.ledger import action_intents, batches, intents, relations, restoring, schema
from worker.ledger.database import now
from worker.ledger.relations import Settled
from worker.ledger.rows import CANCELLED, explain_cancelled, reopen_rows
from worker.model import Action, RegistrationState, RowStage, RowStatus
from worker.registration.batch import BatchEnd, run_batch
from worker.sandbox.faults import parse
from worker.sandbox.server import make_state, running

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from worker.ledger.transactions import Ledger
    from worker.sandbox.state import SandboxState

    Send = Callable[..., Coroutine[Any, Any, list[BatchEnd]]]

PEOPLE = (a_row(2), a_row(3))
NO_LOOK_UP = "list_registrations:404"


@pytest.fixture(scope="module")
def lms() -> Iterator[tuple[SandboxState, str]]:
    """A pretend LMS that registers a person as often as it is asked to."""
    with ExitStack() as stack:
        world = make_state(twice="second")
        yield world, stack.enter_context(running(world))


@pytest.fixture
def send(ledger: Ledger, lms: tuple[SandboxState, str]) -> Iterator[Send]:
    """Send the open batches of a job, while the LMS follows these rules."""
    world, url = lms
    world.reset()

    async def send_it(job_id: int, *rules: str) -> list[BatchEnd]:
        world.set_rules([parse(rule) for rule in rules])
        connection = a_connection("tahdah", url)
        async with a_job_context(ledger, job_id, connection, again=True) as context, asyncio.timeout(15):
            return [await run_batch(each.id, context) for each in open_batches_of(ledger, job_id)]

    return send_it


@pytest.fixture
async def twice(ledger: Ledger, send: Send) -> tuple[int, int]:
    """A job that registered two people, and one that is to register them again."""
    first = a_job_of(ledger, *PEOPLE)
    await send(first)
    assert set(statuses_of(ledger, first).values()) == {RowStatus.REGISTERED}
    return first, a_job_of(ledger, *PEOPLE, again=True)


def known(ledger: Ledger) -> list[tuple[str, int, int]]:
    """Return state, job and number in its series of each registration."""
    return [(each.state, each.job_id, each.series) for each in records_of(ledger, schema.registration)]


def registrations(world: SandboxState) -> int:
    return len(world.tahdah.registrations)


def planned_again(ledger: Ledger, job_id: int, *, rejected: bool = False) -> None:
    with ledger.write() as tx:
        reopen_rows(tx, job_id, rejected=rejected)
        plan(tx, job_id)


def assert_first_is_known(ledger: Ledger, first: int) -> None:
    """The first job's people are registered by it, as far as every question to the ledger is concerned."""
    assert [(job, number) for _, job, number in known(ledger)] == [(first, 0), (first, 0)]
    other = a_job_of(ledger, *PEOPLE)
    with ledger.read() as tx:
        settled = relations.count_settled(tx, other)
    assert (
        sum(settled.values()) + list(statuses_of(ledger, other).values()).count(RowStatus.ALREADY_REGISTERED) == 2
    )


async def test_a_registration_is_made_once_more_under_the_next_number(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    first, second = twice

    assert known(ledger) == [("registered", first, 0)] * 2
    assert await send(second) == [BatchEnd()]

    assert known(ledger) == [("registered", second, 1)] * 2
    assert statuses_of(ledger, second) == {2: RowStatus.REGISTERED, 3: RowStatus.REGISTERED}
    assert registrations(lms[0]) == 4
    planned_again(ledger, second, rejected=True)
    await send(second)
    assert registrations(lms[0]) == 4


async def test_two_jobs_that_register_the_same_again_do_it_once(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    third = a_job_of(ledger, *PEOPLE, again=True)

    await send(twice[1])
    await send(third)

    assert statuses_of(ledger, third) == {2: RowStatus.ALREADY_REGISTERED, 3: RowStatus.ALREADY_REGISTERED}
    assert registrations(lms[0]) == 4


async def test_rows_that_were_not_sent_again_do_not_say_that_nobody_is_registered(
    ledger: Ledger, send: Send, twice: tuple[int, int]
) -> None:
    first, second = twice
    (end,) = await send(second, "register:401")
    assert end.stop
    with ledger.write() as tx:
        explain_cancelled(tx, second)

    assert known(ledger) == [("registered", first, 0)] * 2
    line = reported(ledger, second, 2)
    assert (line.error, line.stage, line.settled) == (CANCELLED, RowStage.WAITING, (Settled.REGISTERED, first))
    assert_first_is_known(ledger, first)


async def test_a_refusal_of_another_registration_changes_nothing_and_can_be_retried(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    first, second = twice

    await send(second, "register:422")

    assert set(statuses_of(ledger, second).values()) == {RowStatus.REJECTED}
    assert known(ledger) == [("registered", first, 0)] * 2
    assert reported(ledger, second, 2).stage is None
    assert_first_is_known(ledger, first)
    planned_again(ledger, second, rejected=True)
    await send(second)
    assert set(statuses_of(ledger, second).values()) == {RowStatus.REGISTERED}
    assert (known(ledger), registrations(lms[0])) == ([("registered", second, 1)] * 2, 4)


async def test_while_another_registration_is_in_doubt_the_known_one_stays(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    first, second = twice

    await send(second, "register:lost-after", NO_LOOK_UP)

    assert set(statuses_of(ledger, second).values()) == {RowStatus.IN_DOUBT}
    assert reported(ledger, second, 2).stage is RowStage.WAITING
    assert_first_is_known(ledger, first)
    third = a_job_of(ledger, *PEOPLE)
    await send(third, NO_LOOK_UP)
    assert statuses_of(ledger, third) == {2: RowStatus.ALREADY_REGISTERED, 3: RowStatus.ALREADY_REGISTERED}
    assert registrations(lms[0]) == 4

    older = reported(ledger, first, 3).registration_id
    with ledger.write() as tx:
        resolve_row(tx, second, 2, Resolution(absent=True))
        resolve_row(tx, second, 3, Resolution(registration_id=older))
    assert known(ledger) == [("registered", first, 0)] * 2
    assert statuses_of(ledger, second) == {2: RowStatus.NOT_ATTEMPTED, 3: RowStatus.ALREADY_REGISTERED}
    planned_again(ledger, second)
    await send(second)
    assert statuses_of(ledger, second)[2] is RowStatus.REGISTERED
    assert known(ledger) == [("registered", second, 1), ("registered", first, 0)]


async def test_the_known_registration_is_not_taken_for_the_one_in_doubt(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    first, second = twice

    await send(second, "register:lost-before")

    assert set(statuses_of(ledger, second).values()) == {RowStatus.ALREADY_REGISTERED}
    assert (known(ledger), registrations(lms[0])) == ([("registered", first, 0)] * 2, 2)


async def test_a_registration_in_doubt_that_the_lms_shows_is_that_of_the_job_that_sent_it(
    ledger: Ledger, send: Send, twice: tuple[int, int]
) -> None:
    first, second = twice
    await send(second, "register:lost-after", NO_LOOK_UP)

    planned_again(ledger, second)
    await send(second)

    assert set(statuses_of(ledger, second).values()) == {RowStatus.REGISTERED}
    assert known(ledger) == [("registered", second, 1)] * 2
    assert set(statuses_of(ledger, first).values()) == {RowStatus.REGISTERED}


@pytest.mark.parametrize("action", [Action.REGISTER, Action.WITHDRAW])
async def test_a_killed_call_leaves_the_known_registration(
    ledger: Ledger, twice: tuple[int, int], action: Action
) -> None:
    """Open rows of other jobs stay settled by it, whether it was to be followed or withdrawn."""
    first, second = twice
    if action is Action.WITHDRAW:
        second = a_job_of(ledger, *(a_row(number, action=Action.WITHDRAW) for number in (2, 3)))
    claim = claimed(ledger, second)
    with ledger.write() as tx:
        for work in items_of(ledger, claim):
            repeated = work.repeated()
            writes = (
                intents.intent_to_create(claim, repeated, repeated.registration)
                if repeated
                else action_intents.action_intent(claim, work, action, work.registration.lms_id)
            )
            for write in writes:
                tx.execute(write.statement, dict(write.values))
    assert {state for state, _, _ in known(ledger)} == {RegistrationState.SENDING}
    assert_first_is_known(ledger, first)

    with ledger.write() as tx:
        batches.close_all(tx)

    assert {state for state, _, _ in known(ledger)} == {RegistrationState.IN_DOUBT}
    assert_first_is_known(ledger, first)


async def test_in_a_restored_ledger_it_is_in_doubt_whether_a_registration_was_made_again(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    first, second = twice
    with ledger.write() as tx:
        people, places = restoring.doubt_unsent(tx, now(), ahead=())
        assert restoring.doubt_rows(tx, second) == 2

    assert (people, places) == (0, 2)
    assert_first_is_known(ledger, first)
    await send(second)
    assert set(statuses_of(ledger, second).values()) == {RowStatus.ALREADY_REGISTERED}
    assert (known(ledger), registrations(lms[0])) == ([("registered", first, 0)] * 2, 2)


async def test_that_a_person_is_registered_already_does_not_hide_the_id_that_is_known(
    ledger: Ledger, send: Send, lms: tuple[SandboxState, str], twice: tuple[int, int]
) -> None:
    """An LMS that refuses a second registration does not say which one is there."""
    first, second = twice
    ids = [each.lms_id for each in records_of(ledger, schema.registration)]

    await send(second, "register:409")

    assert set(statuses_of(ledger, second).values()) == {RowStatus.ALREADY_REGISTERED}
    assert [each.lms_id for each in records_of(ledger, schema.registration)] == ids
    assert known(ledger) == [("registered", first, 0)] * 2
