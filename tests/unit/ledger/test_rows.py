"""Rows of a roster in the ledger: what reading them in decides, and the counts of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import (
    NORTH,
    a_candidate,
    a_course,
    a_job,
    a_job_of,
    a_row,
    as_new,
    change_records,
    claimed,
    counts,
    invalid,
    items_of,
    open_ledger,
    records_of,
    reported,
    statuses_of,
)
from worker.ledger import importing, intents, resolutions, rows, schema
from worker.ledger.importing import inside
from worker.ledger.intents import RowOutcome
from worker.model import RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.transactions import Ledger


async def register_all(ledger: Ledger, job_id: int) -> None:
    claim = claimed(ledger, job_id)
    for work in items_of(ledger, claim):
        outcome = RowOutcome(status=RowStatus.REGISTERED, registration_id=f"R{work.row_id}", http_status=200)
        await ledger.commit(*intents.registered(claim, work, outcome))


def test_a_row_is_loaded_as_it_was_parsed(ledger: Ledger) -> None:
    row = a_row(7, a_candidate(fields={"shoe": "44"}), registration_external_id="X-1")
    a_job_of(ledger, row)

    (record,) = records_of(ledger, schema.row)

    assert rows.read_row(record.parsed) == row


def test_a_new_row_is_not_attempted(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))

    record = reported(ledger, job_id, 2)

    assert (record.status, record.attempts, record.created, record.error) == (RowStatus.NOT_ATTEMPTED, 0, False, "")


def test_a_row_that_could_not_be_parsed_is_invalid_and_keeps_its_errors(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(inside(tx), job_id, NORTH, [invalid(2), as_new(a_row(3))], again=False)

    record = reported(ledger, job_id, 2)

    assert (record.status, record.error, record.code, record.column) == (
        RowStatus.INVALID,
        "No candidate.",
        "missing_value",
        "email",
    )
    assert counts(ledger) == {"candidate": 1, "registration": 1}


def test_the_same_person_on_the_same_course_further_down_is_skipped_and_names_the_row_above(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course("59")), a_row(4, ana), a_row(5, ana))

    assert statuses_of(ledger, job_id) == {
        2: RowStatus.NOT_ATTEMPTED,
        3: RowStatus.NOT_ATTEMPTED,
        4: RowStatus.SKIPPED,
        5: RowStatus.SKIPPED,
    }
    assert "row 2" in reported(ledger, job_id, 5).error
    assert reported(ledger, job_id, 5).code == "duplicate_row"


def test_course_names_are_the_same_in_any_case_and_ids_are_not(ledger: Ledger) -> None:
    ana = a_candidate()
    named = [a_row(2 + place, ana, course=a_course(None, name=name)) for place, name in enumerate(["Fire", "FIRE"])]
    by_ids = [
        a_row(4 + place, ana, course=a_course(None, external_id=each)) for place, each in enumerate(["c-1", "C-1"])
    ]
    job_id = a_job_of(ledger, *named, *by_ids)

    assert list(statuses_of(ledger, job_id).values()) == [
        RowStatus.NOT_ATTEMPTED,
        RowStatus.SKIPPED,
        RowStatus.NOT_ATTEMPTED,
        RowStatus.NOT_ATTEMPTED,
    ]


def test_the_same_course_of_another_legal_entity_is_another_course(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course(legal_entity_id="43")))

    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}


async def test_what_the_ledger_knows_as_registered_is_not_sent_again(ledger: Ledger) -> None:
    await register_all(ledger, a_job_of(ledger, a_row(2)))

    second = a_job_of(ledger, a_row(2), a_row(3))

    record = reported(ledger, second, 2)
    assert (record.status, record.registration_id) == (RowStatus.ALREADY_REGISTERED, "R1")
    assert reported(ledger, second, 3).status is RowStatus.NOT_ATTEMPTED


async def test_a_repeated_row_of_a_known_registration_is_skipped_all_the_same(ledger: Ledger) -> None:
    await register_all(ledger, a_job_of(ledger, a_row(2)))

    second = a_job_of(ledger, a_row(2), a_row(3, a_row(2).candidate))

    assert list(statuses_of(ledger, second).values()) == [RowStatus.ALREADY_REGISTERED, RowStatus.SKIPPED]


async def test_again_keeps_a_known_registration_and_lets_the_row_make_the_next_one(ledger: Ledger) -> None:
    await register_all(ledger, a_job_of(ledger, a_row(2)))

    second = a_job_of(ledger, a_row(2), a_row(3), again=True)

    registration, other = records_of(ledger, schema.registration)
    assert (registration.state, registration.series) == (RegistrationState.REGISTERED, 0)
    assert other.state == RegistrationState.NEW
    assert [each.repeats for each in records_of(ledger, schema.row)] == [None, 0, None]
    assert reported(ledger, second, 2).status is RowStatus.NOT_ATTEMPTED


async def test_again_leaves_duplicates_within_the_roster_skipped(ledger: Ledger) -> None:
    ana = a_candidate()
    await register_all(ledger, a_job_of(ledger, a_row(2, ana)))

    second = a_job_of(ledger, a_row(2, ana), a_row(3, ana), again=True)

    assert list(statuses_of(ledger, second).values()) == [RowStatus.NOT_ATTEMPTED, RowStatus.SKIPPED]
    assert [record.repeats for record in records_of(ledger, schema.row)] == [None, 0, None]


async def test_importing_a_roster_with_again_twice_counts_the_series_once(ledger: Ledger) -> None:
    await register_all(ledger, a_job_of(ledger, a_row(2)))
    second = a_job_of(ledger, a_row(2), again=True)

    with ledger.write() as tx:
        importing.add_rows(inside(tx), second, NORTH, [as_new(a_row(2))], again=True)

    assert [record.repeats for record in records_of(ledger, schema.row)] == [None, 0]


def test_importing_a_roster_again_after_a_crash_replaces_the_rows_of_the_first_import(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3), a_row(4))

    with ledger.write() as tx:
        importing.add_rows(inside(tx), job_id, NORTH, [as_new(a_row(2)), as_new(a_row(3))], again=False)

    assert sorted(statuses_of(ledger, job_id)) == [2, 3]
    assert counts(ledger) == {"candidate": 3, "registration": 3}


def test_an_import_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))

    def breaks() -> object:
        yield as_new(a_row(5))
        raise RuntimeError("the file ended")

    with pytest.raises(RuntimeError), ledger.write() as tx:
        importing.add_rows(inside(tx), job_id, NORTH, breaks(), again=False)

    assert list(statuses_of(ledger, job_id)) == [2]
    assert counts(ledger) == {"candidate": 1, "registration": 1}


def test_a_roster_longer_than_a_statement_allows_is_imported_completely(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(
            inside(tx), job_id, NORTH, (as_new(a_row(number)) for number in range(2, 6_502)), again=False
        )

    with ledger.read() as tx:
        assert rows.count_rows(tx, job_id).by_status[RowStatus.NOT_ATTEMPTED] == 6_500
    assert counts(ledger) == {"candidate": 6_500, "registration": 6_500}


def test_an_empty_roster_has_no_rows(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(inside(tx), job_id, NORTH, [], again=False)
        assert rows.count_rows(tx, job_id).total == 0


def test_rows_come_out_in_roster_order_whatever_order_they_went_in(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(9), a_row(2), a_row(5))

    assert list(statuses_of(ledger, job_id)) == [2, 5, 9]


def test_reopening_touches_only_the_statuses_that_are_named(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 5)))
    for number, status in ((2, RowStatus.REJECTED), (3, RowStatus.REGISTERED), (4, RowStatus.IN_DOUBT)):
        with ledger.write() as tx:
            mine = schema.row.update().where(schema.row.c.row == number)
            tx.execute(mine.values(status=status, error="why", error_code="refused"))

    with ledger.write() as tx:
        assert rows.reopen_rows(tx, job_id, rejected=True) == 1

    assert {record.row: record.status for record in records_of(ledger, schema.row)} == {
        2: RowStatus.NOT_ATTEMPTED,
        3: RowStatus.REGISTERED,
        4: RowStatus.IN_DOUBT,
    }
    assert statuses_of(ledger, job_id)[2] is RowStatus.REJECTED, "the last outcome is shown"
    assert (reported(ledger, job_id, 2).error, reported(ledger, job_id, 4).error) == ("why", "why")


def test_a_reason_is_written_on_the_unsent_rows_of_one_course_only(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3, course=a_course("59")))

    with ledger.write() as tx:
        rows.explain_rows(tx, job_id, a_course("59").key, "Not sent.", "course_stopped")

    assert [reported(ledger, job_id, number).code for number in (2, 3)] == ["", "course_stopped"]


def test_only_a_valid_row_can_be_found_for_a_resolution(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(inside(tx), job_id, NORTH, [invalid(2), as_new(a_row(3))], again=False)

    with ledger.read() as tx:
        assert resolutions.find_row(tx, job_id, 2) is None
        assert resolutions.find_row(tx, job_id, 99) is None
        assert resolutions.find_row(tx, job_id, 3) is not None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path_factory.mktemp("tally"))
    yield ledger
    ledger.close()


STATUSES = st.lists(st.sampled_from(sorted(RowStatus)), max_size=30)


@settings(max_examples=40, deadline=None)
@given(wanted=STATUSES)
def test_every_row_is_counted_once_and_every_status_is_listed(shared: Ledger, wanted: list[str]) -> None:
    with shared.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(
            inside(tx), job_id, NORTH, (invalid(number) for number in range(len(wanted))), again=False
        )
        for number, status in enumerate(wanted):
            mine = schema.row.update().where(schema.row.c.job_id == job_id, schema.row.c.row == number)
            tx.execute(mine.values(status=status))

        tally = rows.count_rows(tx, job_id)

    assert tally.by_status == {status: wanted.count(status) for status in RowStatus}
    assert tally.total == len(wanted)
    assert tally.registrations_created == wanted.count(RowStatus.REGISTERED)


def test_candidates_created_are_counted_by_row(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    change_records(ledger, schema.row, created=True)

    with ledger.read() as tx:
        assert rows.count_rows(tx, job_id).candidates_created == 2


PARSED = st.builds(
    a_row,
    st.integers(1, 10**6),
    st.builds(a_candidate, st.integers(1, 99), fields=st.dictionaries(st.text(max_size=5), st.text(max_size=5))),
    registration_date=st.none() | st.dates(),
    score=st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9, max_value=10**6),
    success=st.none() | st.booleans(),
    registration_external_id=st.none() | st.text(max_size=9),
)


@given(PARSED)
def test_every_value_of_a_row_is_stored_and_loaded_without_loss(row: RosterRow) -> None:
    assert rows.read_row(rows.dump_row(row)) == row
