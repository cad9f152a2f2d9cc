"""The words of the page: states, statuses, columns; and what commands say, said for people who type none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from worker.intake.columns import CANDIDATE_COLUMNS, COURSE_COLUMNS
from worker.model import JobState, RowStatus


@dataclass(frozen=True, slots=True)
class Words:
    """How a state or a status reads; `tone` is a class of the style sheet, `mark` its sign beside the colour."""

    label: str
    sentence: str
    tone: str
    mark: str


STATES = MappingProxyType(
    {
        JobState.UPLOADED: Words("Received", "The roster is kept and will be read in a moment.", "busy", "…"),
        JobState.VALIDATING: Words("Reading", "The roster is being read and checked.", "busy", "…"),
        JobState.INVALID: Words("To be mended", "Nothing was sent; the roster must be mended first.", "bad", "!"),
        JobState.SCHEDULED: Words("Planned", "The job begins at its time.", "quiet", "◷"),
        JobState.QUEUED: Words("In line", "The job waits for its turn.", "busy", "…"),
        JobState.RUNNING: Words("At work", "The rows are being sent.", "busy", "▸"),
        JobState.WAITING: Words(
            "Waiting", "The LMS asked for a pause. The job goes on by itself; you need do nothing.", "warn", "◷"
        ),
        JobState.PAUSED: Words("Paused", "Nothing more is sent until somebody presses “Go on”.", "warn", "‖"),
        JobState.HELD: Words(
            "Needs you", "The job stopped itself before it did more harm. Read why, then go on.", "bad", "!"
        ),
        JobState.CANCELLING: Words("Being cancelled", "Calls under way finish; nothing new is sent.", "warn", "…"),
        JobState.CANCELLED: Words("Cancelled", "What was not sent by then never was.", "quiet", "✕"),
        JobState.SUCCEEDED: Words("Done", "Every row is done.", "good", "✓"),
        JobState.COMPLETED_WITH_ERRORS: Words(
            "Ended, rows left over", "The job has ended, and some rows are not done.", "warn", "!"
        ),
        JobState.FAILED: Words("Failed", "The job stopped and will not go on by itself.", "bad", "!"),
    }
)

STATUSES = MappingProxyType(
    {
        RowStatus.REGISTERED: Words("Registered", "Registered on the course by this job.", "good", "✓"),
        RowStatus.ALREADY_REGISTERED: Words(
            "Already registered", "Was registered before; nothing was sent twice.", "good", "✓"
        ),
        RowStatus.APPROVED: Words("Approved", "The registration was approved.", "good", "✓"),
        RowStatus.COMPLETED: Words("Completed", "The registration was marked as completed.", "good", "✓"),
        RowStatus.WITHDRAWN: Words("Withdrawn", "The registration was withdrawn.", "good", "✓"),
        RowStatus.UPDATED: Words("Updated", "The person was brought up to date.", "good", "✓"),
        RowStatus.DEACTIVATED: Words("Deactivated", "The person was deactivated.", "good", "✓"),
        RowStatus.INVALID: Words("Invalid", "Something in the row must be mended; it was not sent.", "bad", "!"),
        RowStatus.REJECTED: Words("Refused by the LMS", "The LMS said no.", "bad", "!"),
        RowStatus.IN_DOUBT: Words(
            "In doubt", "A call was sent and its answer was lost; look it up, then say what you found.", "warn", "?"
        ),
        RowStatus.NOT_ATTEMPTED: Words("Not sent", "Nothing was sent for this row.", "quiet", "○"),
        RowStatus.SKIPPED: Words("Duplicate", "Repeats a row above it, which has the outcome.", "quiet", "="),
    }
)

_TO_COME = Words("To come", "Its turn is still to come.", "quiet", "○")


def status_words(status: RowStatus, *, moves: bool) -> Words:
    """Return how a status reads; of a job at work, a row without an outcome is one whose turn is to come."""
    return _TO_COME if moves and status is RowStatus.NOT_ATTEMPTED else STATUSES[status]


_NAMES = {
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
_OTHERS = tuple(name for name in _NAMES if name not in {*CANDIDATE_COLUMNS, *COURSE_COLUMNS})
#: The columns in groups, for a list to choose from: (group, ((column, label), …)).
COLUMN_GROUPS = tuple(
    (group, tuple((column, _NAMES[column]) for column in columns))
    for group, columns in (("Person", CANDIDATE_COLUMNS), ("Course", COURSE_COLUMNS), ("Registration", _OTHERS))
)


def column_label(column: str) -> str:
    """Return one of our columns in plain words."""
    return _NAMES.get(column, f"field {column.partition(':')[2]} of the LMS" if ":" in column else column)


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
