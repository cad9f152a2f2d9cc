"""Who is who: candidate_id, else external_id, else email; over rows, rosters and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import StaticPool, create_engine

from tests.builders import NORTH, a_candidate, a_job, a_job_of, a_row, as_new, counts, records_of, statuses_of
from worker.ledger import importing, rows, schema
from worker.ledger.candidates import CandidateIndex, hash_identifier, identify
from worker.ledger.database import _prepare_sqlite
from worker.ledger.importing import inside
from worker.ledger.transactions import Ledger
from worker.model import Candidate, CandidateState, RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random


def who(email: str | None = None, external_id: str | None = None, candidate_id: str | None = None) -> Candidate:
    return Candidate(email=email, external_id=external_id, candidate_id=candidate_id)


def candidates_of(ledger: Ledger, *people: Candidate) -> list[int | None]:
    """Read the people in as one roster and return each row's candidate."""
    job_id = a_job_of(ledger, *(a_row(number, person) for number, person in enumerate(people, start=2)))
    return [record.candidate_id for record in records_of(ledger, schema.row) if record.job_id == job_id]


@pytest.mark.parametrize(
    ("person", "kind", "value"),
    [
        (who("a@x.org", "E-1", "7"), "id", "7"),
        (who("a@x.org", "E-1"), "ext", "E-1"),
        (who("  A@X.org "), "mail", "a@x.org"),
        (who("STRASSE@x.org"), "mail", "strasse@x.org"),
        (who("straße@x.org"), "mail", "straße@x.org"),
        (who("a@straße.org"), "mail", "a@xn--strae-oqa.org"),
    ],
)
def test_the_key_is_the_candidate_id_else_the_external_id_else_the_lower_cased_email(
    person: Candidate, kind: str, value: str
) -> None:
    assert identify(person).key == hash_identifier(kind, value)


def test_a_candidate_without_any_identifier_has_no_key() -> None:
    with pytest.raises(ValueError, match="without any identifier"):
        _ = identify(who()).key


def test_an_empty_identifier_is_none() -> None:
    assert identify(who("", "", "")) == identify(who())


def test_identifiers_of_different_kinds_never_match() -> None:
    assert len({hash_identifier(kind, "7") for kind in ("id", "ext", "mail", "login")}) == 4


def test_the_same_email_in_another_case_is_the_same_candidate(ledger: Ledger) -> None:
    one, two = candidates_of(ledger, who("Ana@X.org"), who(" ana@x.ORG"))

    assert one == two


def test_external_ids_are_not_folded(ledger: Ledger) -> None:
    one, two = candidates_of(ledger, who("a@x.org", "e-1"), who("b@x.org", "E-1"))

    assert one != two


def test_a_family_email_with_different_external_ids_is_different_people(ledger: Ledger) -> None:
    mother, child = candidates_of(ledger, who("home@x.org", "E-1"), who("home@x.org", "E-2"))

    assert mother != child


def test_the_same_email_with_different_candidate_ids_is_different_people(ledger: Ledger) -> None:
    one, two = candidates_of(ledger, who("home@x.org", None, "7"), who("home@x.org", None, "8"))

    assert one != two


def test_the_same_external_id_with_another_email_is_the_same_candidate(ledger: Ledger) -> None:
    before, after = candidates_of(ledger, who("maiden@x.org", "E-1"), who("married@x.org", "E-1"))

    assert before == after


def test_the_same_external_id_with_different_candidate_ids_is_different_people(ledger: Ledger) -> None:
    one, two = candidates_of(ledger, who("a@x.org", "E-1", "7"), who("a@x.org", "E-1", "8"))

    assert one != two


def test_an_external_id_given_later_is_saved_and_distinguishes_others(ledger: Ledger) -> None:
    (first,) = candidates_of(ledger, who("home@x.org"))
    (second,) = candidates_of(ledger, who("home@x.org", "E-1"))
    (third,) = candidates_of(ledger, who("home@x.org", "E-2"))
    (fourth,) = candidates_of(ledger, who("moved@x.org", "E-1"))

    assert first == second == fourth
    assert third != first


def test_a_candidate_id_given_later_is_saved_and_makes_the_candidate_known(ledger: Ledger) -> None:
    candidates_of(ledger, who("a@x.org"))
    candidates_of(ledger, who("a@x.org", None, "7"))

    (record,) = records_of(ledger, schema.candidate)

    assert (record.lms_id, record.state) == ("7", CandidateState.KNOWN)


def test_a_candidate_id_in_the_roster_is_known_from_the_start(ledger: Ledger) -> None:
    candidates_of(ledger, who(None, None, "7"))

    (record,) = records_of(ledger, schema.candidate)

    assert (record.lms_id, record.state) == ("7", CandidateState.KNOWN)


def test_a_candidate_id_given_for_a_candidate_in_doubt_resolves_it(ledger: Ledger) -> None:
    """With a candidate_id the candidate is not created: a person has looked it up at the LMS."""
    candidates_of(ledger, who("a@x.org"))
    with ledger.write() as tx:
        tx.execute(schema.candidate.update().values(state=CandidateState.IN_DOUBT))

    candidates_of(ledger, who("a@x.org", None, "7"))

    (record,) = records_of(ledger, schema.candidate)
    assert (record.lms_id, record.state) == ("7", CandidateState.KNOWN)


