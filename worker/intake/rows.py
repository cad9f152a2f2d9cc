"""Parse each row into a candidate, a course and an action, or into all of its problems; other rows go on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

from worker.errors import MissingColumns, UsageError
from worker.intake.cell_values import (
    IDENTIFIERS,
    IN_LEDGERS,
    former_value,
    is_own_name,
    is_suspicious,
    lost_letters,
    means_none,
    read_value,
)
from worker.intake.column_stats import collect_column_stats
from worker.intake.columns import (
    CANDIDATE_COLUMNS,
    COURSE_COLUMNS,
    FIELD_PREFIX,
    ID_COLUMNS,
    LMS_NUMBER_COLUMNS,
    NUMBER_COLUMNS,
    PERSON_COLUMNS,
    TEXT_COLUMNS,
)
from worker.intake.headers import Headings, missing_person_column
from worker.intake.inactive import StatusColumns, status_columns
from worker.intake.missing_columns import explain_missing_columns
from worker.intake.problems import CELL_REMEDIES, ID_PROBLEMS, ProblemCode, excel_error_code, quote
from worker.intake.roster_file import Record, RosterFile, has_data
from worker.intake.row_rules import DefaultValues, RowRequirements, choose_column, collect_defaults
from worker.intake.text import clean
from worker.intake.values import ParseContext, RowValues, check_fields, check_values
from worker.model import Action, Candidate, Course, HiddenRows, Problem, RawRow, RosterRow, RowRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRow:
    """A row as it is in the file, with its meaning or all of its problems."""

    raw: RawRow
    #: None when there are problems.
    row: RosterRow | None
    #: Under the headings as they are in the file, in the order of the columns.
    problems: tuple[Problem, ...] = ()
    #: Why the row is left out.
    skipped: Problem | None = None


def parse_rows(
    file: RosterFile,
    headings: Headings,
    *,
    rules: RowRules,
    set_values: Mapping[str, str] = MappingProxyType({}),
    course: str | None = None,
    start_row: int | None = None,
    max_rows: int | None = None,
    hidden_rows: HiddenRows | None = None,
    warnings: list[str] | None = None,
) -> Iterator[ParsedRow]:
    """Parse the rows of a roster, each with its meaning or its problems; warnings on the file go to `warnings`.

    Reads the file twice, because the last row may decide how the dates of a column are read. Raises UsageError for
    options that are not valid, UnreadableRoster for a file that is not a roster; both at the call, not at the first
    row.
    """
    for option, number in (("--start-row", start_row), ("--max-rows", max_rows)):
        if number is not None and number < 1:
            raise UsageError(f"{option} must be 1 or more.")
    _require_person_column(file.name, headings, set_values, rules)
    fills = collect_defaults(set_values, course, rules)
    found = collect_column_stats(file, headings)
    if warnings is not None:
        warnings.extend(found.warnings)
        if missing := explain_missing_columns(headings, rules, fills.values):
            warnings.append(missing)
    reader = RowParser(
        headings=headings,
        rules=rules,
        requirements=RowRequirements(rules=rules, columns=headings.columns),
        defaults=fills,
        status=status_columns(headings),
        context=ParseContext(
            date_orders=found.date_orders,
            serial_columns=found.serial_columns,
            has_exact_texts=bool(file.sheet),
            id_pattern=rules.id_pattern,
        ),
        most_cells=max(file.heading_cells, len(file.headings)),
    )
    used, first = headings.used, start_row or 1
    records = (record for record in file.records() if record.raw.row >= first and has_data(record, used))
    parse = reader.parse_visible if hidden_rows == HiddenRows.SKIP else reader.parse
    return map(parse, islice(records, max_rows))


def _require_person_column(name: str, headings: Headings, set_values: Mapping[str, str], rules: RowRules) -> None:
    """Raise MissingColumns when no heading identifies a person and no row can be known by its external id alone."""
    steps = "action" in headings.columns or "action" in set_values
    if set(PERSON_COLUMNS).isdisjoint(headings.columns) and not (rules.finds_by_external_id and steps):
        error = missing_person_column(headings.names)
        raise MissingColumns(f"{name}: {error}", error.headings)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowParser:
    """What is the same for all rows of a roster; `parse` parses one of them."""

    headings: Headings
    rules: RowRules
    requirements: RowRequirements
    defaults: DefaultValues
    context: ParseContext
    #: A longer row may be shifted.
    most_cells: int
    status: StatusColumns

    def parse_visible(self, record: Record) -> ParsedRow:
        """Parse one row, or leave it out if it is hidden in the spreadsheet."""
        return ParsedRow(raw=record.raw, row=None, skipped=_HIDDEN) if record.is_hidden else self.parse(record)

    def parse(self, record: Record) -> ParsedRow:
        """Parse one row and report all of its problems at once."""
        if (inactive := self.status.mark_of(record.raw.cells)) and not self._asks_to_remove(record):
            return ParsedRow(raw=record.raw, row=None, skipped=inactive)
        own, problems = self._own_values(record)
        placeholders = self._take_placeholders(own)
        given = frozenset(own).union(problem.column for problem in problems if problem.column)
        values = self.defaults.apply(own, given)
        fields = {column[len(FIELD_PREFIX) :]: value for column, value in values.items() if _is_field(column)}
        checked, refused = check_values(self._relevant(values), self.context)
        problems += refused
        problems += check_fields(fields)
        problems += _refused_values(checked, self.rules)
        missing = self.requirements.problems_of(checked, given.union(values))
        problems += _explain_placeholders(missing, placeholders)
        return ParsedRow(
            raw=record.raw,
            row=None if problems else _roster_row(record.raw.row, checked, fields, self._former(record, own)),
            problems=tuple(self._in_order(problems)),
        )

    def _own_values(self, record: Record) -> tuple[dict[str, str], list[Problem]]:
        """Return the row's own values by column, and the problems of cells that do not contain what they show."""
        values: dict[str, str] = {}
        problems: list[Problem] = []
        for at, (column, cell) in enumerate(zip(self.headings.columns, record.raw.cells, strict=False)):
            if column is None or not (cell or at in record.flaws):
                continue
            text = read_value(column, _text_for(column, at, record))
            code = record.flaws.get(at) or (self._code_of(column, cell, text) if is_suspicious(cell) else None)
            if code and (code not in ID_PROBLEMS or _is_id(column, text) or _is_no_text(column, code)):
                problems.append(_cell_problem(column, code, text, record.details.get(at)))
            elif text:
                values[column] = text
        if (surplus := len(record.raw.cells) - self.most_cells) > 0:
            problems.append(_too_many_cells(surplus))
        return values, problems

    def _asks_to_remove(self, record: Record) -> bool:
        """Return whether the row itself asks to withdraw or deactivate, as it may for somebody who is inactive."""
        cells = zip(self.headings.columns, record.raw.cells, strict=False)
        own = next((clean(cell) for column, cell in cells if column == "action" and clean(cell)), None)
        return (own or self.defaults.values.get("action", "")).lower() in {Action.WITHDRAW, Action.DEACTIVATE}

    def _code_of(self, column: str, cell: str, text: str) -> str | None:
        is_word = column in TEXT_COLUMNS and _WORD_AFTER_SIGN.fullmatch(text)
        if not (self.context.has_exact_texts or is_word) and cell.lstrip().startswith("=") and text.startswith("="):
            return ProblemCode.FORMULA_WITHOUT_VALUE
        return excel_error_code(text) or (ProblemCode.LOST_LETTERS if lost_letters(column, cell) else None)

    def _take_placeholders(self, own: dict[str, str]) -> list[str]:
        """Take the identifiers that mean none out of a row's own values, and return them."""
        found = [column for column in IDENTIFIERS if column in own and means_none(column, own[column])]
        return [own.pop(column) for column in found if column != "email" or not is_own_name(own[column], own)]

    def _former(self, record: Record, own: Mapping[str, str]) -> dict[str, str]:
        """Return the identifiers that ledgers of earlier versions have otherwise, as they have them."""
        columns, cells = self.headings.columns, record.raw.cells
        named = [column for column in IN_LEDGERS if column in own and column in columns]
        former = {column: former_value(column, cells[columns.index(column)], own[column]) for column in named}
        return {column: value for column, value in former.items() if value}

    def _relevant(self, values: Mapping[str, str]) -> dict[str, str]:
        """Leave out what this connection does not use, so that it cannot make a row invalid."""
        chosen = choose_column(values, allowed=self.rules.course_columns)
        unused = {column for column in COURSE_COLUMNS if column != chosen}
        unused |= set() if self.rules.needs_behavior else {"behavior"}
        unused |= set() if self.rules.needs_legal_entity else {"legal_entity_id"}
        return {column: value for column, value in values.items() if column not in unused and not _is_field(column)}

    def _in_order(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        columns = self.headings.columns

        def place(problem: Problem) -> int:
            return columns.index(problem.column) if problem.column in columns else len(columns)

        for problem in sorted(problems, key=place):
            heading = self.headings.heading_of(problem.column) if problem.column else None
            yield Problem(column=heading, code=problem.code, message=problem.message)


def _refused_values(row: RowValues, rules: RowRules) -> Iterator[Problem]:
    """Yield the values that this LMS refuses, where its connector says so."""
    if rules.refuse is None:
        return
    for column, value in row:
        if isinstance(value, str) and rules.takes(column) and (said := rules.refuse(column, value)):
            message = f"{quote(value)}: {said}"
            yield Problem(column=column, code=ProblemCode.NOT_ACCEPTED.value, message=message)


def _text_for(column: str, at: int, record: Record) -> str:
    """Return what a cell means under a column: its exact number where that counts, else the text that is shown.

    A percent stays one, because a score of 85% may mean 85 as well as 0.85.
    """
    shown, exact = record.raw.cells[at], record.details.get(at)
    if exact is None or record.flaws.get(at) == ProblemCode.NUMBER_FORMAT:
        return shown
    is_plain_number = column in LMS_NUMBER_COLUMNS and shown.replace(",", "") == exact
    return exact if is_plain_number or (column in NUMBER_COLUMNS and "%" not in shown) else shown


def _is_id(column: str, text: str) -> bool:
    """Return whether a lost digit means another value: in ids, and in whole numbers under a custom field."""
    return column in ID_COLUMNS or (_is_field(column) and text.isdigit())


def _is_no_text(column: str, code: str) -> bool:
    """Return whether a name or an address is a date, of which the spreadsheet shows another text."""
    return code == ProblemCode.DATE_CELL and column in TEXT_COLUMNS


def _cell_problem(column: str, code: str, text: str, detail: str | None) -> Problem:
    remedy = CELL_REMEDIES[code]
    if code == ProblemCode.NUMBER_FORMAT:
        remedy = f"the number format {quote(detail or '')} {remedy}"
    message = f"{quote(text)}: {remedy}" if text else remedy.capitalize()
    return Problem(column=column, code=code, message=message)


def _explain_placeholders(missing: Iterable[Problem], placeholders: Sequence[str]) -> Iterator[Problem]:
    """Say which value of the row means none, where that is why something is missing."""
    for problem in missing:
        if placeholders and problem.code == ProblemCode.MISSING_VALUE and problem.column in IDENTIFIERS:
            values = " and ".join(quote(value) for value in placeholders)
            said = f"{values} {'means' if len(placeholders) == 1 else 'mean'} that there is none. "
            yield replace(problem, message=f"{said}{problem.message[0].upper()}{problem.message[1:]}")
        else:
            yield problem


def _is_field(column: str) -> bool:
    return column.startswith(FIELD_PREFIX)


#: A name may begin so; a formula has more than words.
_WORD_AFTER_SIGN = re.compile(r"=[^\W\d_]+(?: [^\W\d_]+)*")
_HIDDEN = Problem(
    column=None,
    code=ProblemCode.HIDDEN_ROW.value,
    message="The row is hidden in the spreadsheet, and hidden rows are left out.",
)


def _too_many_cells(surplus: int) -> Problem:
    message = (
        f"The row has {surplus} more {'cell' if surplus == 1 else 'cells'} than there are headings, so its values "
        "may be in the wrong columns; put quotation marks around a cell that contains the separator."
    )
    return Problem(column=None, code=ProblemCode.TOO_MANY_CELLS.value, message=message)


def _roster_row(number: int, row: RowValues, fields: Mapping[str, str], former: Mapping[str, str]) -> RosterRow:
    values = {column: getattr(row, column) for column in CANDIDATE_COLUMNS}
    return RosterRow(
        row=number,
        candidate=Candidate(**values, fields=fields, former=former),
        course=_course(row),
        action=row.action,
        behavior=row.behavior,
        registration_date=row.registration_date,
        registration_external_id=row.registration_external_id,
        score=row.score,
        success=row.success,
    )


def _course(row: RowValues) -> Course | None:
    if not (row.course_id or row.course_name or row.course_external_id):
        return None
    return Course(
        course_id=row.course_id,
        name=row.course_name,
        external_id=row.course_external_id,
        legal_entity_id=row.legal_entity_id,
    )
