"""Text into the cells of a workbook, never as a formula, and nothing lost without a word."""

from __future__ import annotations

import re

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
