"""One batch run against the sandbox: every outcome recorded, nothing sent twice, no way to get stuck."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import (
    ELSEWHERE,
    NORTH,
    a_candidate,
    a_connection,
    a_course,
    a_job_context,
    a_job_of,
    a_row,
    change_records,
    claimed,
    enrolments,
    items_of,
    open_batches_of,
    plan,
    records_of,
    reported,
    statuses_of,
)
from worker.errors import HeldElsewhere, LmsUnavailable, RateLimited, Refused, StopJob
from worker.ledger import batches, intents, schema
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.model import CandidateState, RegistrationState, RowStatus
from worker.registration import breaker
from worker.registration.batch import BatchEnd, run_batch
from worker.registration.breaker import OutageBudget
from worker.registration.context import CourseStopped, Stopped
from worker.registration.directory import match_people
from worker.registration.enrolments import _rows_named_by
from worker.sandbox.server import make_state, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from worker.ledger.transactions import Ledger
    from worker.registration.context import JobContext
    from worker.sandbox.state import SandboxState

    OpenJob = Callable[..., AbstractAsyncContextManager[tuple[JobContext, SandboxState]]]

#: Longer than any batch of a test takes; a batch that is not through by then is stuck.
STUCK_SECONDS = 15.0
SYSTEMS = ["kmi", "tahdah"]


@pytest.fixture
def open_job(ledger: Ledger) -> Iterator[OpenJob]:
    """Open the context of a job, with a sandbox with injected faults."""
    with ExitStack() as stack:

        @asynccontextmanager
        async def open_one(
            system: str, job_id: int, *bad_days: str, context: dict[str, Any] | None = None, **options: Any
        ) -> AsyncIterator[tuple[JobContext, SandboxState]]:
            world = make_state(bad_days=bad_days, **options)
            url = stack.enter_context(running(world))
            async with a_job_context(ledger, job_id, a_connection(system, url), **(context or {})) as job_context:
                yield job_context, world

        yield open_one


async def run_batches(context: JobContext, ledger: Ledger) -> list[BatchEnd]:
    """Run the open batches of the context's job one after the other."""
    async with asyncio.timeout(STUCK_SECONDS):
        return [await run_batch(batch.id, context) for batch in open_batches_of(ledger, context.job_id)]


def people(count: int) -> list[Any]:
    return [a_row(number) for number in range(2, count + 2)]


def assert_nothing_pending(ledger: Ledger) -> None:
    """Assert that no call is in flight and no record claimed any more."""
    for table in (schema.candidate, schema.registration):
        assert {(line.state, line.claimed_by) for line in records_of(ledger, table)} <= {
            (state, None) for state in ("new", "in_doubt", "known", "registered")
        }


def on_course(world: SandboxState) -> int:
    return len(world.tahdah.registrations) + len(world.kmi.registrations.all)


def created(world: SandboxState) -> int:
    return len(world.tahdah.candidates) + len(world.kmi.people.users)


@pytest.mark.parametrize(("system", "size"), [("kmi", 8), ("tahdah", 2)])
async def test_everyone_is_created_and_registered_in_as_few_calls_as_the_lms_allows(
    ledger: Ledger, open_job: OpenJob, system: str, size: int
) -> None:
    job_id = a_job_of(ledger, *people(8))
    async with open_job(system, job_id) as (context, world):
        if system == "tahdah":
            context.rows_per_call = 4

        assert await run_batches(context, ledger) == [BatchEnd()]

        assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
        assert sum(context.client.calls.values()) == 8 + size
    assert (created(world), on_course(world)) == (8, 8)
    line = reported(ledger, job_id, 2)
    assert line.created
    assert line.candidate_id
    assert line.registration_id
    assert open_batches_of(ledger, job_id) == []
    assert_nothing_pending(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_candidate_of_several_rows_is_created_once(ledger: Ledger, open_job: OpenJob, system: str) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, *(a_row(number, ana, course=a_course(str(56 + number))) for number in (2, 3, 4)))
    async with open_job(system, job_id) as (context, world):
        async with asyncio.timeout(STUCK_SECONDS):
            await asyncio.gather(*(run_batch(batch.id, context) for batch in open_batches_of(ledger, job_id)))

    assert (created(world), on_course(world)) == (1, 3)
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert [reported(ledger, job_id, number).created for number in (2, 3, 4)].count(True) == 1


