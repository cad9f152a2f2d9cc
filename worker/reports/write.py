"""Write the reports of a job: report lines to CSV, workbook and JSON. Does not use the ledger."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from worker import errors
from worker.model import RowStage, RowStatus
from worker.quantities import counted
from worker.reports.atomic_write import move_into_place, staging
from worker.reports.audience import COMMAND_LINE, Audience
from worker.reports.csv_report import csv_report, is_own_report
from worker.reports.kinds import ReportKind, file_name
from worker.reports.lines import SEPARATOR, Layout, ReportLine, Summary, lay_out


@dataclass(frozen=True, slots=True)
class _Written:
    """Counts of what was written."""

    by_status: Counter[RowStatus] = field(default_factory=Counter)
    stages: Counter[RowStage] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    #: The kinds of file with only some of the rows that got at least one.
    partial: set[ReportKind] = field(default_factory=set)

    def add(self, line: ReportLine) -> None:
        self.by_status[line.status] += 1
        if line.stage is not None:
            self.stages[line.stage] += 1
        if line.error_code:
            self.codes.update(set(line.error_code.split(SEPARATOR)))


def write_reports(
    folder: Path,
    roster: str,
    headings: Sequence[str],
    lines: Callable[[], Iterator[ReportLine]],
    summary: Summary,
    *,
    shown: str = "",
    rows_per_sheet: int | None = None,
    earlier: EarlierReports | None = None,
    audience: Audience = COMMAND_LINE,
) -> Summary:
    """Write the reports of a job into `folder` and return its summary with their paths, those in `shown` if given.

    The workbook is for people, and worded for its `audience`; the other files are the same for everybody.

    `lines` is called twice: for the widest row, and to write. Each file is complete, or the earlier one is kept.
    When one of the files that are there may not be replaced, all of the new ones are numbered.
    Raises RosterError when the disk fails or the lines do not add up to the summary.
    """
    folder, earlier = folder.absolute(), earlier or AllMayGo()
    number, kept = _free_number(folder, roster, earlier)
    summary = replace(summary, report_number=number, kept_report=str(kept or ""))
    layout = lay_out(headings, lines())
    with staging(folder, job=summary.job) as scratch:
        staged = {kind: scratch / file_name(roster, kind, number) for kind in ReportKind}
        summary, some = _write_lines(
            staged, layout, lines, summary, rows_per_sheet=rows_per_sheet, audience=audience
        )
        empty = [kind for kind in ReportKind if kind.is_partial and kind not in some]
        for kind in empty:
            del staged[kind]
        final = {path: folder / path.name for path in staged.values()}
        summary = replace(
            summary, reports=tuple(f"{shown}/{path.name}" if shown else str(path) for path in final.values())
        )
        _write_summary(staged[ReportKind.SUMMARY], summary)
        stale = [folder / file_name(roster, kind, number) for kind in empty]
        with earlier.replacing({path: digest_of(file) for file, path in final.items()}, stale):
            move_into_place(final)
            for path in stale:
                if is_own_report(path):
                    path.unlink()
    return summary


class EarlierReports(Protocol):
    """What is known of the files that are there already."""

    def may_go(self, path: Path) -> bool:
        """Return whether a file may be replaced; also when there is none."""

    def replacing(self, digests: Mapping[Path, str], removed: Sequence[Path]) -> AbstractContextManager[None]:
        """Record the digests of new files, in a block in which these are moved into place and others removed."""


class AllMayGo:
    """Reports in a folder to which nobody else writes."""

    def may_go(self, path: Path) -> bool:  # noqa: ARG002 - as the protocol says
        """Return True."""
        return True

    def replacing(self, digests: Mapping[Path, str], removed: Sequence[Path]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Record nothing."""
        return nullcontext()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _free_number(folder: Path, roster: str, earlier: EarlierReports) -> tuple[int, Path | None]:
    """Return the first number all of whose files may be written, and a file that must be kept, if any."""
    if not os.access(folder, os.R_OK | os.X_OK) or not folder.is_dir():
        return 1, None  # nothing to keep can be seen there; writing says what is wrong with the folder
    kept = None
    for number in itertools.count(1):
        paths = [folder / file_name(roster, kind, number) for kind in ReportKind]
        protected = next((path for path in paths if not earlier.may_go(path)), None)
        if protected is None:
            return number, kept
        kept = kept or protected
    raise AssertionError("numbers do not end")


def report_file_names(roster: str) -> list[str]:
    """Return the names that the files of a roster's report may have."""
    return [file_name(roster, kind) for kind in ReportKind]


def _write_lines(
    staged: dict[ReportKind, Path],
    layout: Layout,
    lines: Callable[[], Iterator[ReportLine]],
    summary: Summary,
    *,
    rows_per_sheet: int | None,
    audience: Audience,
) -> tuple[Summary, set[ReportKind]]:
    """Write every line into each file it belongs to, in one pass; return the summary and the partial files used."""
    # Imported late: XlsxWriter is slow to load, and most commands write no report.
    from worker.reports.workbook import ROWS_PER_SHEET, results_workbook  # noqa: PLC0415

    totals = _Written()
    with (
        csv_report(staged[ReportKind.RESULTS], layout.headings) as results,
        csv_report(staged[ReportKind.FAILED], layout.headings) as failed,
        csv_report(staged[ReportKind.DIFFERS], layout.headings) as differing,
        results_workbook(
            staged[ReportKind.WORKBOOK],
            layout,
            rows_per_sheet=rows_per_sheet or ROWS_PER_SHEET,
            audience=audience,
        ) as book,
    ):
        for line in lines():
            totals.add(line)
            own = layout.roster_cells(line.cells)
            results.write(own, line.report_cells)
            book.write(own, line)
            if line.status.is_open:
                failed.write(own, line.report_cells)
                totals.partial.add(ReportKind.FAILED)
            if line.differs:
                differing.write(own, line.report_cells)
                totals.partial.add(ReportKind.DIFFERS)
        summary = replace(_balanced(summary, totals.by_status), stages=dict(totals.stages))
        book.finish(summary, totals.codes)
    return summary, totals.partial


def _balanced(summary: Summary, written: Counter[RowStatus]) -> Summary:
    """Return the summary with the counts of the lines written. Raises RosterError when the two do not match.

    While a job is running its rows change between two reads; their number never does.
    """
    counts = Counter({status: count for status, count in summary.by_status.items() if count})
    if written.total() != summary.total or (summary.state.has_ended and written != counts):
        raise errors.RosterError(
            f"The report of job {summary.job} does not balance: {counted(summary.total, 'row')} counted "
            f"({_by_status(counts)}), {counted(written.total(), 'line')} to write ({_by_status(written)}). No "
            f"report was written. The outcomes are safe in the ledger; run `roster report {summary.job}`, and "
            "report this if it happens again."
        )
    return replace(summary, by_status=dict(written))


def _by_status(counts: Counter[RowStatus]) -> str:
    return ", ".join(f"{status} {counts[status]}" for status in RowStatus if counts[status]) or "none"


def _write_summary(path: Path, summary: Summary) -> None:
    """Write the summary, without a BOM: JSON has none."""
    text = json.dumps(summary.to_json(), ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace", newline="\n")
