"""Resolve rows in doubt by what a person found at the LMS: one row, or all that a filled-in file answers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.intake.answer_file import CANDIDATE, REGISTRATION, RESOLVE, ROW
from worker.intake.text import clean
from worker.jobs import lifecycle
from worker.ledger import answers, resolutions
from worker.ledger.rows import reported_rows
from worker.model import RowStatus
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.intake.answer_file import AnswerRow
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import ReportedRow

#: Up to this many wrong lines are named.
MAX_SHOWN = 20
#: Columns by which a line shows that it is about the same person as the row with its number.
_NAMING = ("email", "external_id", "candidate_id", "login_name")
_ANSWER = re.compile(r"(?:--)?(candidate|registration)(?:[-_ ]?id)?\s*[:=\s]\s*(\S+)", re.IGNORECASE)
_ABSENT = re.compile(r"(?:--)?absent", re.IGNORECASE)
_HOW = "write `absent`, `candidate 123` or `registration 456` (with the LMS's id)"


class _WrongCell(Exception):
    """A cell that cannot be used: its column, and what to do."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A person's answer on a row in doubt; exactly one of the three."""

    candidate_id: str | None = None
    #: Empty for a registration at an LMS that gives them no ids.
    registration_id: str | None = None
    absent: bool = False


def resolve_row(tx: Transaction, job_id: int, number: int, resolution: Resolution) -> str:
    """Resolve a row in doubt by what a person found at the LMS. Return a sentence for the person.

    A candidate's id: they are there, and the row is still to be registered. A registration's id: the row is done.
    Absent: nothing was done, and the row may be sent again.
    """
    lifecycle.get_unpurged_job(tx, job_id)
    return apply_resolution(tx, job_id, number, resolution, resolutions.find_row(tx, job_id, number))


def apply_resolution(
    tx: Transaction, job_id: int, number: int, resolution: Resolution, row: resolutions.RowInDoubt | None
) -> str:
    """Resolve a row that was found. Return a sentence for the person; raises UsageError when it is not in doubt."""
    if sum((resolution.candidate_id is not None, resolution.registration_id is not None, resolution.absent)) != 1:
        raise UsageError("Give exactly one of --candidate-id, --registration-id and --absent")
    if row is None:
        raise UsageError(f"Job {job_id} has no row {number} that could be in doubt")
    if row.status is not RowStatus.IN_DOUBT:
        row = _without_answer(tx, job_id, number, row)
    answers.remember(tx, row.id)
    return resolutions.save_resolution(
        tx, job_id, row, candidate_id=resolution.candidate_id, registration_id=resolution.registration_id
    )


def _without_answer(
    tx: Transaction, job_id: int, number: int, row: resolutions.RowInDoubt
) -> resolutions.RowInDoubt:
    """Return a row in doubt again whose answer is to be changed. Raises UsageError when it cannot be."""
    if row.before_answer is None:
        raise UsageError(f"Row {number} of job {job_id} is not in doubt; it is {row.status}")
    if not answers.take_back(tx, row.id):
        raise UsageError(
            f"The answer on row {number} of job {job_id} cannot be changed any more: it was used to send a call"
        )
    found = resolutions.find_row(tx, job_id, number)
    return found if found is not None else row


def answers_in(tx: Transaction, job_id: int, file: str, lines: Iterable[AnswerRow]) -> dict[int, Resolution]:
    """Return the answers of a filled-in file by row number. Lines without an answer are skipped.

    Raises UsageError that names each wrong line.
    """
    job = lifecycle.get_unpurged_job(tx, job_id)
    rows = {row.row: row for row in reported_rows(tx, job_id)}
    given: dict[int, Resolution] = {}
    wrong = []
    for line in lines:
        try:
            _add(given, line, _resolution_of(line, job, rows))
        except _WrongCell as problem:
            wrong.append(f"{file}, line {line.line}, column {problem.column}: {problem}")
    _raise_wrong(wrong)
    if not given:
        raise UsageError(
            f"{file} has no answer: for each row in doubt fill in {RESOLVE} ({_HOW}), or its {REGISTRATION} "
            f"or {CANDIDATE}"
        )
    return given


def apply_answers(
    tx: Transaction, job_id: int, file: str, given: Mapping[int, Resolution], objections: Mapping[int, str]
) -> str:
    """Resolve the rows in doubt that a filled-in file answers, all or none. Return a summary.

    `objections` are what was found wrong with answers, by row number. Raises UsageError that names each wrong line;
    nothing is resolved then.
    """
    wrong = [_place_of(file, number, given[number], message) for number, message in objections.items()]
    sentences = [] if wrong else _record(tx, job_id, file, given, wrong)
    _raise_wrong(wrong)
    return _summary(tx, job_id, sentences)


