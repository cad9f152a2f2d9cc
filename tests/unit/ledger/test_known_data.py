"""A row of a person who is registered already says what the LMS has otherwise, by whichever way it came to that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import (
    NORTH,
    a_candidate,
    a_course,
    a_job_of,
    a_row,
    change_records,
    claimed,
    items_of,
    reported,
)
from worker.ledger import action_intents, batches, course_change, intents, jobs, people, schema
from worker.ledger.intents import RowOutcome
from worker.ledger.people import CandidateMatch
from worker.model import Action, Person, RosterRow, RowStatus

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger

ANA = a_candidate(2, external_id="X-2", last_name="Old")
RENAMED = a_candidate(2, external_id="X-2", last_name="New")
CREATED_OTHERWISE = "Roster created this person with another last name; it was not changed in the LMS."


@pytest.fixture
async def registered(ledger: Ledger) -> None:
    """A job has created a person and registered them on course 58."""
    claim = claimed(ledger, a_job_of(ledger, a_row(2, ANA)))
    for work in items_of(ledger, claim):
        await ledger.commit(
            *intents.candidate_created(claim, work, "900001"),
            *intents.registered(claim, work, RowOutcome(status=RowStatus.REGISTERED)),
        )
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)


async def update(ledger: Ledger, row: RosterRow, outcome: RowStatus) -> None:
    """Update the person of a row, with this outcome."""
    claim = claimed(ledger, a_job_of(ledger, row))
    for work in items_of(ledger, claim):
        await ledger.commit(*action_intents.action_intent(claim, work, Action.UPDATE, None))
        await ledger.commit(
            *action_intents.person_updated(claim, work, NORTH, "900001"),
            intents.row_outcome(claim, work, RowOutcome(status=outcome)),
        )


def shown(ledger: Ledger, job_id: int) -> tuple[RowStatus, str]:
    line = reported(ledger, job_id, 2)
    return line.status, line.error


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("person", "note"), [(RENAMED, CREATED_OTHERWISE), (ANA, "")])
def test_a_row_that_is_registered_already_when_it_is_read_says_what_differs(
    ledger: Ledger, person: object, note: str
) -> None:
    second = a_job_of(ledger, a_row(2, person))

    assert shown(ledger, second) == (RowStatus.ALREADY_REGISTERED, note)


@pytest.mark.usefixtures("registered")
def test_a_row_that_another_course_makes_registered_already_says_what_differs(ledger: Ledger) -> None:
    second = a_job_of(ledger, a_row(2, RENAMED, course=a_course("59")))
    with ledger.write() as tx:
        job = jobs.find_job(tx, second)
        assert job
        course_change.change_course(tx, job, a_course("58"))

    status, said = shown(ledger, second)
    assert status is RowStatus.ALREADY_REGISTERED
    assert said == f"The course was changed from 59 to 58. {CREATED_OTHERWISE}"


@pytest.mark.usefixtures("registered")
def test_a_row_whose_person_turns_out_to_be_one_who_is_registered_says_what_differs(ledger: Ledger) -> None:
    second = a_job_of(ledger, a_row(2, a_candidate(7, last_name="New")))
    with ledger.write() as tx:
        who = people.unknown_candidates(tx, second)[0].id
        ana = Person(candidate_id="900001", external_id="X-2", email="person2@example.com", login_name=None)
        people.save_matches(tx, NORTH, second, [CandidateMatch(id=who, person=ana)])

    status, said = shown(ledger, second)
    assert status is RowStatus.ALREADY_REGISTERED
    assert "the LMS had another e-mail address" in said


@pytest.mark.usefixtures("registered")
async def test_what_was_updated_since_does_not_differ(ledger: Ledger) -> None:
    await update(ledger, a_row(2, RENAMED, action=Action.UPDATE), RowStatus.UPDATED)

    assert shown(ledger, a_job_of(ledger, a_row(2, RENAMED))) == (RowStatus.ALREADY_REGISTERED, "")
    assert shown(ledger, a_job_of(ledger, a_row(2, ANA))) == (
        RowStatus.ALREADY_REGISTERED,
        CREATED_OTHERWISE.replace("created", "created or updated"),
    )


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("outcome", [RowStatus.REJECTED, RowStatus.IN_DOUBT])
async def test_nothing_is_said_to_differ_where_it_is_not_known_what_was_updated(
    ledger: Ledger, outcome: RowStatus
) -> None:
    await update(ledger, a_row(2, RENAMED, action=Action.UPDATE), outcome)
    change_records(ledger, schema.person, last_name_marks=None)

    assert shown(ledger, a_job_of(ledger, a_row(2, RENAMED))) == (RowStatus.ALREADY_REGISTERED, "")
