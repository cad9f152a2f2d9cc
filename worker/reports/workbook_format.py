"""Write cells of a workbook: text never as a formula, errors never ignored; and the formats of cells."""

from __future__ import annotations

import re
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import _preserve_whitespace
from xlsxwriter.worksheet import Worksheet

from worker import errors

#: Excel's limit for one cell, in UTF-16 units.
MAX_TEXT = 32_767

#: Lone surrogates, and the two characters that XML forbids: Excel reports a workbook with them as damaged.
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")
#: The start of a text that would be read as an escaped character; its end may be the start of the next one.
_LIKE_ESCAPED = re.compile(f"_(?=x[0-9A-Fa-f]{{4}}(?:_|{_CONTROL.pattern}))")


class TextSheet(Worksheet):  # type: ignore[misc]
    """A worksheet whose texts are read back as they were written, whatever is in them.

    Characters that XML cannot hold are written as `_x0008_`, and an underscore that starts such a text as `_x005F_`
    (ECMA-376 Part 1, 22.4.2.4). XlsxWriter itself leaves out the second of two that share an underscore.
    """

    @staticmethod
    def _escape_control_characters(data: object) -> object:
        if not isinstance(data, str):
            return data
        escaped = _LIKE_ESCAPED.sub("_x005F_", data) if "_x" in data else data
        return _CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", escaped)

    def _xml_rich_inline_string(self, string: str, attributes: list[tuple[str, object]]) -> None:
        # XlsxWriter takes any text from <r> to </r> for its own XML; no rich text is written here.
        self._xml_inline_string(string, _preserve_whitespace(string), attributes)


def write_text(sheet: Worksheet, row: int, column: int, text: str, style: Format | None = None) -> None:
    """Write text as text."""
    text = fit_cell(text)
    if not text:
        check_result(sheet.write_blank(row, column, None, style))
    else:
        check_result(sheet.write_string(row, column, text, style))


def write_number(sheet: Worksheet, row: int, column: int, number: float, style: Format | None = None) -> None:
    """Write a number as a number."""
    check_result(sheet.write_number(row, column, number, style))


def check_result(code: int | None) -> None:
    """Raise RosterError when XlsxWriter rejected a cell: it reports that only by a return code."""
    if code:
        raise errors.RosterError(
            f"The workbook could not be written: XlsxWriter rejected a cell (code {code}). "
            "This is a bug in Roster; please report it. The outcomes are safe in the ledger."
        )


def fit_cell(text: str) -> str:
    """Return the text as a cell can hold it; a text that is too long is cut, with a note."""
    # The fast path, for nearly every text.
    if text.isascii() and len(text) <= MAX_TEXT:
        return text
    text = _NOT_IN_XML.sub("\ufffd", text)
    raw = text.encode("utf-16-le")
    if len(raw) <= 2 * MAX_TEXT:
        return text
    note = f" … [cut by Roster: {len(text):,} characters do not fit into a cell; results.csv has them all]"
    return raw[: 2 * (MAX_TEXT - len(note))].decode("utf-16-le", errors="ignore") + note


#: A cell with an error; a strong colour, since the cell may be empty.
ERROR_FILL = "#FF9C9C"


class Formats:
    """The formats of one workbook, each made once."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._cells: dict[tuple[str | None, bool, bool], Format | None] = {(None, False, False): None}
        self.title = book.add_format({"bold": True, "font_size": 14})
        self.label = book.add_format({"bold": True, "valign": "top"})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self.count = book.add_format({"num_format": "#,##0", "valign": "top"})
        self.total = book.add_format({"num_format": "#,##0", "bold": True, "top": 1})
        self.roster_heading = self._heading("#1F3864")
        self.report_heading = self._heading("#595959")

    def cell(self, fill: str | None, *, quoted: bool = False, strong: bool = False) -> Format | None:
        """Return the format of a cell of the results.

        `quoted` is for text that would run as a formula if someone edited the cell; the text itself is unchanged.
        """
        key = (fill, quoted, strong)
        if key not in self._cells:
            colour = {"bg_color": fill} if fill else {}
            self._cells[key] = self._book.add_format({"bold": strong, "quote_prefix": quoted, **colour})
        return self._cells[key]

    def _heading(self, fill: str) -> Format:
        return self._book.add_format(
            {"bold": True, "font_color": "#FFFFFF", "bg_color": fill, "quote_prefix": True}
        )


class FailOnceFile:
    """A file that raises its first error, and discards everything written after it.

    An archive that could not be written tries to write its end when it is garbage-collected; on a full disk that
    would print a second traceback on the terminal, after the plain sentence.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._has_failed = False

    def write(self, data: bytes) -> int:
        """Write as a file does."""
        if self._has_failed:
            return len(data)
        try:
            return self._file.write(data)
        except OSError:
            self._has_failed = True
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek as a file does."""
        return 0 if self._has_failed else self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position as a file does."""
        return 0 if self._has_failed else self._file.tell()

    def flush(self) -> None:
        """Flush as a file does."""
        if not self._has_failed:
            self._file.flush()

    def close(self) -> None:
        """Close the file; later writes are discarded."""
        self._has_failed = True
        self._file.close()
