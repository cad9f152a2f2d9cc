"""Why a job stopped, in our own texts: a message of an LMS may name people, and is not sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import rows
from worker.model import JobState
from worker.reports.codes import CODES, explain
from worker.reports.column_labels import column_label
from worker.reports.labels import STATE_INFO
from worker.reports.lines import SEPARATOR
from worker.safe_errors import without_addresses

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import ProblemCount

#: Reasons that affect every other job of the connection too.
CONNECTION_REASONS = {
    "credentials_refused": "The LMS rejected the credentials. Check the token or key of this connection.",
    "certificate_refused": "The certificate of the LMS is not valid for its address. Check base_url.",
    "redirected": "The LMS redirects to another address. Set base_url to the address of the API.",
    "path_missing": "The LMS accepts no registrations at this path. Check registration_path.",
    "unreachable": "The LMS cannot be reached. Check base_url and whether the LMS is up.",
    "refused_for_long": "The LMS asked for pauses for too long. Resume the job later.",
    "breaker_open": "The LMS rejected many rows in a row for the same reason. Fix the cause; see the errors below.",
}
#: Reasons that affect the rows of one job.
_JOB_REASONS = {
    "course_refused": "The LMS rejects the course itself, so the rows for it were not sent. Check in the LMS that "
    "the course exists and is open; or resume the job with another course.",
}
#: Holds whose reason is our own sentence, of which no word comes from an LMS or a roster.
_OWN_REASONS = frozenset({"workers_died", "configuration", "unforeseen"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why some rows of a job were not accepted: no value of a row, and no word of an LMS."""

    #: Codes of the report.
    codes: Sequence[str]
    #: What they mean, as sentences.
    meaning: str
    #: The columns with the errors: headings of the roster, or labels of columns that it lacks.
    columns: Sequence[str]
    rows: int
    first_row: int


def reason_of(job: Job) -> str:
    """Return why a job is in its state, in plain sentences; empty when its counts say it all."""
    table = CONNECTION_REASONS | _JOB_REASONS
    if job.state is JobState.HELD and job.reason_code in table:
        return table[job.reason_code]
    if job.state is JobState.HELD and job.reason_code in CODES:
        code = CODES[job.reason_code]
        return f"{code.meaning} {code.remedy}"
    if job.state is JobState.INVALID or (job.state is JobState.HELD and job.reason_code in _OWN_REASONS):
        return _sentence(without_addresses(job.reason)) or STATE_INFO[job.state].meaning
    return "" if job.state.went_through else STATE_INFO[job.state].meaning


def problems_of(tx: Transaction, job: Job) -> list[Problem]:
    """Return why rows of a job were not accepted, the most frequent reason first."""
    return [_problem(job, each) for each in rows.count_problems(tx, job.id)]


def _problem(job: Job, counted: ProblemCount) -> Problem:
    codes = tuple(each for each in counted.code.split(SEPARATOR) if each)
    return Problem(
        codes=codes,
        meaning=" ".join(explain(code).meaning for code in codes) or "See the `_error` column of the report.",
        columns=tuple(_shown(job, each) for each in counted.column.split(SEPARATOR) if each),
        rows=counted.count,
        first_row=counted.first_row,
    )


def _shown(job: Job, column: str) -> str:
    """Return a heading that is matched to a column as it is; any other by the column's label."""
    known = {heading for heading, matched in zip(job.headings, job.columns, strict=False) if matched}
    return column if column in known else column_label(column)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
