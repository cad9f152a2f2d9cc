"""One pass over the XML of a sheet for the cells that are not what calamine shows.

Straight on expat, because a tree of a million cells costs twelve times as much; and only a cell that is worth it is
looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO
from xml.parsers import expat

from worker.intake.problems import ProblemCode
from worker.intake.zero_formats import with_zeros

_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")


class Unsure(Exception):
    """The second look at a workbook did not find what the first has read."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell that is not what calamine shows: its text, and the code of what is wrong with it."""

    text: str
    flaw: str | None
    #: The number behind a text with leading zeros, for comparing.
    number: str | None = None


def scan_sheet(xml: IO[bytes], formats: Mapping[str, str]) -> dict[tuple[int, int], Marked]:
    """Return the marked cells of a sheet by row and column from 0; `formats` are the cell styles that show zeros.

    Raises Unsure when the XML is broken, or declares a document type: no spreadsheet program writes one.
    """
    scan = _Scan(formats)
    try:
        scan.parser.ParseFile(xml)
    except expat.ExpatError as error:
        raise Unsure from error
    return scan.marked


def _forbid(*_: object) -> None:
    raise Unsure


class _Scan:
    """Where the pass stands."""

    def __init__(self, formats: Mapping[str, str]) -> None:
        self.formats = formats
        self.marked: dict[tuple[int, int], Marked] = {}
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.StartDoctypeDeclHandler = _forbid
        self.parser.buffer_text = True
        self._row = self._column = -1
        self._cell: Mapping[str, str] = {}
        self._inside = ""
        self._texts: dict[str, str] = {}

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name if len(name) == 1 else name.rpartition(":")[2]
        if local == "c":
            self._cell = attributes
            self._column = _column(attributes.get("r", ""), self._column + 1)
            self._texts = {}
            if attributes.get("t") == "e" or attributes.get("s") in self.formats:
                self._look_into()
        elif local == "row":
            self._row = int(attributes.get("r", self._row + 2)) - 1
            self._column = -1
        else:
            self._inside = local
            self._texts.setdefault(local, "")
            if local == "f":
                self._look_into()

    def _look_into(self) -> None:
        self.parser.CharacterDataHandler = self._text
        self.parser.EndElementHandler = self._end

    def _text(self, text: str) -> None:
        self._texts[self._inside] = self._texts.get(self._inside, "") + text

    def _end(self, name: str) -> None:
        self._inside = ""
        if name.rpartition(":")[2] == "c":
            self.parser.CharacterDataHandler = self.parser.EndElementHandler = None
            if marked := self._mark():
                self.marked[self._row, self._column] = marked

    def _mark(self) -> Marked | None:
        kind = self._cell.get("t", "n")
        value = self._texts.get("v", "").strip()
        if kind == "e":
            return Marked(value or "#N/A", ProblemCode.EXCEL_ERROR.value)
        if "f" in self._texts and not value and not (kind == "str" and "v" in self._texts):
            return Marked("", ProblemCode.FORMULA_WITHOUT_VALUE.value)
        code = self.formats.get(self._cell.get("s", ""))
        if code is None or kind != "n" or not value:
            return None
        number = float(value)
        return Marked(with_zeros(int(number), code), None, str(int(number))) if number == int(number) else None


def _column(reference: str, following: int) -> int:
    found = _REFERENCE.fullmatch(reference)
    if not found:
        return following
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
