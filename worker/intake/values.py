"""Validate the value of each column: the pydantic model of a row; each problem has a code and a remedy.

Checks single values only; row_rules.py checks what a row as a whole must have.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

import email_validator
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from worker.intake.columns import FIELD_PREFIX
from worker.intake.countries import country_code
from worker.intake.dates import DateOrder, InvalidDate, parse_date
from worker.intake.problems import ProblemCode, quote
from worker.model import NUMERIC_ID, Action, Problem

MAX_TEXT = 255
MAX_FIELD = 4000
MAX_LOCAL_PART = 64
MAX_EMAIL = 254
_PLAIN_LOCAL_PART = re.compile(r"(?=.{1,64}$)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
#: As a spreadsheet shortens a number: 1.23E+16, and 1E+11; an id such as 3E10 has no plus.
_SCIENTIFIC_NOTATION = re.compile(r"[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+|[0-9][.,][0-9]+[Ee][0-9]+")
_WHOLE_NUMBER = re.compile(r"([0-9]+)[.]0+")
#: Excel keeps fifteen digits; trailing zeros after them are then no coincidence.
_TRAILING_ZEROS = re.compile(r"[0-9]{15}0{2,}")
#: `1,000`; of points only `1.000`, since no program writes 1 so, and many write 1.125.
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:\.000)+)")
_BOOLEANS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseContext:
    """What parsing a value needs to know of its file and column."""

    date_orders: Mapping[str, DateOrder] = field(default_factory=dict)
    #: Date columns in which five digits are the serial number of a date.
    serial_columns: AbstractSet[str] = frozenset()
    #: Whether texts are as somebody typed them, so that 3E10 is no shortened number: cells of a workbook are.
    has_exact_texts: bool = False
    #: The LMS's own ids, as `RowRules.id_pattern` has them.
    id_pattern: str = NUMERIC_ID


def _refusal(code: ProblemCode, message: str) -> PydanticCustomError:
    return PydanticCustomError(code.value, "{message}", {"message": message})


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        message = f"{quote(text)} has {len(text)} characters; the limit is {MAX_TEXT}."
        raise _refusal(ProblemCode.VALUE_TOO_LONG, message)
    return text


def _id(text: str, info: ValidationInfo) -> str:
    is_exact = isinstance(info.context, ParseContext) and info.context.has_exact_texts
    if not is_exact and (_SCIENTIFIC_NOTATION.fullmatch(text) or _TRAILING_ZEROS.fullmatch(text)):
        message = f"{quote(text)} was rounded by a spreadsheet and is no longer the id; enter it again, as text."
        raise _refusal(ProblemCode.LOST_DIGITS, message)
    if "." in text:
        _reject_thousands(text)
    whole = _WHOLE_NUMBER.fullmatch(text)
    return _text(whole[1] if whole else text)


def _reject_thousands(text: str) -> None:
    """Refuse a number that one country reads as thousands and another as a fraction."""
    if _THOUSANDS.fullmatch(text):
        plain, point = re.sub("[,.]", "", text), text.replace(",", ".")
        choices = f"as {plain}" if text.count(",") + text.count(".") > 1 else f"as {plain} or as {point}"
        message = f"{quote(text)} can be read {choices}; write the number without a thousands separator."
        raise _refusal(ProblemCode.INVALID_NUMBER, message)


def _lms_number(text: str, info: ValidationInfo) -> str:
    text = _id(text, info)
    if not (text.isascii() and text.isdigit()):
        message = f"{quote(text)} is not a number; enter the number that the LMS shows."
        raise _refusal(ProblemCode.INVALID_NUMBER, message)
    return text


def _lms_id(text: str, info: ValidationInfo) -> str:
    pattern = info.context.id_pattern if isinstance(info.context, ParseContext) else NUMERIC_ID
    if pattern == NUMERIC_ID:
        return _lms_number(text, info)
    text = _id(text, info)
    if not re.fullmatch(pattern, text):
        message = f"{quote(text)} is not an ID of this LMS; enter the ID that the LMS shows."
        raise _refusal(ProblemCode.INVALID_ID, message)
    return text


def _email(text: str) -> str:
    local_part, _, domain = text.rpartition("@")
    is_plain = _PLAIN_LOCAL_PART.fullmatch(local_part) and len(text) <= MAX_EMAIL
    if not (_is_address(f"a@{domain}") if is_plain else _is_address(text)):
        remedy = "keep only the address between < and >" if "<" in text else "correct it, as in ann@example.com"
        raise _refusal(ProblemCode.INVALID_EMAIL, f"{quote(text)} is not an e-mail address; {remedy}.")
    return text


@functools.lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    """Return whether a text is an e-mail address and nothing else; cached, because a roster has few domains."""
    try:
        parts = email_validator.validate_email(text, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return False
    return len(parts.local_part) <= MAX_LOCAL_PART


def _date(text: str, info: ValidationInfo) -> date:
    setting, column = info.context, info.field_name or ""
    if not isinstance(setting, ParseContext):
        setting = ParseContext()
    try:
        read = parse_date(text, setting.date_orders.get(column, DateOrder.UNDECIDED))
    except InvalidDate as error:
        raise _refusal(error.code, str(error)) from None
    if read.is_serial and column not in setting.serial_columns:
        message = f"{quote(text)} is a number and not certainly a date; write it as YYYY-MM-DD."
        raise _refusal(ProblemCode.INVALID_DATE, message)
    return read.value


def _past(value: date) -> date:
    if value > datetime.now(UTC).date():
        raise _refusal(
            ProblemCode.INVALID_DATE, f"{value.isoformat()} is in the future; correct the date of birth."
        )
    return value


def _country(text: str) -> str:
    code = country_code(text)
    if code is None:
        message = f"{quote(text)} is not a known country; write its English name, or its two letters, such as GB."
        raise _refusal(ProblemCode.INVALID_COUNTRY, message)
    return code


def _behavior(text: str) -> int:
    _reject_thousands(text)
    whole = _WHOLE_NUMBER.fullmatch(text)
    digits = whole[1] if whole else text
    if digits not in {"1", "2"}:
        raise _refusal(ProblemCode.INVALID_CHOICE, f"{quote(text)} is not a behavior; write 1 or 2.")
    return int(digits)


def _action(text: str) -> Action:
    try:
        return Action(text.casefold())
    except ValueError:
        message = f"{quote(text)} is not an action; write one of {', '.join(Action)}, or leave the cell empty."
        raise _refusal(ProblemCode.INVALID_CHOICE, message) from None


#: A larger score is a mistake, and 1e999999999 would take hours to be written out.
MAX_SCORE = 1_000_000


def _score(text: str) -> Decimal:
    _reject_thousands(text)
    try:
        score = Decimal(text.replace(",", ".")) if "_" not in text else Decimal("nan")
    except InvalidOperation:
        score = Decimal("nan")
    if not score.is_finite() or not 0 <= score <= MAX_SCORE:
        raise _refusal(
            ProblemCode.INVALID_NUMBER, f"{quote(text)} is not a score; write a number from 0 to 1000000."
        )
    return score


def _success(text: str) -> bool:
    word = text.casefold()
    if word not in _BOOLEANS:
        raise _refusal(ProblemCode.INVALID_CHOICE, f"{quote(text)} is neither true nor false; write one of them.")
    return _BOOLEANS[word]


Text = Annotated[str, AfterValidator(_text)]
Id = Annotated[str, AfterValidator(_id)]
#: The LMS's own ids: whole numbers, or what its connector says.
LmsId = Annotated[str, AfterValidator(_lms_id)]
LmsNumber = Annotated[str, AfterValidator(_lms_number)]
Date = Annotated[date, BeforeValidator(_date)]


class RowValues(BaseModel):
    """The values of a row, each validated by itself; None if the row has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    candidate_id: LmsId | None = None
    external_id: Id | None = None
    email: Annotated[str, AfterValidator(_email)] | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    login_name: Id | None = None
    date_of_birth: Annotated[Date, AfterValidator(_past)] | None = None
    address: Text | None = None
    address2: Text | None = None
    city: Text | None = None
    state: Text | None = None
    zip: Id | None = None
    country: Annotated[str, AfterValidator(_country)] | None = None
    expiration_date: Date | None = None
    course_id: LmsId | None = None
    course_name: Text | None = None
    course_external_id: Id | None = None
    legal_entity_id: LmsNumber | None = None
    behavior: Annotated[Literal[1, 2], BeforeValidator(_behavior)] | None = None
    registration_date: Date | None = None
    registration_external_id: Id | None = None
    action: Annotated[Action, BeforeValidator(_action)] = Action.REGISTER
    score: Annotated[Decimal, BeforeValidator(_score)] | None = None
    success: Annotated[bool, BeforeValidator(_success)] | None = None


def check_values(values: Mapping[str, str], setting: ParseContext) -> tuple[RowValues, list[Problem]]:
    """Validate all values of a row at once; return the valid values, and the problems of the others."""
    try:
        return RowValues.model_validate(dict(values), context=setting), []
    except ValidationError as error:
        problems = [
            Problem(column=str(item["loc"][0]), code=item["type"], message=item["msg"])
            for item in error.errors(include_input=False, include_context=False, include_url=False)
        ]
    refused = {problem.column for problem in problems}
    kept = {column: value for column, value in values.items() if column not in refused}
    return RowValues.model_validate(kept, context=setting), problems


def check_fields(fields: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of the values of `field:` columns, of which only the length is limited."""
    for name, value in fields.items():
        if len(value) > MAX_FIELD:
            message = f"{quote(value)} has {len(value)} characters; the limit is {MAX_FIELD}."
            yield Problem(column=FIELD_PREFIX + name, code=ProblemCode.VALUE_TOO_LONG.value, message=message)
