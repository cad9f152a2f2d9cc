"""Any order of claims, intents, outcomes, lost answers, kills and reaping, held against a small model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import StaticPool, create_engine

from tests.builders import NORTH, a_candidate, a_course, a_job, a_row, as_new, open_batches_of, plan, records_of
from worker.errors import StaleClaim
from worker.ledger import batches, importing, intents, rows, schema
from worker.ledger.database import _prepare_sqlite, now
from worker.ledger.importing import inside
from worker.ledger.intents import RowOutcome
from worker.ledger.transactions import Ledger, Write, _PendingWork
from worker.model import CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem

ROSTERS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["58", "59"])), min_size=1, max_size=5)
SENDING = {CandidateState.SENDING, RegistrationState.SENDING}


def _in_memory() -> Ledger:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    _prepare_sqlite(engine)
    schema.metadata.create_all(engine)
    return Ledger(engine)


LEDGER = _in_memory()


@dataclass
class Worker:
    """One worker with its claim, what it loaded when it took it, and whether it was killed, or reaped as dead."""

    claim: Claim
    works: dict[int, WorkItem]
    dead: bool = False
    reaped: bool = False
    ended: bool = False
    #: Calls under way: candidates' and registrations' ids.
    creating: set[int] = field(default_factory=set)
    registering: set[int] = field(default_factory=set)


class Roster(RuleBasedStateMachine):
    """Workers over one ledger. `people` and `registrations` are what the ledger must know of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = LEDGER
        with self.ledger.write() as tx:
            for table in reversed(schema.metadata.sorted_tables):
                tx.execute(table.delete())
        self.workers: list[Worker] = []
        self.people: dict[int, CandidateState] = {}
        self.registrations: dict[int, RegistrationState] = {}
        self.ids: dict[int, str] = {}
        self.rows: dict[int, int] = {}

    @initialize(roster=ROSTERS, size=st.integers(1, 3))
    def first_job(self, roster: list[tuple[int, str]], size: int) -> None:
        self.another_job(roster, size)

    @precondition(lambda self: len(self.rows) < 3)
    @rule(roster=ROSTERS, size=st.integers(1, 3))
    def another_job(self, roster: list[tuple[int, str]], size: int) -> None:
        read = [
            a_row(number, a_candidate(person), course=a_course(course))
            for number, (person, course) in enumerate(roster, start=2)
        ]
        with self.ledger.write() as tx:
            job_id = a_job(tx)
            importing.add_rows(inside(tx), job_id, NORTH, map(as_new, read), again=False)
            plan(tx, job_id, size)
        self.rows[job_id] = len(read)
        for table, known, new in (
            (schema.candidate, self.people, CandidateState.NEW),
            (schema.registration, self.registrations, RegistrationState.NEW),
        ):
            for record in records_of(self.ledger, table):
                known.setdefault(record.id, new)

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        free = [batch for job_id in self.rows for batch in open_batches_of(self.ledger, job_id)]
        if not free:
            return
        batch = data.draw(st.sampled_from(free))
        with self.ledger.write() as tx:
            claim = batches.claim_batch(tx, batch.id, f"host-{len(self.workers)}/1/1.0")
            works = {work.row_id: work for work in intents.load_items(tx, claim)} if claim else {}
        assert (claim is None) == batch.running
        if claim is not None:
            self.workers.append(Worker(claim, works))

    @rule(data=st.data(), reload=st.booleans())
    def send_a_creation(self, data: st.DataObject, *, reload: bool) -> None:
        """Commit the intent as the program does: only for a candidate that is new and held by this claim."""
        worker, work = self._some_work(data, reload=reload)
        if work is None or worker is None:
            return
        person = work.candidate
        if not person.is_claimed or person.state is not CandidateState.NEW or person.id in worker.creating:
            return
        if self._commit(worker, intents.intent_to_create(worker.claim, work, work.candidate)):
            assert self.people[person.id] is CandidateState.NEW, "sent while it was known, under way or in doubt"
            self.people[person.id] = CandidateState.SENDING
            worker.creating.add(person.id)

    @rule(data=st.data(), what=st.sampled_from(["created", "lost", "refused"]))
    def a_creation_ends(self, data: st.DataObject, what: str) -> None:
        worker, work = self._some_work(data, reload=False)
        if work is None or worker is None or work.candidate.id not in worker.creating:
            return
        person, claim = work.candidate.id, worker.claim
        worker.creating.discard(person)
        writes, state = {
            "created": (intents.candidate_created(claim, work, f"L{person}"), CandidateState.KNOWN),
            "lost": (
                intents.state_changed(claim, work, work.candidate, CandidateState.IN_DOUBT),
                CandidateState.IN_DOUBT,
            ),
            "refused": (
                intents.state_changed(claim, work, work.candidate, CandidateState.NEW, unsent=True),
                CandidateState.NEW,
            ),
        }[what]
        if self._commit(worker, writes):
            assert self.people[person] is CandidateState.SENDING
            self.people[person] = state
            if what == "created":
                self.ids[person] = f"L{person}"

    @rule(data=st.data(), reload=st.booleans())
    def send_a_registration(self, data: st.DataObject, *, reload: bool) -> None:
        worker, work = self._some_work(data, reload=reload)
        if work is None or worker is None:
            return
        record = work.registration
        ready = record.is_claimed and record.state is RegistrationState.NEW and record.id not in worker.registering
        if ready and self._commit(worker, intents.intent_to_create(worker.claim, work, work.registration)):
            assert self.registrations[record.id] is RegistrationState.NEW, (
                "sent while registered, being sent or in doubt"
            )
            self.registrations[record.id] = RegistrationState.SENDING
            worker.registering.add(record.id)

    @rule(data=st.data(), what=st.sampled_from(["registered", "lost", "refused"]))
    def a_registration_ends(self, data: st.DataObject, what: str) -> None:
        worker, work = self._some_work(data, reload=False)
        if work is None or worker is None or work.registration.id not in worker.registering:
            return
        record, claim = work.registration.id, worker.claim
        worker.registering.discard(record)
        outcome = RowOutcome(status=RowStatus.REGISTERED, registration_id=f"R{record}")
        writes, state = {
            "registered": (intents.registered(claim, work, outcome), RegistrationState.REGISTERED),
            "lost": (
                intents.state_changed(claim, work, work.registration, RegistrationState.IN_DOUBT),
                RegistrationState.IN_DOUBT,
            ),
            "refused": (
                intents.state_changed(claim, work, work.registration, RegistrationState.NEW, unsent=True),
                RegistrationState.NEW,
            ),
        }[what]
        if self._commit(worker, writes):
            assert self.registrations[record] is RegistrationState.SENDING
            self.registrations[record] = state

    @rule(data=st.data(), there=st.booleans())
    def a_doubt_is_settled(self, data: st.DataObject, *, there: bool) -> None:
        worker, work = self._some_work(data, reload=True)
        if work is None or worker is None:
            return
        claim, person = worker.claim, work.candidate
        if person.is_claimed and person.state is CandidateState.IN_DOUBT:
            found = intents.candidate_found(claim, work, f"L{person.id}")
            absent = intents.state_changed(claim, work, work.candidate, CandidateState.NEW)
            if self._commit(worker, found if there else absent):
                self.people[person.id] = CandidateState.KNOWN if there else CandidateState.NEW
                if there:
                    self.ids[person.id] = f"L{person.id}"
        if work.registration.is_claimed and work.registration.state is RegistrationState.IN_DOUBT:
            outcome = RowOutcome(status=RowStatus.REGISTERED, registration_id="R")
            absent = intents.state_changed(claim, work, work.registration, RegistrationState.NEW)
            if self._commit(worker, intents.registered(claim, work, outcome) if there else absent):
                state = RegistrationState.REGISTERED if there else RegistrationState.NEW
                self.registrations[work.registration.id] = state

    @rule(data=st.data(), closed=st.booleans())
    def give_back(self, data: st.DataObject, *, closed: bool) -> None:
        worker = self._some_worker(data)
        if worker is None:
            return
        with self.ledger.write() as tx:
            batches.release(tx, worker.claim, closed=closed)
        if not worker.reaped:
            self._let_go(worker)
        worker.ended = True

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """Stop the heartbeat: the lease runs out. The worker itself may wake up later, with a lost claim."""
        worker = self._some_worker(data)
        if worker is None or worker.reaped:
            return
        worker.dead = True
        mine = schema.batch.c.id == worker.claim.batch_id, schema.batch.c.epoch == worker.claim.epoch
        with self.ledger.write() as tx:
            tx.execute(schema.batch.update().where(*mine).values(lease_until=now() - 1))

    @rule()
    def reap(self) -> None:
        dying = [worker for worker in self.workers if worker.dead and not worker.reaped and not worker.ended]
        with self.ledger.write() as tx:
            assert batches.reopen_abandoned(tx) == len(dying)
        for worker in dying:
            self._let_go(worker)
            worker.reaped = True

    @invariant()
    def the_ledger_knows_what_happened_and_nothing_known_is_lost(self) -> None:
        people = {record.id: record for record in records_of(self.ledger, schema.candidate)}
        assert {id_: CandidateState(record.state) for id_, record in people.items()} == self.people
        assert {id_: record.lms_id for id_, record in people.items() if record.lms_id} == self.ids
        records = records_of(self.ledger, schema.registration)
        assert {record.id: RegistrationState(record.state) for record in records} == self.registrations

    @invariant()
    def what_is_being_sent_is_held_by_a_claim_that_was_not_reaped(self) -> None:
        live = {worker.claim.token for worker in self.workers if not worker.reaped and not worker.ended}
        for table in (schema.candidate, schema.registration):
            for record in records_of(self.ledger, table):
                assert record.claimed_by is None or record.claimed_by in live
                if record.state in SENDING:
                    assert record.claimed_by is not None

    @invariant()
    def the_books_balance(self) -> None:
        with self.ledger.read() as tx:
            for job_id, count in self.rows.items():
                assert rows.count_rows(tx, job_id).total == count

    def _some_worker(self, data: st.DataObject) -> Worker | None:
        at_work = [worker for worker in self.workers if not worker.ended]
        return data.draw(st.sampled_from(at_work)) if at_work else None

    def _some_work(self, data: st.DataObject, *, reload: bool) -> tuple[Worker | None, WorkItem | None]:
        """Choose a row of a worker, as it was loaded, or as the ledger has it now."""
        worker = self._some_worker(data)
        if worker is None or not worker.works:
            return worker, None
        row_id = data.draw(st.sampled_from(sorted(worker.works)))
        if reload:
            with self.ledger.read() as tx:
                worker.works[row_id] = intents.load_item(tx, worker.claim, row_id)
        return worker, worker.works[row_id]

    def _commit(self, worker: Worker, writes: tuple[Write, ...]) -> bool:
        """Commit as the program does. What a claim holds it may write; a reaped one never, and it learns so."""
        (outcome,) = self.ledger._commit_together([_PendingWork(writes)])
        if worker.reaped:
            assert isinstance(outcome, StaleClaim)
            return False
        assert outcome is None
        for row_id in worker.works:
            with self.ledger.read() as tx:
                worker.works[row_id] = intents.load_item(tx, worker.claim, row_id)
        return True

    def _let_go(self, worker: Worker) -> None:
        for person in worker.creating:
            self.people[person] = CandidateState.IN_DOUBT
        for record in worker.registering:
            self.registrations[record] = RegistrationState.IN_DOUBT


@pytest.mark.slow
def test_nothing_is_sent_in_doubt_nothing_known_is_lost_and_the_counts_agree() -> None:
    run_state_machine_as_test(
        Roster,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
