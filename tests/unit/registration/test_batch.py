"""One batch worked off against the pretend LMS: every outcome recorded, nothing sent twice, no way to get stuck."""

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
    a_desk,
    a_job_of,
    a_row,
    change_lines,
    claimed,
    enrolments,
    lines_of,
    open_batches_of,
    plan,
    reported,
    statuses_of,
    works_of,
)
from worker.errors import LmsUnavailable, RateLimited, Refused, StopJob
from worker.ledger import batches, intents, schema
from worker.ledger.database import now
from worker.ledger.intents import Outcome
from worker.model import CandidateState, RegistrationState, RowStatus
from worker.registration import breaker
from worker.registration.batch import BatchEnd, run_batch
from worker.registration.breaker import Patience
from worker.registration.context import CourseStopped, Stopped
from worker.registration.directory import find_people
from worker.registration.enrolments import _named
from worker.sandbox.server import make_world, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from worker.ledger.transactions import Ledger
    from worker.registration.context import Desk
    from worker.sandbox.world import World

    Sit = Callable[..., AbstractAsyncContextManager[tuple[Desk, World]]]

#: Longer than any batch of a test takes; a batch that is not through by then is stuck.
STUCK_SECONDS = 15.0
SYSTEMS = ["kmi", "tahdah"]


@pytest.fixture
def sit(ledger: Ledger) -> Iterator[Sit]:
    """Sit down at the desk of a job, before a pretend LMS with bad days."""
    with ExitStack() as stack:

        @asynccontextmanager
        async def sit_down(
            system: str, job_id: int, *bad_days: str, desk: dict[str, Any] | None = None, **options: Any
        ) -> AsyncIterator[tuple[Desk, World]]:
            world = make_world(bad_days=bad_days, **options)
            url = stack.enter_context(running(world))
            async with a_desk(ledger, job_id, a_connection(system, url), **(desk or {})) as at_desk:
                yield at_desk, world

        yield sit_down


async def work_off(desk: Desk, ledger: Ledger) -> list[BatchEnd]:
    """Run the open batches of the desk's job one after the other."""
    async with asyncio.timeout(STUCK_SECONDS):
        return [await run_batch(batch.id, desk) for batch in open_batches_of(ledger, desk.job_id)]


def people(count: int) -> list[Any]:
    return [a_row(number) for number in range(2, count + 2)]


def nobody_sends(ledger: Ledger) -> None:
    """Assert that nothing is under way or held any more."""
    for table in (schema.candidate, schema.registration):
        assert {(line.state, line.claimed_by) for line in lines_of(ledger, table)} <= {
            (state, None) for state in ("new", "in_doubt", "known", "registered")
        }


def on_course(world: World) -> int:
    return len(world.tahdah.registrations) + len(world.kmi.registrations.all)


def created(world: World) -> int:
    return len(world.tahdah.candidates) + len(world.kmi.people.users)


@pytest.mark.parametrize(("system", "size"), [("kmi", 8), ("tahdah", 2)])
async def test_everybody_is_created_and_registered_in_as_few_calls_as_the_lms_allows(
    ledger: Ledger, sit: Sit, system: str, size: int
) -> None:
    job_id = a_job_of(ledger, *people(8))
    async with sit(system, job_id) as (desk, world):
        if system == "tahdah":
            desk.rows_per_call = 4

        assert await work_off(desk, ledger) == [BatchEnd()]

        assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
        assert sum(desk.door.calls.values()) == 8 + size
    assert (created(world), on_course(world)) == (8, 8)
    line = reported(ledger, job_id, 2)
    assert line.created
    assert line.candidate_id
    assert line.registration_id
    assert open_batches_of(ledger, job_id) == []
    nobody_sends(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_candidate_of_several_rows_is_created_once(ledger: Ledger, sit: Sit, system: str) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, *(a_row(number, ana, course=a_course(str(56 + number))) for number in (2, 3, 4)))
    async with sit(system, job_id) as (desk, world):
        async with asyncio.timeout(STUCK_SECONDS):
            await asyncio.gather(*(run_batch(batch.id, desk) for batch in open_batches_of(ledger, job_id)))

    assert (created(world), on_course(world)) == (1, 3)
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert [reported(ledger, job_id, number).created for number in (2, 3, 4)].count(True) == 1


