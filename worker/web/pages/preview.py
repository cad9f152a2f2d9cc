"""The preview of an uploaded roster: its columns, problems, known people, calls and time, from a dry run."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import NothingSent, UncertainEncoding, UndecidedHiddenRows
from worker.intake.accept import fingerprint, headings_of, hidden_rows, open_file
from worker.intake.headers import column_letter, column_of_heading
from worker.intake.importing import dry_run
from worker.intake.text import clean
from worker.jobs import drafts
from worker.jobs.estimate import plan_of
from worker.ledger import jobs, relations
from worker.ledger.rows import count_people_to_register, count_remaining, page_of_rows
from worker.model import RowStatus
from worker.reports import gather
from worker.reports.column_labels import columns_text

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.intake.roster_file import RosterFile
    from worker.jobs.drafts import Draft
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

SAMPLE_ROWS, SHOWN_ROWS, SAMPLE_CELLS = 5, 50, 3
MAX_CELL = 60
#: Up to this many columns are shown: those that are imported before others.
MAX_COLUMNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewColumn:
    """A column of the file, how it is imported, and a few of its cells."""

    #: Its place in the file, from 0.
    at: int
    name: str
    letter: str
    #: The column it is imported as; empty when it is not imported.
    column: str
    #: The column that its heading is matched to automatically.
    detected: str
    examples: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMessage:
    """A row with a message."""

    row: int
    error: str
    code: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The preview of a draft."""

    made_at: float
    #: Why the file cannot be imported as it is; empty when it can.
    error: str = ""
    #: Names as each possible encoding reads them, when a person must choose one.
    readings: dict[str, str] = field(default_factory=dict)
    #: How many rows are hidden in the spreadsheet.
    hidden_rows: int = 0
    is_text: bool = False
    sheet: str = ""
    sheets: list[str] = field(default_factory=list)
    columns: list[PreviewColumn] = field(default_factory=list)
    #: How many columns of the file are not among them.
    columns_left_out: int = 0
    sample_rows: list[tuple[int, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    invalid: list[RowMessage] = field(default_factory=list)
    skipped: list[RowMessage] = field(default_factory=list)
    already_registered: list[int] = field(default_factory=list)
    #: Rows to be registered by course, their people, how many of these are new, and rows of other actions.
    courses: dict[str, int] = field(default_factory=dict)
    people: int = 0
    new_people: int = 0
    other_actions: int = 0
    calls: str = ""
    rate: float | None = None
    seconds: float | None = None
    #: Identifies the file with the connection and options of this preview; empty when it cannot be imported.
    fingerprint: str = ""
    #: Rows to be sent that another open job is to send too, by the number of that job.
    waiting_elsewhere: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.counts.values())

    @property
    def to_send(self) -> int:
        """Return the number of rows for which something will be sent."""
        return self.counts.get(RowStatus.NOT_ATTEMPTED, 0)


def preview_of(services: Services, draft: Draft, *, is_shown: bool) -> Preview:
    """Return the preview of a draft, made again when the draft has changed.

    One that `is_shown` is also made again when a job of its connection has sent something since.
    """
    saved = drafts.find_preview(services, draft, Preview)
    if saved is not None and is_shown and _is_outdated(services, draft, saved):
        saved = None
    if saved is None:
        saved = _with_fewer_columns(_make_preview(services, draft))
        drafts.save_preview(services, draft, saved)
    return saved


def _is_outdated(services: Services, draft: Draft, saved: Preview) -> bool:
    with services.ledger.read() as tx:
        return jobs.has_changed_since(tx, draft.connection, saved.made_at)


def _make_preview(services: Services, draft: Draft) -> Preview:
    path = drafts.path_of(services, draft)
    preview = Preview(made_at=time.time())
    try:
        file = open_file(path, draft.name, draft.options, in_child=True)
        preview = _with_file(preview, file, draft)
        return _with_dry_run(services, draft, file, preview)
    except UncertainEncoding as error:
        return replace(preview, error=str(error), readings=dict(error.readings), is_text=True)
    except UndecidedHiddenRows as error:
        return replace(preview, error=str(error), hidden_rows=error.count)
    except NothingSent as error:
        return replace(preview, error=str(error))


def _with_file(preview: Preview, file: RosterFile, draft: Draft) -> Preview:
    """Return the preview with the content of the file, before its columns are matched."""
    first = list(itertools.islice(file.rows(), SAMPLE_ROWS))
    mapping = draft.options.mapping
    columns = [
        PreviewColumn(
            at=at,
            name=clean(name),
            letter=column_letter(at),
            column=mapping.get(clean(name), column_of_heading(name)),
            detected=column_of_heading(name),
            examples=[
                _shorten(row.cells[at]) for row in first[:SAMPLE_CELLS] if at < len(row.cells) and row.cells[at]
            ],
        )
        for at, name in enumerate(file.headings)
    ]
    return replace(
        preview,
        is_text=not file.sheet,
        sheet=file.sheet,
        sheets=[file.sheet, *file.other_sheets] if file.sheet else [],
        columns=columns,
        sample_rows=[(row.row, [_shorten(cell) for cell in row.cells]) for row in first],
        notes=list(file.notes),
    )


def _with_dry_run(services: Services, draft: Draft, file: RosterFile, preview: Preview) -> Preview:
    """Return the preview with the result of a dry run. The file is opened first, to keep the transaction short."""
    opened = (file, headings_of(file, draft.options))
    path = drafts.path_of(services, draft)
    connection = services.connection(draft.connection)
    rules = lms.rules_of(connection)
    with services.ledger.dry_run() as tx:
        job = dry_run(tx, path, connection, draft.options, rules=rules, name=draft.name, opened=opened)
        plan = plan_of(tx, services, job.id, connection)
        preview = _with_rows(tx, job, gather.summarise(tx, job), preview)
    columns = [
        replace(each, column=column or "") for each, column in zip(preview.columns, opened[1].columns, strict=True)
    ]
    preview = replace(preview, hidden_rows=len(hidden_rows(*opened)))
    digest = fingerprint(path, connection.name, draft.options)
    return replace(
        preview, columns=columns, calls=plan.span, rate=plan.rate, seconds=plan.seconds, fingerprint=digest
    )


def _with_rows(tx: Transaction, job: Job, summary: Summary, preview: Preview) -> Preview:
    ahead = count_remaining(tx, job.id)
    return replace(
        preview,
        notes=list(job.notes),
        counts={status.value: count for status, count in summary.by_status.items()},
        invalid=_messages(tx, job, RowStatus.INVALID),
        skipped=_messages(tx, job, RowStatus.SKIPPED),
        already_registered=[each.row for each in _messages(tx, job, RowStatus.ALREADY_REGISTERED)],
        courses=dict(ahead.rows_by_course),
        people=count_people_to_register(tx, job.id),
        new_people=ahead.new_candidates,
        other_actions=ahead.actions,
        waiting_elsewhere=relations.count_waiting_elsewhere(tx, job.id),
    )


def _with_fewer_columns(preview: Preview) -> Preview:
    """Return the preview with as many columns as a page can show."""
    imported_first = sorted(preview.columns, key=lambda each: (not (each.column or each.detected), each.at))
    columns = sorted(imported_first[:MAX_COLUMNS], key=lambda each: each.at)
    return replace(
        preview,
        columns=columns,
        columns_left_out=len(preview.columns) - len(columns),
        sample_rows=[
            (row, [cells[each.at] for each in columns if each.at < len(cells)])
            for row, cells in preview.sample_rows
        ],
    )


def _messages(tx: Transaction, job: Job, status: RowStatus) -> list[RowMessage]:
    rows = page_of_rows(tx, job.id, statuses=(status,), limit=SHOWN_ROWS)
    return [
        RowMessage(row=row.row, error=row.error, code=row.code, column=columns_text(row.column, job.headings))
        for row in rows
    ]


def _shorten(cell: str) -> str:
    return cell if len(cell) <= MAX_CELL else f"{cell[:MAX_CELL]}…"
