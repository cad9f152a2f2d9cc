"""Where rosters come from: the last file of each schedule and drop folder, and what is wrong with it.

Every statement on `roster_source` is in this module. What is wrong is recorded once, however many processes see it:
people are notified from this record, so that neither a restart nor a second process notifies them again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, or_, select, update

from worker.ledger.database import now, take_lock
from worker.ledger.schema import roster_source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Row

    from worker.ledger.database import Transaction

_SCHEDULE, _FOLDER = "schedule:", "folder:"


class SourceProblem(StrEnum):
    """Why a roster does not come, as JSON and metrics name it."""

    #: There is no file, or the folder is away.
    MISSING = "missing"
    #: It is there and cannot be read or fetched.
    UNREADABLE = "unreadable"
    #: The drop folder cannot be written, so its files cannot be moved.
    NOT_WRITABLE = "not_writable"
    #: It was read, and no job could be opened for it.
    NOT_IMPORTED = "not_imported"
    #: No process was running when it was due, and missed runs are skipped.
    MISSED = "missed"
    #: The file is the same as at the last run.
    UNCHANGED = "unchanged"
    #: No new file has come by the time that was set.
    LATE = "late"

    @property
    def is_stale(self) -> bool:
        """Return whether the source can be used and has nothing new."""
        return self in {SourceProblem.UNCHANGED, SourceProblem.LATE}

    @property
    def ends_with_a_run(self) -> bool:
        """Return whether only a run that opens a job shows that it is over."""
        return self in {SourceProblem.NOT_IMPORTED, SourceProblem.MISSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterSource:
    """A schedule or a drop folder, as a source of rosters. Times are seconds since 1970."""

    #: `schedule:NAME` or `folder:NAME`.
    name: str
    connection: str
    place: str
    seen: Mapping[str, Any] | None
    seen_at: float | None
    imported: Mapping[str, Any] | None
    checked_at: float | None
    deadline_at: float | None
    expectation: str
    problem: SourceProblem | None
    #: The problem, or the last one that is over; null when there was none.
    last_problem: SourceProblem | None
    #: What is wrong, or was the last time, as a sentence.
    reason: str
    since: float | None
    failing_at: float | None
    notified_since: float | None

    @property
    def is_folder(self) -> bool:
        """Return whether this is a drop folder."""
        return self.name.startswith(_FOLDER)

    @property
    def short_name(self) -> str:
        """Return the name of the schedule or the folder."""
        return self.name.partition(":")[2]

    @property
    def label(self) -> str:
        """Return the name as people read it: `schedule nightly`, `drop folder inbox`."""
        return f"{'drop folder' if self.is_folder else 'schedule'} {self.short_name}"

    @property
    def digest(self) -> str:
        """Return a short replacement of the name, for keys."""
        return _digest(self.name)[:32]


def schedule_source(name: str) -> str:
    """Return the name of a schedule as a source."""
    return f"{_SCHEDULE}{name}"


def folder_source(name: str) -> str:
    """Return the name of a drop folder as a source."""
    return f"{_FOLDER}{name}"


def find(tx: Transaction, name: str) -> RosterSource | None:
    """Return a source; None when nothing is recorded of it yet."""
    record = tx.execute(select(roster_source).where(roster_source.c.name == name)).first()
    return _as_source(record) if record else None


def all_sources(tx: Transaction) -> dict[str, RosterSource]:
    """Return all sources by name."""
    records = tx.execute(select(roster_source).order_by(roster_source.c.name))
    return {each.name: each for each in map(_as_source, records)}


def in_use(tx: Transaction, folders: Collection[str]) -> list[RosterSource]:
    """Return what is recorded of the schedules and of these drop folders: others may be configured no more."""
    names = {folder_source(folder) for folder in folders}
    return [each for each in all_sources(tx).values() if not each.is_folder or each.name in names]


def lock(tx: Transaction, name: str, *, connection: str, place: str) -> RosterSource:
    """Return a source, which no other process changes until the transaction ends.

    The first one of its name is added. At another `place` (a path or an address) it has no file yet.
    """
    take_lock(tx, f"source:{name}")
    digest, known = _digest(place), find(tx, name)
    if known is None:
        tx.execute(insert(roster_source).values(name=name, connection=connection, place=digest))
    elif known.place != digest:
        files = {"seen": None, "seen_at": None, "imported": None, "deadline_at": None}
        change(tx, name, connection=connection, place=digest, **files)
    elif known.connection != connection:
        change(tx, name, connection=connection)
    else:
        return known
    return _get(tx, name)


def change(tx: Transaction, name: str, **values: Any) -> None:
    """Change a source."""
    tx.execute(update(roster_source).where(roster_source.c.name == name).values(**values))


def remove(tx: Transaction, name: str) -> None:
    """Forget a source."""
    tx.execute(delete(roster_source).where(roster_source.c.name == name))


def record_problem(tx: Transaction, source: RosterSource, problem: SourceProblem, reason: str) -> bool:
    """Record what is wrong with a source; return whether that is news.

    While a source cannot be used, another reason for it is none, and so is another one while it has nothing new.
    """
    at = now()
    same = source.problem is not None and source.problem.is_stale == problem.is_stale
    values: dict[str, Any] = {"problem": problem, "last_problem": problem, "reason": reason}
    values |= {"failing_at": at, "checked_at": at}
    change(tx, source.name, **values, **({} if same else {"since": at}))
    return not same


def record_ok(tx: Transaction, source: RosterSource, quiet_seconds: float = 0.0) -> bool:
    """Record that nothing is wrong with a source (any more); return whether that is news.

    A problem that was seen less than `quiet_seconds` ago stays: another process may be unable to use the source.
    """
    at = now()
    over = source.problem is not None and at - (source.failing_at or 0.0) >= quiet_seconds
    change(tx, source.name, checked_at=at, **({"problem": None} if over else {}))
    return over


def to_notify(tx: Transaction) -> list[RosterSource]:
    """Return the sources with a problem that people were not notified of, and those whose notified one is over."""
    columns = roster_source.c
    new = columns.problem.is_not(None) & or_(
        columns.notified_since.is_(None), columns.notified_since != columns.since
    )
    over = columns.problem.is_(None) & columns.notified_since.is_not(None)
    return [_as_source(record) for record in tx.execute(select(roster_source).where(new | over))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _get(tx: Transaction, name: str) -> RosterSource:
    return _as_source(tx.execute(select(roster_source).where(roster_source.c.name == name)).one())


def _as_source(record: Row[Any]) -> RosterSource:
    values = dict(record._mapping)  # noqa: SLF001 - the documented way to read a record as a mapping
    for each in ("problem", "last_problem"):
        values[each] = None if values[each] is None else SourceProblem(values[each])
    return RosterSource(**values)
