"""The other sheets of the workbook: Summary, and Codes with the explanation of each error code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xlsxwriter.worksheet import Worksheet

from worker.model import JobState, RowStatus
from worker.quantities import counted
from worker.reports.audience import Audience
from worker.reports.codes import explain
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import (
    STATE_INFO,
    STATUS_INFO,
    UNREGISTERED,
    duration_text,
    next_steps,
    state_meaning,
    verdict_counts,
)
from worker.reports.lines import Summary
from worker.reports.workbook_format import Formats, check_result, write_number, write_text

#: Of the three columns: a name, a number, a text.
_WIDTHS = (30, 14, 96)


class _SheetWriter:
    """A sheet filled from the top, a line at a time."""

    def __init__(self, sheet: Worksheet, formats: Formats) -> None:
        self._sheet = sheet
        self._formats = formats
        self._row = -1
        for column, width in enumerate(_WIDTHS):
            check_result(sheet.set_column(column, column, width))

    def title(self, text: str) -> None:
        """Write a title, with an empty line before it."""
        self._row += 2 if self._row >= 0 else 1
        write_text(self._sheet, self._row, 0, text, self._formats.title)

    def headings(self, *texts: str) -> None:
        """Write the headings of a table."""
        self._row += 1
        for column, text in enumerate(texts):
            write_text(self._sheet, self._row, column, text, self._formats.report_heading)

    def line(self, label: str, value: str | int, more: str = "", fill: str | None = None) -> None:
        """Write a label, its value, and a text."""
        self._row += 1
        name = self._formats.cell(fill, strong=True) if fill else self._formats.label
        write_text(self._sheet, self._row, 0, label, name)
        if isinstance(value, str):
            write_text(self._sheet, self._row, 1, value, self._formats.wrapped)
        else:
            write_number(self._sheet, self._row, 1, value, self._formats.count)
        if more:
            write_text(self._sheet, self._row, 2, more, self._formats.wrapped)

    def fact(self, label: str, text: str) -> None:
        """Write a label and a sentence."""
        self._across(1, text)
        write_text(self._sheet, self._row, 0, label, self._formats.label)

    def sentence(self, text: str) -> None:
        """Write a sentence across the page."""
        self._across(0, text)

    def _across(self, first: int, text: str) -> None:
        self._row += 1
        # Spreadsheets do not compute the height of merged cells.
        lines = -(-len(text) // (sum(_WIDTHS[first:]) - 10))
        check_result(self._sheet.set_row(self._row, 15 * lines))
        check_result(
            self._sheet.merge_range(self._row, first, self._row, len(_WIDTHS) - 1, "", self._formats.wrapped)
        )
        write_text(self._sheet, self._row, first, text, self._formats.wrapped)


def write_summary(
    sheet: Worksheet, formats: Formats, summary: Summary, audience: Audience, columns_left_out: int = 0
) -> None:
    """Write the state, the counts of rows by status, and what to do next."""
    page = _SheetWriter(sheet, formats)
    page.title(f"{summary.roster}: {STATE_INFO[summary.state].label}")
    for label, text in _facts(summary, audience):
        page.fact(label, text)
    page.title("What to do next")
    for step in next_steps(summary, file_name(summary.roster, ReportKind.FAILED, summary.report_number)):
        page.sentence(audience.sentence(step))
    _write_counts(page, summary)
    page.title("Activity")
    for label, number in _activity(summary):
        page.line(label, number)
    if warnings := _notes(summary, columns_left_out):
        page.title("Notes")
        for warning in warnings:
            page.sentence(audience.sentence(warning))


def write_codes(sheet: Worksheet, formats: Formats, codes: Mapping[str, int], audience: Audience) -> None:
    """Explain the codes that occur in this report."""
    page = _SheetWriter(sheet, formats)
    page.headings("Code", "Rows", "Meaning and what to do")
    for code, count in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
        known = explain(code)
        page.line(code, count, f"{audience.sentence(known.meaning)}\n{audience.sentence(known.remedy)}")
    sheet.freeze_panes(1, 0)


def _facts(summary: Summary, audience: Audience) -> Iterator[tuple[str, str]]:
    yield "Job", str(summary.job)
    yield "Connection", summary.connection
    yield "State", state_meaning(summary)
    if summary.reason:
        yield "Reason", audience.sentence(summary.reason)
    if summary.not_before is not None:
        yield (
            "Starts at" if summary.state is JobState.SCHEDULED else "Resumes at",
            audience.time_text(summary.not_before),
        )
    if summary.started_at is not None:
        yield "Started", audience.time_text(summary.started_at)
    if summary.finished_at is not None:
        yield "Finished", audience.time_text(summary.finished_at)
    if summary.verified is not None:
        yield "Verified", verdict_counts(summary.verified)
    if summary.duration_seconds is not None:
        yield "Duration", duration_text(summary.duration_seconds)


def _write_counts(page: _SheetWriter, summary: Summary) -> None:
    page.title("Rows")
    page.headings("Status", "Rows", "Meaning")
    unregistered = summary.unsent_created + summary.unsent_found
    for status in RowStatus:
        info, count = STATUS_INFO[status], summary.by_status.get(status, 0)
        if status is RowStatus.NOT_ATTEMPTED and unregistered:
            page.line(f"{UNREGISTERED.label} ({status})", unregistered, UNREGISTERED.meaning, UNREGISTERED.fill)
            count -= unregistered
        page.line(_status_label(status), count, info.meaning, info.fill)
    page.line("total", summary.total, "Every row of the roster is counted in exactly one line above.")


def _status_label(status: RowStatus) -> str:
    """Return the label, with the status as the Results sheet has it where the two differ."""
    label = STATUS_INFO[status].label
    return label if label.casefold().replace(" ", "_") == status else f"{label} ({status})"


def _activity(summary: Summary) -> Iterator[tuple[str, str | int]]:
    yield "Candidates created", summary.candidates_created
    yield "Registrations created", summary.registrations_created
    yield "Calls to the LMS", sum(summary.calls.values())
    for operation, number in summary.calls.items():
        yield f"    {operation}", number
    yield "Rate-limit responses", summary.rate_limited
    yield "Time waited for the LMS", duration_text(summary.waited_seconds)
    yield "Batches split to isolate rejected rows", summary.bisected_batches


def _notes(summary: Summary, columns_left_out: int) -> list[str]:
    if not columns_left_out:
        return list(summary.warnings)
    csv = file_name(summary.roster, ReportKind.RESULTS, summary.report_number)
    wide = f"The roster is wider than a worksheet: see {csv} for its last {counted(columns_left_out, 'column')}."
    return [*summary.warnings, wide]
