"""What can be wrong with a row: the stable codes of the report, and texts that messages share.

A message may quote the cell that is at fault, because the report belongs to the sender of the roster. So messages
belong in reports and never in logs: log the code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class ProblemCode(StrEnum):
    """The stable codes of `_error_code` for rows that are invalid before anything is sent."""

    MISSING_VALUE = "missing_value"
    INVALID_EMAIL = "invalid_email"
    INVALID_DATE = "invalid_date"
    #: Neither the cell nor its column shows the order of day and month.
    AMBIGUOUS_DATE = "ambiguous_date"
    INVALID_NUMBER = "invalid_number"
    #: Not what this LMS's own ids are like.
    INVALID_ID = "invalid_id"
    #: The value is not one of those allowed.
    INVALID_CHOICE = "invalid_choice"
    INVALID_COUNTRY = "invalid_country"
    VALUE_TOO_LONG = "value_too_long"
    #: This LMS refuses the value.
    NOT_ACCEPTED = "not_accepted"
    #: A spreadsheet has rounded an id: the value is lost.
    LOST_DIGITS = "lost_digits"
    #: A program could not convert some letters: they are replacement characters or question marks now.
    LOST_LETTERS = "lost_letters"
    #: The roster itself marks the row as inactive: it is left out.
    INACTIVE_IN_SOURCE = "inactive_in_source"
    EXCEL_ERROR = "excel_error"
    FORMULA_WITHOUT_VALUE = "formula_without_value"
    #: The cell has a number format that is not known, so it may show something else than its number.
    NUMBER_FORMAT = "number_format"
    #: A date where an id is expected: a spreadsheet turns some ids into dates.
    DATE_CELL = "date_cell"
    #: The cell is part of a merged range that belongs to another column.
    MERGED_CELL = "merged_cell"
    #: The row is hidden in the spreadsheet and left out, as a person said.
    HIDDEN_ROW = "hidden_row"
    TOO_MANY_CELLS = "too_many_cells"
    COURSE_MISSING = "course_missing"
    #: The course is identified in a way that this connection does not support.
    COURSE_COLUMN_NOT_SUPPORTED = "course_column_not_supported"
    ACTION_NOT_SUPPORTED = "action_not_supported"


MAX_QUOTE = 60


def quote(text: str) -> str:
    """Return a cell's text for a message: in quotation marks, on one line, cut where it is long."""
    line = " ".join(text.split())
    return f'"{line[:MAX_QUOTE]}…"' if len(line) > MAX_QUOTE else f'"{line}"'


#: What to do about cells that do not contain the value that they show.
CELL_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        ProblemCode.EXCEL_ERROR: "the cell contains a spreadsheet error; enter the value.",
        ProblemCode.FORMULA_WITHOUT_VALUE: "the cell contains a formula whose value was not saved; open the "
        "file in a spreadsheet program and save it again, or enter the value.",
        ProblemCode.LOST_DIGITS: "the number has more than 15 digits, and a spreadsheet keeps only 15; enter "
        "the id again, as text.",
        ProblemCode.NUMBER_FORMAT: "may show something else than the cell has; enter what the cell shows, as text.",
        ProblemCode.DATE_CELL: "the cell contains a date, and a spreadsheet turns some texts into dates; enter the "
        "value again, as text.",
        ProblemCode.MERGED_CELL: "the cell is merged with a cell of another column; unmerge the cells and fill in "
        "each of them.",
        ProblemCode.LOST_LETTERS: "letters were lost when the file was saved or converted; export it again as "
        "CSV UTF-8 or .xlsx, or enter the value again.",
    }
)
#: Problems of cells that matter only where a lost digit means another person or course.
ID_PROBLEMS = frozenset({ProblemCode.LOST_DIGITS, ProblemCode.NUMBER_FORMAT, ProblemCode.DATE_CELL})
#: Errors without a mark at the end, in the languages of spreadsheet programs: German #NV, French #N/D, …
_EXCEL_ERRORS = frozenset(
    {
        "#N/A",
        "#NV",
        "#N/V",
        "#N/D",
        "#N/B",
        "#I/T",
        "#\u041d/\u0414",
        "#YOK",
        "#BRAK",
        "#HIÁNYZIK",
        "#GETTING_DATA",
        "#ERROR",
    }
)
#: #NAME?, #WERT!, #¡REF!, #DIV/0!; LibreOffice's Err:502; and what a column shows that is too narrow for a number.
_EXCEL_ERROR = re.compile(r"#[\u00a1\u00bf]?[^\W\d_]+(?:/[0-9A-Z])?[!?]|(?:Err|Fehler|Erreur):[0-9]{3}|#{3,}")


def excel_error_code(text: str) -> str | None:
    """Return the problem code of a text that is a spreadsheet's error, such as #N/A; None for any other text."""
    is_error = text in _EXCEL_ERRORS or (_EXCEL_ERROR.fullmatch(text) and (text[0] != "#" or text == text.upper()))
    return ProblemCode.EXCEL_ERROR.value if is_error else None
