"""The fields of a form → the options of a roster, parsed by the same code as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker import lms
from worker.errors import UsageError
from worker.intake.options import parse_options, parse_start_time
from worker.intake.row_rules import check_options
from worker.web import csrf

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.intake.options import Options
    from worker.model import Actor
    from worker.settings import Connection

#: Fields that may be given once.
TEXT_FIELDS = ("connection", "course", "sheet", "use_map", "save_map", "encoding", "hidden_rows", "at")
FLAG_FIELDS = ("strict", "again", "update_existing")
NUMBER_FIELDS = ("heading_row", "start_row", "max_rows")
#: Other names of fields: those of the options of the command line.
ALIASES = {"to": "connection"}
#: Fields that may be repeated, and their names as parsed options.
REPEATED_FIELDS = {"set": "set_values", "map": "mapping"}
#: The longest number; no spreadsheet has more rows.
MAX_DIGITS = 9
#: How a form writes yes and no; case does not matter.
FLAGS = {**dict.fromkeys(("1", "true", "on", "yes"), True), **dict.fromkeys(("", "0", "false", "off", "no"), False)}
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """The job that a form requests."""

    connection: Connection
    options: Options
    #: Seconds since 1970; None to start now.
    start_at: float | None


def parse_fields(
    services: Services, fields: Fields, *, by: Actor | None = None, other_fields: frozenset[str] = frozenset()
) -> JobRequest:
    """Return the job that the fields request; `other_fields` of the form are ignored.

    A map that is saved with it is recorded in the audit log as an act of `by`.

    Raises UsageError that names the field, SettingsError when there is no such connection.
    """
    values = _values(fields, other_fields)
    start = parse_start_time(values["at"], dashes="").timestamp() if values["at"] else None
    connection = services.connection(values["connection"])
    options = parse_options(services.ledger, values, by=by, dashes="")
    check_options(options, lms.rules_of(connection))
    return JobRequest(connection=connection, options=options, start_at=start)


def _values(fields: Fields, other_fields: frozenset[str]) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys((*TEXT_FIELDS, *NUMBER_FIELDS))
    values |= dict.fromkeys(FLAG_FIELDS, False) | dict.fromkeys(REPEATED_FIELDS.values(), ())
    seen = set()
    for sent, text in fields:
        if sent in other_fields or sent == csrf.FIELD:
            continue
        name = ALIASES.get(sent, sent.replace("-", "_"))
        if name in REPEATED_FIELDS:
            values[REPEATED_FIELDS[name]] += (text,) if text.strip() else ()
            continue
        if name in seen:
            raise UsageError(f"The field {name} may be given once")
        seen.add(name)
        values[name] = _value(name, text.strip())
    return values


def _value(name: str, text: str) -> Any:
    if "\0" in text:
        raise UsageError(f"{name}: contains a NUL character")
    if name in FLAG_FIELDS:
        if text.lower() not in FLAGS:
            raise UsageError(f"{name}: write true or false; got {text[:40]!r}")
        return FLAGS[text.lower()]
    if name in NUMBER_FIELDS:
        return _number(name, text)
    if name in TEXT_FIELDS:
        return text or None
    known = ", ".join(sorted((*TEXT_FIELDS, *FLAG_FIELDS, *NUMBER_FIELDS, *REPEATED_FIELDS)))
    raise UsageError(f"There is no field {name[:40]!r}; known fields are {known}")


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and int(text)):
        raise UsageError(f"{name}: write a number, 1 or larger; got {text[:40]!r}")
    return int(text)
