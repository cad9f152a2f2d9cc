"""Text into the cells of a workbook, never as a formula, and nothing lost without a word."""

from __future__ import annotations

import re
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from worker import errors

#: Excel's limit for one cell, in UTF-16 units.
MAX_TEXT = 32_767

#: Halves of characters, and the two that no XML file may hold: with them in it Excel calls the workbook damaged.
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


def write_text(sheet: Worksheet, row: int, column: int, text: str, look: Format | None = None) -> None:
    """Write text as text."""
    text = fitting(text)
    if not text:
        checked(sheet.write_blank(row, column, None, look))
    elif text.startswith("<r>") and text.endswith("</r>"):
        # XlsxWriter takes such text for XML of its own and puts it into the file as it is; in pieces it does not.
        pieces = [text[:1], text[1:2], text[2:]]
        checked(sheet.write_rich_string(row, column, *pieces, *([look] if look else [])))
    else:
        checked(sheet.write_string(row, column, text, look))


def write_number(sheet: Worksheet, row: int, column: int, number: float, look: Format | None = None) -> None:
    """Write a number as a number."""
    checked(sheet.write_number(row, column, number, look))


def checked(code: int | None) -> None:
    """Stop when XlsxWriter has left something out: it says so by a return code alone."""
    if code:
        raise errors.RosterError(
            f"The workbook could not be written: XlsxWriter refused a cell (code {code}). "
            "This is a mistake in Roster; please report it. The outcomes are safe in the ledger."
        )


def fitting(text: str) -> str:
    """Return the text as a cell can hold it; what is too long is cut, and says so."""
    # Nearly every text, and all that needs no slow look.
    if text.isascii() and len(text) <= MAX_TEXT:
        return text
    text = _NOT_IN_XML.sub("\ufffd", text)
    raw = text.encode("utf-16-le")
    if len(raw) <= 2 * MAX_TEXT:
        return text
    note = f" … [cut by Roster: {len(text):,} characters do not fit into a cell; results.csv has them all]"
    return raw[: 2 * (MAX_TEXT - len(note))].decode("utf-16-le", errors="ignore") + note


#: A cell at fault; strong, for it may be empty and must be seen all the same.
AT_FAULT = "#FF9C9C"


class Looks:
    """The formats of one workbook, each made once."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._cells: dict[tuple[str | None, bool, bool], Format | None] = {(None, False, False): None}
        self.title = book.add_format({"bold": True, "font_size": 14})
        self.label = book.add_format({"bold": True, "valign": "top"})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self.count = book.add_format({"num_format": "#,##0", "valign": "top"})
        self.total = book.add_format({"num_format": "#,##0", "bold": True, "top": 1})
        self.own_heading = self._heading("#1F3864")
        self.our_heading = self._heading("#595959")

    def cell(self, fill: str | None, *, quoted: bool = False, strong: bool = False) -> Format | None:
        """Return the look of a cell of the results.

        `quoted` marks text that would run as a formula if somebody edited the cell; its text stays as it is.
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


class Sink:
    """A file that fails once, and from then on takes everything and keeps nothing.

    An archive that could not be written tries to write its end when it is thrown away; on a full disk or a closed
    file that would put a second traceback on the user's terminal, after the plain sentence.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lost = False

    def write(self, data: bytes) -> int:
        """Write as a file does."""
        if self._lost:
            return len(data)
        try:
            return self._file.write(data)
        except OSError:
            self._lost = True
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek as a file does."""
        return 0 if self._lost else self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell as a file does."""
        return 0 if self._lost else self._file.tell()

    def flush(self) -> None:
        """Flush as a file does."""
        if not self._lost:
            self._file.flush()

    def close(self) -> None:
        """Close the file; what comes later is lost."""
        self._lost = True
        self._file.close()