async def test_one_bad_row_does_not_stop_its_batch(ledger: Ledger, open_job: OpenJob) -> None:
    bad = a_row(5, a_candidate(5, email="poison@example.org"))
    job_id = a_job_of(ledger, *people(3), bad, *(a_row(number) for number in range(6, 10)))
    async with open_job("tahdah", job_id, "register:reject:marker=poison") as (context, world):
        context.rows_per_call = 100

        assert await run_batches(context, ledger) == [BatchEnd()]

        assert context.bisected == 1
        assert context.client.calls["register"] == 3
    found = statuses_of(ledger, job_id)
    assert found.pop(5) is RowStatus.REJECTED
    assert set(found.values()) == {RowStatus.REGISTERED}
    assert on_course(world) == 7


@pytest.mark.parametrize("bad_day", ["lost-before", "lost-after", "drop-after", "html-502"])
async def test_a_lost_creation_without_a_look_up_waits_for_a_person_and_is_never_sent_again(
    ledger: Ledger, open_job: OpenJob, bad_day: str
) -> None:
    ana = a_candidate(2)
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course("59")), a_row(4))
    async with open_job("tahdah", job_id, f"create_candidate:{bad_day}:marker=person2") as (context, _):
        await run_batches(context, ledger)
        with ledger.write() as tx:
            plan(tx, job_id)
        await run_batches(context, ledger)

        assert context.client.calls["create_candidate"] == 2
    found = statuses_of(ledger, job_id)
    assert (found[2], found[4]) == (RowStatus.IN_DOUBT, RowStatus.REGISTERED)
    waits = reported(ledger, job_id, 3)
    assert (waits.status, waits.code) == (RowStatus.NOT_ATTEMPTED, "candidate_in_doubt")
    assert_nothing_pending(ledger)


@pytest.mark.parametrize("bad_day", ["lost-before", "lost-after", "drop-after", "drop-before", "html-502", "202"])
async def test_a_lost_call_that_can_be_looked_up_is_done_once(
    ledger: Ledger, open_job: OpenJob, bad_day: str
) -> None:
    job_id = a_job_of(ledger, *people(3))
    rules = [f"create_user:{bad_day}:nth=2", f"create_registration:{bad_day}:nth=2"]
    async with open_job("kmi", job_id, *rules) as (context, world):
        await run_batches(context, ledger)

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert (created(world), on_course(world)) == (3, 3)
    assert world.kmi.mails_sent == 3


async def test_a_creation_that_is_lost_every_time_is_not_sent_forever(ledger: Ledger, open_job: OpenJob) -> None:
    """Each is looked up, certainly absent, and sent again: a limited number of times, as for registrations."""
    job_id = a_job_of(ledger, a_row(2))
    async with open_job("kmi", job_id, "create_user:lost-before") as (context, _):
        task = asyncio.create_task(run_batch(open_batches_of(ledger, job_id)[0].id, context))
        await asyncio.wait([task], timeout=1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert context.client.calls["create_user"] <= 5
    assert reported(ledger, job_id, 2).status in {RowStatus.IN_DOUBT, RowStatus.NOT_ATTEMPTED}


async def test_a_batch_lost_without_a_look_up_is_in_doubt_as_a_whole(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *people(4))
    async with open_job("tahdah", job_id, "register:lost-after", lookup="404") as (context, world):
        await run_batches(context, ledger)
        with ledger.write() as tx:
            plan(tx, job_id)
        await run_batches(context, ledger)

        assert context.client.calls["register"] == 1
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.IN_DOUBT}
    assert on_course(world) == 4
    assert_nothing_pending(ledger)


