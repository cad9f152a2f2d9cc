"""Which columns a report has: the roster's own first and untouched, then ours. Knows no file format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.reports.lines import OUR_COLUMNS, ReportLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one report."""

    #: The headings of the roster's own columns; empty over cells that stand beyond the last heading.
    own: tuple[str, ...]
    #: Where each of these stands in a row of the roster.
    places: tuple[int, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Return all headings: the roster's own, then ours."""
        return self.own + OUR_COLUMNS

    def own_cells(self, cells: Sequence[str]) -> list[str]:
        """Return a row's cells under the roster's own headings, short rows filled up with empty text."""
        there = len(cells)
        return [cells[place] if place < there else "" for place in self.places]


def lay_out(headings: Sequence[str], lines: Iterable[ReportLine]) -> Layout:
    """Find the columns: wide enough for the widest row, without what an earlier report of ours had added.

    Only our own headings are left out. Others that begin with `_` are the user's: ignored on reading, yet kept.
    """
    width = max((_width(line.cells, len(headings)) for line in lines), default=len(headings))
    padded = [*headings, *[""] * (width - len(headings))]
    kept = [(place, heading) for place, heading in enumerate(padded) if heading.strip() not in OUR_COLUMNS]
    return Layout(own=tuple(heading for _, heading in kept), places=tuple(place for place, _ in kept))


def _width(cells: Sequence[str], least: int) -> int:
    """Count the cells of a row up to the last one that says something."""
    width = len(cells)
    while width > least and not cells[width - 1]:
        width -= 1
    return max(width, least)