async def test_one_bad_row_does_not_stop_its_batch(ledger: Ledger, sit: Sit) -> None:
    bad = a_row(5, a_candidate(5, email="poison@example.org"))
    job_id = a_job_of(ledger, *people(3), bad, *(a_row(number) for number in range(6, 10)))
    async with sit("tahdah", job_id, "register:reject:marker=poison") as (desk, world):
        desk.rows_per_call = 100

        assert await work_off(desk, ledger) == [BatchEnd()]

        assert desk.bisected == 1
        assert desk.door.calls["register"] == 3
    found = statuses_of(ledger, job_id)
    assert found.pop(5) is RowStatus.REJECTED
    assert set(found.values()) == {RowStatus.REGISTERED}
    assert on_course(world) == 7


@pytest.mark.parametrize("bad_day", ["lost-before", "lost-after", "drop-after", "html-502"])
async def test_a_creation_that_was_lost_without_a_look_up_waits_for_a_person_and_is_never_sent_again(
    ledger: Ledger, sit: Sit, bad_day: str
) -> None:
    ana = a_candidate(2)
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course("59")), a_row(4))
    async with sit("tahdah", job_id, f"create_candidate:{bad_day}:marker=person2") as (desk, _):
        await work_off(desk, ledger)
        with ledger.write() as tx:
            plan(tx, job_id)
        await work_off(desk, ledger)

        assert desk.door.calls["create_candidate"] == 2
    found = statuses_of(ledger, job_id)
    assert (found[2], found[4]) == (RowStatus.IN_DOUBT, RowStatus.REGISTERED)
    waits = reported(ledger, job_id, 3)
    assert (waits.status, waits.code) == (RowStatus.NOT_ATTEMPTED, "candidate_in_doubt")
    nobody_sends(ledger)


@pytest.mark.parametrize("bad_day", ["lost-before", "lost-after", "drop-after", "drop-before", "html-502", "202"])
async def test_what_was_lost_and_can_be_looked_up_is_done_once(ledger: Ledger, sit: Sit, bad_day: str) -> None:
    job_id = a_job_of(ledger, *people(3))
    rules = [f"create_user:{bad_day}:nth=2", f"create_registration:{bad_day}:nth=2"]
    async with sit("kmi", job_id, *rules) as (desk, world):
        await work_off(desk, ledger)

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert (created(world), on_course(world)) == (3, 3)
    assert world.kmi.mails_sent == 3


async def test_a_creation_that_is_lost_every_time_is_not_sent_for_ever(ledger: Ledger, sit: Sit) -> None:
    """Each is looked up, surely absent, and sent again: that must have an end, as it has for registrations."""
    job_id = a_job_of(ledger, a_row(2))
    async with sit("kmi", job_id, "create_user:lost-before") as (desk, _):
        task = asyncio.create_task(run_batch(open_batches_of(ledger, job_id)[0].id, desk))
        await asyncio.wait([task], timeout=1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert desk.door.calls["create_user"] <= 5
    assert reported(ledger, job_id, 2).status in {RowStatus.IN_DOUBT, RowStatus.NOT_ATTEMPTED}


async def test_a_batch_lost_without_a_look_up_is_in_doubt_as_a_whole(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *people(4))
    async with sit("tahdah", job_id, "register:lost-after", lookup="404") as (desk, world):
        await work_off(desk, ledger)
        with ledger.write() as tx:
            plan(tx, job_id)
        await work_off(desk, ledger)

        assert desk.door.calls["register"] == 1
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.IN_DOUBT}
    assert on_course(world) == 4
    nobody_sends(ledger)


