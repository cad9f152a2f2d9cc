"""Rows that identify a registration by its external id alone: what they are linked to, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import a_candidate, a_course, a_job_of, a_row, records_of, reported, statuses_of
from worker.jobs.estimate import estimate
from worker.ledger import batches, external_ids, rows, schema
from worker.ledger.external_ids import LookupResults
from worker.ledger.intents import RowOutcome
from worker.model import REGISTRATION_ACTIONS, Action, Candidate, Course, RosterRow, RowRules, RowStatus

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger

UNNAMED = Candidate()


def a_row_by_external_id(number: int, external_id: str = "R-1", **changes: Any) -> RosterRow:
    """Return a row that says nothing but which registration it means."""
    values = {"action": Action.COMPLETE, "course": None, "registration_external_id": external_id}
    return a_row(number, **{"candidate": UNNAMED, **values, **changes})


def is_linked_to(ledger: Ledger) -> list[tuple[Any, Any]]:
    return [(record.candidate_id, record.registration_id) for record in records_of(ledger, schema.row)]


def found(ledger: Ledger, job_id: int, candidate_id: str = "7") -> None:
    """Record for every unlinked row that its registration is that of a person on course 58."""
    with ledger.write() as tx:
        shown = [
            replace(each, row=replace(each.row, candidate=Candidate(candidate_id=candidate_id), course=a_course()))
            for each in external_ids.unlinked_rows(tx, job_id)
        ]
        external_ids.save_results(tx, job_id, "north", LookupResults(found=shown))


@pytest.mark.parametrize("action", Action)
def test_only_a_step_without_its_person_or_its_course_has_only_an_external_id(action: Action) -> None:
    alone = a_row_by_external_id(2, action=action)

    assert external_ids.has_only_external_id(alone) is (action in REGISTRATION_ACTIONS)
    assert external_ids.has_only_external_id(replace(alone, course=a_course())) is (action in REGISTRATION_ACTIONS)
    assert external_ids.has_only_external_id(replace(alone, candidate=a_candidate())) is (
        action in REGISTRATION_ACTIONS
    )
    assert not external_ids.has_only_external_id(replace(alone, candidate=a_candidate(), course=a_course()))
    assert not external_ids.has_only_external_id(replace(alone, registration_external_id=None))


def test_such_a_row_waits_and_is_neither_invalid_nor_planned(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row_by_external_id(2), a_row(3))

    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED, 3: RowStatus.NOT_ATTEMPTED}
    assert is_linked_to(ledger)[0] == (None, None)
    with ledger.write() as tx:
        assert [each.row.row for each in external_ids.unlinked_rows(tx, job_id)] == [2]
        assert batches.rows_to_plan(tx, job_id) == []
        ahead = rows.count_remaining(tx, job_id)
        calls = estimate(tx, job_id, RowRules(lists_people=True))
    assert (ahead.actions, ahead.unlinked) == (1, 1)
    assert (calls.least, calls.most) == (3, 8)


def test_the_same_id_and_action_again_is_skipped_before_the_lms_is_asked(ledger: Ledger) -> None:
    job_id = a_job_of(
        ledger,
        a_row_by_external_id(2),
        a_row_by_external_id(3),
        a_row_by_external_id(4, action=Action.APPROVE),
        a_row_by_external_id(5, "R-2"),
    )

    assert [number for number, status in statuses_of(ledger, job_id).items() if status is RowStatus.SKIPPED] == [3]
    assert reported(ledger, job_id, 3).code == "duplicate_row"


def test_a_row_is_linked_to_the_row_of_its_roster_that_registers_under_the_same_id(ledger: Ledger) -> None:
    maker = a_row(3, a_candidate(3), registration_external_id="R-1")
    job_id = a_job_of(
        ledger,
        a_row_by_external_id(2),
        maker,
        a_row_by_external_id(4, action=Action.APPROVE, candidate=a_candidate(3)),
    )

    assert set(is_linked_to(ledger)) == {(1, 1)}
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}


@pytest.mark.parametrize(
    "changes",
    [
        {"candidate": a_candidate(9)},
        {"candidate": Candidate(candidate_id="9")},
        {"course": a_course("59")},
        {"registration_external_id": "R-9"},
    ],
)
def test_a_row_that_contradicts_the_registering_row_waits_for_the_lms(
    ledger: Ledger, changes: dict[str, Any]
) -> None:
    a_job_of(ledger, a_row(2, a_candidate(2), registration_external_id="R-1"), a_row_by_external_id(3, **changes))

    assert is_linked_to(ledger)[1] == (None, None)


def test_an_id_of_two_registrations_in_the_roster_links_no_row(ledger: Ledger) -> None:
    claims = [a_row(number, a_candidate(number), registration_external_id="R-1") for number in (2, 3)]
    a_job_of(ledger, *claims, a_row_by_external_id(4))

    assert is_linked_to(ledger)[2] == (None, None)


def test_a_row_that_the_lms_identifies_is_like_any_other(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row_by_external_id(2), a_row_by_external_id(3, "R-2", action=Action.APPROVE))
    found(ledger, job_id)

    assert is_linked_to(ledger) == [(1, 1), (1, 1)]
    with ledger.write() as tx:
        assert external_ids.unlinked_rows(tx, job_id) == []
        assert [action for _, _, action in batches.rows_to_plan(tx, job_id)] == [Action.COMPLETE, Action.APPROVE]
    parsed = rows.read_row(records_of(ledger, schema.row)[0].parsed)
    assert (parsed.candidate.candidate_id, parsed.course) == ("7", a_course())


def test_a_row_that_turns_out_to_be_a_duplicate_is_skipped(ledger: Ledger) -> None:
    known = a_row(2, Candidate(candidate_id="7"), action=Action.COMPLETE)
    job_id = a_job_of(ledger, known, a_row_by_external_id(3))
    found(ledger, job_id)

    assert statuses_of(ledger, job_id) == {2: RowStatus.NOT_ATTEMPTED, 3: RowStatus.SKIPPED}


def test_a_rejected_row_may_be_sent_again(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row_by_external_id(2))
    refusal = RowOutcome(status=RowStatus.REJECTED, error="Nothing there.", code="not_registered")
    with ledger.write() as tx:
        (waiting,) = external_ids.unlinked_rows(tx, job_id)
        external_ids.save_results(tx, job_id, "north", LookupResults(rejected=[(waiting, refusal)]))
    record = reported(ledger, job_id, 2)
    assert (record.status, record.code, record.error) == ("rejected", "not_registered", "Nothing there.")

    with ledger.write() as tx:
        assert rows.reopen_rows(tx, job_id, rejected=True) == 1
        assert len(external_ids.unlinked_rows(tx, job_id)) == 1


def test_the_ledger_remembers_what_the_lms_confirmed_unless_the_row_names_another(ledger: Ledger) -> None:
    found(ledger, a_job_of(ledger, a_row_by_external_id(2)))
    with ledger.read() as tx:
        known = external_ids.known_registration(tx, "north", a_row_by_external_id(2))
        others = [
            external_ids.known_registration(tx, "south", a_row_by_external_id(2)),
            external_ids.known_registration(tx, "north", a_row_by_external_id(2, "R-2")),
            external_ids.known_registration(tx, "north", a_row_by_external_id(2, course=Course(course_id="59"))),
        ]
    assert known is not None
    assert (known.registration_id, known.lms_id) == (1, "7")
    assert others == [None, None, None]
    again = a_job_of(ledger, a_row_by_external_id(2))
    with ledger.write() as tx:
        (waiting,) = external_ids.unlinked_rows(tx, again)
        external_ids.save_results(tx, again, "north", LookupResults(known=[(waiting, known)]))
    assert is_linked_to(ledger) == [(1, 1), (1, 1)]
