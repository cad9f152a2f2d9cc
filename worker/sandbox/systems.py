"""The LMSs that the sandbox can pretend to be: what each offers, and where they are found.

Another package adds one by an entry point in the group `roster.sandbox`: its name is the value of `system` in
roster.toml, its value the class.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from worker.sandbox.messages import Answer, Call, Person, Request, Route
    from worker.sandbox.options import Options

GROUP = "roster.sandbox"
_OWN = {
    "tahdah": "worker.sandbox.tahdah:Tahdah",
    "kmi": "worker.sandbox.kmi:Kmi",
    "moodle": "worker.sandbox.moodle.service:Moodle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How roster.toml names a connection to the pretend LMS: its table, its keys, and which of them are secrets."""

    name: str
    values: Mapping[str, str | int]
    secrets: frozenset[str]


class System(Protocol):
    """A pretend LMS; a reset makes a new one.

    It is made as `cls(options, shared, now)`: an instance of its own `options_type`, the sandbox's options, and the
    time (seconds since the epoch).
    """

    #: The value of `system` in roster.toml, and what the page calls it.
    name: ClassVar[str]
    title: ClassVar[str]
    #: The beginning of its paths, such as `/api/v2/`; the longest that fits a request is asked.
    base: ClassVar[str]
    #: A frozen dataclass with defaults; every field may be chosen as `<name>_<field>`.
    options_type: ClassVar[type[Any]]
    #: Reads a field from the words of the command line, where the type of its default does not say how.
    readers: ClassVar[Mapping[str, Callable[[str], Any]]]
    #: What a call may ask for; the words of the journal and of fault rules.
    operations: ClassVar[frozenset[str]]
    #: Names of faults that only this LMS has.
    faults: ClassVar[frozenset[str]]
    #: Names of ids in its answers, beside `id`, `userId` and the like.
    id_fields: frozenset[str]

    def __init__(self, options: Any, shared: Options, now: float) -> None: ...

    def problem(self, status: int, text: str) -> Answer:
        """Return a refusal as this LMS words it."""

    def fault(self, name: str) -> Answer:
        """Return what is answered instead of the work in a fault that only this LMS has."""

    def credentials(self) -> list[str]:
        """Return the accounts, in an order that stays: the quota counts each apart."""

    def route(self, request: Request) -> Route | Answer:
        """Return what a request asks for."""

    def account(self, request: Request) -> str | Answer:
        """Return whose credentials a request has, or the refusal."""

    def persons(self, call: Call) -> list[Person]:
        """Return those whom a call touches; for markers in rules."""

    def counts(self) -> dict[str, Any]:
        """Return figures for the page: `candidates`, `registrations`, `by_course`, `mails_sent` at least."""

    def duplicates(self) -> dict[str, int]:
        """Count the `persons` and the `registrations` that are there more than once."""

    def candidate_rows(self) -> list[dict[str, Any]]:
        """Return everybody: `id`, `email`, `created`, `fields` at least, and `deleted` where it is so."""

    def registration_rows(self) -> list[dict[str, Any]]:
        """Return every registration: `id`, `candidate_id`, `email`, `course_id`, `created` at least."""

    def course_names(self) -> dict[str, str]:
        """Return the names of the courses by id, as far as it has names."""

    def connection(self, url: str) -> Connection:
        """Return a connection to it, for roster.toml; `url` is the sandbox's address."""


@functools.cache
def installed() -> dict[str, type[System]]:
    """Return the pretend LMSs by name: the own ones, then those of other packages."""
    found = {name: _load(target) for name, target in _OWN.items()}
    for point in entry_points(group=GROUP):
        if point.name not in found:
            found[point.name] = point.load()
    return found


def _load(target: str) -> type[System]:
    module, _, name = target.partition(":")
    system: type[System] = getattr(importlib.import_module(module), name)
    return system