async def test_rows_missing_from_a_response_are_looked_up_and_not_sent_again_blindly(
    ledger: Ledger, open_job: OpenJob
) -> None:
    job_id = a_job_of(ledger, *people(4))
    async with open_job("tahdah", job_id, "register:short:count=2") as (context, world):
        await run_batches(context, ledger)

        assert context.client.calls["register"] == 1
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert on_course(world) == 4


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_short_pause_is_waited_for_and_uses_no_attempt(
    ledger: Ledger, open_job: OpenJob, system: str
) -> None:
    job_id = a_job_of(ledger, *people(3))
    async with open_job(system, job_id, "*:throttle:every=2:retry-after=0:wait=0") as (context, world):
        assert await run_batches(context, ledger) == [BatchEnd()]

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert {line.attempts for line in records_of(ledger, schema.row)} == {2}
    assert (created(world), on_course(world)) == (3, 3)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_long_pause_releases_the_batch_until_then_and_leaves_no_trace(
    ledger: Ledger, open_job: OpenJob, system: str
) -> None:
    job_id = a_job_of(ledger, a_row(2))
    async with open_job(system, job_id, "*:throttle:wait=900:retry-after=integer") as (context, _):
        (end,) = await run_batches(context, ledger)

    assert isinstance(end.retry_later, RateLimited)
    assert end.retry_later.seconds == pytest.approx(900, abs=2)
    (batch,) = open_batches_of(ledger, job_id)
    assert not batch.running
    assert batch.not_before == pytest.approx(now() + 900, abs=20)
    line = reported(ledger, job_id, 2)
    assert (line.status, line.attempts) == (RowStatus.NOT_ATTEMPTED, 0)
    assert_nothing_pending(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_refused_credentials_cost_one_call_and_stop_the_job(
    ledger: Ledger, open_job: OpenJob, system: str
) -> None:
    job_id = a_job_of(ledger, *people(20))
    async with open_job(system, job_id, "*:401") as (context, world):
        (end,) = await run_batches(context, ledger)

        assert isinstance(end.stop, StopJob)
        assert sum(context.client.calls.values()) == 1
    assert created(world) == 0
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}
    assert not open_batches_of(ledger, job_id)[0].running
    assert_nothing_pending(ledger)


async def test_an_unreachable_lms_costs_no_attempt(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *people(5))
    async with a_job_context(ledger, job_id, a_connection("tahdah", "http://127.0.0.1:9")) as context:
        (end,) = await run_batches(context, ledger)

    assert isinstance(end.retry_later, LmsUnavailable)
    assert {line.attempts for line in records_of(ledger, schema.row)} == {0}
    assert_nothing_pending(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_nothing_is_sent_after_a_person_stopped_the_job(
    ledger: Ledger, open_job: OpenJob, system: str
) -> None:
    job_id = a_job_of(ledger, *people(5))
    async with open_job(system, job_id, context={"stop_reason": lambda: Stopped("paused")}) as (context, world):
        (end,) = await run_batches(context, ledger)

        assert end.stopped
        assert sum(context.client.calls.values()) == 0
    assert created(world) == 0
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}
    assert_nothing_pending(ledger)


async def test_a_course_that_does_not_exist_costs_one_call(ledger: Ledger, open_job: OpenJob) -> None:
    rows = [a_row(number, a_candidate(candidate_id=str(number)), course=a_course("99")) for number in range(2, 12)]
    job_id = a_job_of(ledger, *rows, size=5)
    async with open_job("tahdah", job_id, context={"rows_left": 10, "only_course": True}) as (context, _):
        first = open_batches_of(ledger, job_id)[0]
        end = await run_batch(first.id, context)

        assert isinstance(end.course_stopped, CourseStopped)
        assert context.client.calls["register"] == 1


async def test_a_batch_that_another_worker_has_is_skipped(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id, ELSEWHERE)
    async with open_job("tahdah", job_id) as (context, world):
        assert await run_batch(claim.batch_id, context) == BatchEnd(not_claimed=True)

    assert created(world) == 0


async def test_a_worker_whose_batch_was_taken_over_sends_nothing_more(ledger: Ledger, open_job: OpenJob) -> None:
    """The claim changes hands between the creation and the registration."""
    job_id = a_job_of(ledger, a_row(2))
    (batch,) = open_batches_of(ledger, job_id)
    async with open_job("tahdah", job_id, "create_candidate:slow:seconds=0.5") as (context, world):
        running_batch = asyncio.create_task(run_batch(batch.id, context))
        while records_of(ledger, schema.candidate)[0].state != CandidateState.SENDING:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        change_records(ledger, schema.batch, owner=ELSEWHERE, lease_until=now() - 1)
        with ledger.write() as tx:
            assert batches.reopen_abandoned(tx) == 1
        new_claim = claimed(ledger, job_id, ELSEWHERE)

        assert await running_batch == BatchEnd(not_claimed=True)

    assert on_course(world) == 0
    (work,) = items_of(ledger, new_claim)
    assert work.candidate.state is CandidateState.IN_DOUBT
    assert open_batches_of(ledger, job_id)[0].running


# Two jobs that name the same person and course


