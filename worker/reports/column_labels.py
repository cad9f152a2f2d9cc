"""How columns are shown to people: the one table, for the page, workbooks and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.intake.columns import CANDIDATE_COLUMNS, COURSE_COLUMNS
from worker.reports.lines import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Collection

COLUMN_LABELS = {
    "candidate_id": "LMS person ID",
    "external_id": "Your person ID (staff number)",
    "email": "E-mail address",
    "first_name": "First name",
    "last_name": "Last name",
    "login_name": "Login name",
    "date_of_birth": "Date of birth",
    "address": "Address",
    "address2": "Address line 2",
    "city": "City",
    "state": "State or region",
    "zip": "Postal code",
    "country": "Country",
    "expiration_date": "Account expiry date",
    "course_id": "LMS course ID",
    "course_name": "Course name",
    "course_external_id": "Your course ID",
    "legal_entity_id": "Legal entity",
    "behavior": "Behavior (1 or 2)",
    "registration_date": "Registration date",
    "registration_external_id": "Your registration ID",
    "action": "Action",
    "score": "Score",
    "success": "Passed",
}
_REGISTRATION_COLUMNS = tuple(name for name in COLUMN_LABELS if name not in {*CANDIDATE_COLUMNS, *COURSE_COLUMNS})
#: The columns in groups, for a list to choose from: (group, ((column, label), …)).
COLUMN_GROUPS = tuple(
    (group, tuple((column, COLUMN_LABELS[column]) for column in columns))
    for group, columns in (
        ("Person", CANDIDATE_COLUMNS),
        ("Course", COURSE_COLUMNS),
        ("Registration", _REGISTRATION_COLUMNS),
    )
)


def column_label(column: str) -> str:
    """Return the label of a column; a column `field:NAME` is a custom field of the LMS."""
    prefix, colon, field = column.partition(":")
    return COLUMN_LABELS.get(column, f'Custom LMS field "{field}"' if colon and prefix == "field" else column)


def columns_text(columns: str, headings: Collection[str]) -> str:
    """Return the columns of a row's errors: headings of the file as they are, others by their labels."""
    return SEPARATOR.join(each if each in headings else column_label(each) for each in columns.split(SEPARATOR))
