"""What a report says: one line per roster row, and the summary. Knows neither the ledger nor any file format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.model import JobState, RowStatus, Verdict

#: Our columns, after the roster's own. The reader ignores headings that begin with `_`.
OUR_COLUMNS = (
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
)

#: Stands between two codes in `_error_code` and two headings in `_column` when a row has several problems.
SEVERAL = "; "


def stamp(when: datetime) -> str:
    """Return a time as the reports write it: ISO 8601, UTC, whole seconds (`2026-03-01T09:30:00Z`)."""
    if when.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """What became of one row of the roster."""

    #: The roster's own cells, their text as it stood; may be more or fewer than the headings.
    cells: tuple[str, ...]
    row: int
    status: RowStatus
    #: All problems of the row, in plain sentences.
    error: str = ""
    #: Codes of `codes.py`; several stand with `SEPARATOR` between them.
    error_code: str = ""
    #: The headings at fault as they stand in the roster; several likewise.
    column: str = ""
    candidate_id: str = ""
    registration_id: str = ""
    #: Whether the candidate is new in the LMS.
    created: bool = False
    attempts: int = 0
    http_status: int | None = None
    when: datetime | None = None
    #: Whether `roster verify` found it otherwise at the LMS.
    differs: bool = False

    @property
    def ours(self) -> tuple[str | int, ...]:
        """Return the values of `OUR_COLUMNS`; the numbers are those that a workbook may add up."""
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
            "" if self.when is None else stamp(self.when),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of a job; refuses to exist when the books do not balance."""

    job: int
    #: The uploaded file's name.
    roster: str
    connection: str
    state: JobState
    total: int
    #: Statuses left out count zero.
    by_status: Mapping[RowStatus, int]
    candidates_created: int = 0
    registrations_created: int = 0
    #: By operation: `create_candidate`, `register`, …
    calls: Mapping[str, int] = field(default_factory=dict)
    #: Answers by which the LMS asked us to slow down.
    rate_limited: int = 0
    waited_seconds: float = 0.0
    bisected_batches: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    #: The files of the report, as absolute paths.
    reports: tuple[str, ...] = ()
    #: Why the job is held, waiting, failed, …: a plain sentence.
    reason: str = ""
    #: When a waiting job goes on.
    not_before: datetime | None = None
    #: What was noticed on the way and stopped nothing.
    warnings: tuple[str, ...] = ()
    #: What `roster verify` found of the rows that are done; None when it was never asked.
    verified: Mapping[Verdict, int] | None = None

    def __post_init__(self) -> None:
        rows = sum(self.by_status.values())
        if rows != self.total:
            raise ValueError(f"the books do not balance: {self.total} rows, {rows} outcomes")

    @property
    def done(self) -> int:
        """Return the number of rows that are done."""
        return sum(count for status, count in self.by_status.items() if status.is_done)

    @property
    def not_done(self) -> int:
        """Return the number of rows that are neither done nor duplicates."""
        return sum(count for status, count in self.by_status.items() if status.is_open)

    def to_json(self) -> dict[str, object]:
        """Return the summary as the contract has it: its keys, in its order, then those that we add."""
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
            "started_at": _stamp_or_none(self.started_at),
            "finished_at": _stamp_or_none(self.finished_at),
            "duration_seconds": None if self.duration_seconds is None else round(self.duration_seconds, 3),
            "reports": list(self.reports),
            "reason": self.reason or None,
            "not_before": _stamp_or_none(self.not_before),
            "warnings": list(self.warnings),
            "verified": self.verified and {verdict.value: self.verified.get(verdict, 0) for verdict in Verdict},
        }


def _stamp_or_none(when: datetime | None) -> str | None:
    return None if when is None else stamp(when)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one report."""

    #: The headings of the roster's own columns; empty over cells that stand beyond the last heading.
    own: tuple[str, ...]
    #: Where each of these stands in a row of the roster.
    places: tuple[int, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Return all headings: the roster's own, then ours."""
        return self.own + OUR_COLUMNS

    def own_cells(self, cells: Sequence[str]) -> list[str]:
        """Return a row's cells under the roster's own headings, short rows filled up with empty text."""
        there = len(cells)
        return [cells[place] if place < there else "" for place in self.places]


def lay_out(headings: Sequence[str], lines: Iterable[ReportLine]) -> Layout:
    """Find the columns: wide enough for the widest row, without what an earlier report of ours had added.

    Only our own headings are left out. Others that begin with `_` are the user's: ignored on reading, yet kept.
    """
    width = max((_width(line.cells, len(headings)) for line in lines), default=len(headings))
    padded = [*headings, *[""] * (width - len(headings))]
    kept = [(place, heading) for place, heading in enumerate(padded) if heading.strip() not in OUR_COLUMNS]
    return Layout(own=tuple(heading for _, heading in kept), places=tuple(place for place, _ in kept))


def _width(cells: Sequence[str], least: int) -> int:
    """Count the cells of a row up to the last one that says something."""
    width = len(cells)
    while width > least and not cells[width - 1]:
        width -= 1
    return max(width, least)