async def registered_by_another_job(ledger: Ledger) -> tuple[int, int]:
    """Import two jobs with the same row, and run the first before the second begins."""
    first, second = a_job_of(ledger, a_row(2)), a_job_of(ledger, a_row(2))
    claim = claimed(ledger, first)
    (work,) = items_of(ledger, claim)
    await ledger.commit(*intents.candidate_found(claim, work, "7"))
    outcome = RowOutcome(status=RowStatus.REGISTERED, registration_id="R-9")
    await ledger.commit(*intents.registered(claim, work, outcome))
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)
    return first, second


@pytest.mark.parametrize("system", SYSTEMS)
async def test_what_another_job_registered_meanwhile_is_already_registered(
    ledger: Ledger, open_job: OpenJob, system: str
) -> None:
    _, second = await registered_by_another_job(ledger)
    async with open_job(system, second) as (context, world):
        assert await run_batches(context, ledger) == [BatchEnd()]

    line = reported(ledger, second, 2)
    assert (line.status, line.registration_id) == (RowStatus.ALREADY_REGISTERED, "R-9")
    assert on_course(world) == 0


@pytest.mark.parametrize("state", [RegistrationState.NEW, RegistrationState.SENDING])
async def test_a_registration_that_another_job_is_processing_is_left_for_later_and_blocks_nothing(
    ledger: Ledger, open_job: OpenJob, state: RegistrationState
) -> None:
    """The row must not be left without an outcome, nor the batch claimed by a process that has stopped."""
    theirs, mine = a_job_of(ledger, a_row(2)), a_job_of(ledger, a_row(2))
    claim = claimed(ledger, theirs, ELSEWHERE)
    (work,) = items_of(ledger, claim)
    await ledger.commit(*intents.candidate_found(claim, work, "7"))
    if state is RegistrationState.SENDING:
        await ledger.commit(*intents.intent_to_create(claim, work, work.registration))
    async with open_job("tahdah", mine) as (context, world):
        await run_batches(context, ledger)

        (batch,) = open_batches_of(ledger, mine)
        assert not batch.running
        assert on_course(world) == 0

        outcome = RowOutcome(status=RowStatus.REGISTERED, registration_id="R-9")
        await ledger.commit(*intents.registered(claim, work, outcome))
        with ledger.write() as tx:
            batches.release(tx, claim, closed=True)
        change_records(ledger, schema.batch, not_before=None)
        await run_batches(context, ledger)

    assert statuses_of(ledger, mine) == {2: RowStatus.ALREADY_REGISTERED}
    assert on_course(world) == 0


# Look-ups that fail where nothing is in doubt


@pytest.mark.parametrize("bad_day", ["lost-before", "403", "drop-before", "html-502"])
async def test_an_existing_registration_is_reported_or_waits_when_the_look_up_fails(
    ledger: Ledger, open_job: OpenJob, bad_day: str
) -> None:
    rows = [a_row(2, a_candidate(candidate_id="1001")), a_row(3)]
    job_id = a_job_of(ledger, *rows)
    rules = [f"find_registration:{bad_day}", f"list_registrations:{bad_day}"]
    async with open_job("kmi", job_id, *rules, seed_users=1, registered=["58:1-1"]) as (context, _):
        (end,) = await run_batches(context, ledger)

    assert statuses_of(ledger, job_id)[2] is RowStatus.ALREADY_REGISTERED or end.retry_later is not None
    assert not any(batch.running for batch in open_batches_of(ledger, job_id))
    assert_nothing_pending(ledger)


@pytest.mark.parametrize("bad_day", ["lost-before", "drop-before", "html-502"])
async def test_a_failed_look_up_before_a_creation_postpones_the_batch_and_breaks_nothing(
    ledger: Ledger, open_job: OpenJob, bad_day: str
) -> None:
    job_id = a_job_of(ledger, a_row(2, a_candidate(2, external_id="E-2")), a_row(3))
    async with open_job("kmi", job_id, f"find_user:{bad_day}", context={"check_candidates_first": True}) as (
        context,
        world,
    ):
        await run_batches(context, ledger)

    assert not any(batch.running for batch in open_batches_of(ledger, job_id))
    assert statuses_of(ledger, job_id)[3] is RowStatus.REGISTERED
    assert created(world) == 1
    assert_nothing_pending(ledger)


async def test_an_address_in_use_rejects_its_row_where_people_may_not_be_listed(
    ledger: Ledger, open_job: OpenJob
) -> None:
    """A look-up that is refused will be refused again: waiting for it only delays the other rows."""
    taken = a_row(2, a_candidate(2, email="person1@example.com", login_name="other"))
    job_id = a_job_of(ledger, taken, a_row(3))
    async with open_job("kmi", job_id, "list_users:403", seed_users=1, kmi_email_taken="400") as (context, _):
        assert await run_batches(context, ledger) == [BatchEnd()]

    line = reported(ledger, job_id, 2)
    assert (line.status, line.code) == (RowStatus.REJECTED, "candidate_exists")
    assert statuses_of(ledger, job_id)[3] is RowStatus.REGISTERED


