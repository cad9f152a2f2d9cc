"""A report as a workbook: Summary, Results (and further Results past Excel's row limit), Codes.

Flat in memory: XlsxWriter writes rows out as they come. Imported late, for XlsxWriter takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from worker.intake.text import escape_formula
from worker.reports.labels import STATUS_INFO
from worker.reports.lines import OUR_COLUMNS, SEVERAL, Layout, ReportLine, Summary
from worker.reports.summary_sheets import write_codes, write_summary
from worker.reports.workbook_format import AT_FAULT, Looks, Sink, checked, write_number, write_text

#: Excel's 1,048,576 less the headings.
ROWS_PER_SHEET = 1_048_575
#: Excel's limit.
MAX_COLUMNS = 16_384

#: From so many rows a column's width is taken.
_MEASURED = 200
_NARROWEST, _WIDEST = 9, 60
_STATUS = OUR_COLUMNS.index("_status")


class ResultsWorkbook:
    """A workbook being written."""

    def __init__(self, book: Workbook, layout: Layout, rows_per_sheet: int) -> None:
        self._book = book
        self._looks = Looks(book)
        self._rows_per_sheet = rows_per_sheet
        #: A roster wider than a sheet: the rest stands in results.csv alone, and the Summary says so.
        self._own = layout.own[: MAX_COLUMNS - len(OUR_COLUMNS)]
        self._left_out = len(layout.own) - len(self._own)
        self._widths = [len(heading) for heading in (*self._own, *OUR_COLUMNS)]
        self._summary = book.add_worksheet("Summary")
        self._number = 0
        self._start_sheet()

    def write(self, own: Sequence[str], line: ReportLine) -> None:
        """Write one line of the results."""
        if self._row == self._rows_per_sheet:
            self._end_sheet()
            self._start_sheet()
        self._row += 1
        values = (*own[: len(self._own)], *line.ours)
        if self._number == 1 and self._row <= _MEASURED:
            self._measure(values)
        fill = None if line.status.is_done else STATUS_INFO[line.status].fill
        self._write_values(values, fill, self._marks(line))

    def finish(self, summary: Summary, codes: Mapping[str, int]) -> None:
        """Write the sheets that need to know the end."""
        self._end_sheet()
        write_summary(self._summary, self._looks, summary, self._left_out)
        if codes:
            write_codes(self._book.add_worksheet("Codes"), self._looks, codes)

    def _write_values(self, values: Sequence[str | int], fill: str | None, marks: Mapping[int, str]) -> None:
        """Write a line's cells: those in `marks` in their own fill, the others in `fill`."""
        # The innermost loop of a report: what does not depend on the cell stands before it.
        sheet, row, look = self._sheet, self._row, self._looks.cell
        plain, quoted = look(fill), look(fill, quoted=True)
        for column, value in enumerate(values):
            if not isinstance(value, str):
                write_number(sheet, row, column, value, plain)
            elif column in marks:
                marked = look(marks[column], quoted=escape_formula(value) != value, strong=True)
                write_text(sheet, row, column, value, marked)
            elif value or plain:
                write_text(sheet, row, column, value, plain if escape_formula(value) == value else quoted)

    def _marks(self, line: ReportLine) -> dict[int, str]:
        """Return the cells that stand out, each with its fill: the status, and the cells at fault."""
        marks = {len(self._own) + _STATUS: STATUS_INFO[line.status].fill}
        if line.column:
            faulty = [heading for heading in line.column.split(SEVERAL) if heading in self._own]
            marks |= {self._own.index(heading): AT_FAULT for heading in faulty}
        return marks

    def _start_sheet(self) -> None:
        self._number += 1
        self._row = 0
        self._sheet = self._book.add_worksheet("Results" if self._number == 1 else f"Results {self._number}")
        self._sheet.freeze_panes(1, 0)
        for column, heading in enumerate((*self._own, *OUR_COLUMNS)):
            look = self._looks.own_heading if column < len(self._own) else self._looks.our_heading
            write_text(self._sheet, 0, column, heading, look)

    def _end_sheet(self) -> None:
        last = len(self._widths) - 1
        checked(self._sheet.autofilter(0, 0, self._row, last))
        checked(self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{self._rows_per_sheet + 1}"}))
        for column, width in enumerate(self._widths):
            # Two more: the arrow of the filter covers the heading's end.
            checked(self._sheet.set_column(column, column, min(max(width + 2, _NARROWEST), _WIDEST)))

    def _measure(self, values: Sequence[str | int]) -> None:
        for column, value in enumerate(values):
            self._widths[column] = max(self._widths[column], len(str(value)))


@contextmanager
def results_workbook(
    path: Path, layout: Layout, *, rows_per_sheet: int = ROWS_PER_SHEET
) -> Iterator[ResultsWorkbook]:
    """Open a workbook; it is whole when the block has ended. Its scratch files stand beside it."""
    sink = Sink(path)
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
        yield ResultsWorkbook(book, layout, rows_per_sheet)
        book.close()
    except FileCreateError as error:
        raise _cause(error) from error
    finally:
        _let_go(book)
        sink.close()


def _cause(error: FileCreateError) -> OSError:
    """Return the disk's own error, which XlsxWriter has wrapped."""
    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, OSError) else OSError(str(error))


def _let_go(book: Workbook) -> None:
    """Close the scratch files, which XlsxWriter leaves open when it does not come to the end."""
    for sheet in book.worksheets():
        with suppress(OSError, AttributeError):
            sheet.row_data_fh.close()
