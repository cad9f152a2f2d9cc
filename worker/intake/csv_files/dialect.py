"""The delimiter of a text file: parse its head with each, take the one that makes headings and even rows of it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

from worker.intake.headers import count_known

DELIMITERS = (",", ";", "\t", "|")
#: How many lines of a file decide.
HEAD_LINES = 300
_SEP_LINE = re.compile(r'\ufeff?"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)


def declared_delimiter(line: str) -> str | None:
    """Return the delimiter of a `sep=;` line, with which Excel is told; None when the line is another."""
    found = _SEP_LINE.fullmatch(line)
    return found[1] if found else None


def find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter of a file from its first lines; a comma when it has one column."""
    return max(DELIMITERS, key=lambda delimiter: _evenness(lines, delimiter))


def _evenness(lines: Sequence[str], delimiter: str) -> tuple[int, float, int]:
    """Return how many headings are known, the share of rows of the commonest width, and that width."""
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in csv.reader(lines, delimiter=delimiter) if any(row))
    except csv.Error:
        return 0, 0.0, 0
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0, 0.0, 0
    width, count = widths.most_common(1)[0]
    known = max(count_known(row) if len(row) > 1 else 0 for row in rows[:20])
    return known, count / len(rows), width
