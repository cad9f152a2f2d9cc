"""What a row as a whole must have: somebody, a course, what the connection's rules ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.intake.columns import COURSE_COLUMNS, PERSON_COLUMNS, REGISTRATION_COLUMN
from worker.intake.course import choose_column, named
from worker.intake.problems import ProblemCode
from worker.intake.values import RowValues
from worker.model import STEPS, Action, Problem, RowRules

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
