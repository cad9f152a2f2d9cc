"""The form of a draft → the options and start time of its job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from worker.errors import RosterError, UsageError
from worker.intake.headers import check_column
from worker.intake.options import Options
from worker.ledger.database import now
from worker.model import HiddenRows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.bootstrap import Services
    from worker.jobs.drafts import Draft
    from worker.web.pages.preview import Preview

Value = TypeVar("Value")
#: How many default values the form has fields for.
MAX_DEFAULTS = 4
#: A start time that is past by no more than this means now (seconds).
MAX_LATE_SECONDS = 90.0
MAX_DAYS_AHEAD = 366


def fields_of(draft: Draft) -> dict[str, str]:
    """Return the fields of the form for a saved draft; its columns and sheet come from the preview."""
    options = draft.options
    texts = {"course": options.course, "encoding": options.encoding}
    numbers = {
        "heading_row": options.heading_row,
        "hidden_rows": options.hidden_rows,
        "start_row": options.start_row,
        "max_rows": options.max_rows,
    }
    flags = {"strict": options.strict, "again": options.again, "update_existing": options.update_existing}
    fields = {"connection": draft.connection, "at": draft.at, "zone_minutes": draft.zone_minutes or "0"}
    fields |= {name: str(value) for name, value in {**texts, **numbers}.items() if value}
    fields |= {name: "on" for name, value in flags.items() if value}
    for at, (column, value) in enumerate(options.set_values.items()):
        fields |= {f"set-column-{at}": column, f"set-value-{at}": value}
    return fields


class FormErrors(UsageError):
    """What is wrong with the fields of a form: a sentence for each, by the id of the field."""

    def __init__(self, by_field: dict[str, str]) -> None:
        super().__init__(" ".join(by_field.values()))
        self.by_field = by_field


class FieldReader:
    """Reads fields and collects what is wrong with them, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def read(self, field: str, read: Callable[..., Value], *arguments: Any) -> Value | None:
        """Return what `read` makes of the arguments; None when it raises, and then the field has an error."""
        try:
            return read(*arguments)
        except RosterError as error:
            self.errors[field] = str(error)
            return None


def parse(
    services: Services, form: Mapping[str, str], draft: Draft, preview: Preview
) -> tuple[str, Options, float | None]:
    """Return the connection, options and start time of a form. Raises FormErrors with all that is wrong."""
    reader = FieldReader()
    connection = reader.read("connection", services.connection, form.get("connection") or draft.connection)
    options = options_of(form, draft.options, preview, reader)
    start = reader.read("at", start_time, form)
    if reader.errors or connection is None:
        raise FormErrors(reader.errors)
    return connection.name, options, start


def options_of(form: Mapping[str, str], now: Options, preview: Preview, reader: FieldReader) -> Options:
    """Return the options of a form; those of `now` where it leaves what `preview` shows unchanged.

    What is wrong is in the reader.
    """
    read = reader.read
    sheet = read("sheet", _text, form, "sheet")
    heading_row = read("heading_row", _number, form, "heading_row", "Heading row")
    return Options(
        course=read("course", _text, form, "course"),
        set_values=_values(form, reader),
        sheet=now.sheet if sheet == preview.sheet else sheet,
        # Of another row, the headings that the preview shows are none.
        mapping=_mapping(form, now, preview) if heading_row == now.heading_row else {},
        encoding=read("encoding", _text, form, "encoding"),
        strict="strict" in form,
        again="again" in form,
        update_existing="update_existing" in form,
        heading_row=heading_row,
        hidden_rows=read("hidden_rows", _hidden_rows, form),
        start_row=read("start_row", _number, form, "start_row", "Start at row"),
        max_rows=read("max_rows", _number, form, "max_rows", "Maximum number of rows"),
    )


def start_time(form: Mapping[str, str]) -> float | None:
    """Return the start time of a job (seconds since 1970), None to start now. Raises UsageError."""
    text = _text(form, "at")
    if text is None:
        return None
    try:
        ahead = timedelta(minutes=float(form.get("zone_minutes") or 0))
        at = (datetime.fromisoformat(text).replace(tzinfo=UTC) + ahead).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("Start: this is not a time; choose a date and a time") from None
    if at < now() - MAX_LATE_SECONDS:
        raise UsageError("Start: this time is in the past; choose a later one, or leave it empty to start now")
    if at > now() + MAX_DAYS_AHEAD * 86_400:
        raise UsageError("Start: this is more than a year away; choose an earlier time")
    return at


def _mapping(form: Mapping[str, str], now: Options, preview: Preview) -> dict[str, str]:
    """Return the columns whose import differs from the one that their heading is matched to automatically."""
    mapping = dict(now.mapping)
    for heading in preview.columns:
        column = form.get(f"column-{heading.at}", heading.column)
        if not heading.name or column == heading.column:
            continue
        if column == heading.detected:
            mapping.pop(heading.name, None)
        else:
            mapping[heading.name] = column
    return mapping


def _values(form: Mapping[str, str], reader: FieldReader) -> dict[str, str]:
    values = {}
    for at in range(MAX_DEFAULTS):
        if pair := reader.read(f"set-column-{at}", _value, form, at):
            values[pair[0]] = pair[1]
    return values


def _value(form: Mapping[str, str], at: int) -> tuple[str, str] | None:
    column, value = _text(form, f"set-column-{at}"), _text(form, f"set-value-{at}")
    if value and not column:
        raise UsageError(f"Default values: choose the column for “{value[:40]}”")
    return (check_column(column, option="Default values"), value) if column and value else None


def _hidden_rows(form: Mapping[str, str]) -> HiddenRows | None:
    text = _text(form, "hidden_rows")
    if text and text not in set(HiddenRows):
        raise UsageError("Hidden rows: choose one of the two")
    return HiddenRows(text) if text else None


def _text(form: Mapping[str, str], name: str) -> str | None:
    text = form.get(name, "").strip()
    if "\0" in text:
        raise UsageError("The form contains an invalid character; type the text again")
    return text or None


def _number(form: Mapping[str, str], name: str, label: str) -> int | None:
    text = _text(form, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:12]) < 10**9):
        raise UsageError(f"{label}: write a whole number, 1 or larger")
    return int(text)
