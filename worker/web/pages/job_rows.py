"""The rows of a job's page: filtered by status, a page at a time, or the one of a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from worker.intake.text import clean
from worker.ledger import resolutions, rows
from worker.model import DONE, CandidateState, RegistrationState, RowStatus
from worker.reports.lines import SEVERAL
from worker.web.pages.job_view import MOVING
from worker.web.pages.labels import Words, status_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import ReportedRow

ROWS_A_PAGE = 50
_MOST_DIGITS = 9
_NAME = ("first_name", "last_name")
_ADDRESS = ("email", "external_id", "candidate_id", "login_name")
_COURSE = ("course_id", "course_name", "course_external_id")
#: Filters beside the single statuses.
FILTERS = {
    "": ("All rows", ()),
    "open": ("Rows that need a look", (RowStatus.INVALID, RowStatus.REJECTED, RowStatus.IN_DOUBT)),
    "done": ("Rows that are done", tuple(status for status in RowStatus if status in DONE)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLine:
    """A row as the page shows it."""

    row: int
    name: str
    address: str
    course: str
    words: Words
    error: str
    codes: list[str]
    columns: str
    candidate_id: str
    registration_id: str
    changed_at: float | None
    #: What a person may say about it when it is in doubt: of `registration`, `candidate`, `absent`.
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    """Some rows of a job, and how to come to the others."""

    job_id: int
    lines: list[RowLine]
    status: str
    #: The number that was searched for.
    number: str
    page: int
    #: How many rows fit the filter.
    count: int
    filters: list[tuple[str, str, int]]

    @property
    def pages(self) -> int:
        """Return how many pages there are."""
        return max(1, -(-self.count // ROWS_A_PAGE))

    @property
    def here(self) -> str:
        """Return the address of these rows."""
        return f"/jobs/{self.job_id}?{urlencode({'row': self.number})}" if self.number else self.address(self.page)

    def address(self, page: int) -> str:
        """Return the whole address of another page of the same filter: this one may stand at that of a POST."""
        return f"/jobs/{self.job_id}?" + urlencode({"status": self.status, "page": page})


def rows_of(tx: Transaction, job: Job, counts: Mapping[RowStatus, int], query: Mapping[str, str]) -> RowPage:
    """Return the rows that a query asks for; what makes no sense in it is passed over."""
    status = query.get("status", "")
    statuses = FILTERS[status][1] if status in FILTERS else _single(status)
    if status not in FILTERS and not statuses:
        status = ""
    number = query.get("row", "").strip()
    wanted = _number(number)
    if number and wanted is None:
        number = ""
    count = sum(counts.get(each, 0) for each in statuses or RowStatus)
    last = max(1, -(-count // ROWS_A_PAGE))
    page = min(max(1, _number(query.get("page", "")) or 1), last)
    found = rows.some_rows(
        tx,
        job.id,
        statuses=() if wanted is not None else statuses,
        number=wanted,
        offset=0 if wanted is not None else (page - 1) * ROWS_A_PAGE,
        limit=ROWS_A_PAGE,
    )
    return RowPage(
        job_id=job.id,
        lines=[_line(tx, job, row) for row in found],
        status=status,
        number=number,
        page=page,
        count=len(found) if wanted is not None else count,
        filters=_filters(counts, moves=job.state in MOVING),
    )


def _filters(counts: Mapping[RowStatus, int], *, moves: bool) -> list[tuple[str, str, int]]:
    groups = [
        (name, label, sum(counts.get(each, 0) for each in statuses or RowStatus))
        for name, (label, statuses) in FILTERS.items()
    ]
    return groups + [
        (each.value, status_words(each, moves=moves).label, counts[each])
        for each in RowStatus
        if counts.get(each, 0)
    ]


def _single(status: str) -> tuple[RowStatus, ...]:
    return (RowStatus(status),) if status in set(RowStatus) else ()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _line(tx: Transaction, job: Job, row: ReportedRow) -> RowLine:
    return RowLine(
        row=row.row,
        name=" ".join(_cells(job, row.cells, _NAME)),
        address=next(iter(_cells(job, row.cells, _ADDRESS)), ""),
        course=next(iter(_cells(job, row.cells, _COURSE)), "") or str(job.options.get("course") or ""),
        words=status_words(row.status, moves=job.state in MOVING),
        error=row.error,
        codes=[code for code in row.code.split(SEVERAL) if code],
        columns=row.column,
        candidate_id=row.candidate_id or "",
        registration_id=row.registration_id or "",
        changed_at=row.changed_at,
        choices=_choices(tx, job.id, row.row) if row.status is RowStatus.IN_DOUBT else (),
    )


def _cells(job: Job, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return what the cells of these columns say, where they say something."""
    places = [list(job.columns).index(column) for column in columns if column in job.columns]
    return [clean(cells[at]) for at in places if at < len(cells) and clean(cells[at])]


def _choices(tx: Transaction, job_id: int, number: int) -> tuple[str, ...]:
    doubtful = resolutions.find_row(tx, job_id, number)
    if doubtful is None:
        return ()
    if doubtful.action.is_about_a_person:
        return ("candidate", "absent")
    if (
        doubtful.registration_state is RegistrationState.IN_DOUBT
        or doubtful.candidate_state is CandidateState.KNOWN
    ):
        return ("registration", "absent")
    return ("registration", "candidate", "absent")
