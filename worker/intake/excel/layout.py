"""What a sheet hides and merges, and what calamine does not return of single cells: errors and number formats."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.intake.excel.cells import RowCells
from worker.intake.problems import ProblemCode
from worker.intake.text import is_blank


class Merged(NamedTuple):
    """A merged range: its first and last row and column, counted from 0."""

    top: int
    left: int
    bottom: int
    right: int


class Span(NamedTuple):
    """Rows or columns from the first to the last one, counted from 0."""

    first: int
    last: int


class CellNote(NamedTuple):
    """What calamine does not return of a cell: an error, the text that is shown, or the format of its number."""

    error: str | None = None
    shown: str | None = None
    number: float = 0.0
    number_format: str = ""


#: Row → column → note, counted from 0.
CellNotes = dict[int, dict[int, CellNote]]


@dataclass(slots=True)
class Layout:
    """What a sheet hides and merges."""

    #: In order, without overlap.
    hidden_rows: list[Span] = field(default_factory=list)
    hidden_columns: list[Span] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)

    def hide_rows(self, first: int, last: int) -> None:
        """Add hidden rows, below those added before."""
        if self.hidden_rows and self.hidden_rows[-1].last + 1 == first:
            first = self.hidden_rows.pop().first
        self.hidden_rows.append(Span(first, last))

    def hides_row(self, row: int) -> bool:
        """Return whether a row is hidden."""
        at = bisect_right(self.hidden_rows, (row, float("inf"))) - 1
        return at >= 0 and self.hidden_rows[at].last >= row

    def hides_column(self, column: int) -> bool:
        """Return whether a column is hidden."""
        return any(span.first <= column <= span.last for span in self.hidden_columns)


def apply_notes(rows: Iterable[RowCells], notes: CellNotes, *, left: int) -> Iterator[RowCells]:
    """Yield rows with what calamine did not return of their cells; they lack the `left` columns before them."""
    for number, row in enumerate(rows):
        for column, note in notes.get(number, {}).items():
            at = column - left
            if note.error is not None:
                row.set_error(at, note.error)
            elif 0 <= at < len(row.texts) and note.shown is not None:
                row.set_shown(at, note.shown)
            elif 0 <= at < len(row.texts):
                row.apply_format(at, note.number, note.number_format)
        yield row


@dataclass(slots=True)
class _Value:
    """The value of a merged range."""

    text: str
    flaw: str | None
    detail: str | None


def fill_merged(rows: Iterable[RowCells], merged: Iterable[Merged], *, left: int) -> Iterator[RowCells]:
    """Yield rows in which each cell of a merged range has the value that the range shows.

    That value belongs to the first column of the range. In its other columns its meaning is not known: these cells
    are refused. A row without a cell of its own stays blank.
    """
    coming = sorted(merged, reverse=True)
    current: list[tuple[Merged, _Value]] = []
    for number, row in enumerate(rows):
        while coming and coming[-1].top <= number:
            area = coming.pop()
            current.append((area, _value_at(row, area.left - left)))
        current = [each for each in current if each[0].bottom >= number]
        if current and _has_own_cells(row, [area for area, _ in current], number, left):
            for area, value in current:
                _fill(row, area, value, number, left)
        yield row


def _value_at(row: RowCells, at: int) -> _Value:
    return _Value(row.texts[at] if 0 <= at < len(row.texts) else "", row.flaws.get(at), row.details.get(at))


def _has_own_cells(row: RowCells, areas: list[Merged], number: int, left: int) -> bool:
    covered = {
        column - left
        for area in areas
        for column in range(area.left, min(area.right, len(row.texts) + left) + 1)
        if number > area.top or column > area.left
    }
    return any(at not in covered and not is_blank(text) for at, text in enumerate(row.texts))


def _fill(row: RowCells, area: Merged, value: _Value, number: int, left: int) -> None:
    at = area.left - left
    if at < 0 or (is_blank(value.text) and value.flaw is None):
        return
    row.texts.extend("" for _ in range(at + 1 - len(row.texts)))
    if number > area.top:
        _clear(row, at)
        row.texts[at] = value.text
        row.flaws.update({at: value.flaw} if value.flaw else {})
        row.details.update({at: value.detail} if value.detail is not None else {})
    for beside in range(at + 1, min(area.right - left, len(row.texts) - 1) + 1):
        _clear(row, beside)
        row.texts[beside] = ""
        row.flaws[beside] = ProblemCode.MERGED_CELL.value


def _clear(row: RowCells, at: int) -> None:
    row.flaws.pop(at, None)
    row.details.pop(at, None)
