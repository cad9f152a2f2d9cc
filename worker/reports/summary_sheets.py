"""The sheets around the results: Summary for the person who opens the workbook, Codes to look words up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xlsxwriter.worksheet import Worksheet

from worker.model import RowStatus
from worker.reports.codes import explain
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import STATE_INFO, STATUS_INFO, duration_text, next_steps, verdict_counts
from worker.reports.lines import Summary, stamp
from worker.reports.workbook_format import Looks, checked, write_number, write_text

#: Of the three columns: a name, a number, what there is to say.
_WIDTHS = (30, 14, 96)


class _Page:
    """A sheet filled from the top, a line at a time."""

    def __init__(self, sheet: Worksheet, looks: Looks) -> None:
        self._sheet = sheet
        self._looks = looks
        self._row = -1
        for column, width in enumerate(_WIDTHS):
            checked(sheet.set_column(column, column, width))

    def title(self, text: str) -> None:
        """Write a title, and leave a line free before it."""
        self._row += 2 if self._row >= 0 else 1
        write_text(self._sheet, self._row, 0, text, self._looks.title)

    def headings(self, *texts: str) -> None:
        """Write the headings of a table."""
        self._row += 1
        for column, text in enumerate(texts):
            write_text(self._sheet, self._row, column, text, self._looks.our_heading)

    def line(self, label: str, value: str | int, more: str = "", fill: str | None = None) -> None:
        """Write a label, its value, and what there is to say about it."""
        self._row += 1
        name = self._looks.cell(fill, strong=True) if fill else self._looks.label
        write_text(self._sheet, self._row, 0, label, name)
        if isinstance(value, str):
            write_text(self._sheet, self._row, 1, value, self._looks.wrapped)
        else:
            write_number(self._sheet, self._row, 1, value, self._looks.count)
        if more:
            write_text(self._sheet, self._row, 2, more, self._looks.wrapped)

    def fact(self, label: str, text: str) -> None:
        """Write a label and a sentence beside it."""
        self._across(1, text)
        write_text(self._sheet, self._row, 0, label, self._looks.label)

    def sentence(self, text: str) -> None:
        """Write a sentence across the page."""
        self._across(0, text)

    def _across(self, first: int, text: str) -> None:
        self._row += 1
        # Spreadsheets do not find the height of merged cells by themselves.
        lines = -(-len(text) // (sum(_WIDTHS[first:]) - 10))
        checked(self._sheet.set_row(self._row, 15 * lines))
        checked(self._sheet.merge_range(self._row, first, self._row, len(_WIDTHS) - 1, "", self._looks.wrapped))
        write_text(self._sheet, self._row, first, text, self._looks.wrapped)


def write_summary(sheet: Worksheet, looks: Looks, summary: Summary, columns_left_out: int = 0) -> None:
    """Write what happened, how many rows came to what, and what to do next."""
    page = _Page(sheet, looks)
    page.title(f"{summary.roster}: {summary.state.value.replace('_', ' ')}")
    for label, text in _about(summary):
        page.fact(label, text)
    page.title("What to do next")
    for step in next_steps(summary, file_name(summary.roster, ReportKind.FAILED)):
        page.sentence(step)
    _write_counts(page, summary)
    page.title("The work")
    for label, number in _work(summary):
        page.line(label, number)
    if warnings := _warnings(summary, columns_left_out):
        page.title("Noticed on the way")
        for warning in warnings:
            page.sentence(warning)


def write_codes(sheet: Worksheet, looks: Looks, codes: Mapping[str, int]) -> None:
    """Explain the codes that occur in this report."""
    page = _Page(sheet, looks)
    page.headings("Code", "Rows", "What it means, and what to do")
    for code, count in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
        known = explain(code)
        page.line(code, count, f"{known.meaning}\n{known.remedy}")
    sheet.freeze_panes(1, 0)


def _about(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "Job", str(summary.job)
    yield "Connection", summary.connection
    yield "State", STATE_INFO[summary.state].meaning
    if summary.reason:
        yield "Reason", summary.reason
    if summary.not_before is not None:
        yield "Goes on at", stamp(summary.not_before)
    if summary.started_at is not None:
        yield "Started", stamp(summary.started_at)
    if summary.finished_at is not None:
        yield "Finished", stamp(summary.finished_at)
    if summary.verified is not None:
        yield "Verified", verdict_counts(summary.verified)
    if summary.duration_seconds is not None:
        yield "Duration", duration_text(summary.duration_seconds)


def _write_counts(page: _Page, summary: Summary) -> None:
    page.title("The rows")
    page.headings("Status", "Rows", "What it means")
    for status in RowStatus:
        info = STATUS_INFO[status]
        page.line(status.value, summary.by_status.get(status, 0), info.meaning, info.fill)
    page.line("total", summary.total, "Every row of the roster is counted in exactly one line above.")


def _work(summary: Summary) -> Iterator[tuple[str, str | int]]:
    yield "Candidates created", summary.candidates_created
    yield "Registrations created", summary.registrations_created
    yield "Calls to the LMS", sum(summary.calls.values())
    for operation, number in summary.calls.items():
        yield f"    {operation}", number
    yield "Answers “slow down”", summary.rate_limited
    yield "Waited for the LMS", duration_text(summary.waited_seconds)
    yield "Batches cut in two", summary.bisected_batches


def _warnings(summary: Summary, columns_left_out: int) -> list[str]:
    if not columns_left_out:
        return list(summary.warnings)
    csv = file_name(summary.roster, ReportKind.RESULTS)
    wide = f"The roster is wider than a worksheet: see {csv} for its last {columns_left_out:,} columns."
    return [*summary.warnings, wide]