def test_an_email_that_two_people_have_is_ambiguous_and_the_row_says_so(ledger: Ledger) -> None:
    job_id = a_job_of(
        ledger,
        a_row(2, who("home@x.org", "E-1")),
        a_row(3, who("home@x.org", "E-2")),
        a_row(4, who("home@x.org")),
    )

    with ledger.read() as tx:
        record = list(rows.reported_rows(tx, job_id))[2]

    assert (record.status, record.code, record.column) == (RowStatus.INVALID, "ambiguous_candidate", "email")
    assert "external_id or candidate_id" in record.error


def test_connections_know_nothing_of_each_others_candidates(ledger: Ledger) -> None:
    a_job_of(ledger, a_row(2, who("a@x.org")))
    a_job_of(ledger, a_row(2, who("a@x.org")), connection="south")

    assert counts(ledger) == {"candidate": 2, "registration": 2}


def test_a_candidate_with_a_new_identifier_is_still_one_person_two_thousand_rows_later(ledger: Ledger) -> None:
    """Rows are saved in chunks; an identifier given in one chunk must not create a second record in the next."""
    others = [who(f"p{number}@x.org") for number in range(1_998)]

    found = candidates_of(ledger, who("ana@x.org"), who("ana@x.org", "E-1"), *others, who("ana@x.org"))

    assert found[0] == found[1] == found[-1]


EMAILS = st.sampled_from([None, "a@x.org", "b@x.org", "A@X.org"])
EXTERNAL_IDS = st.sampled_from([None, "E-1", "E-2"])
IDS = st.sampled_from([None, "7", "8"])
PEOPLE = st.builds(who, EMAILS, EXTERNAL_IDS, IDS).filter(
    lambda person: any((person.email, person.external_id, person.candidate_id))
)
ROSTERS = st.lists(st.lists(PEOPLE, min_size=1, max_size=6), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def memory() -> Iterator[Ledger]:
    """Return a ledger that keeps nothing: making a file for each example would take most of the time."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    _prepare_sqlite(engine)
    schema.metadata.create_all(engine)
    ledger = Ledger(engine)
    yield ledger
    ledger.close()


def _emptied(ledger: Ledger) -> Ledger:
    with ledger.write() as tx:
        for table in reversed(schema.metadata.sorted_tables):
            tx.execute(table.delete())
    return ledger


@settings(max_examples=60, deadline=None)
@given(rosters=ROSTERS, shuffled=st.randoms(use_true_random=False))
def test_in_any_order_and_over_any_rosters_each_person_has_one_record_and_every_row_is_accounted_for(
    memory: Ledger, rosters: list[list[Candidate]], shuffled: Random
) -> None:
    ledger = _emptied(memory)
    for people in rosters:
        shuffled.shuffle(people)
        job_id = a_job_of(ledger, *(a_row(number, person) for number, person in enumerate(people, start=2)))

        assert set(statuses_of(ledger, job_id)) == set(range(2, len(people) + 2))
        with ledger.read() as tx:
            assert rows.count_rows(tx, job_id).total == len(people)

    records = records_of(ledger, schema.candidate)
    _assert_one_record_each(records)
    _assert_rows_are_linked_to_their_candidates(ledger)


def _assert_one_record_each(records: Iterable[object]) -> None:
    strongest: dict[str, int] = {}
    for record in records:
        key = record.id_key or record.external_key or record.email_key
        agreeing = [
            other
            for other in records
            if (other.id_key or other.external_key or other.email_key) == key and other.id != record.id
        ]
        assert not agreeing, (record, agreeing)
        strongest[key] = record.id
        if record.id_key:
            assert [other.id for other in records if other.id_key == record.id_key] == [record.id]


def _assert_rows_are_linked_to_their_candidates(ledger: Ledger) -> None:
    by_id = {record.id: record for record in records_of(ledger, schema.candidate)}
    for record in records_of(ledger, schema.row):
        if record.candidate_id is None:
            assert (record.status, record.error_code) == (RowStatus.INVALID, "ambiguous_candidate")
            continue
        named = identify(rows.read_row(record.parsed).candidate)
        held = by_id[record.candidate_id]
        assert named.by_id in {None, held.id_key}
        assert named.by_id or named.by_external in {None, held.external_key}
        if named.key == named.by_email:
            assert named.by_email == held.email_key


@settings(max_examples=60, deadline=None)
@given(people=st.lists(PEOPLE, min_size=1, max_size=8))
def test_the_second_import_of_the_same_people_finds_all_of_them_again(
    memory: Ledger, people: list[Candidate]
) -> None:
    ledger = _emptied(memory)
    with ledger.write() as tx:
        first = CandidateIndex(NORTH)
        for person in people:
            first.find(identify(person), person.candidate_id)
        first.save(tx)
        before = len(list(tx.execute(schema.candidate.select())))

        second = CandidateIndex(NORTH)
        second.load(tx, [identify(person) for person in people])
        for person in people:
            second.find(identify(person), person.candidate_id)

        assert second.new == []
        assert len(list(tx.execute(schema.candidate.select()))) == before


def test_a_row_without_course_still_has_its_registration(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)
        row = RosterRow(row=2, candidate=a_candidate())
        importing.add_rows(inside(tx), job_id, NORTH, [as_new(row)], again=False)

    (record,) = records_of(ledger, schema.registration)

    assert (record.course_key, record.state) == ("", RegistrationState.NEW)
