"""What a row as a whole must have: a person, a course, and what the connection's rules require."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.intake.columns import COURSE_COLUMNS, FIELD_PREFIX, PERSON_COLUMNS, REGISTRATION_COLUMN
from worker.intake.headers import check_column
from worker.intake.problems import ProblemCode, quote
from worker.intake.text import clean
from worker.intake.values import ParseContext, RowValues, check_values
from worker.model import NUMERIC_ID, REGISTRATION_ACTIONS, Action, Course, Problem, RowRules

if TYPE_CHECKING:
    from worker.intake.options import Options

_PREFIXES = (("name:", "course_name"), ("ext:", "course_external_id"))


def parse_course(value: str, *, allowed: Iterable[str]) -> tuple[str, str]:
    """Return the column and the value of `58`, `name:Fire Safety` or `ext:C-58`.

    Raises UsageError when it is empty, or not a kind of name that the connection supports.
    """
    text = clean(value)
    column, name = "course_id", text
    for prefix, prefix_column in _PREFIXES:
        if text.casefold().startswith(prefix):
            column, name = prefix_column, text[len(prefix) :].strip()
    if not name:
        raise UsageError("--course is empty; write 58, name:Fire Safety or ext:C-58.")
    if column not in set(allowed):
        known = course_columns_text(allowed)
        raise UsageError(f"--course {quote(value)}: this connection identifies courses only by {known}.")
    return column, name


def read_course(value: str, rules: RowRules) -> Course:
    """Return the course that a person typed as `58`, `name:Fire Safety` or `ext:C-58`.

    Raises UsageError when it is not one, or not a kind that the connection supports.
    """
    chosen = collect_defaults({}, value, rules).course_values
    values, _ = check_values(chosen, ParseContext(id_pattern=rules.id_pattern))
    return Course(course_id=values.course_id, name=values.course_name, external_id=values.course_external_id)


def id_problem(written: str, rules: RowRules) -> str | None:
    """Return what is wrong with the form of an id of the LMS that a person typed; None when nothing is."""
    _, problems = check_values({"candidate_id": written}, ParseContext(id_pattern=rules.id_pattern))
    if not written.strip():
        what = "number" if rules.id_pattern == NUMERIC_ID else "ID"
        return f"The ID is empty; enter the {what} that the LMS shows"
    return problems[0].message if problems else None


def choose_column(given: Iterable[str], *, allowed: Iterable[str]) -> str | None:
    """Return the course column that counts, of those that a row fills in; None when none is allowed."""
    usable = set(given) & set(allowed)
    return next((column for column in COURSE_COLUMNS if column in usable), None)


def course_columns_text(columns: Iterable[str]) -> str:
    """Return course columns in order of priority, for a message."""
    allowed = set(columns)
    return " or ".join(column for column in COURSE_COLUMNS if column in allowed)


#: The actions that concern only a person.
_NO_COURSE_ACTIONS = frozenset({Action.UPDATE, Action.DEACTIVATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRequirements:
    """What one connection requires of the rows of one roster."""

    rules: RowRules
    #: The roster's columns: a problem is reported under one of these if possible.
    columns: Sequence[str | None]

    def problems_of(self, row: RowValues, present: frozenset[str]) -> Iterator[Problem]:
        """Yield what a row lacks; `present` are the columns that are not empty, including invalid values."""
        if row.action not in self.rules.actions:
            can = ", ".join(sorted(self.rules.actions))
            message = f'This connection does not support "{row.action}"; it supports: {can}.'
            yield _problem("action", ProblemCode.ACTION_NOT_SUPPORTED, message)
        missing = [column for column in self._required_columns(row, present) if column not in present]
        for column in missing:
            remedy = "fill it in" if column in self.columns else "no column of the file is imported as that"
            yield _problem(column, ProblemCode.MISSING_VALUE, f"{column} is missing; {remedy}.")
        by_external_id = self.rules.finds_by_external_id and row.action in REGISTRATION_ACTIONS
        if by_external_id and REGISTRATION_COLUMN in present:
            return
        if present.isdisjoint(PERSON_COLUMNS) and not set(missing) & set(PERSON_COLUMNS):
            naming = (*PERSON_COLUMNS, REGISTRATION_COLUMN) if by_external_id else PERSON_COLUMNS
            message = f"The row does not identify a person; fill in one of {', '.join(naming)}."
            yield _problem(self._first_of(reversed(PERSON_COLUMNS)), ProblemCode.MISSING_VALUE, message)
        if row.action not in _NO_COURSE_ACTIONS and not choose_column(present, allowed=self.rules.course_columns):
            yield self._no_course(present)

    def _required_columns(self, row: RowValues, present: frozenset[str]) -> Iterator[str]:
        if row.action is Action.REGISTER:
            yield from () if "candidate_id" in present else self.rules.required_to_create
            yield from ("behavior",) if self.rules.needs_behavior else ()
        if self.rules.needs_legal_entity and row.action not in _NO_COURSE_ACTIONS:
            yield "legal_entity_id"

    def _no_course(self, present: frozenset[str]) -> Problem:
        allowed = course_columns_text(self.rules.course_columns)
        for column in COURSE_COLUMNS:
            if column in present:
                message = f"This connection identifies courses only by {allowed}; fill that in."
                return _problem(column, ProblemCode.COURSE_COLUMN_NOT_SUPPORTED, message)
        message = f"The row has no course; fill in {allowed}, or give --course."
        return _problem(self._first_of(COURSE_COLUMNS), ProblemCode.COURSE_MISSING, message)

    def _first_of(self, columns: Iterator[str] | Sequence[str]) -> str:
        candidates = list(columns)
        return next((column for column in candidates if column in self.columns), candidates[0])


def _problem(column: str, code: ProblemCode, message: str) -> Problem:
    return Problem(column=column, code=code.value, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultValues:
    """Default values by column; those of the course count only for rows that have no course at all."""

    values: Mapping[str, str]
    course_values: Mapping[str, str]

    def apply(self, values: Mapping[str, str], given: frozenset[str]) -> dict[str, str]:
        """Return a row's values with defaults for the empty ones; `given` are the columns that are not empty."""
        fills = dict(self.values) if given.intersection(COURSE_COLUMNS) else {**self.values, **self.course_values}
        return {column: value for column, value in fills.items() if column not in given} | dict(values)


