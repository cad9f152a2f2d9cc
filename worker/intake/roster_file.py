"""Open a roster of any file type: its headings, its rows with the spreadsheet's row numbers, and notes.

Knows no column: headers.py matches headings to columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from worker.intake.csv_files.child import SpooledText, open_csv_in_child
from worker.intake.csv_files.reader import CsvFile, open_csv
from worker.intake.excel.reader import open_spreadsheet
from worker.intake.file_type import FileType, detect_file_type
from worker.intake.heading_row import find_heading_row
from worker.intake.problems import quote
from worker.intake.text import clean, is_blank, unescape_formula
from worker.model import RawRow

#: The sheets of a results workbook that have a line for each row have names that begin so.
RESULTS_SHEET = "Results"
#: The headings that show that a file is a report of Roster.
_REPORT_COLUMNS = frozenset({"_row", "_status"})


#: For the rows of text files, whose cells have neither errors nor formats; never changed.
_NOTHING: Mapping[int, str] = MappingProxyType({})


class Record(NamedTuple):
    """A row as it is in the file, and what is wrong with some of its cells (position → a `ProblemCode`)."""

    raw: RawRow
    flaws: Mapping[int, str] = _NOTHING
    #: The exact number under a text that its number format shows, or the number format that is not known.
    details: Mapping[int, str] = _NOTHING
    #: Whether the row is hidden in the spreadsheet.
    is_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterFile:
    """An open roster; its rows can be read any number of times."""

    #: The file's original name, for messages.
    name: str
    headings: tuple[str, ...]
    #: The number of the row of headings.
    heading_row: int
    #: The number of cells in that row, blank ones included; a longer row of a text file may be shifted.
    heading_cells: int
    #: Sentences for people: the encoding, the sheets that were not read, …
    notes: tuple[str, ...]
    #: Whether the serial numbers of its dates begin in 1904.
    is_1904: bool = False
    #: Whether some of its rows are hidden.
    has_hidden_rows: bool = False
    #: The sheet that is read, and the others of the workbook; empty for a text file.
    sheet: str = ""
    other_sheets: tuple[str, ...] = ()
    read_records: Callable[[], Iterable[Record]]

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows with data, padded to the headings; longer only where a text file's row is."""
        return (record.raw for record in self.records())

    def records(self) -> Iterator[Record]:
        """Yield the rows with data, and what is wrong with single cells."""
        width = len(self.headings)
        for record in self.read_records():
            if record.raw.row > self.heading_row and not _is_empty(record):
                yield _fit_to_width(record, width)


def has_data(record: Record, positions: Sequence[int]) -> bool:
    """Return whether a row has something at one of these positions, be it an error."""
    cells = record.raw.cells
    for at in positions:
        if at < len(cells) and cells[at] and not is_blank(cells[at]):
            return True
    return bool(record.flaws) and any(at in record.flaws for at in positions)


def open_roster(
    path: Path,
    *,
    name: str,
    sheet: str | None = None,
    encoding: str | None = None,
    heading_row: int | None = None,
    mapping: Mapping[str, str] = MappingProxyType({}),
    in_child: bool = False,
) -> RosterFile:
    """Open a roster by its content; `name` is the file's original name, because `path` may be a stored copy.

    A workbook is read in a process of its own, with `in_child` a text file too: what serves people must not freeze.
    The headings are in row `heading_row`, or searched for with those of `mapping`. Raises UnreadableRoster when it
    cannot be read with certainty, UsageError when `encoding` is unknown or the row of headings is empty.
    """
    kind = detect_file_type(path, name=name)
    if kind is FileType.TEXT:
        open_text = open_csv_in_child if in_child else open_csv
        text = open_text(path, name=name, encoding=encoding)
        return _without_guards(
            _with_headings(text, name=name, sheet=sheet, heading_row=heading_row, mapping=mapping)
        )
    workbook = open_spreadsheet(path, kind, name=name, sheet=sheet)

    def source() -> Iterator[Record]:
        for row in workbook.records():
            raw = RawRow(row=row.row, cells=row.cells)
            yield Record(raw=raw, flaws=row.flaws, details=row.details, is_hidden=row.is_hidden)

    found = find_heading_row(_filled_rows(source()), name=name, wanted=heading_row, mapping=mapping)
    names = found.names + ("",) * (workbook.width - len(found.names))
    file = RosterFile(
        name=name,
        headings=names,
        heading_row=found.row,
        heading_cells=len(names),
        notes=(
            *workbook.notes,
            *found.notes,
            *_note_hidden_columns(names, workbook.hidden_columns),
            *_note_ignored(encoding, "--encoding", "a spreadsheet has no encoding to choose"),
        ),
        is_1904=workbook.is_1904,
        has_hidden_rows=workbook.has_hidden_rows,
        sheet=workbook.sheet,
        other_sheets=workbook.other_sheets,
        read_records=source,
    )
    # The workbook that Roster writes needs no guards; one in which a person has saved its CSV has them.
    return file if workbook.sheet.startswith(RESULTS_SHEET) else _without_guards(file)


def _without_guards(file: RosterFile) -> RosterFile:
    """Return a report of ours with the very cells and headings that it was given; another file as it is."""
    if not _REPORT_COLUMNS.issubset(map(clean, file.headings)):
        return file

    def source() -> Iterator[Record]:
        for record in file.read_records():
            cells = tuple(map(unescape_formula, record.raw.cells))
            yield record._replace(raw=RawRow(row=record.raw.row, cells=cells))

    return replace(file, headings=tuple(map(unescape_formula, file.headings)), read_records=source)


def _with_headings(
    text: CsvFile | SpooledText,
    *,
    name: str,
    sheet: str | None,
    heading_row: int | None,
    mapping: Mapping[str, str],
) -> RosterFile:
    def source() -> Iterator[Record]:
        for number, cells in text.records():
            yield Record(raw=RawRow(row=number, cells=tuple(cells)))

    found = find_heading_row(_filled_rows(source()), name=name, wanted=heading_row, mapping=mapping)
    width = max((at for at, heading in enumerate(found.names, start=1) if not is_blank(heading)), default=0)
    return RosterFile(
        name=name,
        headings=found.names[:width],
        heading_row=found.row,
        heading_cells=len(found.names),
        notes=(*text.notes, *found.notes, *_note_ignored(sheet, "--sheet", "a text file has no sheets")),
        read_records=source,
    )


def _filled_rows(records: Iterable[Record]) -> Iterator[RawRow]:
    return (record.raw for record in records if not _is_empty(record))


def _note_hidden_columns(names: Sequence[str], hidden: Sequence[int]) -> list[str]:
    found = [quote(names[at]) for at in hidden if at < len(names) and not is_blank(names[at])]
    columns = "this column is" if len(found) == 1 else "these columns are"
    return [f"Hidden in the spreadsheet, {columns} read like the others: {', '.join(found)}."] if found else []


def _note_ignored(value: str | None, option: str, why: str) -> list[str]:
    return [f"{option} was not used: {why}."] if value else []


def _is_empty(record: Record) -> bool:
    return not record.flaws and all(map(is_blank, record.raw.cells))


def _fit_to_width(record: Record, width: int) -> Record:
    """Pad a short row, and cut blank cells beyond the headings."""
    row = record.raw
    if len(row.cells) == width:
        return record
    if len(row.cells) < width:
        cells = row.cells + ("",) * (width - len(row.cells))
    else:
        cells = row.cells if any(not is_blank(cell) for cell in row.cells[width:]) else row.cells[:width]
    return record._replace(raw=RawRow(row=row.row, cells=cells))
