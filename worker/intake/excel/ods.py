"""Read from an ODS document what calamine does not return: errors, displayed texts, hidden and merged cells.

An ODS document has the text of each cell as it is displayed, so no number format needs to be known.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from worker.intake.excel.layout import CellNote, CellNotes, Layout, Merged, Span
from worker.intake.excel.number_format import general
from worker.intake.excel.xml_parts import Attributes, open_part, parse_xml

_ERROR = re.compile(r"#(?:N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!)|(?:Err|Fehler|Erreur):\d{3}")
_SCIENTIFIC = re.compile(r"-?\d(?:[.,]\d+)?E[+-]?\d+", re.IGNORECASE)
_NUMBERS = frozenset({"float", "currency", "percentage"})
_HIDDEN = frozenset({"collapse", "filter"})
_CELLS = frozenset({"table:table-cell", "table:covered-table-cell"})
#: What is displayed elsewhere than in the cell, though it is within its element.
_ASIDE = frozenset({"office:annotation", "draw:frame", "draw:custom-shape", "table:detective"})
#: The rows that a sheet has.
_MAX_ROWS = 2**20
_DEFAULT_NULL_DATE = "1899-12-30"


def read_sheet_parts(path: Path, sheet: str) -> tuple[CellNotes, Layout, bool]:
    """Return the notes on cells of a sheet, its layout, and whether serial numbers begin in 1904."""
    reading = _Content(sheet)
    with zipfile.ZipFile(path) as archive, open_part(archive, "content.xml") as part:
        parse_xml(part, reading.start, reading.end, reading.text)
    return reading.notes, reading.layout, reading.null_date != _DEFAULT_NULL_DATE


class _Content:
    """Collects the notes and the layout of one sheet of content.xml."""

    def __init__(self, sheet: str) -> None:
        self.notes: CellNotes = {}
        self.layout = Layout()
        self.null_date = _DEFAULT_NULL_DATE
        self._sheet = sheet
        self._tables: list[bool] = []
        self._groups: list[bool] = []
        self._row = self._column = self._declared = self._aside = 0
        self._row_repeats = 1
        self._row_notes: dict[int, CellNote] = {}
        self._cell: Attributes | None = None
        self._paragraphs: list[str] = []

    @property
    def _is_in_sheet(self) -> bool:
        return self._tables == [True]

    def start(self, element: str, attributes: Attributes) -> None:
        """Take up the start of an element."""
        if element == "table:table":
            self._tables.append(not self._tables and attributes.get("table:name") == self._sheet)
        elif element == "table:null-date":
            self.null_date = attributes.get("table:date-value", _DEFAULT_NULL_DATE)
        elif element in _ASIDE:
            self._aside += 1
        elif self._is_in_sheet and not self._aside:
            self._start_in_sheet(element, attributes)

    def _start_in_sheet(self, element: str, attributes: Attributes) -> None:
        match element:
            case "table:table-column":
                self._add_columns(attributes)
            case "table:table-row-group":
                self._groups.append(attributes.get("table:display") == "false")
            case "table:table-row":
                self._start_row(attributes)
            case "table:table-cell" | "table:covered-table-cell":
                self._cell, self._paragraphs = attributes, []
            case "text:p" if self._cell is not None:
                self._paragraphs.append("")
            case "text:s" if self._paragraphs:
                self._paragraphs[-1] += " " * _repeats(attributes, "text:c")
            case _:
                pass

    def text(self, text: str) -> None:
        """Take up a text."""
        if self._paragraphs and not self._aside and self._cell is not None:
            self._paragraphs[-1] += text

    def end(self, element: str) -> None:
        """Take up the end of an element."""
        if element == "table:table" and self._tables:
            self._tables.pop()
        elif element in _ASIDE:
            self._aside -= 1
        elif self._is_in_sheet and not self._aside:
            if element in _CELLS:
                self._end_cell()
            elif element == "table:table-row":
                self._end_row()
            elif element == "table:table-row-group":
                self._groups.pop()

    def _add_columns(self, attributes: Attributes) -> None:
        count = _repeats(attributes, "table:number-columns-repeated")
        if attributes.get("table:visibility") in _HIDDEN:
            self.layout.hidden_columns.append(Span(self._declared, self._declared + count - 1))
        self._declared += count

    def _start_row(self, attributes: Attributes) -> None:
        self._row_repeats = _repeats(attributes, "table:number-rows-repeated")
        self._row_notes, self._column = {}, 0
        if attributes.get("table:visibility") in _HIDDEN or any(self._groups):
            self.layout.hide_rows(self._row, self._row + self._row_repeats - 1)

    def _end_row(self) -> None:
        if self._row_notes:
            for row in range(self._row, min(self._row + self._row_repeats, _MAX_ROWS)):
                self.notes[row] = self._row_notes
        self._row += self._row_repeats

    def _end_cell(self) -> None:
        cell, self._cell = self._cell or {}, None
        rows, columns = (_repeats(cell, f"table:number-{kind}-spanned") for kind in ("rows", "columns"))
        if rows > 1 or columns > 1:
            area = Merged(self._row, self._column, self._row + rows - 1, self._column + columns - 1)
            self.layout.merged.append(area)
        repeats = _repeats(cell, "table:number-columns-repeated")
        if note := _note(cell, "\n".join(self._paragraphs)):
            self._row_notes |= dict.fromkeys(range(self._column, self._column + repeats), note)
        self._column += repeats
        self._paragraphs = []


def _repeats(attributes: Attributes, name: str) -> int:
    return int(attributes.get(name, "1"))


def _note(cell: Attributes, displayed: str) -> CellNote | None:
    kind = cell.get("calcext:value-type") or cell.get("office:value-type")
    is_error = kind == "error" or (("table:formula" in cell or kind in _NUMBERS) and _ERROR.fullmatch(displayed))
    if is_error:
        return CellNote(error=displayed or "#N/A")
    if cell.get("office:value-type") not in _NUMBERS or not displayed:
        return None
    number = float(cell.get("office:value", "nan"))
    if cell.get("office:value-type") == "percentage":
        return CellNote(shown=displayed)
    return CellNote(shown=displayed) if _shows_otherwise(number, displayed) else None


def _shows_otherwise(number: float, displayed: str) -> bool:
    """Return whether a whole number is displayed with other characters than its digits, though not rounded."""
    if not number.is_integer() or displayed == general(number):
        return False
    if re.sub(r"\D", "", displayed).lstrip("0") == general(abs(number)).lstrip("0"):
        return True
    return not (_SCIENTIFIC.fullmatch(displayed) or _is_number(displayed, number))


def _is_number(displayed: str, number: float) -> bool:
    try:
        return float(displayed.replace(",", ".")) == number
    except ValueError:
        return False
