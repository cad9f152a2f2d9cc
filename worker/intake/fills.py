"""Values for the cells that a row leaves empty: from --set, from --course, from the connection's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.errors import UsageError
from worker.intake.columns import COURSE_COLUMNS, FIELD_PREFIX
from worker.intake.course import named, parse_course
from worker.intake.headers import check_column
from worker.intake.text import clean
from worker.intake.values import Setting, check_values
from worker.model import RowRules


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
