"""Read quotation marks as the spreadsheet that wrote them meant: with blanks around them, or around whole lines.

Also finds a quotation mark without a partner, which makes several rows one cell and is no error of the format.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TextIO

from worker.intake.headers import count_known

_CHUNK = 2**20
_WRAPPED = re.compile(r'"((?:[^"]|"")*)"')
_ADDRESS = re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+")
_MIN_DELIMITERS = 2
_LINE_END = "\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteStyle:
    """How the quotation marks of a file differ from what the format asks for."""

    #: Whole lines are in quotation marks.
    is_wrapped: bool = False
    #: There are blanks between a delimiter and a quotation mark.
    has_blanks: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was changed, for people."""
        return ("Whole lines are in quotation marks, which were ignored.",) if self.is_wrapped else ()

    def apply(self, lines: Iterable[str], delimiter: str) -> Iterable[str]:
        """Return the lines as the format asks for."""
        if self.is_wrapped:
            lines = unwrap(lines)
        return _without_outer_blanks(lines, delimiter) if self.has_blanks else lines


def are_wrapped(lines: Sequence[str]) -> bool:
    """Return whether each line, or each but the headings, is in quotation marks as a whole."""
    filled = [line.strip(_LINE_END) for line in lines if line.strip()]
    if not filled or not all(map(_WRAPPED.fullmatch, filled[1:] or filled)):
        return False
    # The delimiter is not known yet: in a tab of headings it separates at least two that are known.
    head = next(unwrap(filled[:1]))
    return any(
        count_known(head.split(delimiter)) > 1 and all(delimiter in line for line in filled)
        for delimiter in ",;\t|"
    )


def unwrap(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without the quotation marks around whole ones."""
    for line in lines:
        text = line.rstrip(_LINE_END)
        wrapped = _WRAPPED.fullmatch(text)
        yield wrapped[1].replace('""', '"') + line[len(text) :] if wrapped else line


def have_outer_blanks(file: TextIO, delimiter: str) -> bool:
    """Return whether a text may have blanks between a delimiter and a quotation mark."""
    pattern = re.compile(rf'(?:^|{re.escape(delimiter)}) +"|" +(?:{re.escape(delimiter)}|$)', re.MULTILINE)
    tail = ""
    while chunk := file.read(_CHUNK):
        text = tail + chunk
        if (' "' in text or '" ' in text) and pattern.search(text):
            return True
        tail = chunk[-64:]
    return False


@cache
def _cell_patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    mark = re.escape(delimiter)
    return (
        re.compile(rf'(?P<before> *)"|[^{mark}\r\n]*(?:{mark}|[\r\n]+|$)'),
        re.compile(r'(?:[^"]|"")*'),
        re.compile(rf'"(?P<after> *)(?:{mark}|[\r\n]+|$)|"'),
    )


def _without_outer_blanks(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Yield the lines without the blanks before an opening and after a closing quotation mark."""
    begin, inside, end = _cell_patterns(delimiter)
    is_open = False
    for line in lines:
        at, kept = 0, []
        while at < len(line):
            if is_open:
                text = inside.match(line, at)
                closing = end.match(line, text.end() if text else at)
                kept.append(text[0] if text else "")
                if closing is None:
                    break
                kept.append(closing[0].replace(closing["after"] or "", "", 1) if closing["after"] else closing[0])
                at, is_open = closing.end(), False
            else:
                cell = begin.match(line, at)
                if cell is None or not cell[0]:
                    kept.append(line[at:])
                    break
                is_open = cell["before"] is not None
                kept.append('"' if is_open else cell[0])
                at = cell.end()
        yield "".join(kept)


class MisplacedQuote(Exception):
    """A quotation mark without a partner has turned several rows into one cell."""

    def __init__(self, row: int, line: int) -> None:
        super().__init__(f"row {row}")
        self.row, self.line = row, line


@dataclass(slots=True)
class WidthCheck:
    """Refuse cells of several lines that are really rows.

    A cell whose lines have delimiters is believed only while its row and all later ones have as many cells as the
    row before it.
    """

    delimiter: str
    _width: int = 0
    _suspect: MisplacedQuote | None = field(default=None)

    def check(self, record: Sequence[str], lines: Sequence[str], row: int, line: int) -> None:
        """Check the next record. Raises MisplacedQuote."""
        if len(lines) > 1 and any(record):
            if self._are_rows(record, lines):
                raise MisplacedQuote(row, line)
            if self._suspect is None and self._may_be_rows(record):
                self._suspect = MisplacedQuote(row, line)
        width = len(record)
        if self._suspect and self._width and width != self._width and any(record):
            raise self._suspect
        self._width = width or self._width

    def _may_be_rows(self, record: Sequence[str]) -> bool:
        wanted = max(len(record) - 1, _MIN_DELIMITERS)
        return any(line.count(self.delimiter) >= wanted for cell in record for line in cell.splitlines()[1:])

    def _are_rows(self, record: Sequence[str], lines: Sequence[str]) -> bool:
        """Return whether each line reads as a row, or a line of a cell begins as one, its address in place."""
        split = [each.rstrip(_LINE_END).split(self.delimiter) for each in lines]
        widths = {len(cells) for cells in split}
        addresses = [at for at, cell in enumerate(split[0]) if _ADDRESS.fullmatch(cell.strip(' "'))]
        if widths == {self._width or len(record)}:
            if addresses:
                return all(_ADDRESS.fullmatch(cells[at].strip(' "')) for cells in split for at in addresses)
            return not any(cell.startswith(" ") for cells in split[1:] for cell in cells[1:])
        return any(
            len(cells) > 1 and _ADDRESS.fullmatch(cells[at].strip(' "'))
            for cell in record
            for cells in (text.split(self.delimiter) for text in cell.splitlines()[1:])
            for at in itertools.takewhile(partial(operator.gt, len(cells)), addresses)
        )