def check_options(options: Options, rules: RowRules) -> None:
    """Raise UsageError for an option that no row could use, whatever the roster has in it."""
    collect_defaults(options.set_values, options.course, rules)
    for heading, column in options.mapping.items():
        if column:
            check_column(column, option=f'--map "{heading}={column}"')
    if options.update_existing and Action.UPDATE not in rules.actions:
        raise UsageError("--update-existing: this LMS cannot change people; leave the option out")


def collect_defaults(set_values: Mapping[str, str], course: str | None, rules: RowRules) -> DefaultValues:
    """Return the default values for empty cells; raise UsageError for an option that no row could use."""
    chosen = {check_column(column, option="--set"): clean(value) for column, value in set_values.items()}
    plain = {column: value for column, value in chosen.items() if column not in COURSE_COLUMNS}
    of_course = {column: value for column, value in chosen.items() if column in COURSE_COLUMNS}
    for column in of_course.keys() - rules.course_columns:
        known = course_columns_text(rules.course_columns)
        raise UsageError(f"--set {column}: this connection identifies courses only by {known}.")
    if not of_course and course is not None:
        of_course = dict([parse_course(course, allowed=rules.course_columns)])
    _, problems = check_values(
        {column: value for column, value in (plain | of_course).items() if not column.startswith(FIELD_PREFIX)},
        ParseContext(id_pattern=rules.id_pattern),
    )
    for problem in problems:
        option = f"--set {problem.column}" if problem.column in chosen else "--course"
        raise UsageError(f"{option}: {problem.message}")
    defaults = {column: value for column, value in rules.defaults.items() if value}
    own = {column: value for column, value in defaults.items() if column in COURSE_COLUMNS}
    return DefaultValues(
        values={column: value for column, value in defaults.items() if column not in own} | plain,
        course_values=of_course or own,
    )