def _raise_wrong(wrong: list[str]) -> None:
    if wrong:
        more = [f"… and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else []
        raise UsageError("\n".join([*wrong[:MAX_SHOWN], *more, "Nothing was resolved; fix these and run it again"]))


def _place_of(file: str, number: int, answer: Resolution, message: object) -> str:
    column = CANDIDATE if answer.candidate_id else REGISTRATION if answer.registration_id else RESOLVE
    return f"{file}, row {number} of the roster, column {column}: {message}"


def _add(given: dict[int, Resolution], line: AnswerRow, resolution: Resolution | None) -> None:
    if resolution is not None and line.row is not None and given.setdefault(line.row, resolution) != resolution:
        raise _WrongCell(ROW, f"row {line.row} is here twice with different answers; keep one of them")


def _resolution_of(line: AnswerRow, job: Job, rows: Mapping[int, ReportedRow]) -> Resolution | None:
    """Return what a line answers that its row does not have already; None when that is nothing."""
    if not any(line.report_cells.values()):
        return None
    row = rows.get(line.row) if line.row is not None else None
    if row is None:
        what = "this is not a number" if line.row is None else f"{line.row} is not a row of job {job.id}"
        raise _WrongCell(ROW, f"{what}; leave that column as it was written")
    text = line.report_cells.get(RESOLVE, "")
    registration_id = _new_id(line, REGISTRATION, row.registration_id)
    candidate_id = _new_id(line, CANDIDATE, row.candidate_id)
    if not (text or registration_id or candidate_id):
        return None
    _refuse_another_person(line, job, row)
    if row.status is not RowStatus.IN_DOUBT:
        column = RESOLVE if text else REGISTRATION if registration_id else CANDIDATE
        raise _WrongCell(
            column, f"row {row.row} of job {job.id} is not in doubt, it is {row.status}; leave it as it was"
        )
    return _resolution_in(line, text, registration_id, candidate_id)


def _resolution_in(line: AnswerRow, text: str, registration_id: str | None, candidate_id: str | None) -> Resolution:
    if damaged := sorted(line.damaged - {ROW}):
        raise _WrongCell(damaged[0], "the spreadsheet has shortened or damaged this; type it again, as text")
    if text:
        answer = _parse(text)
        said = {answer.registration_id, answer.candidate_id, registration_id, candidate_id} - {None}
        if len(said) > (not answer.absent):
            raise _WrongCell(RESOLVE, f"it contradicts {REGISTRATION} or {CANDIDATE}; keep one of them")
        return answer
    if registration_id and candidate_id:
        raise _WrongCell(
            CANDIDATE,
            f"both ids are filled in; keep {REGISTRATION} where the registration is there, else {CANDIDATE}",
        )
    return Resolution(registration_id=registration_id, candidate_id=candidate_id)


def _new_id(line: AnswerRow, column: str, known: str | None) -> str | None:
    """Return an id that a person wrote; None when it is empty, or the one that the report had."""
    written = line.report_cells.get(column, "")
    return written if written and written != (known or "") else None


def _parse(text: str) -> Resolution:
    if _ABSENT.fullmatch(text):
        return Resolution(absent=True)
    found = _ANSWER.fullmatch(text)
    if found is None:
        raise _WrongCell(RESOLVE, f"“{text[:60]}” is not an answer; {_HOW}")
    kind, written = found[1].casefold(), found[2]
    return Resolution(candidate_id=written) if kind == "candidate" else Resolution(registration_id=written)


def _refuse_another_person(line: AnswerRow, job: Job, row: ReportedRow) -> None:
    """Refuse a line that names another person than the row with its number: it is from another job's file."""
    for column in _NAMING:
        if column not in job.columns:
            continue
        place = list(job.columns).index(column)
        heading, cell = clean(job.headings[place]), clean(row.cells[place]) if place < len(row.cells) else ""
        if cell and heading in line.roster_cells:
            # Spreadsheets take leading zeros away.
            if line.roster_cells[heading].casefold().lstrip("0") != cell.casefold().lstrip("0"):
                raise _WrongCell(
                    heading, f"this is not the person of row {row.row} of job {job.id}; is the file of another job?"
                )
            return


def _record(
    tx: Transaction, job_id: int, file: str, given: Mapping[int, Resolution], wrong: list[str]
) -> list[str]:
    """Apply the answers; the reasons of those that cannot be applied are added to `wrong`."""
    sentences = []
    people: dict[int, str] = {}
    for number, answer in given.items():
        try:
            sentences.append(_apply(tx, job_id, number, answer, people))
        except UsageError as error:
            wrong.append(_place_of(file, number, answer, error))
    return sentences


def _apply(tx: Transaction, job_id: int, number: int, resolution: Resolution, people: dict[int, str]) -> str:
    """Resolve one row; `people` has the LMS ids given so far, by candidate, so that no person gets two."""
    row = resolutions.find_row(tx, job_id, number)
    if (
        row
        and resolution.candidate_id
        and people.setdefault(row.candidate_id, resolution.candidate_id) != resolution.candidate_id
    ):
        raise UsageError("another row of the same person gives another id; keep the right one")
    return apply_resolution(tx, job_id, number, resolution, row)


def _summary(tx: Transaction, job_id: int, sentences: list[str]) -> str:
    done = Counter(each.partition(";")[0].removeprefix("The row is ") for each in sentences)
    counts = ", ".join(f"{count} {what}" for what, count in done.items())
    left = sum(row.status is RowStatus.IN_DOUBT for row in reported_rows(tx, job_id))
    resume = f"; `roster resume {job_id}` continues the job" if any("resume" in each for each in sentences) else ""
    still = f"{counted(left, 'row')} of job {job_id} {'is' if left == 1 else 'are'} still in doubt"
    return f"{counted(len(sentences), 'row')} resolved: {counts}{resume}. {still}"
