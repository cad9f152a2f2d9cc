"""Read a CSV, TSV or text file as records, numbered as a spreadsheet would show them.

A record is a row: a quoted cell with line breaks is part of one row, and a blank line is a row. A `sep=;` line is
an instruction to Excel, not a row.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UnreadableRoster
from worker.intake.csv_files import quoting
from worker.intake.csv_files.encoding import find_encoding, is_unicode
from worker.intake.headers import count_known
from worker.intake.limits import MAX_COLUMNS, MAX_FIELD_CHARACTERS, MAX_ROW_CHARACTERS

DELIMITERS = (",", ";", "\t", "|")
#: How many lines decide the delimiter.
SAMPLE_LINES = 300
_SEP_LINE = re.compile(r'\ufeff?"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)


def declared_delimiter(line: str) -> str | None:
    """Return the delimiter of a `sep=;` line, which is for Excel; None for any other line."""
    found = _SEP_LINE.fullmatch(line)
    return found[1] if found else None


def find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter of a file from its first lines; a comma when it has one column."""
    return max(DELIMITERS, key=lambda delimiter: _delimiter_score(lines, delimiter))


def _delimiter_score(lines: Sequence[str], delimiter: str) -> tuple[int, float, int]:
    """Return the number of known headings, the share of rows that have the most common width, and that width."""
    rows: list[list[str]] = []
    try:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        rows.extend(row for row in reader if any(row))
    except csv.Error:
        return 0, 0.0, 0
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0, 0.0, 0
    width, count = widths.most_common(1)[0]
    known = max(count_known(row) if len(row) > 1 else 0 for row in rows[:20])
    return known, count / len(rows), width


_END_OF_FILE = "\x1a"
_HEAD_BYTES = 2**16
#: A text file has hardly any control characters; with more than one in 20 it is not a text file.
_CONTROL_SHARE = 20
_ORDINARY_CONTROLS = "\t\n\v\f\r\x1a"
_SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A text file whose encoding and delimiter are known."""

    path: Path
    name: str
    encoding: str
    delimiter: str
    has_sep_line: bool
    #: How the quotation marks of the file are to be read.
    quotes: quoting.QuoteStyle
    notes: tuple[str, ...]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record with its number, blank ones included; raise UnreadableRoster for broken quoting."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            lines = _without_ctrl_z(itertools.islice(file, int(self.has_sep_line), None))
            taken: list[str] = []
            reader = csv.reader(
                _remembered(self.quotes.apply(lines, self.delimiter), taken), delimiter=self.delimiter, strict=True
            )
            widths = quoting.WidthCheck(self.delimiter)
            for number in itertools.count(1):
                began = reader.line_num + 1 + self.has_sep_line
                try:
                    record = next(reader, None)
                    if record is None:
                        return
                    self._check_size(record, number)
                    widths.check(record, taken, number, began)
                except csv.Error as error:
                    raise self._broken_quoting(number, began, str(error)) from error
                except quoting.MisplacedQuote as found:
                    raise self._misplaced_quote(found) from None
                self._check_nul(taken, number)
                taken.clear()
                yield number, [cell.removeprefix("\ufeff") for cell in record] if number == 1 else record

    def _check_size(self, record: list[str], number: int) -> None:
        if len(record) > MAX_COLUMNS:
            raise UnreadableRoster(
                f"{self.name}, row {number}: {len(record)} cells; a roster has at most {MAX_COLUMNS} columns. "
                "Remove those that are not needed."
            )
        if sum(map(len, record)) > MAX_ROW_CHARACTERS:
            raise UnreadableRoster(f"{self.name}, row {number}: the row is far too long for a roster.")

    def _check_nul(self, lines: Sequence[str], number: int) -> None:
        for line in lines:
            if "\0" in line:
                raise UnreadableRoster(
                    f"{self.name}, row {number}: a cell contains a NUL character. Export the file again, or save "
                    "it as CSV UTF-8."
                )

    def _broken_quoting(self, number: int, line: int, error: str) -> UnreadableRoster:
        what = f"the quotation marks of a cell are broken ({error})"
        if "field limit" in error:
            what = f"a cell has more than {MAX_FIELD_CHARACTERS} characters, perhaps because of a quotation mark"
        if "end of data" in error:
            what = "a quotation mark opens a cell and no other one closes it"
        return UnreadableRoster(
            f"{self.name}, row {number} (it begins in line {line}): {what}. Put quotation marks around the whole "
            'cell, and double any within it (""); or save the file as an Excel workbook.'
        )

    def _misplaced_quote(self, found: quoting.MisplacedQuote) -> UnreadableRoster:
        return UnreadableRoster(
            f"{self.name}, row {found.row} (it begins in line {found.line}): a quotation mark opens a cell, and "
            "the next one is in a later line, so the cell contains what looks like whole rows. Remove the "
            'quotation mark, double it (""), or add the one that closes the cell; or save it as an Excel workbook.'
        )


def open_csv(path: Path, *, name: str, encoding: str | None = None) -> CsvFile:
    """Find the encoding and the delimiter of a text file.

    Raises UnreadableRoster when it is not text or its encoding is not certain, UsageError for an unknown encoding.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if encoding is None and not is_unicode(head):
        _reject_binary(head.decode("latin-1"), name=name)
    found = find_encoding(path, name=name, requested=encoding)
    with path.open(encoding=found.name, newline="") as file:
        lines = list(itertools.islice(_limit_lines(file, name=name), SAMPLE_LINES))
    _reject_binary("".join(lines)[:_HEAD_BYTES], name=name)
    declared = declared_delimiter(lines[0]) if lines else None
    is_wrapped = quoting.are_wrapped(lines[declared is not None :])
    delimiter = declared or find_delimiter([*quoting.unwrap(lines)] if is_wrapped else lines)
    with path.open(encoding=found.name, newline="") as file:
        quotes = quoting.QuoteStyle(is_wrapped=is_wrapped, has_blanks=quoting.have_outer_blanks(file, delimiter))
    separator = _SEPARATOR_NAMES.get(delimiter, f'"{delimiter}"')
    return CsvFile(
        path=path,
        name=name,
        encoding=found.name,
        delimiter=delimiter,
        has_sep_line=declared is not None,
        quotes=quotes,
        notes=(f"CSV: {found}, {separator}-separated.", *quotes.notes),
    )


def _limit_lines(lines: Iterable[str], *, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_ROW_CHARACTERS:
            raise UnreadableRoster(
                f"{name}, line {number}: the line is far too long for a roster. Is it a text file?"
            )
        yield line


def _reject_binary(text: str, *, name: str) -> None:
    odd = sum(letter < " " and letter not in _ORDINARY_CONTROLS for letter in text)
    if odd * _CONTROL_SHARE > len(text) and odd > 1:
        raise UnreadableRoster(
            f"{name}: this is neither a supported spreadsheet nor a text file. Save the roster as an Excel "
            "workbook (.xlsx) or as CSV UTF-8."
        )


def _remembered(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Yield the lines, each added to `taken`."""
    for line in lines:
        taken.append(line)
        yield line


def _without_ctrl_z(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without the Ctrl-Z with which DOS programs end a file."""
    held: str | None = None
    for line in lines:
        if held is not None:
            yield held
        held = line
    if held is not None and (last := held.rstrip(_END_OF_FILE + "\r\n") if _END_OF_FILE in held else held):
        yield last