async def test_people_just_created_are_not_looked_up_on_a_course(ledger: Ledger, open_job: OpenJob) -> None:
    job_id = a_job_of(ledger, *people(3))
    async with open_job("kmi", job_id, context={"check_courses_first": {a_course().key}}) as (context, _):
        await run_batches(context, ledger)

        assert context.client.calls == {"create_user": 3, "create_registration": 3}


# Idempotency keys


async def test_the_idempotency_key_is_the_same_on_every_run_and_numbered_within_a_series(
    ledger: Ledger, open_job: OpenJob
) -> None:
    job_id = a_job_of(ledger, a_row(2, a_candidate(candidate_id="1001")))
    async with open_job("kmi", job_id, seed_users=1, kmi_twice="second") as (context, world):
        await run_batches(context, ledger)
        again = a_job_of(ledger, a_row(2, a_candidate(candidate_id="1001")), again=True)
        context.job_id = again
        await run_batches(context, ledger)
    keys = [each.external_id for each in world.kmi.registrations.all.values()]

    assert len(keys) == 2
    assert keys[1] == f"{keys[0]}-2"
    assert NORTH not in keys[0]
    assert "person" not in keys[0]


async def test_one_person_named_in_two_ways_is_registered_once(ledger: Ledger, open_job: OpenJob) -> None:
    """No person is registered twice. One row has the LMS's id, the other the address that belongs to it."""
    rows = [
        a_row(2, a_candidate(candidate_id="1001", email=None)),
        a_row(3, a_candidate(email="person1@example.com")),
    ]
    job_id = a_job_of(ledger, *rows)
    async with open_job("kmi", job_id, seed_users=1, kmi_twice="second") as (context, world):
        await match_people(context)
        await run_batches(context, ledger)

    assert on_course(world) == 1


def test_the_rows_that_a_refusal_names_are_found_by_id_or_by_index() -> None:
    pairs: Any = [(None, each) for each in enrolments(["100123", "100124", "77"])]

    def named(message: str, text: str = "") -> list[str]:
        found = _rows_named_by(pairs, Refused("refused", 400, message, text))
        return [enrolment.candidate_id for _, enrolment in found]

    assert named("Candidate 100124 is not valid.") == ["100124"]
    assert named("Candidates 77, 100123 do not exist.") == ["100123", "77"]
    assert named("No.", '{"errors": {"candidateIds[2].behavior": ["bad"]}}') == ["77"]
    assert named("Nobody in particular") == []
    assert named("Candidate 1001241 is not valid.") == []


# Outage budget


def test_the_outage_budget_is_smaller_for_an_lms_that_never_answered() -> None:
    at = [1_000.0]
    for answered, seconds in ((False, breaker.FIRST_CONTACT_SECONDS), (True, breaker.UNREACHABLE_SECONDS)):
        budget = OutageBudget(lambda: at[0])
        budget.record_failure(LmsUnavailable(1, "away"), answered=answered)
        at[0] += seconds
        budget.record_failure(LmsUnavailable(1, "away"), answered=answered)
        at[0] += 1
        with pytest.raises(StopJob, match="check base_url") as raised:
            budget.record_failure(LmsUnavailable(1, "away"), answered=answered)
        assert raised.value.code == "unreachable"


def test_a_job_is_not_held_since_another_one_is_slow_with_the_same_people() -> None:
    budget = OutageBudget()
    for _ in range(10 * breaker.MAX_PAUSES):
        budget.record_failure(HeldElsewhere(1, "busy"), answered=True)

    budget.record_failure(RateLimited(1, "pause"), answered=True)


def test_pauses_in_a_row_are_limited_and_a_success_resets_the_count() -> None:
    budget = OutageBudget()
    for _ in range(breaker.MAX_PAUSES):
        budget.record_failure(RateLimited(1, "pause"), answered=True)
    budget.reset()
    for _ in range(breaker.MAX_PAUSES):
        budget.record_failure(RateLimited(1, "pause"), answered=True)

    with pytest.raises(StopJob) as raised:
        budget.record_failure(RateLimited(1, "pause"), answered=True)

    assert raised.value.code == "refused_for_long"
