"""What was understood of a dropped roster, for its page: headings, problems, who is known, what it will cost."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import NothingSent, UncertainEncoding
from worker.intake.accept import open_as
from worker.intake.headers import claimed_column, letter
from worker.intake.importing import rehearse
from worker.intake.roster_file import open_roster
from worker.intake.text import clean
from worker.jobs import drafts
from worker.jobs.estimate import plan_of
from worker.ledger.rows import outlook, some_rows
from worker.model import RowStatus
from worker.reports import gather

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.roster_file import RosterFile
    from worker.jobs.drafts import Draft
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

FIRST_ROWS, SHOWN_ROWS, EXAMPLES = 5, 50, 3
_LONGEST_CELL = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading of the file, what it is taken for, and a few of its cells."""

    name: str
    letter: str
    #: Our column, or empty when it is not used.
    column: str
    #: What it would be by its own name.
    by_itself: str
    examples: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row about which there is something to say."""

    row: int
    error: str
    code: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was understood."""

    looked_at: float
    #: Why the file cannot be read as it is; empty when it can.
    error: str = ""
    #: Names as each candidate encoding reads them, when the encoding must be said.
    readings: dict[str, str] = field(default_factory=dict)
    is_text: bool = False
    sheet: str = ""
    sheets: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    first_rows: list[tuple[int, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    invalid: list[Line] = field(default_factory=list)
    repeated: list[Line] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    #: Rows to be registered by course, people whom the ledger does not know, and rows of other actions.
    courses: dict[str, int] = field(default_factory=dict)
    new_people: int = 0
    deeds: int = 0
    calls: str = ""
    rate: float | None = None
    seconds: float | None = None

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.counts.values())

    @property
    def to_send(self) -> int:
        """Return the number of rows for which something will be sent."""
        return self.counts.get(RowStatus.NOT_ATTEMPTED, 0)


def look_at(services: Services, draft: Draft) -> Look:
    """Return what was understood of a draft, looking at it when nobody has since its last change."""
    kept = drafts.find_look(services, draft, Look)
    if kept is None:
        kept = _look(services, draft)
        drafts.note_look(services, draft, kept)
    return kept


def _look(services: Services, draft: Draft) -> Look:
    path = drafts.path_of(services, draft)
    seen = Look(looked_at=time.time())
    try:
        file = open_roster(path, name=draft.name, sheet=draft.options.sheet, encoding=draft.options.encoding)
        seen = _file_seen(seen, file, draft)
        return _rehearsed(services, draft, path, seen)
    except UncertainEncoding as error:
        return replace(seen, error=str(error), readings=dict(error.readings), is_text=True)
    except NothingSent as error:
        return replace(seen, error=str(error))


def _file_seen(seen: Look, file: RosterFile, draft: Draft) -> Look:
    """Return what is seen of the file itself, whatever its headings mean."""
    first = list(itertools.islice(file.rows(), FIRST_ROWS))
    mapping = draft.options.mapping
    headings = [
        Heading(
            name=clean(name),
            letter=letter(at),
            column=mapping.get(clean(name), claimed_column(name)),
            by_itself=claimed_column(name),
            examples=[_short(row.cells[at]) for row in first[:EXAMPLES] if at < len(row.cells) and row.cells[at]],
        )
        for at, name in enumerate(file.headings)
    ]
    return replace(
        seen,
        is_text=not file.sheet,
        sheet=file.sheet,
        sheets=[file.sheet, *file.other_sheets] if file.sheet else [],
        headings=headings,
        first_rows=[(row.row, [_short(cell) for cell in row.cells]) for row in first],
        notes=list(file.notes),
    )


def _rehearsed(services: Services, draft: Draft, path: Path, seen: Look) -> Look:
    """Return what the real run would find; the file is opened before, so that the ledger is held but shortly."""
    opened = open_as(path, draft.name, draft.options)
    connection = services.connection(draft.connection)
    rules = lms.rules_of(connection)
    with services.ledger.rehearse() as tx:
        job = rehearse(tx, path, connection, draft.options, rules=rules, name=draft.name, opened=opened)
        plan = plan_of(tx, services, job.id, connection)
        seen = _rows_seen(tx, job, gather.summarise(tx, job), seen)
    used = [
        replace(heading, column=column or "")
        for heading, column in zip(seen.headings, opened[1].columns, strict=True)
    ]
    return replace(seen, headings=used, calls=plan.span, rate=plan.rate, seconds=plan.seconds)


def _rows_seen(tx: Transaction, job: Job, summary: Summary, seen: Look) -> Look:
    ahead = outlook(tx, job.id)
    return replace(
        seen,
        notes=list(job.notes),
        counts={status.value: count for status, count in summary.by_status.items()},
        invalid=_lines(tx, job, RowStatus.INVALID),
        repeated=_lines(tx, job, RowStatus.SKIPPED),
        known=[line.row for line in _lines(tx, job, RowStatus.ALREADY_REGISTERED)],
        courses=dict(ahead.rows_by_course),
        new_people=ahead.new_candidates,
        deeds=ahead.deeds,
    )


def _lines(tx: Transaction, job: Job, status: RowStatus) -> list[Line]:
    rows = some_rows(tx, job.id, statuses=(status,), limit=SHOWN_ROWS)
    return [Line(row=row.row, error=row.error, code=row.code, column=row.column) for row in rows]


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[:_LONGEST_CELL]}…"
