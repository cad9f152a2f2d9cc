"""What the ledger promises on every database: SQLite and PostgreSQL.

Two `Ledger`s on one database stand for two processes.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from tests.builders import (
    ELSEWHERE,
    NORTH,
    a_candidate,
    a_course,
    a_job,
    a_job_of,
    a_row,
    as_new,
    change_records,
    claimed,
    items_of,
    open_batches_of,
    plan,
    record_of,
    records_of,
    statuses_of,
)
from worker.errors import StaleClaim
from worker.intake.accept import Accepted, accept
from worker.intake.importing import import_roster
from worker.intake.options import Options
from worker.intake.storage import estimate_rows
from worker.jobs import advance
from worker.jobs.completion import close_if_done
from worker.ledger import (
    action_intents,
    batches,
    external_ids,
    importing,
    intents,
    jobs,
    key_value,
    person_claims,
    queue,
    report_files,
    rows,
    schema,
)
from worker.ledger import people as directory
from worker.ledger.candidates import CandidateIndex, identify
from worker.ledger.database import HEAD, custom_plans, now, open_engine
from worker.ledger.external_ids import LookupResults
from worker.ledger.intents import RowOutcome
from worker.ledger.leases import owner_name
from worker.ledger.queue import Priority
from worker.ledger.transactions import Ledger
from worker.lms.contract import Person
from worker.model import Action, Candidate, CandidateState, Driver, JobState, RowRules, RowStatus
from worker.reports import gather
from worker.settings import Connection as Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem


async def test_of_two_processes_that_claim_the_same_batches_each_batch_goes_to_one(
    two: tuple[Ledger, Ledger],
) -> None:
    job_id = a_job_of(two[0], *(a_row(number) for number in range(2, 22)), size=1)
    ids = [batch.id for batch in open_batches_of(two[0], job_id)]

    results = await asyncio.gather(
        *(
            ledger.run(lambda tx, id_=id_: batches.claim_batch(tx, id_, owner_name()))
            for id_ in ids
            for ledger in two
        )
    )

    won = [claim.batch_id for claim in results if claim is not None]
    assert sorted(won) == ids


async def test_of_two_batches_that_name_one_candidate_exactly_one_may_create_them(
    two: tuple[Ledger, Ledger],
) -> None:
    ana = a_candidate()
    job_id = a_job_of(two[0], a_row(2, ana), a_row(3, ana, course=a_course("59")), size=1)
    claims = [claimed(ledger, job_id, place=place) for place, ledger in enumerate(two)]

    results = await asyncio.gather(
        *(
            ledger.commit(*intents.intent_to_create(claim, work, work.candidate))
            for ledger, claim in zip(two, claims, strict=True)
            for work in items_of(ledger, claim)[:1]
        ),
        return_exceptions=True,
    )

    assert [isinstance(result, StaleClaim) for result in results].count(True) == 1


async def _two_claims(ledger: Ledger) -> tuple[batches.Claim, batches.Claim, int, int]:
    """Return the claims of two jobs, each with its candidate."""
    jobs_ = [a_job_of(ledger, a_row(1, a_candidate(number, external_id=f"X-{number}"))) for number in (1, 2)]
    claims = [
        claimed(ledger, job_id, f"{ELSEWHERE.rpartition('/')[0]}/{number}") for number, job_id in enumerate(jobs_)
    ]
    first, second = (items_of(ledger, claim)[0].candidate.id for claim in claims)
    return claims[0], claims[1], first, second


async def test_a_person_is_claimed_under_all_that_names_them_or_not_at_all(two: tuple[Ledger, Ledger]) -> None:
    mine, theirs = two
    one, other, first, second = await _two_claims(mine)

    def claim_in(ledger: Ledger, claim: batches.Claim, who: int, *texts: str) -> person_claims.ClaimedPeople:
        with ledger.write() as tx:
            return person_claims.claim_people(tx, claim, NORTH, {who: texts})

    got = claim_in(mine, one, first, "email ada@example.com", "idnumber x-1")
    refused = claim_in(theirs, other, second, "username ada", "email ada@example.com")
    apart = claim_in(theirs, other, second, "username ada")
    await mine.commit(*person_claims.people_released(one, [first]))
    after = claim_in(theirs, other, second, "username ada", "email ada@example.com")

    assert (got.candidate_ids, refused.candidate_ids, apart.candidate_ids) == ({first}, frozenset(), {second})
    assert (after.candidate_ids, after.in_doubt) == ({second}, frozenset())


@pytest.mark.parametrize("state", [CandidateState.SENDING, CandidateState.NEW])
async def test_the_claims_of_a_dead_process_are_free_and_say_whether_its_call_is_in_doubt(
    two: tuple[Ledger, Ledger], state: CandidateState
) -> None:
    mine, theirs = two
    one, other, first, second = await _two_claims(mine)
    with mine.write() as tx:
        person_claims.claim_people(tx, one, NORTH, {first: ["email ada@example.com"]})
        tx.execute(schema.candidate.update().where(schema.candidate.c.id == first).values(state=state))
        tx.execute(schema.batch.update().where(schema.batch.c.id == one.batch_id).values(lease_until=0.0))
    with theirs.write() as tx:
        batches.reopen_abandoned(tx, one.job_id)
        got = person_claims.claim_people(tx, other, NORTH, {second: ["email ada@example.com"]})

    assert got.candidate_ids == {second}
    assert got.in_doubt == ({second} if state is CandidateState.SENDING else frozenset())


async def test_a_person_is_carried_by_one_call_of_a_kind_at_a_time_under_whichever_record(
    two: tuple[Ledger, Ledger],
) -> None:
    mine, theirs = two
    one, other, first, second = await _two_claims(mine)

    def carry(ledger: Ledger, claim: batches.Claim, who: int, kind: str = "account") -> frozenset[int]:
        with ledger.write() as tx:
            return person_claims.claim_for_write(tx, claim, NORTH, kind, {who: "77"})

    claimed_first, refused = carry(mine, one, first), carry(theirs, other, second)
    nested, another_kind = carry(mine, one, first), carry(theirs, other, second, "registration")
    with mine.write() as tx:
        # As a process leaves it that lost its batch, and died before it could release what it claimed afterwards.
        tx.execute(schema.batch.update().where(schema.batch.c.id == one.batch_id).values(epoch=one.epoch + 1))
    after = carry(theirs, other, second)

    assert (claimed_first, refused, nested) == (frozenset(), {first}, frozenset())
    assert (another_kind, after) == (frozenset(), frozenset())


def test_processes_that_claim_the_same_people_in_opposite_order_do_not_wait_for_each_other(
    two: tuple[Ledger, Ledger],
) -> None:
    one, other, first, second = asyncio.run(_two_claims(two[0]))
    texts = [f"email {number}@example.com" for number in range(200)]

    def claim_all(ledger: Ledger, claim: batches.Claim, who: int, names: list[str]) -> int:
        won = 0
        for _ in range(5):
            with ledger.write() as tx:
                won += len(person_claims.claim_people(tx, claim, NORTH, {who: names}).candidate_ids)
            asyncio.run(ledger.commit(*person_claims.people_released(claim, [who])))
        return won

    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(claim_all, two[0], one, first, texts)
        theirs = pool.submit(claim_all, two[1], other, second, texts[::-1])
        won = [mine.result(30), theirs.result(30)]

    assert sum(won) >= 5


async def test_commits_of_two_processes_at_once_are_all_written(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], *(a_row(number) for number in range(2, 62)), size=30)
    claims = [claimed(ledger, job_id, place=place) for place, ledger in enumerate(two)]

    await asyncio.gather(
        *(
            ledger.commit(*intents.candidate_created(claim, work, f"L{work.row_id}"))
            for ledger, claim in zip(two, claims, strict=True)
            for work in items_of(ledger, claim)
        )
    )

    assert {record.state for record in records_of(two[1], schema.candidate)} == {CandidateState.KNOWN}
    with two[1].read() as tx:
        assert rows.count_rows(tx, job_id).candidates_created == 60


async def test_a_claim_that_another_process_took_over_writes_nothing(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2))
    stale = claimed(two[0], job_id, ELSEWHERE)
    (work,) = items_of(two[0], stale)
    await two[0].commit(*intents.intent_to_create(stale, work, work.candidate))
    change_records(two[1], schema.batch, lease_until=now() - 1)
    with two[1].write() as tx:
        assert batches.reopen_abandoned(tx) == 1
    claimed(two[1], job_id)

    with pytest.raises(StaleClaim):
        await two[0].commit(*intents.candidate_created(stale, work, "7"))

    record = record_of(two[1], schema.candidate, work.candidate.id)
    assert (record.state, record.lms_id) == (CandidateState.IN_DOUBT, None)
    assert statuses_of(two[1], job_id) == {2: RowStatus.IN_DOUBT}


async def test_of_two_processes_that_finish_the_last_batches_one_closes_the_job(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2), state=JobState.RUNNING)
    claim = claimed(two[0], job_id)
    (work,) = items_of(two[0], claim)
    await two[0].commit(*intents.registered(claim, work, RowOutcome(status=RowStatus.REGISTERED)))
    with two[0].write() as tx:
        batches.release(tx, claim, closed=True)

    closed = await asyncio.gather(*(ledger.run(lambda tx: close_if_done(tx, job_id)) for ledger in two))

    assert sorted(closed) == [False, True]


def test_look_ups_by_many_values_use_custom_plans_and_nothing_else_does(two: tuple[Ledger, Ledger]) -> None:
    with two[0].write() as tx:
        if tx.dialect.name != "postgresql":
            pytest.skip("SQLite has no such plans")
        mode = text("SHOW plan_cache_mode")
        with custom_plans(tx):
            within_it = tx.execute(mode).scalar()
        after_it = tx.execute(mode).scalar()

    assert (within_it, after_it) == ("force_custom_plan", "auto")


def test_a_claim_starts_from_the_rows_of_its_batch_before_there_are_statistics(
    two: tuple[Ledger, Ledger],
) -> None:
    people, batch_rows = 4_000, 20
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, people + 2))
    job_id = a_job_of(two[0], *roster, size=batch_rows)
    batch_id = open_batches_of(two[0], job_id)[0].id
    searches = text(
        "SELECT sum(idx_scan) FROM pg_stat_xact_user_tables WHERE relname IN ('row', 'candidate', 'registration')"
    )
    with two[0].write() as tx:
        if tx.dialect.name != "postgresql":
            pytest.skip("SQLite does not count searches")
        before = tx.execute(searches).scalar_one()
        assert batches.claim_batch(tx, batch_id, owner_name())
        made = tx.execute(searches).scalar_one() - before

    assert made < 5 * batch_rows < people


@pytest.mark.parametrize(
    ("rows_left", "urgency"),
    [(200, Priority.HIGH), (201, Priority.NORMAL), (2000, Priority.NORMAL), (2001, Priority.LOW)],
)
def test_the_priority_of_a_jobs_batches_depends_on_its_rows_left(
    two: tuple[Ledger, Ledger], rows_left: int, urgency: Priority
) -> None:
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, rows_left + 2))
    job_id = a_job_of(two[0], *roster, driver=Driver.QUEUE, planned=True)
    with two[0].write() as tx:
        advance.advance(tx, job_id, advance.Window(), now())
    with two[1].read() as tx:
        waiting = queue.unclaimed(tx, estimate_rows, exclude=())

    assert [(message.job_id, message.priority) for message in waiting] == [(job_id, urgency)]


def test_the_calls_of_a_job_are_the_sum_over_the_processes_that_made_them(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    with ledger.write() as tx:
        jobs.add_calls(tx, job_id, {"register": 2})
        counted = tx.execute(select(schema.call_count.c.operation)).scalar_one()
        tx.execute(schema.call_count.insert().values(job_id=job_id, operation=f"register/{jobs.COUNTERS}", calls=3))
        jobs.add_calls(tx, job_id, {"register": 1})

        assert jobs.calls_of(tx, job_id) == {"register": 6}
        assert (counted == "register") == (tx.dialect.name == "sqlite")


def test_calls_are_added_up(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2))
    for ledger in two:
        with ledger.write() as tx:
            jobs.add_calls(tx, job_id, {"register": 2, "create_candidate": 1})
            jobs.add_to_counters(
                tx, job_id, rate_limited=1, waited_seconds=0.5, bisected_batches=2, busy_seconds=1.5
            )

    with two[0].read() as tx:
        assert jobs.calls_of(tx, job_id) == {"create_candidate": 2, "register": 4}
        job = jobs.find_job(tx, job_id)
    assert job is not None
    counters = (job.rate_limited, job.waited_seconds, job.bisected_batches, job.busy_seconds)
    assert counters == (2, 1.0, 4, 3.0)


def test_a_job_is_found_by_its_fingerprint_until_it_has_ended(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2))

    with two[1].write() as tx:
        duplicate = jobs.find_open_duplicate(tx, "north", "f" * 64)
        assert duplicate is not None
        assert duplicate.id == job_id
        assert jobs.find_open_duplicate(tx, "south", "f" * 64) is None
        jobs.change_job(tx, job_id, state=JobState.SUCCEEDED)
        assert jobs.find_open_duplicate(tx, "north", "f" * 64) is None


def test_a_state_changes_only_from_those_that_allow_it(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2), state=JobState.PAUSED)

    with two[0].write() as tx:
        assert not jobs.change_job(tx, job_id, only_from=[JobState.RUNNING], state=JobState.SUCCEEDED)
        assert jobs.change_job(tx, job_id, only_from=[JobState.PAUSED], state=JobState.RUNNING)
        assert not jobs.change_job(tx, 99, state=JobState.RUNNING)


def a_person(candidate_id: str, external_id: str | None = None, email: str | None = None) -> Person:
    return Person(candidate_id=candidate_id, external_id=external_id, email=email, login_name=None)


@pytest.mark.parametrize(
    ("candidate", "people", "lms_id", "status"),
    [
        ({"external_id": "E-1"}, [a_person("7", "E-1", "old@example.org")], "7", RowStatus.NOT_ATTEMPTED),
        ({}, [a_person("7", None, "PERSON2@Example.org")], "7", RowStatus.NOT_ATTEMPTED),
        ({"external_id": "E-1"}, [a_person("7", None, "person2@example.org")], "7", RowStatus.NOT_ATTEMPTED),
        ({"external_id": "E-1"}, [a_person("7", "E-2", "person2@example.org")], None, RowStatus.NOT_ATTEMPTED),
        ({}, [a_person("7", "E-1", "person2@example.org")], "7", RowStatus.NOT_ATTEMPTED),
        ({}, [a_person("7", None, "other@example.org")], None, RowStatus.NOT_ATTEMPTED),
        ({"external_id": "E-1"}, [a_person("7", "E-1"), a_person("8", "E-1")], None, RowStatus.INVALID),
        (
            {},
            [a_person("7", "A", "person2@example.org"), a_person("8", "B", "person2@example.org")],
            None,
            "invalid",
        ),
    ],
)
def test_the_people_of_the_lms_are_known_by_external_id_else_by_email(
    two: tuple[Ledger, Ledger],
    candidate: dict[str, str],
    people: list[Person],
    lms_id: str | None,
    status: str,
) -> None:
    job_id = a_job_of(two[0], a_row(2, a_candidate(2, **candidate)))

    with two[0].write() as tx:
        directory.add_people(tx, "north", people)
        directory.match_candidates(tx, "north", job_id)

    (record,) = records_of(two[1], schema.candidate)
    assert record.lms_id == lms_id
    assert statuses_of(two[1], job_id) == {2: status}


def test_people_of_another_connection_match_no_candidate(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2))

    with two[0].write() as tx:
        directory.add_people(tx, "south", [a_person("7", None, "person2@example.org")])
        directory.match_candidates(tx, "north", job_id)

    assert records_of(two[0], schema.candidate)[0].lms_id is None


def test_a_person_listed_again_is_listed_once_with_the_newest_values(two: tuple[Ledger, Ledger]) -> None:
    with two[0].write() as tx:
        directory.add_people(tx, "north", [a_person("7", "OLD"), a_person("7", "OLD")])
        directory.add_people(tx, "north", [a_person("7", "NEW")])
        directory.add_people(tx, "north", [])
        assert len(list(tx.execute(schema.person.select()))) == 1

    job_id = a_job_of(two[0], a_row(2, a_candidate(external_id="NEW")))
    with two[0].write() as tx:
        directory.match_candidates(tx, "north", job_id)
    assert records_of(two[1], schema.candidate)[0].lms_id == "7"


def test_a_stored_value_replaces_the_older_one(two: tuple[Ledger, Ledger]) -> None:
    for ledger, rate in zip(two, (5.0, 9.0), strict=True):
        with ledger.write() as tx:
            key_value.put(tx, "pace:x", {"rate": rate})

    with two[0].read() as tx:
        assert key_value.get(tx, "pace:x") == {"rate": 9.0}
        assert key_value.get(tx, "pace:y") is None
        assert directory.read_until(tx, "north") is None


async def test_two_transactions_that_wait_for_each_other_both_get_through(two: tuple[Ledger, Ledger]) -> None:
    ids = [a_job_of(two[0], a_row(number)) for number in (2, 3)]

    def both(first: int, second: int) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            jobs.add_to_counters(tx, first, rate_limited=1)
            time.sleep(0.3)
            jobs.add_to_counters(tx, second, rate_limited=1)

        return work

    await asyncio.gather(two[0].run(both(*ids)), two[1].run(both(*reversed(ids))))

    assert [record.rate_limited for record in records_of(two[0], schema.job)] == [2, 2]


def test_processes_that_open_a_new_ledger_at_the_same_time_make_it_once(empty_database: str) -> None:
    with ThreadPoolExecutor(5) as threads:
        engines = list(threads.map(lambda _: open_engine(empty_database), range(5)))

    with engines[0].connect() as connection:
        assert connection.execute(text("select version_num from alembic_version")).scalars().all() == [HEAD]
    for engine in engines:
        engine.dispose()


async def test_calls_counted_by_two_processes_at_the_same_time_add_up(two: tuple[Ledger, Ledger]) -> None:
    job_id = a_job_of(two[0], a_row(2))

    await asyncio.gather(
        *(
            ledger.run(lambda tx: jobs.add_calls(tx, job_id, {"register": 1, "create_candidate": 2}))
            for ledger in two
            for _ in range(10)
        )
    )

    with two[0].read() as tx:
        assert jobs.calls_of(tx, job_id) == {"create_candidate": 40, "register": 20}


async def test_two_rosters_that_are_imported_at_once_share_the_record_of_a_person(database: str) -> None:
    def read(number: int) -> None:
        ledger = Ledger(open_engine(database))
        with ledger.write() as tx:
            job_id = a_job(tx)
        people = [a_row(row) for row in range(2, 4_502)]
        people = people if number else list(reversed(people))
        importing.add_rows(ledger.write, job_id, "north", map(as_new, people), again=False)
        ledger.close()

    await asyncio.gather(*(asyncio.to_thread(read, number) for number in range(2)))

    ledger = Ledger(open_engine(database))
    assert len(records_of(ledger, schema.candidate)) == 4_500
    assert len(records_of(ledger, schema.row)) == 9_000
    ledger.close()


async def test_a_short_roster_does_not_wait_until_a_long_one_is_imported(database: str) -> None:
    ledger, other = Ledger(open_engine(database)), Ledger(open_engine(database))
    with ledger.write() as tx:
        long, short = a_job(tx), a_job(tx)

    def rows_of_the_long_one() -> Iterator[importing.NewRow]:
        yield from map(as_new, (a_row(row) for row in range(2, 4_002)))
        importing.add_rows(other.write, short, "north", map(as_new, [a_row(2), a_row(3)]), again=False)
        yield from map(as_new, (a_row(row) for row in range(4_002, 4_010)))

    importing.add_rows(ledger.write, long, "north", rows_of_the_long_one(), again=False)

    with ledger.read() as tx:
        assert [rows.count_rows(tx, job_id).total for job_id in (long, short)] == [4_008, 2]
    for each in (ledger, other):
        each.close()


def test_what_a_worker_saved_while_a_roster_is_imported_is_not_overwritten(two: tuple[Ledger, Ledger]) -> None:
    reader, worker = two
    mine = identify(a_candidate(2, external_id=None))
    with reader.write() as tx:
        first = CandidateIndex("north")
        first.find(mine, None)
        first.save(tx)
    second = CandidateIndex("north")
    with reader.read() as tx:
        second.load(tx, [mine])
    change_records(worker, schema.candidate, state=CandidateState.KNOWN, lms_id="77", id_key="k77")

    second.find(identify(a_candidate(2, external_id="E-2")), None)
    with reader.write() as tx:
        second.save(tx)

    (record,) = records_of(reader, schema.candidate)
    assert (record.state, record.lms_id, record.id_key) == (CandidateState.KNOWN, "77", "k77")
    assert record.external_key is not None


def test_a_dry_run_blocks_no_process_and_leaves_no_trace(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    with one.dry_run() as tx:
        a_job(tx)
        with other.write() as real:
            job_id = a_job(real)

    assert [record.id for record in records_of(one, schema.job)] == [job_id]


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD, JobState.CANCELLING])
def test_batches_of_a_job_that_is_not_running_are_not_unclaimed_work(
    two: tuple[Ledger, Ledger], state: JobState
) -> None:
    ledger = two[0]
    job_id = a_job_of(ledger, a_row(2), driver=Driver.QUEUE)
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, planned=True)
        advance.advance(tx, job_id, advance.Window(), now())
        assert [message.job_id for message in queue.unclaimed(tx, estimate_rows, exclude=())] == [job_id]

        jobs.change_job(tx, job_id, state=state)

        assert queue.unclaimed(tx, estimate_rows, exclude=()) == []


def test_a_roster_is_imported_only_by_the_process_that_claimed_it(
    two: tuple[Ledger, Ledger], tmp_path: Path
) -> None:
    ledger = two[0]
    roster = tmp_path / "roster.csv"
    roster.write_text("email,first_name,last_name,course_id\na@example.com,A,B,58\n")
    rules = RowRules(needs_behavior=False)
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.UPLOADED, stored_path=str(roster))
        assert jobs.claim_job(tx, job_id, "elsewhere/1/1.0")

    with pytest.raises(StaleClaim):
        import_roster(ledger, job_id, rules, owner="here/2/2.0")
    assert records_of(ledger, schema.row) == []

    import_roster(ledger, job_id, rules, owner="elsewhere/1/1.0")
    assert len(records_of(ledger, schema.row)) == 1
    with ledger.read() as tx:
        assert jobs.state_of(tx, job_id) is JobState.QUEUED


def test_a_row_with_many_problems_is_imported_with_all_its_codes(
    two: tuple[Ledger, Ledger], tmp_path: Path
) -> None:
    ledger = two[0]
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "email,first_name,last_name,date_of_birth,expiration_date,country,course_id\n"
        "nonsense,#N/A,B,02/03/2004,someday,Nowhereland,\n"
    )
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.UPLOADED, stored_path=str(roster))
        jobs.claim_job(tx, job_id, "here/2/2.0")

    import_roster(ledger, job_id, RowRules(), owner="here/2/2.0")

    (row,) = records_of(ledger, schema.row)
    assert row.status == RowStatus.INVALID
    assert set(row.error_code.split("; ")) >= {"invalid_email", "excel_error", "ambiguous_date", "invalid_country"}
    assert len(row.error_code) > 60


def test_a_job_that_was_cancelled_is_not_imported(two: tuple[Ledger, Ledger]) -> None:
    ledger = two[0]
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.CANCELLED)
        jobs.claim_job(tx, job_id, "here/2/2.0")

    import_roster(ledger, job_id, RowRules(), owner="here/2/2.0")

    with ledger.read() as tx:
        assert jobs.state_of(tx, job_id) is JobState.CANCELLED


def test_the_same_roster_uploaded_twice_at_the_same_moment_is_one_job(
    two: tuple[Ledger, Ledger], tmp_path: Path
) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text("email\na@example.com\n")
    connection = Account(name="north", system="kmi", base_url="http://127.0.0.1")

    def submit(ledger: Ledger) -> Accepted:
        return accept(
            ledger,
            roster,
            name="roster.csv",
            connection=connection,
            options=Options(),
            store=str(tmp_path / "files"),
            report_dir=None,
        )

    with ThreadPoolExecutor(4) as threads:
        accepted = list(threads.map(submit, [*two, *two]))

    assert len({each.job_id for each in accepted}) == 1
    assert [each.is_duplicate for each in accepted].count(False) == 1


@pytest.mark.parametrize("action", [Action.COMPLETE, Action.WITHDRAW, Action.UPDATE, Action.DEACTIVATE])
async def test_what_a_dead_process_left_sending_is_in_doubt_with_its_pending_action(
    two: tuple[Ledger, Ledger], action: Action
) -> None:
    course = None if action.is_about_person else a_course()
    job_id = a_job_of(two[0], a_row(2, a_candidate(candidate_id="7"), action=action, course=course))
    claim = claimed(two[0], job_id, ELSEWHERE)
    (work,) = items_of(two[0], claim)
    await two[0].commit(*action_intents.action_intent(claim, work, action, "100500"))
    change_records(two[1], schema.batch, lease_until=now() - 1)

    with two[1].write() as tx:
        assert batches.reopen_abandoned(tx) == 1

    assert statuses_of(two[1], job_id) == {2: RowStatus.IN_DOUBT}
    heir = claimed(two[1], job_id)
    (work,) = items_of(two[1], heir)
    record = work.candidate if action.is_about_person else work.registration
    assert (str(record.state), record.pending_action, record.is_claimed) == ("in_doubt", action, True)
    with pytest.raises(StaleClaim):
        await two[0].commit(*action_intents.action_not_done(claim, work, action))


async def test_a_deactivated_person_is_deleted_from_the_list_of_people(two: tuple[Ledger, Ledger]) -> None:
    row = a_row(2, a_candidate(candidate_id="7"), action=Action.DEACTIVATE, course=None)
    job_id = a_job_of(two[0], row)
    listed = [Person(candidate_id=who, external_id=None, email=None, login_name=None) for who in ("7", "8")]
    with two[0].write() as tx:
        directory.add_people(tx, "north", listed)
        directory.add_people(tx, "south", listed)
    claim = claimed(two[0], job_id)
    (work,) = items_of(two[0], claim)

    await two[0].commit(*action_intents.person_deactivated(claim, work, "north", "7"))

    with two[1].read() as tx:
        left = tx.execute(
            select(schema.person.c.connection, schema.person.c.lms_id).order_by("connection", "lms_id")
        )
        assert [tuple(record) for record in left] == [("north", "8"), ("south", "7"), ("south", "8")]
    assert record_of(two[1], schema.candidate, work.candidate.id).state == CandidateState.DEACTIVATED


async def test_a_registration_made_under_the_rosters_own_id_is_known_by_it_in_another_process(
    two: tuple[Ledger, Ledger],
) -> None:
    maker = a_row(2, a_candidate(candidate_id="7"), registration_external_id="R/1")
    others = [a_row(3), a_row(4, registration_external_id="R/2")]
    claim = claimed(two[0], a_job_of(two[0], maker, *others))
    works = items_of(two[0], claim)
    statuses = (RowStatus.REGISTERED, RowStatus.REGISTERED, RowStatus.ALREADY_REGISTERED)
    outcomes = [RowOutcome(status=status, registration_id=str(place)) for place, status in enumerate(statuses)]
    for work, outcome in zip(works, outcomes, strict=True):
        await two[0].commit(*intents.registered(claim, work, outcome))
    alone = [
        a_row(number, Candidate(), action=Action.COMPLETE, course=None, registration_external_id=name)
        for number, name in enumerate(("R/1", "R/2"), start=2)
    ]
    job_id = a_job_of(two[1], *alone)

    with two[1].write() as tx:
        known = [external_ids.known_registration(tx, NORTH, row) for row in alone]
        waiting = external_ids.unlinked_rows(tx, job_id)
        assert known[0] is not None
        external_ids.save_results(tx, job_id, NORTH, LookupResults(known=[(waiting[0], known[0])]))

    assert (known[0].lms_id, known[1]) == ("7", None)
    assert [record.registration_id for record in records_of(two[0], schema.row)[3:]] == [
        works[0].registration.id,
        None,
    ]
    (found,) = plan_and_work(two[1], job_id)
    assert (found.candidate.lms_id, found.registration.lms_id) == ("7", "0")


def plan_and_work(ledger: Ledger, job_id: int) -> list[WorkItem]:
    with ledger.write() as tx:
        plan(tx, job_id)
    return items_of(ledger, claimed(ledger, job_id))


def test_two_processes_record_the_same_report_at_the_same_moment(two: tuple[Ledger, Ledger]) -> None:
    def record(ledger: Ledger) -> None:
        with ledger.write() as tx:
            report_files.add_digests(tx, "key", {"/reports/hr.results.csv": "digest"})

    with ThreadPoolExecutor(1) as other:
        with two[0].write() as tx:
            report_files.add_digests(tx, "key", {"/reports/hr.results.csv": "digest"})
            waiting = other.submit(record, two[1])
            with suppress(FutureTimeout):
                waiting.result(timeout=0.2)
        waiting.result()

    with two[0].read() as tx:
        assert report_files.known_digests(tx, "/reports/hr.results.csv", "key") == {"digest"}


async def test_the_counts_and_the_rows_of_a_report_are_of_one_moment(two: tuple[Ledger, Ledger]) -> None:
    """Another job settles the only open row of a job between two questions of one reader."""
    ledger, other = two
    first, second = (a_job_of(ledger, a_row(2)) for _ in range(2))
    claim = claimed(other, second)
    (work,) = items_of(other, claim)
    with ledger.write() as tx:
        jobs.change_job(tx, first, state=JobState.CANCELLED)
    with ledger.read() as tx:
        job = jobs.find_job(tx, first)
        assert job
        assert rows.count_rows(tx, first).pending == 1
        await other.commit(*intents.registered(claim, work, RowOutcome(status=RowStatus.REGISTERED)))

        summary, (line,) = gather.summarise(tx, job), list(gather.report_lines(tx, job))

    assert (summary.open_rows, line.error) == (1, "Not sent")
    with ledger.read() as tx:
        assert gather.summarise(tx, job).open_rows == 0
