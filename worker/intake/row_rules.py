"""What a row as a whole must have: somebody, a course, what the connection's rules ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.errors import UsageError
from worker.intake.columns import COURSE_COLUMNS, FIELD_PREFIX, PERSON_COLUMNS, REGISTRATION_COLUMN
from worker.intake.headers import check_column
from worker.intake.problems import ProblemCode, quote
from worker.intake.text import clean
from worker.intake.values import RowValues, Setting, check_values
from worker.model import STEPS, Action, Problem, RowRules

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


#: The actions that are about a person alone.
_WITHOUT_COURSE = frozenset({Action.UPDATE, Action.DEACTIVATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What one connection demands of the rows of one roster."""

    rules: RowRules
    #: The roster's columns: a problem is best named after one that is there.
    columns: Sequence[str | None]

    def problems(self, row: RowValues, present: frozenset[str]) -> Iterator[Problem]:
        """Yield what a row lacks; `present` are the columns with something in them, refused values included."""
        if row.action not in self.rules.actions:
            can = ", ".join(sorted(self.rules.actions))
            message = f'This connection cannot do "{row.action}"; it can do: {can}.'
            yield _problem("action", ProblemCode.ACTION_NOT_SUPPORTED, message)
        missing = [column for column in self._wanted(row, present) if column not in present]
        for column in missing:
            yield _problem(column, ProblemCode.MISSING_VALUE, f"{column} is missing; fill it in.")
        by_external_id = self.rules.finds_by_external_id and row.action in STEPS
        if by_external_id and REGISTRATION_COLUMN in present:
            return
        if present.isdisjoint(PERSON_COLUMNS) and not set(missing) & set(PERSON_COLUMNS):
            naming = (*PERSON_COLUMNS, REGISTRATION_COLUMN) if by_external_id else PERSON_COLUMNS
            message = f"The row names nobody; fill in one of {', '.join(naming)}."
            yield _problem(self._first_of(reversed(PERSON_COLUMNS)), ProblemCode.MISSING_VALUE, message)
        if row.action not in _WITHOUT_COURSE and not choose_column(present, allowed=self.rules.course_columns):
            yield self._no_course(present)

    def _wanted(self, row: RowValues, present: frozenset[str]) -> Iterator[str]:
        if row.action is Action.REGISTER:
            yield from () if "candidate_id" in present else self.rules.to_create
            yield from ("behavior",) if self.rules.needs_behavior else ()
        if self.rules.needs_legal_entity and row.action not in _WITHOUT_COURSE:
            yield "legal_entity_id"

    def _no_course(self, present: frozenset[str]) -> Problem:
        allowed = named(self.rules.course_columns)
        for column in COURSE_COLUMNS:
            if column in present:
                message = f"This connection knows courses only by {allowed}; fill that in."
                return _problem(column, ProblemCode.COURSE_COLUMN_NOT_SUPPORTED, message)
        message = f"The row names no course; fill in {allowed}, or give --course."
        return _problem(self._first_of(COURSE_COLUMNS), ProblemCode.COURSE_MISSING, message)

    def _first_of(self, columns: Iterator[str] | Sequence[str]) -> str:
        candidates = list(columns)
        return next((column for column in candidates if column in self.columns), candidates[0])


def _problem(column: str, code: ProblemCode, message: str) -> Problem:
    return Problem(column=column, code=code.value, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """Values by column; those of the course count only for rows that name no course at all."""

    plain: Mapping[str, str]
    course: Mapping[str, str]

    def fill(self, values: Mapping[str, str], given: frozenset[str]) -> dict[str, str]:
        """Return a row's values with the empty ones filled in; `given` are the columns that are not empty."""
        fills = dict(self.plain) if given.intersection(COURSE_COLUMNS) else {**self.plain, **self.course}
        return {column: value for column, value in fills.items() if column not in given} | dict(values)


def collect_fills(set_values: Mapping[str, str], course: str | None, rules: RowRules) -> Fills:
    """Return what fills in empty cells; raise UsageError for an option that no row could use."""
    chosen = {check_column(column, option="--set"): clean(value) for column, value in set_values.items()}
    plain = {column: value for column, value in chosen.items() if column not in COURSE_COLUMNS}
    of_course = {column: value for column, value in chosen.items() if column in COURSE_COLUMNS}
    for column in of_course.keys() - rules.course_columns:
        raise UsageError(f"--set {column}: this connection knows courses only by {named(rules.course_columns)}.")
    if not of_course and course is not None:
        of_course = dict([parse_course(course, allowed=rules.course_columns)])
    _, problems = check_values(
        {column: value for column, value in (plain | of_course).items() if not column.startswith(FIELD_PREFIX)},
        Setting(),
    )
    for problem in problems:
        option = "--course" if problem.column in COURSE_COLUMNS and course else f"--set {problem.column}"
        raise UsageError(f"{option}: {problem.message}")
    defaults = {column: value for column, value in rules.defaults.items() if value}
    own = {column: value for column, value in defaults.items() if column in COURSE_COLUMNS}
    return Fills(
        plain={column: value for column, value in defaults.items() if column not in own} | plain,
        course=of_course or own,
    )