async def test_rows_that_an_answer_leaves_out_are_looked_up_and_not_sent_blindly(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *people(4))
    async with sit("tahdah", job_id, "register:short:count=2") as (desk, world):
        await work_off(desk, ledger)

        assert desk.door.calls["register"] == 1
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert on_course(world) == 4


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_short_pause_is_sat_out_and_uses_up_no_attempt(ledger: Ledger, sit: Sit, system: str) -> None:
    job_id = a_job_of(ledger, *people(3))
    async with sit(system, job_id, "*:throttle:every=2:retry-after=0:wait=0") as (desk, world):
        assert await work_off(desk, ledger) == [BatchEnd()]

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.REGISTERED}
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {2}
    assert (created(world), on_course(world)) == (3, 3)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_long_pause_gives_the_batch_back_with_the_time_and_without_a_trace(
    ledger: Ledger, sit: Sit, system: str
) -> None:
    job_id = a_job_of(ledger, a_row(2))
    async with sit(system, job_id, "*:throttle:wait=900:retry-after=integer") as (desk, _):
        (end,) = await work_off(desk, ledger)

    assert isinstance(end.later, RateLimited)
    assert end.later.seconds == pytest.approx(900, abs=2)
    (batch,) = open_batches_of(ledger, job_id)
    assert not batch.running
    assert batch.not_before == pytest.approx(now() + 900, abs=20)
    line = reported(ledger, job_id, 2)
    assert (line.status, line.attempts) == (RowStatus.NOT_ATTEMPTED, 0)
    nobody_sends(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_refused_credentials_cost_one_call_and_stop_the_job(ledger: Ledger, sit: Sit, system: str) -> None:
    job_id = a_job_of(ledger, *people(20))
    async with sit(system, job_id, "*:401") as (desk, world):
        (end,) = await work_off(desk, ledger)

        assert isinstance(end.stop, StopJob)
        assert sum(desk.door.calls.values()) == 1
    assert created(world) == 0
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}
    assert not open_batches_of(ledger, job_id)[0].running
    nobody_sends(ledger)


async def test_an_lms_that_is_not_there_costs_no_attempt(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *people(5))
    async with a_desk(ledger, job_id, a_connection("tahdah", "http://127.0.0.1:9")) as desk:
        (end,) = await work_off(desk, ledger)

    assert isinstance(end.later, LmsUnavailable)
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {0}
    nobody_sends(ledger)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_after_a_person_said_stop_nothing_is_sent(ledger: Ledger, sit: Sit, system: str) -> None:
    job_id = a_job_of(ledger, *people(5))
    async with sit(system, job_id, desk={"stopping": lambda: Stopped("paused")}) as (desk, world):
        (end,) = await work_off(desk, ledger)

        assert end.stopped
        assert sum(desk.door.calls.values()) == 0
    assert created(world) == 0
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}
    nobody_sends(ledger)


async def test_a_course_that_does_not_exist_costs_one_call(ledger: Ledger, sit: Sit) -> None:
    rows = [a_row(number, a_candidate(candidate_id=str(number)), course=a_course("99")) for number in range(2, 12)]
    job_id = a_job_of(ledger, *rows, size=5)
    async with sit("tahdah", job_id, desk={"rows_left": 10, "only_course": True}) as (desk, _):
        first = open_batches_of(ledger, job_id)[0]
        end = await run_batch(first.id, desk)

        assert isinstance(end.course, CourseStopped)
        assert desk.door.calls["register"] == 1


async def test_a_batch_that_another_worker_has_is_passed_over(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id, ELSEWHERE)
    async with sit("tahdah", job_id) as (desk, world):
        assert await run_batch(claim.batch_id, desk) == BatchEnd(passed_over=True)

    assert created(world) == 0


async def test_a_worker_whose_batch_was_taken_over_sends_nothing_more(ledger: Ledger, sit: Sit) -> None:
    """The claim changes hands between the creation and the registration."""
    job_id = a_job_of(ledger, a_row(2))
    (batch,) = open_batches_of(ledger, job_id)
    async with sit("tahdah", job_id, "create_candidate:slow:seconds=0.5") as (desk, world):
        at_work = asyncio.create_task(run_batch(batch.id, desk))
        while not desk.door.calls:  # noqa: ASYNC110 - the door rings no bell
            await asyncio.sleep(0.01)
        change_lines(ledger, schema.batch, owner=ELSEWHERE, lease_until=now() - 1)
        with ledger.write() as tx:
            assert batches.reap(tx) == 1
        heir = claimed(ledger, job_id, ELSEWHERE)

        assert await at_work == BatchEnd(passed_over=True)

    assert on_course(world) == 0
    (work,) = works_of(ledger, heir)
    assert work.candidate.state is CandidateState.IN_DOUBT
    assert open_batches_of(ledger, job_id)[0].running


# Two jobs that name the same person and course


