"""Which columns of directories, forms and HR systems mark somebody as inactive."""

from __future__ import annotations

import pytest


def skipped(read, heading, value):
    (parsed,) = read(f"email,first_name,last_name,course_id,{heading}\nana@x.example,Ana,Li,58,{value}\n")
    return parsed.skipped.code if parsed.skipped else None


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("Status [READ ONLY]", "Suspended"),
        ("Active?", "No"),
        ("Active (Y/N)", "n"),
        ("Employment Status", "Terminated"),
        ("Enrolment status", "Withdrawn"),
        ("row_status", "disabled"),
        ("AVAILABLE_IND", "N"),
        ("Block credential", "True"),
        ("Status", "Leaver"),
        ("Aktiv", "Nein"),
    ],
)
def test_status_columns_of_directories_forms_and_hr_systems_are_known(read, heading, value):
    assert skipped(read, heading, value) == "inactive_in_source"


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("Marital status", "withdrawn"),
        ("Training status", "Cancelled"),
        ("Status", "Expired"),
        ("Places left", "1"),
        ("Status [READ ONLY]", "Active"),
        ("Active?", "Yes"),
        ("(Y/N)", "N"),
    ],
)
def test_columns_and_values_that_say_something_else_leave_nobody_out(read, heading, value):
    assert skipped(read, heading, value) is None
