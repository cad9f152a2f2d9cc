"""The form of a draft → how the roster is to be read and sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.intake.accept import Options
from worker.intake.headers import check_column
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.jobs.drafts import Draft
    from worker.web.pages.preview import Look

#: So many further values for all rows may be given.
MOST_VALUES = 4
#: A time that has passed by no more than this means at once (seconds).
_LATE_SECONDS = 90.0
_FARTHEST_DAYS = 366


def fields_of(draft: Draft) -> dict[str, str]:
    """Return what the form holds when it shows a draft as it is kept; headings and sheet are those of its look."""
    options = draft.options
    texts = {"course": options.course, "encoding": options.encoding}
    numbers = {"start_row": options.start_row, "max_rows": options.max_rows}
    flags = {"strict": options.strict, "again": options.again, "update_existing": options.update_existing}
    fields = {"connection": draft.connection, "at": draft.at, "zone_minutes": draft.zone_minutes or "0"}
    fields |= {name: str(value) for name, value in {**texts, **numbers}.items() if value}
    fields |= {name: "on" for name, value in flags.items() if value}
    for at, (column, value) in enumerate(options.set_values.items()):
        fields |= {f"set-column-{at}": column, f"set-value-{at}": value}
    return fields


def options_of(form: Mapping[str, str], now: Options, look: Look) -> Options:
    """Return the options that a form asks for, those of `now` where it changes nothing of what `look` shows.

    Raises UsageError that says what is wrong with which field.
    """
    sheet = _text(form, "sheet")
    return Options(
        course=_text(form, "course"),
        set_values=_values(form),
        sheet=now.sheet if sheet == look.sheet else sheet,
        mapping=_mapping(form, now, look),
        encoding=_text(form, "encoding"),
        strict="strict" in form,
        again="again" in form,
        update_existing="update_existing" in form,
        start_row=_number(form, "start_row", "First row to send"),
        max_rows=_number(form, "max_rows", "At most so many rows"),
    )


def starting_time(form: Mapping[str, str]) -> float | None:
    """Return when a job is to begin (seconds since 1970), None for at once. Raises UsageError."""
    text = _text(form, "at")
    if text is None:
        return None
    try:
        ahead = timedelta(minutes=float(form.get("zone_minutes") or 0))
        at = (datetime.fromisoformat(text).replace(tzinfo=UTC) + ahead).timestamp()
    except (ValueError, OverflowError):
        raise UsageError("Begin at: this is no time; choose a day and an hour") from None
    if at < now() - _LATE_SECONDS:
        raise UsageError("Begin at: this time has passed; choose a later one, or leave it empty to begin at once")
    if at > now() + _FARTHEST_DAYS * 86_400:
        raise UsageError("Begin at: this is more than a year away; choose an earlier time")
    return at


def _mapping(form: Mapping[str, str], now: Options, look: Look) -> dict[str, str]:
    """Return what the form says of headings otherwise than they say themselves."""
    mapping = dict(now.mapping)
    for at, heading in enumerate(look.headings):
        column = form.get(f"column-{at}", heading.column)
        if not heading.name or column == heading.column:
            continue
        if column == heading.by_itself:
            mapping.pop(heading.name, None)
        else:
            mapping[heading.name] = column
    return mapping


def _values(form: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for at in range(MOST_VALUES):
        column, value = _text(form, f"set-column-{at}"), _text(form, f"set-value-{at}")
        if value and not column:
            raise UsageError(f"A value for all rows: choose the column of “{value[:40]}”")
        if column and value:
            values[check_column(column, option="A value for all rows")] = value
    return values


def _text(form: Mapping[str, str], name: str) -> str | None:
    text = form.get(name, "").strip()
    if "\0" in text:
        raise UsageError("There is a character in this form that no text has; write it anew")
    return text or None


def _number(form: Mapping[str, str], name: str, label: str) -> int | None:
    text = _text(form, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:12]) < 10**9):
        raise UsageError(f"{label}: write a whole number from 1 on")
    return int(text)
