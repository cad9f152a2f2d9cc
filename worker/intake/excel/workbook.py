"""What every reader of workbooks offers: the sheets of one, and the rows of a sheet with its layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from worker.intake.excel.cells import RowCells
from worker.intake.excel.layout import Layout


class DamagedWorkbook(Exception):
    """The file is damaged, or not a workbook of its type."""


class LockedWorkbook(Exception):
    """The file is encrypted."""


class SheetName(NamedTuple):
    """A sheet of a workbook."""

    name: str
    is_visible: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetContent:
    """The rows of a sheet, from its first row on; `left` blank columns before them are left out."""

    rows: Iterator[RowCells]
    layout: Layout = field(default_factory=Layout)
    left: int = 0
    #: Whether the serial numbers of dates begin in 1904.
    is_1904: bool = False


class Workbook(Protocol):
    """An open workbook."""

    @property
    def sheets(self) -> Sequence[SheetName]:
        """Return the worksheets, in the order of the workbook."""

    def has_data(self, name: str) -> bool:
        """Return whether a sheet has a cell that is not blank."""

    def read(self, name: str) -> SheetContent:
        """Return the content of a sheet."""
