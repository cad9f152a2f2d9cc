"""Find the headings of a roster among its first rows: one row, or two that are joined to one.

Knows no file: it is given the rows with data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, zip_longest
from types import MappingProxyType

from worker.errors import UnreadableRoster, UsageError
from worker.intake.headers import column_of_heading, identifies, normalize_heading
from worker.intake.text import clean
from worker.model import RawRow

#: Titles and remarks may be above the headings; headings are looked for in this many rows.
_MAX_HEADING_ROW = 20
#: Two known headings make a row of headings; without such a row, one that identifies a person is enough.
_KNOWN_HEADINGS = (2, 1)
#: Headings over several others that add nothing to them: "Name" over "First name" and "Last name".
_NEUTRAL_GROUPS = frozenset(
    {"name", "names", "fullname", "person", "people", "student", "learner", "participant", "candidate", "employee"}
    | {"user", "member", "staff", "details", "personaldetails", "contact", "contactdetails", "address", "account"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadingRow:
    """The headings of a roster, and where they are."""

    names: tuple[str, ...]
    #: The number of their row, the last one of two.
    row: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """A row, or two rows joined, that may be the headings."""

    names: tuple[str, ...]
    first: int
    last: int


@dataclass(slots=True)
class _Columns:
    """The columns that headings match, those of --map among them."""

    mapping: Mapping[str, str]
    _mapped: dict[str, str] = field(init=False)
    #: By text: each row is compared several times with those around it, and may have 16,384 cells.
    _found: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._mapped = {normalize_heading(heading): column for heading, column in self.mapping.items()}

    def find(self, heading: str) -> str:
        """Return the column of a heading; empty for none."""
        found = self._found.get(heading)
        if found is None:
            mapped = self._mapped.get(normalize_heading(heading)) if self._mapped else None
            found = self._found[heading] = column_of_heading(heading) if mapped is None else mapped
        return found

    def count(self, headings: Iterable[str]) -> int:
        """Return how many columns the headings match."""
        return len({*map(self.find, headings)} - {""})

    def identify_people(self, headings: Iterable[str]) -> bool:
        """Return whether one of the headings can identify a person, or a registration of theirs."""
        return any(map(identifies, map(self.find, headings)))


def find_heading_row(
    rows: Iterable[RawRow],
    *,
    name: str,
    wanted: int | None = None,
    mapping: Mapping[str, str] = MappingProxyType({}),
) -> HeadingRow:
    """Return the headings: the first row, unless a row just below it has known headings, or those of `mapping`.

    `wanted` is the number of their row if a person gave it. Raises UnreadableRoster for a file without rows,
    UsageError when the `wanted` row is empty.
    """
    if wanted is not None:
        return _row_of_number(rows, wanted, name=name)
    head = list(islice(rows, _MAX_HEADING_ROW))
    if not head:
        raise UnreadableRoster(f"{name}: the file has no rows; insert a row of headings at the top.")
    columns = _Columns(mapping)
    layouts = list(_layouts(head, columns))
    for least in _KNOWN_HEADINGS:
        for layout in layouts:
            if columns.count(layout.names) >= least and columns.identify_people(layout.names):
                return HeadingRow(names=layout.names, row=layout.last, notes=_notes(layout, head[0].row))
    return HeadingRow(names=head[0].cells, row=head[0].row)


def _row_of_number(rows: Iterable[RawRow], wanted: int, *, name: str) -> HeadingRow:
    if wanted < 1:
        raise UsageError("--heading-row must be 1 or more.")
    for row in rows:
        if row.row == wanted:
            return HeadingRow(names=row.cells, row=wanted)
        if row.row > wanted:
            break
    raise UsageError(
        f"--heading-row {wanted}: row {wanted} of {name} is empty; give the row that has the headings."
    )


def _layouts(head: Sequence[RawRow], columns: _Columns) -> Iterator[_Layout]:
    for row, below in pairwise([*head, None]):
        if row is None:
            return
        if below is not None and below.row == row.row + 1:
            names = _join(row.cells, below.cells, columns)
            if names:
                yield _Layout(names=names, first=row.row, last=below.row)
                continue
        yield _Layout(names=row.cells, first=row.row, last=row.row)


def _join(upper: Sequence[str], lower: Sequence[str], columns: _Columns) -> tuple[str, ...]:
    """Return two rows as one, if they match more columns together than each of them; otherwise nothing.

    They are joined too when the lower one alone has a heading twice ("First name" of students and of parents). A
    heading over several others spans the blank cells to its right. Below a known heading nothing may be: rows of
    people are not joined to their headings.
    """
    joined, group = [], ""
    for above, below in zip_longest(upper, lower, fillvalue=""):
        top, bottom = clean(above), clean(below)
        if bottom == top:  # cells merged over both lines, as some files repeat them
            joined.append(above)
            group = ""
            continue
        if bottom and columns.find(top):
            together = f"{top} {bottom}"
            if not columns.find(together):
                return ()
        group = top if top or not bottom else group
        joined.append(_joined_heading(group, below, columns) if bottom else above)
        group = group if bottom else ""
    known, known_below = columns.count(joined), columns.count(lower)
    is_better = known > max(columns.count(upper), known_below)
    is_clearer = known and known_below and _repeats(lower) and not _repeats(joined)
    return tuple(joined) if is_better or is_clearer else ()


def _repeats(headings: Sequence[str]) -> bool:
    names = [name for heading in headings if (name := normalize_heading(heading))]
    return len(names) > len(set(names))


def _joined_heading(group: str, below: str, columns: _Columns) -> str:
    together = f"{group} {clean(below)}" if group else below
    if group and normalize_heading(group) in _NEUTRAL_GROUPS and not columns.find(together):
        return below
    return together


def _notes(layout: _Layout, top: int) -> tuple[str, ...]:
    above = "; the rows above them were not read." if layout.first > top else "."
    if layout.first < layout.last:
        return (f"The headings are in rows {layout.first} and {layout.last}{above}",)
    return (f"The headings are in row {layout.last}{above}",) if layout.first > top else ()
