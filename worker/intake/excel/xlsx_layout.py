"""Read from a sheet of an XLSX workbook what it hides and merges, which neither calamine nor openpyxl streams."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from worker.intake.excel.layout import Layout, Merged, Span
from worker.intake.excel.xml_parts import (
    Attributes,
    UnknownStructure,
    find_part,
    local_name,
    open_part,
    parse_xml,
    sheet_part,
)

_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")
_TRUE = frozenset({"1", "true", "on"})
_LETTERS = 26


def read_layout(path: Path, sheet: str) -> Layout:
    """Return what a sheet hides and merges. Raises UnknownStructure when its part cannot be found."""
    reading = _SheetLayout()
    with zipfile.ZipFile(path) as archive, open_part(archive, _part_of(archive, sheet)) as part:
        parse_xml(part, reading.start)
    return reading.layout


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    workbook = find_part(archive, "workbook.xml")
    relations: dict[str, str] = {}

    def start(element: str, attributes: Attributes) -> None:
        if local_name(element) == "sheet":
            ids = [value for name, value in attributes.items() if local_name(name) == "id"]
            relations[attributes.get("name", "")] = ids[0] if ids else ""

    with open_part(archive, workbook) as part:
        parse_xml(part, start)
    if sheet not in relations:
        raise UnknownStructure("the workbook does not list the sheet")
    return sheet_part(archive, workbook, relations[sheet])


class _SheetLayout:
    """Collects the layout of one sheet; rows and cells without a number follow the one before."""

    def __init__(self) -> None:
        self.layout = Layout()
        self._row = -1
        self._hides_rows = False

    def start(self, element: str, attributes: Attributes) -> None:
        """Take up an element of the sheet."""
        match local_name(element):
            case "row":
                self._add_row(attributes)
            case "col" if _is_hidden(attributes, "width"):
                span = Span(int(attributes["min"]) - 1, int(attributes["max"]) - 1)
                self.layout.hidden_columns.append(span)
            case "sheetFormatPr":
                self._hides_rows = attributes.get("zeroHeight") in _TRUE
            case "mergeCell":
                self.layout.merged.append(_range(attributes.get("ref", "")))
            case _:
                pass

    def _add_row(self, attributes: Attributes) -> None:
        before, self._row = self._row, int(attributes.get("r", self._row + 2)) - 1
        if self._hides_rows and self._row > before + 1:
            self.layout.hide_rows(before + 1, self._row - 1)
        if _is_hidden(attributes, "ht"):
            self.layout.hide_rows(self._row, self._row)


def _is_hidden(attributes: Attributes, size: str) -> bool:
    return attributes.get("hidden") in _TRUE or attributes.get(size) in {"0", "0.0"}


def _range(reference: str) -> Merged:
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise UnknownStructure(f"{reference} is not a range")
    left, top, right, bottom = found.groups()
    return Merged(int(top) - 1, _column(left), int(bottom or top) - 1, _column(right or left))


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * _LETTERS + ord(letter) - ord("A") + 1
    return number - 1
