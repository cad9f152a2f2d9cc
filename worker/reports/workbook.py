"""A report as a workbook: Summary, Results (and further Results past Excel's row limit), Codes.

Constant in memory: XlsxWriter writes rows out one by one. Imported late, since XlsxWriter is slow to load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from worker.intake.text import is_formula
from worker.reports.audience import COMMAND_LINE, Audience
from worker.reports.labels import STATUS_INFO
from worker.reports.lines import REPORT_COLUMNS, SEPARATOR, Layout, ReportLine, Summary
from worker.reports.summary_sheets import write_codes, write_summary
from worker.reports.workbook_format import (
    ERROR_FILL,
    FailOnceFile,
    Formats,
    TextSheet,
    check_result,
    write_number,
    write_text,
)

#: Excel's 1,048,576 less the headings.
ROWS_PER_SHEET = 1_048_575
#: Excel's limit.
MAX_COLUMNS = 16_384

#: Column widths are measured on this many rows.
_MEASURED_ROWS = 200
_KEPT_SENTENCES = 1_000
_MIN_WIDTH, _MAX_WIDTH = 9, 60
_STATUS = REPORT_COLUMNS.index("_status")


class ResultsWorkbook:
    """A workbook being written."""

    def __init__(self, book: Workbook, layout: Layout, rows_per_sheet: int, audience: Audience) -> None:
        self._book = book
        self._audience = audience
        #: Rewriting a sentence takes long, and many rows have the same.
        self._reworded = lru_cache(_KEPT_SENTENCES)(audience.sentence)
        self._formats = Formats(book)
        self._rows_per_sheet = rows_per_sheet
        #: Of a roster wider than a sheet, the rest is in results.csv only, and the Summary says so.
        self._roster_headings = layout.roster_headings[: MAX_COLUMNS - len(REPORT_COLUMNS)]
        self._left_out = len(layout.roster_headings) - len(self._roster_headings)
        self._widths = [len(heading) for heading in (*self._roster_headings, *REPORT_COLUMNS)]
        self._summary = book.add_worksheet("Summary", TextSheet)
        self._number = 0
        self._start_sheet()

    def write(self, roster_cells: Sequence[str], line: ReportLine) -> None:
        """Write one line of the results."""
        if self._row == self._rows_per_sheet:
            self._end_sheet()
            self._start_sheet()
        self._row += 1
        report_cells = (
            replace(line, error=self._reworded(line.error)).report_cells if line.error else line.report_cells
        )
        values = (*roster_cells[: len(self._roster_headings)], *report_cells)
        if self._number == 1 and self._row <= _MEASURED_ROWS:
            self._measure(values)
        fill = None if line.status.is_done else STATUS_INFO[line.status].fill
        self._write_values(values, fill, self._highlighted(line))

    def finish(self, summary: Summary, codes: Mapping[str, int]) -> None:
        """Write the sheets that need the totals."""
        self._end_sheet()
        write_summary(self._summary, self._formats, summary, self._audience, self._left_out)
        if codes:
            write_codes(self._book.add_worksheet("Codes", TextSheet), self._formats, codes, self._audience)

    def _write_values(self, values: Sequence[str | int], fill: str | None, highlighted: Mapping[int, str]) -> None:
        """Write a line's cells: those in `highlighted` with their own fill, the others with `fill`."""
        # The innermost loop of a report: what does not depend on the cell is computed before it.
        sheet, row, style = self._sheet, self._row, self._formats.cell
        plain, quoted = style(fill), style(fill, quoted=True)
        for column, value in enumerate(values):
            if not isinstance(value, str):
                write_number(sheet, row, column, value, plain)
            elif column in highlighted:
                highlight = style(highlighted[column], quoted=is_formula(value), strong=True)
                write_text(sheet, row, column, value, highlight)
            elif value or plain:
                write_text(sheet, row, column, value, quoted if is_formula(value) else plain)

    def _highlighted(self, line: ReportLine) -> dict[int, str]:
        """Return the highlighted cells, each with its fill: the status, and the cells with errors."""
        fills = {len(self._roster_headings) + _STATUS: STATUS_INFO[line.status].fill}
        if line.column:
            faulty = [heading for heading in line.column.split(SEPARATOR) if heading in self._roster_headings]
            fills |= {self._roster_headings.index(heading): ERROR_FILL for heading in faulty}
        return fills

    def _start_sheet(self) -> None:
        self._number += 1
        self._row = 0
        self._sheet = self._book.add_worksheet(
            "Results" if self._number == 1 else f"Results {self._number}", TextSheet
        )
        self._sheet.freeze_panes(1, 0)
        for column, heading in enumerate((*self._roster_headings, *REPORT_COLUMNS)):
            style = (
                self._formats.roster_heading
                if column < len(self._roster_headings)
                else self._formats.report_heading
            )
            write_text(self._sheet, 0, column, heading, style)

    def _end_sheet(self) -> None:
        last = len(self._widths) - 1
        check_result(self._sheet.autofilter(0, 0, self._row, last))
        check_result(self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{self._rows_per_sheet + 1}"}))
        for column, width in enumerate(self._widths):
            # Two more: the arrow of the filter covers the end of the heading.
            check_result(self._sheet.set_column(column, column, min(max(width + 2, _MIN_WIDTH), _MAX_WIDTH)))

    def _measure(self, values: Sequence[str | int]) -> None:
        for column, value in enumerate(values):
            self._widths[column] = max(self._widths[column], len(str(value)))


@contextmanager
def results_workbook(
    path: Path, layout: Layout, *, rows_per_sheet: int = ROWS_PER_SHEET, audience: Audience = COMMAND_LINE
) -> Iterator[ResultsWorkbook]:
    """Open a workbook; it is complete when the block has ended. Its scratch files are in the same folder."""
    sink = FailOnceFile(path)
    book = Workbook(
        sink,
        {
            "constant_memory": True,
            "tmpdir": str(path.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        },
    )
    # A million rows can pass 4 GB.
    book.use_zip64()
    try:
        yield ResultsWorkbook(book, layout, rows_per_sheet, audience)
        book.close()
    except FileCreateError as error:
        raise _cause(error) from error
    finally:
        _close_scratch_files(book)
        sink.close()


def _cause(error: FileCreateError) -> OSError:
    """Return the disk's own error, which XlsxWriter has wrapped."""
    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, OSError) else OSError(str(error))


def _close_scratch_files(book: Workbook) -> None:
    """Close the scratch files, which XlsxWriter leaves open when it fails."""
    for sheet in book.worksheets():
        with suppress(OSError, AttributeError):
            sheet.row_data_fh.close()
