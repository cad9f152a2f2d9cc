"""The rows on a job's page: filtered by status, one page at a time, or a single row by its number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from worker.intake.text import clean
from worker.ledger import answers, resolutions, rows
from worker.model import Action, CandidateState, RegistrationState, RowStage, RowStatus
from worker.reports.column_labels import columns_text
from worker.reports.lines import SEPARATOR
from worker.web.labels import status_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.resolutions import RowInDoubt
    from worker.ledger.rows import ReportedRow
    from worker.reports.labels import StatusInfo
    from worker.reports.lines import Summary

ROWS_A_PAGE = 50
MAX_DIGITS = 9
_NAME = ("first_name", "last_name")
_ADDRESS = ("email", "external_id", "candidate_id", "login_name")
_COURSE = ("course_id", "course_name", "course_external_id")
#: The filter for rows that a person must correct or resolve.
NEEDS_ATTENTION = "open"
#: Filters for several statuses; further ones are the single statuses.
FILTERS = {
    "": ("All rows", ()),
    NEEDS_ATTENTION: ("Needs attention", tuple(status for status in RowStatus if status.needs_attention)),
    "done": ("Done", tuple(status for status in RowStatus if status.is_done)),
}


#: The filter for rows without an outcome whose person is in the LMS.
UNREGISTERED = RowStage.CANDIDATE_CREATED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """A row as the page shows it."""

    row: int
    name: str
    address: str
    course: str
    info: StatusInfo
    error: str
    codes: list[str]
    columns: str
    candidate_id: str
    registration_id: str
    changed_at: float | None
    #: How another job has settled the row, and the number of that job.
    settled: tuple[str, int] | None = None
    #: What to ask about a row in doubt, and the possible resolutions with their labels.
    question: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    #: The resolutions for which the LMS's id is to be entered.
    with_id: frozenset[str] = frozenset()
    #: Whether the row has an answer, which can still be changed.
    is_answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    """Some rows of a job, and the links to the others."""

    job_id: int
    page_rows: list[PageRow]
    status: str
    #: The row number that was searched for.
    number: str
    page: int
    #: How many rows match the filter.
    count: int
    filters: list[tuple[str, str, int]]

    @property
    def pages(self) -> int:
        """Return the number of pages."""
        return max(1, -(-self.count // ROWS_A_PAGE))

    @property
    def url(self) -> str:
        """Return the URL of these rows."""
        return f"/jobs/{self.job_id}?{urlencode({'row': self.number})}" if self.number else self.url_of(self.page)

    def url_of(self, page: int) -> str:
        """Return the full URL of another page with the same filter; the URL of this page may be that of a POST."""
        return f"/jobs/{self.job_id}?" + urlencode({"status": self.status, "page": page})


def rows_of(
    tx: Transaction, job: Job, summary: Summary, query: Mapping[str, str], *, has_ids: bool = True
) -> RowPage:
    """Return the rows that a query selects; invalid values in it are ignored.

    `has_ids`: whether registrations have ids at the job's LMS.
    """
    unregistered = summary.unsent_created + summary.unsent_found
    status = query.get("status", "")
    only_created = status == UNREGISTERED
    statuses = FILTERS[status][1] if status in FILTERS else _single(status)
    if status not in FILTERS and not statuses:
        status = ""
    number = query.get("row", "").strip()
    row_number = _number(number)
    if number and row_number is None:
        number = ""
    count = unregistered if only_created else _count(summary, status, statuses)
    last = max(1, -(-count // ROWS_A_PAGE))
    page = min(max(1, _number(query.get("page", "")) or 1), last)
    found = rows.page_of_rows(
        tx,
        job.id,
        statuses=() if row_number is not None else statuses,
        only_created=only_created and row_number is None,
        only_unsettled=status == NEEDS_ATTENTION and row_number is None,
        number=row_number,
        offset=0 if row_number is not None else (page - 1) * ROWS_A_PAGE,
        limit=ROWS_A_PAGE,
    )
    answered = answers.answered_rows(tx, job.id, [row.row for row in found])
    return RowPage(
        job_id=job.id,
        page_rows=[_page_row(tx, job, row, is_answered=row.row in answered, has_ids=has_ids) for row in found],
        status=status,
        number=number,
        page=page,
        count=len(found) if row_number is not None else count,
        filters=_filters(summary, status, is_moving=job.state.is_moving),
    )


def _count(summary: Summary, name: str, statuses: Sequence[RowStatus]) -> int:
    """Return how many rows a filter shows: those that a later job has settled need no attention any more."""
    if name == NEEDS_ATTENTION:
        return summary.needs_attention
    return sum(summary.by_status.get(each, 0) for each in statuses or RowStatus)


def _filters(summary: Summary, selected: str, *, is_moving: bool) -> list[tuple[str, str, int]]:
    counts, unregistered = summary.by_status, summary.unsent_created + summary.unsent_found
    groups = [(name, label, _count(summary, name, statuses)) for name, (label, statuses) in FILTERS.items()]
    if unregistered or selected == UNREGISTERED:
        info = status_info(RowStatus.NOT_ATTEMPTED, RowStage.CANDIDATE_CREATED, is_moving=is_moving)
        groups.append((UNREGISTERED, info.label, unregistered))
    return groups + [
        (each.value, status_info(each, is_moving=is_moving).label, counts.get(each, 0))
        for each in RowStatus
        if counts.get(each, 0) or each.value == selected
    ]


def _single(status: str) -> tuple[RowStatus, ...]:
    if status == UNREGISTERED:
        return (RowStatus.NOT_ATTEMPTED,)
    return (RowStatus(status),) if status in set(RowStatus) else ()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


def _page_row(tx: Transaction, job: Job, row: ReportedRow, *, is_answered: bool, has_ids: bool) -> PageRow:
    name = " ".join(_cells(job, row.cells, _NAME))
    address = next(iter(_cells(job, row.cells, _ADDRESS)), "")
    in_doubt = _in_doubt(tx, job, row, is_answered=is_answered)
    course = next(iter(_cells(job, row.cells, _COURSE)), "") or str(job.options.get("course") or "")
    return PageRow(
        row=row.row,
        name=name,
        address=address,
        course=course,
        info=status_info(row.status, row.stage, is_moving=job.state.is_moving),
        error=row.error,
        codes=[code for code in row.code.split(SEPARATOR) if code],
        columns=columns_text(row.column, job.headings),
        candidate_id=row.candidate_id or "",
        registration_id=row.registration_id or "",
        changed_at=row.changed_at,
        settled=(row.settled[0].value, row.settled[1]) if row.settled else None,
        question=_question(in_doubt.action, name or address or f"row {row.row}", course) if in_doubt else "",
        choices=_choices(in_doubt, has_ids=has_ids) if in_doubt else (),
        with_id=frozenset({"candidate", "registration"} if has_ids else {"candidate"}),
        is_answered=in_doubt is not None and row.status is not RowStatus.IN_DOUBT,
    )


def _in_doubt(tx: Transaction, job: Job, row: ReportedRow, *, is_answered: bool) -> RowInDoubt | None:
    """Return a row in doubt, or one whose answer can still be changed, as it was before its answer."""
    if row.status is not RowStatus.IN_DOUBT and not is_answered:
        return None
    found = resolutions.find_row(tx, job.id, row.row)
    if found is None or row.status is RowStatus.IN_DOUBT:
        return found
    before = found.before_answer
    if before is None or not answers.can_take_back(tx, found.id):
        return None
    return replace(
        found,
        candidate_state=CandidateState(before["candidate"]["state"]),
        registration_state=RegistrationState(before["registration"]["state"]),
    )


def _cells(job: Job, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the cells of these columns that are not empty."""
    places = [list(job.columns).index(column) for column in columns if column in job.columns]
    return [clean(cells[at]) for at in places if at < len(cells) and clean(cells[at])]


def _question(action: Action, person: str, course: str) -> str:
    if action is Action.REGISTER:
        return f"Is {person} registered on {course}?" if course else f"Is {person} registered?"
    return f"Was “{action}” done for {person}?"


def _choices(row: RowInDoubt, *, has_ids: bool) -> tuple[tuple[str, str], ...]:
    """Return the possible resolutions: where something was found or done, and at the end that nothing was.

    Where registrations have no ids, whether a person who is there is registered is read before anything is sent.
    """
    if row.action.is_about_person:
        return (("candidate", "Done"), ("absent", "Not done"))
    if row.action is not Action.REGISTER:
        return (("registration", "Done"), ("absent", "Not done"))
    registered, absent = ("registration", "Registered"), ("absent", "Not registered")
    is_person_in_doubt = row.candidate_state is CandidateState.IN_DOUBT
    in_doubt = row.registration_state is RegistrationState.IN_DOUBT
    if (in_doubt and not is_person_in_doubt) or row.candidate_state is CandidateState.KNOWN:
        return (registered, absent)
    absent = ("absent", "Not in the LMS")
    if not has_ids:
        return (("candidate", "In the LMS"), absent)
    return (registered, ("candidate", "Not registered, but in the LMS"), absent)
