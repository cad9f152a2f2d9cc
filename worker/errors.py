"""Every error of Roster, by what to do next: the class decides.

RosterError
├── NothingSent             nothing was sent; fix it, then try again (exit 2)
│   ├── Abandoned           the client that waited for a check has left
│   ├── UnreadableRoster    the file must be fixed
│   │   ├── MissingColumns
│   │   ├── UncertainEncoding
│   │   └── UndecidedHiddenRows
│   ├── SettingsError       the configuration must be fixed
│   │   └── MissingLedger   there is no ledger yet
│   └── UsageError          the options or the request must be fixed
│       ├── UnknownHeading  an option names a heading that the roster does not have
│       ├── MissingFile     there is no file at a path or an address
│       ├── UnreadableSource  the source of a schedule is there and cannot be read or fetched
│       ├── UnknownJob      there is no job with this number
│       └── UnknownSchedule there is no schedule of this name
├── LmsError
│   ├── RetryLater          nothing was done; try again after .seconds
│   │   ├── RateLimited     the LMS asked for a pause, or its limit is used up
│   │   ├── LmsUnavailable  no connection could be opened, or the LMS says that it is down
│   │   ├── LookupFailed    a call in doubt could not be looked up; it stays in doubt
│   │   └── HeldElsewhere   another batch is processing the same person or registration
│   ├── Refused             the LMS did nothing and will not; record the reason
│   ├── AnswerLost          perhaps done: in doubt; look it up before sending it again
│   ├── OutOfTime           a read took longer than its client waits
│   └── StopJob             every row would fail; a person must fix something (exit 3)
└── LedgerError             the ledger cannot be read or written
    ├── LedgerUnavailable   its server is unavailable, or two transactions conflicted: a retry may succeed
    └── StaleClaim          another worker has taken over this batch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class RosterError(Exception):
    """An error with a message for people."""


class NothingSent(RosterError):
    """Nothing was sent; something must be fixed first."""


class Abandoned(NothingSent):
    """The client that waited for a roster to be checked has left, so that the work ended."""


class UnreadableRoster(NothingSent):
    """The roster cannot be read; the file must be fixed."""


class MissingColumns(UnreadableRoster):
    """The roster lacks a column that every row needs; `headings` are those that it has.

    The message has none but ours: the first row may be a person. They are only for the person who has the file, and
    empty when the row seems to be one.
    """

    def __init__(self, message: str, headings: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.headings = headings


class UncertainEncoding(UnreadableRoster):
    """The encoding of the file must be given; `readings` are sample names in each possible encoding.

    The message has none of them: they are only for the person who has the file.
    """

    def __init__(self, message: str, readings: Mapping[str, str]) -> None:
        super().__init__(message)
        self.readings = readings


class UndecidedHiddenRows(UnreadableRoster):
    """Some rows are hidden in the spreadsheet, and nobody said whether they are sent; `count` is their number."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


class SettingsError(NothingSent):
    """The configuration must be fixed."""


class MissingLedger(SettingsError):
    """There is no ledger at `place`, and none is to be made; `file` is it when it would be an SQLite database."""

    def __init__(self, message: str, place: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.place = place
        self.file = file


class UsageError(NothingSent):
    """The options or the request must be fixed."""


class UnknownHeading(UsageError):
    """The roster has no such heading; `headings` are those that it has, as those of `MissingColumns`."""

    def __init__(self, message: str, headings: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.headings = headings


class Unreachable(UsageError):
    """A remote host does not respond; a retry may succeed later."""


class MissingFile(UsageError):
    """There is no file at this path or address, or no roster in this folder."""


class UnreadableSource(UsageError):
    """What is at this path or address cannot be read or fetched."""


class UnknownJob(UsageError):
    """There is no job with this number."""


class UnknownSchedule(UsageError):
    """There is no schedule of this name."""


class LmsError(RosterError):
    """A call to the LMS failed."""


@dataclass
class RetryLater(LmsError):
    """Nothing was done; try again after `seconds`."""

    seconds: float
    message: str

    def __str__(self) -> str:
        """Return the message."""
        return self.message

    @property
    def reason(self) -> str:
        """Return why a job waits, without the seconds, which are shown as a time."""
        return self.message.partition("; this call may go in ")[0]


class RateLimited(RetryLater):
    """The LMS asked for a pause, its limit is used up, or other calls go first."""


class LmsUnavailable(RetryLater):
    """No connection could be opened, or the LMS says that it is down."""


class LookupFailed(RetryLater):
    """A call in doubt could not be looked up; look it up again after `seconds`. It stays in doubt meanwhile."""


class HeldElsewhere(RetryLater):
    """Another batch, of this job or another, is processing the same person or registration."""


@dataclass
class Refused(LmsError):
    """The LMS did nothing and will not: the reason goes into the report.

    `code` is one of the report's codes, `status` the HTTP status, `message` the LMS's message in one line, `text`
    the whole response, which may contain the ids of the rejected candidates.
    """

    code: str
    status: int | None
    message: str
    text: str = ""

    def __str__(self) -> str:
        """Return the message."""
        return self.message


@dataclass
class AnswerLost(LmsError):
    """The call may have had its effect: it is in doubt and must be looked up."""

    message: str
    status: int | None = None
    code: str = "answer_lost"

    def __str__(self) -> str:
        """Return the message."""
        return self.message


class OutOfTime(LmsError):
    """A read that a client waits for took too long; what was read until then is saved."""


@dataclass
class StopJob(LmsError):
    """Every row would fail; a person must fix something first."""

    code: str
    message: str
    status: int | None = None

    def __str__(self) -> str:
        """Return the message."""
        return self.message


class LedgerError(RosterError):
    """The ledger cannot be read or written."""


class LedgerUnavailable(LedgerError):
    """A retry of the same transaction may succeed."""


class StaleClaim(LedgerError):
    """Another worker has taken over this batch; the claim of this one is void."""
