"""The circuit breaker: which refusals are similar, how many open it, and whether they are about the course."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import Refused
from worker.registration.breaker import MAX_UNPROVEN_REFUSALS, CircuitBreaker, is_about_course, refusal_signature

LIMIT = 10


def refused(message: str = "No.", status: int | None = 400, text: str = "") -> Refused:
    return Refused("registration_refused", status, message, text)


def opens_after(breaker: CircuitBreaker, refusal: Refused, subject: str = "58") -> int:
    """Return after how many refusals in a row the breaker opens."""
    for count in range(1, 100):
        if breaker.record_refusal(subject, refusal):
            return count
    return 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Candidate 7 is not valid.", "Candidate 812 is not valid."),
        ("ana@x.org is taken", "bob@y.org is taken"),
        ('Name "Ana" is wrong', 'Name "Bob O\'Neill" is wrong'),
        ("Name 'Ana' is wrong", "name  'Bo'  is WRONG"),
        ("2026-01-01 is past", "2025-12-31 is past"),
    ],
)
def test_numbers_names_and_addresses_do_not_change_the_signature(one: str, other: str) -> None:
    assert refusal_signature(refused(one)) == refusal_signature(refused(other))


def test_another_message_or_status_has_another_signature() -> None:
    kinds = {
        refusal_signature(refused(*each)) for each in [("No.", 400), ("No.", 422), ("Never.", 400), ("No.", None)]
    }

    assert len(kinds) == 4


def test_a_signature_contains_no_address() -> None:
    assert "wilhelmina" not in refusal_signature(refused("wilhelmina@example.org is taken"))


def test_it_opens_after_the_limit_of_similar_refusals_in_a_row() -> None:
    assert opens_after(CircuitBreaker(LIMIT), refused()) == LIMIT


def test_a_success_resets_the_count() -> None:
    breaker = CircuitBreaker(LIMIT)
    for _ in range(LIMIT - 1):
        breaker.record_refusal("58", refused())

    breaker.record_success("58")

    assert opens_after(breaker, refused()) == LIMIT


def test_a_different_refusal_resets_the_count() -> None:
    breaker = CircuitBreaker(LIMIT)
    for _ in range(LIMIT - 1):
        breaker.record_refusal("58", refused())
    assert not breaker.record_refusal("58", refused("Other."))

    assert opens_after(breaker, refused()) == LIMIT


def test_each_course_is_counted_separately() -> None:
    breaker = CircuitBreaker(LIMIT)
    for _ in range(LIMIT - 1):
        assert not breaker.record_refusal("58", refused())
        assert not breaker.record_refusal("59", refused())

    breaker.record_success("59")

    assert breaker.record_refusal("58", refused())
    assert not breaker.record_refusal("59", refused())


@pytest.mark.parametrize("status", [403, 404])
def test_few_403_or_404_are_enough_where_nothing_has_succeeded(status: int) -> None:
    breaker = CircuitBreaker(LIMIT)
    assert opens_after(breaker, refused(status=status)) == MAX_UNPROVEN_REFUSALS

    breaker.record_success("58")
    assert opens_after(breaker, refused(status=status)) == LIMIT


def test_a_lower_limit_holds_for_403_and_404_too() -> None:
    assert opens_after(CircuitBreaker(2), refused(status=404)) == 2


@given(st.lists(st.sampled_from(["a", "b", "ok"]), max_size=60), st.integers(2, 6))
def test_it_opens_exactly_when_the_last_refusals_in_a_row_are_similar(events: list[str], limit: int) -> None:
    breaker, row = CircuitBreaker(limit), []
    for event in events:
        if event == "ok":
            breaker.record_success("58")
            row = []
            continue
        row = [*row, event] if row[-1:] == [event] else [event]
        assert breaker.record_refusal("58", refused(event)) == (len(row) >= limit)


@pytest.mark.parametrize(
    ("message", "status", "text", "is_course"),
    [
        ("No course was found.", 400, "", True),
        ("Learning experience 99 does not exist.", 404, "", True),
        ("Legal entity 7 does not exist.", 404, "", True),
        ("The course is not active or not published.", 400, "", True),
        ("Not found.", 404, "", True),
        ("no message", 404, "", True),
        ("Candidate 100123 does not exist.", 404, "", False),
        ("The user is already registered for this course.", 400, "", False),
        ("Not found.", 404, '{"detail": "Not found.", "id": 100123}', False),
        ("Already registered on this learning experience: 100123.", 400, "", False),
        ("behavior must be 1 or 2", 400, "", False),
        ("Forbidden", 403, "", False),
        ("No.", 400, "", False),
        ("E-mail is missing for this course", 400, "", False),
    ],
)
def test_a_refusal_is_about_the_course_when_it_says_so_and_names_no_person(
    message: str, status: int, text: str, *, is_course: bool
) -> None:
    found = is_about_course(refused(message, status, text), ["100123", "100124"], all_created=True)

    assert found is is_course


def test_a_bare_404_may_mean_a_candidate_whom_the_ledger_did_not_create() -> None:
    bare, plain = refused("Not found.", 404), refused("Learning experience 99 does not exist.", 404)

    assert not is_about_course(bare, ["100123"], all_created=False)
    assert is_about_course(plain, ["100123"], all_created=False)


def test_a_candidate_id_within_a_longer_number_names_no_person() -> None:
    assert is_about_course(refused("Course 10012399 was not found.", 404), ["100123"], all_created=True)


def test_a_candidate_id_with_special_characters_breaks_nothing() -> None:
    assert is_about_course(refused("Not found.", 404), ["a+(b", "[x"], all_created=True)
