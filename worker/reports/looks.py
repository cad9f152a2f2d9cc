"""How a workbook looks: the fill of each status, headings, and the looks of single cells."""

from __future__ import annotations

from xlsxwriter import Workbook
from xlsxwriter.format import Format

from worker.model import DONE, RowStatus

_GREEN = "#E2F0D9"

#: Light enough for black text; the status stands in words beside it.
FILLS = dict.fromkeys(DONE, _GREEN) | {
    RowStatus.INVALID: "#FCE4D6",
    RowStatus.REJECTED: "#F8CBAD",
    RowStatus.IN_DOUBT: "#FFE699",
    RowStatus.NOT_ATTEMPTED: "#E7E6E6",
    RowStatus.SKIPPED: "#DDEBF7",
}

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