async def registered_by_another_job(ledger: Ledger) -> tuple[int, int]:
    """Let two jobs be read in with the same row, and the first be worked off before the second begins."""
    first, second = a_job_of(ledger, a_row(2)), a_job_of(ledger, a_row(2))
    claim = claimed(ledger, first)
    (work,) = works_of(ledger, claim)
    await ledger.commit(*intents.candidate_found(claim, work, "7"))
    outcome = Outcome(status=RowStatus.REGISTERED, registration_id="R-9")
    await ledger.commit(*intents.registered(claim, work, outcome))
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)
    return first, second


@pytest.mark.parametrize("system", SYSTEMS)
async def test_what_another_job_registered_meanwhile_is_already_registered(
    ledger: Ledger, sit: Sit, system: str
) -> None:
    _, second = await registered_by_another_job(ledger)
    async with sit(system, second) as (desk, world):
        assert await work_off(desk, ledger) == [BatchEnd()]

    line = reported(ledger, second, 2)
    assert (line.status, line.registration_id) == (RowStatus.ALREADY_REGISTERED, "R-9")
    assert on_course(world) == 0


@pytest.mark.parametrize("state", [RegistrationState.NEW, RegistrationState.SENDING])
async def test_a_registration_that_another_job_is_at_work_on_is_waited_for_and_blocks_nothing(
    ledger: Ledger, sit: Sit, state: RegistrationState
) -> None:
    """Neither may the row be left without a word, nor the batch be held by a process that has turned away."""
    theirs, mine = a_job_of(ledger, a_row(2)), a_job_of(ledger, a_row(2))
    claim = claimed(ledger, theirs, ELSEWHERE)
    (work,) = works_of(ledger, claim)
    await ledger.commit(*intents.candidate_found(claim, work, "7"))
    if state is RegistrationState.SENDING:
        await ledger.commit(*intents.sending_registration(claim, work))
    async with sit("tahdah", mine) as (desk, world):
        await work_off(desk, ledger)

        (batch,) = open_batches_of(ledger, mine)
        assert not batch.running
        assert on_course(world) == 0

        outcome = Outcome(status=RowStatus.REGISTERED, registration_id="R-9")
        await ledger.commit(*intents.registered(claim, work, outcome))
        with ledger.write() as tx:
            batches.release(tx, claim, closed=True)
        change_lines(ledger, schema.batch, not_before=None)
        await work_off(desk, ledger)

    assert statuses_of(ledger, mine) == {2: RowStatus.ALREADY_REGISTERED}
    assert on_course(world) == 0


# Look-ups that fail where nothing is in doubt


@pytest.mark.parametrize("bad_day", ["lost-before", "403", "drop-before", "html-502"])
async def test_somebody_who_is_registered_already_is_so_or_waits_when_the_look_up_fails(
    ledger: Ledger, sit: Sit, bad_day: str
) -> None:
    rows = [a_row(2, a_candidate(candidate_id="1001")), a_row(3)]
    job_id = a_job_of(ledger, *rows)
    rules = [f"find_registration:{bad_day}", f"list_registrations:{bad_day}"]
    async with sit("kmi", job_id, *rules, seed_users=1, registered=["58:1-1"]) as (desk, _):
        (end,) = await work_off(desk, ledger)

    assert statuses_of(ledger, job_id)[2] is RowStatus.ALREADY_REGISTERED or end.later is not None
    assert not any(batch.running for batch in open_batches_of(ledger, job_id))
    nobody_sends(ledger)


@pytest.mark.parametrize("bad_day", ["lost-before", "drop-before", "html-502"])
async def test_a_look_up_before_a_creation_that_fails_puts_the_batch_off_and_breaks_nothing(
    ledger: Ledger, sit: Sit, bad_day: str
) -> None:
    job_id = a_job_of(ledger, a_row(2, a_candidate(2, external_id="E-2")), a_row(3))
    async with sit("kmi", job_id, f"find_user:{bad_day}", desk={"look_up_first": True}) as (desk, world):
        await work_off(desk, ledger)

    assert not any(batch.running for batch in open_batches_of(ledger, job_id))
    assert statuses_of(ledger, job_id)[3] is RowStatus.REGISTERED
    assert created(world) == 1
    nobody_sends(ledger)


