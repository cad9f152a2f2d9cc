"""Choices of a pretend LMS that its documentation leaves open, as several systems have them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.sandbox.rule_syntax import RuleSyntaxError


class Twice(StrEnum):
    """What registering somebody a second time does; no page says."""

    REJECT = "400"
    CONFLICT = "409"
    #: The standing registration is the answer; nothing is done.
    EXISTING = "existing"
    #: A second registration is made.
    SECOND = "second"


class EmailTaken(StrEnum):
    """What creating somebody with a known e-mail does; no page says."""

    #: A further candidate is made.
    NEW = "new"
    REJECT = "400"
    CONFLICT = "409"
    #: The id of the one who is there is the answer; nothing is done.
    EXISTING = "existing"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRegistrations:
    """Registrations that exist before the first call: persons `first` to `last` of the seed users on one course."""

    course_id: int
    first: int
    last: int


def seed_registrations(text: str) -> SeedRegistrations:
    """Read registrations that exist before the first call: `58:1-100` are the seed users 1 to 100 on course 58."""
    course, _, persons = text.partition(":")
    first, _, last = persons.partition("-")
    try:
        return SeedRegistrations(course_id=int(course), first=int(first), last=int(last or first))
    except ValueError:
        raise RuleSyntaxError(f"{text!r}: say COURSE:FIRST-LAST, such as 58:1-100.") from None
