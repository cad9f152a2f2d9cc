"""The words of the page: states, statuses, columns; and what commands say, said for people who type none."""

from __future__ import annotations

import re
from dataclasses import replace

from worker.intake.columns import CANDIDATE_COLUMNS, COURSE_COLUMNS
from worker.model import RowStatus
from worker.reports.labels import STATUS_INFO, StatusInfo

#: A row that is still to be sent, of a job that sends rows.
_PENDING = replace(STATUS_INFO[RowStatus.NOT_ATTEMPTED], label="Pending", meaning="Waiting to be sent.")


def status_info(status: RowStatus, *, is_moving: bool) -> StatusInfo:
    """Return how a status is shown; while the job moves, a row without an outcome is still to be sent."""
    return _PENDING if is_moving and status is RowStatus.NOT_ATTEMPTED else STATUS_INFO[status]


_COLUMN_LABELS = {
    "candidate_id": "Id of the person in the LMS",
    "external_id": "Your own id of the person",
    "email": "E-mail address",
    "first_name": "First name",
    "last_name": "Last name",
    "login_name": "Login name",
    "date_of_birth": "Date of birth",
    "address": "Address",
    "address2": "Address, second line",
    "city": "City",
    "state": "State or region",
    "zip": "Postal code",
    "country": "Country",
    "expiration_date": "Account ends on",
    "course_id": "Id of the course",
    "course_name": "Name of the course",
    "course_external_id": "Your own id of the course",
    "legal_entity_id": "Legal entity",
    "behavior": "Behavior (1 or 2)",
    "registration_date": "Date of registration",
    "registration_external_id": "Your own id of the registration",
    "action": "What to do",
    "score": "Score",
    "success": "Passed or not",
}
_REGISTRATION_COLUMNS = tuple(name for name in _COLUMN_LABELS if name not in {*CANDIDATE_COLUMNS, *COURSE_COLUMNS})
#: The columns in groups, for a list to choose from: (group, ((column, label), …)).
COLUMN_GROUPS = tuple(
    (group, tuple((column, _COLUMN_LABELS[column]) for column in columns))
    for group, columns in (
        ("Person", CANDIDATE_COLUMNS),
        ("Course", COURSE_COLUMNS),
        ("Registration", _REGISTRATION_COLUMNS),
    )
)


def column_label(column: str) -> str:
    """Return one of our columns in plain words."""
    return _COLUMN_LABELS.get(column, f"field {column.partition(':')[2]} of the LMS" if ":" in column else column)


_HEADING = r'"(?P<heading>[^"]*)"'
_SAID = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r'use --map "[^"=]*=(\w+)"', r"choose “\1” for it below"),
        (
            r'or say which (?:with|column it is with) --map "Heading=[^"]*"',
            "or choose another column for one below",
        ),
        (r'If so: --map "[^"=]*=(\w+)"', r"If so, choose “\1” for it below"),
        (r'--map "[^"=]*=(\w+)"', r"choose “\1” for it below"),
        (r"--map: ", "The columns: "),
        (r"; use --sheet for one of them", "; choose it above if it is the one"),
        (r",? or give one with --sheet", ", or choose one above"),
        (r"Give one of them with --sheet", "Choose one of them"),
        (r"Then give it with --encoding NAME, or save", "Choose it below, or save"),
        (r"Give its true encoding with --encoding NAME, or save it", "Choose its true encoding, or save it"),
        (r", or give --course", ", or name one course for all rows"),
        (
            r", or give every row a value with `--set COLUMN=VALUE`",
            ", or give all rows a value before you send them",
        ),
        (r"--strict: ", ""),
        (r"or leave `?--strict`? out", "or send the good rows alone"),
        (r"since --strict was given and", "since only whole rosters were to be sent and"),
        (r"--set (?=\S)", "The value for all rows of "),
        (r"`?--strict`? was given", "only a whole roster was to be sent"),
        (r"leave `?--strict`? out", "send the good rows alone"),
        (r"--course", "“Course for all rows”"),
        (r"--encoding", "“Encoding”"),
        (r"--sheet", "“Sheet”"),
        (r"--update-existing", "“Bring people up to date”"),
        (
            r"give --registration-id when it is there, --absent when it is not",
            "give the registration's id when it is there, or say that it is not there",
        ),
        (r"with `--again`", "and choose “Register even those who are registered already”"),
        (r"--candidate-id", "the person's id"),
        (r"--registration-id", "the registration's id"),
        (r"--absent", "“it is not there”"),
        (r"`roster resume(?: \d+)?`", "“Go on”"),
        (r"`roster retry(?: \d+)?`", "“Send again”"),
        (r"`roster pause(?: \d+)?`", "“Pause”"),
        (r"`roster cancel(?: \d+)?`", "“Cancel”"),
        (r"`roster resolve`", "the form beside the row"),
        (r"with the form beside the row", "in the form beside the row"),
        (r"`roster jobs` lists those there are", "“Jobs” lists those there are"),
        (r"; its counts are in `roster status \d+`", "; its counts are above"),
        (r"; run `roster report \d+`, and report this", "; download the report again, and tell us"),
        (r"`roster report(?: \d+)?`", "“Download”"),
    )
)


def for_the_page(text: str) -> str:
    """Return a message in the words of the page, where there are buttons and lists instead of commands."""
    for pattern, plain in _SAID:
        text = pattern.sub(plain, text)
    return text
