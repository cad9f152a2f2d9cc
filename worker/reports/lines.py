"""The content of a report: one line for each row, and the summary. Uses neither the ledger nor a file format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from worker.model import JobState, Relation, RowStage, RowStatus, Verdict

#: The columns after the roster's own. The importer ignores headings that begin with `_`.
REPORT_COLUMNS = (
    "_row",
    "_status",
    "_error",
    "_error_code",
    "_column",
    "_candidate_id",
    "_registration_id",
    "_created",
    "_attempts",
    "_http_status",
    "_when",
    "_stage",
    "_job",
)

#: Separates codes in `_error_code` and headings in `_column` when a row has several problems.
SEPARATOR = "; "

#: A time as `utc_text` writes it.
STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def utc_text(when: datetime) -> str:
    """Return a time as reports write it: ISO 8601, UTC, whole seconds (`2026-03-01T09:30:00Z`)."""
    if when.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def local_text(at: float, zone: str) -> str:
    """Return a time (seconds since 1970) as people of a time zone read it: `Fri 2026-11-27 06:02 GMT`."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """The outcome of one row of the roster."""

    #: The roster's own cells, their text as in the file; may be more or fewer than the headings.
    cells: tuple[str, ...]
    row: int
    status: RowStatus
    #: All problems of the row, in plain sentences.
    error: str = ""
    #: Codes of `codes.py`, separated by `SEPARATOR`.
    error_code: str = ""
    #: The headings with errors, as in the roster, separated likewise.
    column: str = ""
    candidate_id: str = ""
    registration_id: str = ""
    #: Whether the candidate is new in the LMS.
    created: bool = False
    attempts: int = 0
    http_status: int | None = None
    when: datetime | None = None
    stage: RowStage | None = None
    job: int = 0
    #: Whether `roster verify` found that the LMS differs.
    differs: bool = False

    @property
    def report_cells(self) -> tuple[str | int, ...]:
        """Return the values of `REPORT_COLUMNS`; numbers are those that a workbook may add up."""
        return (
            self.row,
            self.status.value,
            self.error,
            self.error_code,
            self.column,
            self.candidate_id,
            self.registration_id,
            "true" if self.created else "false",
            self.attempts,
            "" if self.http_status is None else self.http_status,
            "" if self.when is None else utc_text(self.when),
            self.stage or "",
            self.job or "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The totals of a job. Raises ValueError when they do not add up."""

    job: int
    #: The uploaded file's name.
    roster: str
    connection: str
    state: JobState
    total: int
    #: A status that is not in it has no rows.
    by_status: Mapping[RowStatus, int]
    #: Of the rows that are not done; a stage that is not in it has no rows.
    stages: Mapping[RowStage, int] = field(default_factory=dict)
    #: Rows without an outcome whose person this ledger has created, or found in the LMS.
    unsent_created: int = 0
    unsent_found: int = 0
    #: Other jobs, by how this one relates to them.
    related: Mapping[Relation, Sequence[int]] = field(default_factory=dict)
    #: Jobs that were opened to undo or fix this one, or that it is to undo or fix, without effect so far.
    related_without_effect: Mapping[Relation, Sequence[int]] = field(default_factory=dict)
    #: Open rows that a later job has settled, by the status that they still have here.
    settled: Mapping[RowStatus, int] = field(default_factory=dict)
    #: Registrations of this job that a later job has withdrawn.
    withdrawn_later: int = 0
    candidates_created: int = 0
    registrations_created: int = 0
    #: By operation: `create_candidate`, `register`, …
    calls: Mapping[str, int] = field(default_factory=dict)
    #: Rate-limit responses of the LMS.
    rate_limited: int = 0
    waited_seconds: float = 0.0
    bisected_batches: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    #: The files of the report, as absolute paths.
    reports: tuple[str, ...] = ()
    #: Of the report's files, when others had to be kept; and the first file that was kept.
    report_number: int = 1
    kept_report: str = ""
    #: Why the job is held, waiting, failed, …: a plain sentence.
    reason: str = ""
    #: When a waiting job resumes, or a scheduled one starts.
    not_before: datetime | None = None
    #: Notes about the file and the import.
    warnings: tuple[str, ...] = ()
    #: Whether the rows were deleted, as old personal data is; their counts are kept.
    is_purged: bool = False
    #: The verdicts of `roster verify` on the rows that are done; None when it was never run.
    verified: Mapping[Verdict, int] | None = None

    def __post_init__(self) -> None:
        rows = sum(self.by_status.values())
        if rows != self.total:
            raise ValueError(f"the counts do not add up: {self.total} rows, {rows} outcomes")

    @property
    def done(self) -> int:
        """Return the number of rows that are done."""
        return sum(count for status, count in self.by_status.items() if status.is_done)

    @property
    def unsent(self) -> int:
        """Return the number of rows without an outcome of which nothing is in the LMS as far as is known."""
        unregistered = self.unsent_created + self.unsent_found
        return max(0, self.by_status.get(RowStatus.NOT_ATTEMPTED, 0) - unregistered)

    @property
    def not_done(self) -> int:
        """Return the number of rows that are neither done nor duplicates."""
        return sum(count for status, count in self.by_status.items() if status.is_open)

    @property
    def open_rows(self) -> int:
        """Return how many rows still need somebody: open, not about to be sent, not settled by a later job."""
        waits = {RowStatus.NOT_ATTEMPTED} if self.state.is_moving else set()
        counted = [status for status in RowStatus if status.is_open and status not in waits]
        return sum(max(0, self.by_status.get(each, 0) - self.settled.get(each, 0)) for each in counted)

    @property
    def needs_attention(self) -> int:
        """Return how many rows a person must correct or resolve, less those that a later job has settled."""
        counted = [status for status in RowStatus if status.needs_attention]
        return sum(max(0, self.by_status.get(each, 0) - self.settled.get(each, 0)) for each in counted)

    @property
    def kept_note(self) -> str:
        """Return which file was kept, and which is the new one; empty when none had to be."""
        if not self.kept_report:
            return ""
        new = next(iter(self.reports), "numbered")
        return (
            f"{self.kept_report} was changed since it was written, belongs to another roster or sheet, or is of an "
            f"earlier version: it was kept, and the new reports are numbered: {new}"
        )

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON: its documented keys, in their order."""
        return {
            "job": self.job,
            "roster": self.roster,
            "connection": self.connection,
            "state": self.state.value,
            "total": self.total,
            "by_status": {status.value: self.by_status.get(status, 0) for status in RowStatus},
            "candidates_created": self.candidates_created,
            "registrations_created": self.registrations_created,
            "calls": dict(self.calls),
            "rate_limited": self.rate_limited,
            "waited_seconds": round(self.waited_seconds, 3),
            "bisected_batches": self.bisected_batches,
            "started_at": _utc_text_or_none(self.started_at),
            "finished_at": _utc_text_or_none(self.finished_at),
            "duration_seconds": None if self.duration_seconds is None else round(self.duration_seconds, 3),
            "reports": list(self.reports),
            "reason": self.reason or None,
            "not_before": _utc_text_or_none(self.not_before),
            "warnings": [*self.warnings, *([self.kept_note] if self.kept_report else [])],
            "stages": {stage.value: self.stages.get(stage, 0) for stage in RowStage},
            "related": {relation.value: list(self.related.get(relation, ())) for relation in Relation},
            "open_rows": self.open_rows,
            "verified": self.verified and {verdict.value: self.verified.get(verdict, 0) for verdict in Verdict},
        }


def _utc_text_or_none(when: datetime | None) -> str | None:
    return None if when is None else utc_text(when)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one report."""

    #: The headings of the roster's own columns; empty over cells beyond the last heading.
    roster_headings: tuple[str, ...]
    #: The position of each of these in a row of the roster.
    positions: tuple[int, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Return all headings: the roster's own, then the report's."""
        return self.roster_headings + REPORT_COLUMNS

    def roster_cells(self, cells: Sequence[str]) -> list[str]:
        """Return a row's cells under the roster's own headings, short rows filled up with empty text."""
        count = len(cells)
        return [cells[position] if position < count else "" for position in self.positions]


def lay_out(headings: Sequence[str], lines: Iterable[ReportLine]) -> Layout:
    """Return the columns: wide enough for the widest row, without those that an earlier report added.

    Only the report's own headings are left out. Others that begin with `_` are the user's, and are kept.
    """
    width = max((_width(line.cells, len(headings)) for line in lines), default=len(headings))
    padded = [*headings, *[""] * (width - len(headings))]
    kept = [(position, heading) for position, heading in enumerate(padded) if heading.strip() not in REPORT_COLUMNS]
    return Layout(
        roster_headings=tuple(heading for _, heading in kept), positions=tuple(position for position, _ in kept)
    )


def _width(cells: Sequence[str], least: int) -> int:
    """Return the number of cells of a row up to the last one that is not empty."""
    width = len(cells)
    while width > least and not cells[width - 1]:
        width -= 1
    return max(width, least)
