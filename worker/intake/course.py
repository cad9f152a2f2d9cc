"""Which course a row is for: the value of `--course`, and the choice among the columns that name one."""

from __future__ import annotations

from collections.abc import Iterable

from worker.errors import UsageError
from worker.intake.columns import COURSE_COLUMNS
from worker.intake.problems import quote
from worker.intake.text import clean

_PREFIXES = (("name:", "course_name"), ("ext:", "course_external_id"))


def parse_course(value: str, *, allowed: Iterable[str]) -> tuple[str, str]:
    """Return the column and the value of `58`, `name:Fire Safety` or `ext:C-58`.

    Raises UsageError when it names nothing, or in a way that the connection does not understand.
    """
    text = clean(value)
    column, name = "course_id", text
    for prefix, prefixed in _PREFIXES:
        if text.casefold().startswith(prefix):
            column, name = prefixed, text[len(prefix) :].strip()
    if not name:
        raise UsageError("--course is empty; write 58, name:Fire Safety or ext:C-58.")
    if column not in set(allowed):
        raise UsageError(f"--course {quote(value)}: this connection knows courses only by {named(allowed)}.")
    return column, name


def choose_column(given: Iterable[str], *, allowed: Iterable[str]) -> str | None:
    """Return the course column that counts, of those that a row fills in; None when none may."""
    usable = set(given) & set(allowed)
    return next((column for column in COURSE_COLUMNS if column in usable), None)


def named(columns: Iterable[str]) -> str:
    """Return course columns in their order of priority, for a message."""
    allowed = set(columns)
    return " or ".join(column for column in COURSE_COLUMNS if column in allowed)