async def test_a_taken_address_is_a_refusal_of_its_row_where_people_may_not_be_listed(
    ledger: Ledger, sit: Sit
) -> None:
    """A look-up that is refused will be refused again: waiting for it only holds the other rows up."""
    taken = a_row(2, a_candidate(2, email="person1@example.com", login_name="other"))
    job_id = a_job_of(ledger, taken, a_row(3))
    async with sit("kmi", job_id, "list_users:403", seed_users=1, kmi_email_taken="400") as (desk, _):
        assert await work_off(desk, ledger) == [BatchEnd()]

    line = reported(ledger, job_id, 2)
    assert (line.status, line.code) == (RowStatus.REJECTED, "candidate_exists")
    assert statuses_of(ledger, job_id)[3] is RowStatus.REGISTERED


async def test_nobody_is_looked_up_on_a_course_who_was_created_a_moment_ago(ledger: Ledger, sit: Sit) -> None:
    job_id = a_job_of(ledger, *people(3))
    async with sit("kmi", job_id, desk={"look_before": {a_course().key}}) as (desk, _):
        await work_off(desk, ledger)

        assert desk.door.calls == {"create_user": 3, "create_registration": 3}


# Keys


async def test_our_key_of_a_registration_is_the_same_on_every_run_and_another_for_the_next_of_a_series(
    ledger: Ledger, sit: Sit
) -> None:
    job_id = a_job_of(ledger, a_row(2, a_candidate(candidate_id="1001")))
    async with sit("kmi", job_id, seed_users=1, kmi_twice="second") as (desk, world):
        await work_off(desk, ledger)
        again = a_job_of(ledger, a_row(2, a_candidate(candidate_id="1001")), again=True)
        desk.job_id = again
        await work_off(desk, ledger)
    keys = [each.external_id for each in world.kmi.registrations.all.values()]

    assert len(keys) == 2
    assert keys[1] == f"{keys[0]}-2"
    assert NORTH not in keys[0]
    assert "person" not in keys[0]


async def test_one_person_named_in_two_ways_is_registered_once(ledger: Ledger, sit: Sit) -> None:
    """Contract: nobody is registered twice. The one row has the LMS's id, the other the address it belongs to."""
    rows = [
        a_row(2, a_candidate(candidate_id="1001", email=None)),
        a_row(3, a_candidate(email="person1@example.com")),
    ]
    job_id = a_job_of(ledger, *rows)
    async with sit("kmi", job_id, seed_users=1, kmi_twice="second") as (desk, world):
        await find_people(desk)
        await work_off(desk, ledger)

    assert on_course(world) == 1


def test_the_rows_that_a_refusal_names_are_found_by_id_or_by_place() -> None:
    pairs: Any = [(None, each) for each in enrolments(["100123", "100124", "77"])]

    def named(message: str, text: str = "") -> list[str]:
        found = _named(pairs, Refused("refused", 400, message, text))
        return [enrolment.candidate_id for _, enrolment in found]

    assert named("Candidate 100124 is not valid.") == ["100124"]
    assert named("Candidates 77, 100123 do not exist.") == ["100123", "77"]
    assert named("No.", '{"errors": {"candidateIds[2].behavior": ["bad"]}}') == ["77"]
    assert named("Nobody in particular") == []
    assert named("Candidate 1001241 is not valid.") == []


# Patience


def test_an_lms_that_never_answered_is_given_up_sooner_than_one_that_did() -> None:
    at = [1_000.0]
    for answered, seconds in ((False, breaker.FIRST_CONTACT_SECONDS), (True, breaker.UNREACHABLE_SECONDS)):
        mine = Patience(lambda: at[0])
        mine.lose(LmsUnavailable(1, "away"), answered=answered)
        at[0] += seconds
        mine.lose(LmsUnavailable(1, "away"), answered=answered)
        at[0] += 1
        with pytest.raises(StopJob, match="check base_url") as raised:
            mine.lose(LmsUnavailable(1, "away"), answered=answered)
        assert raised.value.code == "unreachable"


def test_pauses_without_end_come_to_an_end_and_one_good_step_starts_anew() -> None:
    mine = Patience()
    for _ in range(breaker.MOST_PAUSES):
        mine.lose(RateLimited(1, "pause"), answered=True)
    mine.restore()
    for _ in range(breaker.MOST_PAUSES):
        mine.lose(RateLimited(1, "pause"), answered=True)

    with pytest.raises(StopJob) as raised:
        mine.lose(RateLimited(1, "pause"), answered=True)

    assert raised.value.code == "refused_for_long"
