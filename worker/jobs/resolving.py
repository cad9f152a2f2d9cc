"""A person's answers on many rows in doubt, from a file they filled in: all of them are taken, or none."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.intake.answer_file import CANDIDATE, REGISTRATION, RESOLVE, ROW
from worker.intake.text import clean
from worker.jobs import lifecycle
from worker.jobs.lifecycle import Answer
from worker.ledger import resolutions
from worker.ledger.rows import reported_rows
from worker.model import RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.intake.answer_file import FilledIn
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import ReportedRow

#: So many wrong lines are named.
MOST_SHOWN = 20
#: By these a line shows that it is about the same person as the row of that number.
_NAMING = ("email", "external_id", "candidate_id", "login_name")
_ANSWER = re.compile(r"(?:--)?(candidate|registration)(?:[-_ ]?id)?\s*[:=\s]\s*(\S+)", re.IGNORECASE)
_ABSENT = re.compile(r"(?:--)?absent", re.IGNORECASE)
_HOW = "write `absent`, `candidate 123` or `registration 456` (with the LMS's id)"


class _Wrong(Exception):
    """A line that cannot be taken: which column, and what to do."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def resolve_all(tx: Transaction, job_id: int, file: str, lines: Iterable[FilledIn]) -> str:
    """Settle rows in doubt by what a person filled in. Return what to tell them.

    Lines that say nothing new are passed over. Raises UsageError, with nothing settled, that names each wrong line.
    """
    job = lifecycle.get_whole_job(tx, job_id)
    rows = {row.row: row for row in reported_rows(tx, job_id)}
    given: dict[int, Answer] = {}
    wrong = []
    for line in lines:
        try:
            _take(given, line, _answer_of(line, job, rows))
        except _Wrong as problem:
            wrong.append(f"{file}, line {line.line}, column {problem.column}: {problem}")
    told = [] if wrong else _record(tx, job_id, file, given, wrong)
    if wrong:
        more = [f"… and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
        raise UsageError(
            "\n".join([*wrong[:MOST_SHOWN], *more, "Nothing was settled; mend these and give it again"])
        )
    if not given:
        raise UsageError(
            f"{file} has no answer: for each row in doubt fill in {RESOLVE} ({_HOW}), or its {REGISTRATION} "
            f"or {CANDIDATE}"
        )
    return _summary(tx, job_id, told)


def _take(given: dict[int, Answer], line: FilledIn, answer: Answer | None) -> None:
    if answer is not None and line.row is not None and given.setdefault(line.row, answer) != answer:
        raise _Wrong(ROW, f"row {line.row} stands here twice with different answers; keep one of them")


def _answer_of(line: FilledIn, job: Job, rows: Mapping[int, ReportedRow]) -> Answer | None:
    """Return what a line says that its row does not say already; None when that is nothing."""
    if not any(line.ours.values()):
        return None
    row = rows.get(line.row) if line.row is not None else None
    if row is None:
        what = "this is no number" if line.row is None else f"{line.row} is no row of job {job.id}"
        raise _Wrong(ROW, f"{what}; leave that column as it was written")
    text = line.ours.get(RESOLVE, "")
    registration_id = _new(line, REGISTRATION, row.registration_id)
    candidate_id = _new(line, CANDIDATE, row.candidate_id)
    if not (text or registration_id or candidate_id):
        return None
    _refuse_another_person(line, job, row)
    if row.status is not RowStatus.IN_DOUBT:
        column = RESOLVE if text else REGISTRATION if registration_id else CANDIDATE
        raise _Wrong(
            column, f"row {row.row} of job {job.id} is not in doubt, it is {row.status}; leave it as it was"
        )
    return _said(line, text, registration_id, candidate_id)


def _said(line: FilledIn, text: str, registration_id: str | None, candidate_id: str | None) -> Answer:
    if damaged := sorted(line.damaged - {ROW}):
        raise _Wrong(damaged[0], "the spreadsheet has shortened or damaged this; type it anew, as text")
    if text:
        answer = _read(text)
        said = {answer.registration_id, answer.candidate_id, registration_id, candidate_id} - {None}
        if len(said) > (not answer.absent):
            raise _Wrong(RESOLVE, f"it says otherwise than {REGISTRATION} or {CANDIDATE}; keep one of them")
        return answer
    if registration_id and candidate_id:
        raise _Wrong(
            CANDIDATE,
            f"both ids are filled in; keep {REGISTRATION} where the registration is there, else {CANDIDATE}",
        )
    return Answer(registration_id=registration_id, candidate_id=candidate_id)


def _new(line: FilledIn, column: str, known: str | None) -> str | None:
    """Return an id that a person wrote; None when it is empty, or the one that the report had."""
    written = line.ours.get(column, "")
    return written if written and written != (known or "") else None


def _read(text: str) -> Answer:
    if _ABSENT.fullmatch(text):
        return Answer(absent=True)
    found = _ANSWER.fullmatch(text)
    if found is None:
        raise _Wrong(RESOLVE, f"“{text[:60]}” is no answer; {_HOW}")
    kind, written = found[1].casefold(), found[2]
    return Answer(candidate_id=written) if kind == "candidate" else Answer(registration_id=written)


def _refuse_another_person(line: FilledIn, job: Job, row: ReportedRow) -> None:
    """Refuse a line that names somebody else than the row of that number: it is of another job's file."""
    for column in _NAMING:
        if column not in job.columns:
            continue
        place = list(job.columns).index(column)
        heading, cell = clean(job.headings[place]), clean(row.cells[place]) if place < len(row.cells) else ""
        if cell and heading in line.own:
            # Spreadsheets take leading zeros away.
            if line.own[heading].casefold().lstrip("0") != cell.casefold().lstrip("0"):
                raise _Wrong(
                    heading, f"this is not the person of row {row.row} of job {job.id}; is the file of another job?"
                )
            return


def _record(tx: Transaction, job_id: int, file: str, given: Mapping[int, Answer], wrong: list[str]) -> list[str]:
    """Write the answers; what cannot be is added to `wrong`."""
    told = []
    people: dict[int, str] = {}
    for number, answer in given.items():
        try:
            told.append(_settle(tx, job_id, number, answer, people))
        except UsageError as error:
            column = CANDIDATE if answer.candidate_id else REGISTRATION if answer.registration_id else RESOLVE
            wrong.append(f"{file}, row {number} of the roster, column {column}: {error}")
    return told


def _settle(tx: Transaction, job_id: int, number: int, answer: Answer, people: dict[int, str]) -> str:
    """Settle one row; `people` is who was named already, by candidate, so that nobody gets two ids."""
    row = resolutions.find_row(tx, job_id, number)
    if (
        row
        and answer.candidate_id
        and people.setdefault(row.candidate_id, answer.candidate_id) != answer.candidate_id
    ):
        raise UsageError("another row of the same person gives another id; keep the right one")
    return lifecycle.settle(tx, job_id, number, answer, row)


def _summary(tx: Transaction, job_id: int, told: list[str]) -> str:
    done = Counter(each.partition(";")[0].removeprefix("The row is ") for each in told)
    counts = ", ".join(f"{count} {what}" for what, count in done.items())
    left = sum(row.status is RowStatus.IN_DOUBT for row in reported_rows(tx, job_id))
    goes_on = f"; `roster resume {job_id}` goes on" if any("resume" in each for each in told) else ""
    return f"{len(told)} rows settled: {counts}{goes_on}. {left} rows of job {job_id} are in doubt still"
