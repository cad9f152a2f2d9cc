"""A form's fields → the options of a roster (contract §2), by the same code as the command line's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.cli.submit import starting_time
from worker.errors import UsageError
from worker.intake.reading import roster_options
from worker.web import csrf

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.intake.accept import Options
    from worker.settings import Connection

#: Fields that may come once.
TEXTS = ("connection", "course", "sheet", "use_map", "save_map", "encoding", "at")
FLAGS = ("strict", "again", "update_existing")
NUMBERS = ("start_row", "max_rows")
#: What the command line calls a field otherwise, but for its hyphens.
ALIASES = {"to": "connection"}
#: Fields that may come often, and what the command line calls them.
REPEATED = {"set": "set_values", "map": "mapping"}
#: Of a number; no spreadsheet has more rows.
DIGITS = 9
_YES, _NO = {"1", "true", "on", "yes"}, {"", "0", "false", "off", "no"}
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a form asks for."""

    connection: Connection
    options: Options
    #: Seconds since 1970; None for at once.
    start: float | None


def read_options(services: Services, fields: Fields, *, also: frozenset[str] = frozenset()) -> Wanted:
    """Return what the fields ask for; `also` are fields of the form that are somebody else's.

    Raises UsageError that names the field, SettingsError when there is no such connection.
    """
    values = _values(fields, also)
    start = starting_time(values["at"]).timestamp() if values["at"] else None
    return Wanted(
        connection=services.connection(values["connection"]),
        options=roster_options(services, values),
        start=start,
    )


def _values(fields: Fields, also: frozenset[str]) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys((*TEXTS, *NUMBERS))
    values |= dict.fromkeys(FLAGS, False) | dict.fromkeys(REPEATED.values(), ())
    seen = set()
    for sent, text in fields:
        if sent in also or sent == csrf.FIELD:
            continue
        name = ALIASES.get(sent, sent.replace("-", "_"))
        if name in REPEATED:
            values[REPEATED[name]] += (text,) if text.strip() else ()
            continue
        if name in seen:
            raise UsageError(f"The field {name} may be given once")
        seen.add(name)
        values[name] = _value(name, text.strip())
    return values


def _value(name: str, text: str) -> Any:
    if "\0" in text:
        raise UsageError(f"{name}: there is a NUL in it")
    if name in FLAGS:
        if text.lower() not in _YES | _NO:
            raise UsageError(f"{name}: write true or false; got {text[:40]!r}")
        return text.lower() in _YES
    if name in NUMBERS:
        return _number(name, text)
    if name in TEXTS:
        return text or None
    known = ", ".join(sorted((*TEXTS, *FLAGS, *NUMBERS, *REPEATED)))
    raise UsageError(f"There is no field {name[:40]!r}; known are {known}")


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS and int(text)):
        raise UsageError(f"{name}: write a number from 1 on; got {text[:40]!r}")
    return int(text)
