"""What an LMS said, without the people it said it about."""

from __future__ import annotations

from datetime import date

import pytest

from worker.model import Candidate
from worker.registration.anonymous import without_people
from worker.safe_errors import without_addresses

ANNA = Candidate(
    email="anna@example.com",
    first_name="Anna Maria",
    last_name="Smith",
    external_id="E-4711",
    date_of_birth=date(1990, 2, 3),
    fields={"badge": "blue-9"},
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Candidate anna@example.com exists", "Candidate … exists"),
        ('The name "anna maria SMITH" is taken', 'The name "… …" is taken'),
        ("Maria has no licence for course 58", "… has no licence for course 58"),
        ("E-4711, born 1990-02-03, badge blue-9", "…, born …, badge …"),
        ("Goldsmith cannot be processed", "Goldsmith cannot be processed"),
        ("written by <admin@other.example>", "written by <…>"),
    ],
)
def test_a_persons_values_and_every_address_are_left_out(said, kept):
    assert without_people(said, [ANNA]) == kept


def test_addresses_are_left_out_where_nobody_is_known():
    assert without_addresses("(409: bob@example.com: again)") == "(409: …: again)"
