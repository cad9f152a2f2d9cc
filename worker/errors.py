"""Every error of Roster, sorted by what to do next; the class is the decision.

RosterError
├── NothingSent             mend it, then try again; nothing was sent (exit 2)
│   ├── UnreadableRoster    the file must be mended
│   │   ├── MissingColumns
│   │   └── UncertainEncoding
│   ├── SettingsError       the configuration must be mended
│   └── UsageError          the options or the request must be mended
│       └── UnknownJob      there is no job of that number
├── LmsError
│   ├── RetryLater          nothing was done; ask again at .seconds
│   │   ├── RateLimited     the LMS asked for a pause
│   │   └── LmsUnavailable  no connection could be opened, or the LMS says that it is down
│   ├── Refused             the LMS did nothing and will not; record the reason
│   ├── AnswerLost          perhaps done: in doubt; look up, never send again blindly
│   └── StopJob             every row would fail; wait for a person (exit 3)
└── LedgerError             the ledger cannot be read or written
    ├── LedgerAway          its server is away, or two transactions collided: the same again may succeed in a moment
    └── StaleClaim          another worker has taken this batch over
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class RosterError(Exception):
    """Something that Roster can say in plain words."""


class NothingSent(RosterError):
    """Something must be mended first; nothing was sent."""


class UnreadableRoster(NothingSent):
    """The roster cannot be read; mend the file."""


class MissingColumns(UnreadableRoster):
    """The roster lacks a column that every row needs."""


class UncertainEncoding(UnreadableRoster):
    """The encoding of the file must be said; `readings` are names as each candidate encoding reads them."""

    def __init__(self, message: str, readings: Mapping[str, str]) -> None:
        super().__init__(message)
        self.readings = readings


class SettingsError(NothingSent):
    """The configuration must be mended."""


class UsageError(NothingSent):
    """The options or the request must be mended."""


class Unreachable(UsageError):
    """A host elsewhere does not answer; the same may go well later."""


class UnknownJob(UsageError):
    """There is no job of that number."""


class LmsError(RosterError):
    """A call to the LMS did not give what was asked for."""


@dataclass
class RetryLater(LmsError):
    """Nothing was done; ask again after `seconds`."""

    seconds: float
    message: str

    def __str__(self) -> str:
        """Return the plain sentence."""
        return self.message


class RateLimited(RetryLater):
    """The LMS asked for a pause."""


class LmsUnavailable(RetryLater):
    """No connection could be opened, or the LMS says that it is down."""


@dataclass
class Refused(LmsError):
    """The LMS did nothing and will not: the reason is for the report.

    `code` is one of the report's codes, `status` the HTTP status, `message` the LMS's words in one plain line,
    `text` the whole answer, in which the ids of the refused candidates may stand.
    """

    code: str
    status: int | None
    message: str
    text: str = ""

    def __str__(self) -> str:
        """Return the plain sentence."""
        return self.message


@dataclass
class AnswerLost(LmsError):
    """The call perhaps had its effect: it is in doubt and must be looked up."""

    message: str
    status: int | None = None
    code: str = "answer_lost"

    def __str__(self) -> str:
        """Return the plain sentence."""
        return self.message


@dataclass
class StopJob(LmsError):
    """Every row would fail; a person must do something first."""

    code: str
    message: str
    status: int | None = None

    def __str__(self) -> str:
        """Return the plain sentence."""
        return self.message


class LedgerError(RosterError):
    """The ledger cannot be read or written."""


class LedgerAway(LedgerError):
    """The same transaction may succeed in a moment."""


class StaleClaim(LedgerError):
    """Another worker has taken this batch over; what this one still holds is void."""
