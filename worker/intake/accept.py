"""The only way in: a file is fingerprinted, kept, opened as a job, and its rows are read into the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import UnreadableRoster, UsageError
from worker.intake.headers import match_headings
from worker.intake.roster_file import open_roster
from worker.intake.storage import below, is_address, keep
from worker.ledger import jobs
from worker.ledger.database import take_turns
from worker.model import Driver, JobState

if TYPE_CHECKING:
    from worker.intake.headers import Headings
    from worker.intake.roster_file import RosterFile
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a roster is to be read and sent (contract §2); what decides what is sent, so part of the fingerprint."""

    course: str | None = None
    set_values: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    strict: bool = False
    again: bool = False
    update_existing: bool = False
    start_row: int | None = None
    max_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a roster came in: through which door, by whom, who works it off, and when it begins."""

    #: `command`, `page`, `api`, `folder:NAME` or `schedule:NAME`.
    origin: str = "command"
    by: str | None = None
    driver: Driver = Driver.PROCESS
    #: Seconds since 1970; None for at once.
    start: float | None = None

    @property
    def is_by_itself(self) -> bool:
        """Whether nobody stands there and waits: a drop folder or a schedule."""
        return self.origin.startswith(("folder:", "schedule:"))

    @property
    def values(self) -> dict[str, Any]:
        """Return what the job's line in the ledger says of it."""
        later = {} if self.start is None else {"state": JobState.SCHEDULED, "not_before": self.start}
        return {"origin": self.origin, "dropped_by": self.by, "driver": self.driver, **later}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job for a roster; `twin` when the same roster was at work already and this is that job."""

    job_id: int
    twin: bool


def accept(
    ledger: Ledger,
    path: Path,
    *,
    name: str,
    connection: Connection,
    options: Options,
    store: str,
    report_dir: Path | None,
    arrival: Arrival | None = None,
    note: Callable[[Transaction, Accepted], None] | None = None,
) -> Accepted:
    """Keep the file and open a job `uploaded`, or return the open job that works on the same bytes already.

    Without `report_dir` the reports go to the job's own folder in the `store`.
    `note` is called in the transaction that opens the job or finds it; what it raises undoes that. Reports that
    somebody waits for stay where they are when the same roster comes by itself.
    Raises UsageError when there is no such file.
    """
    note = note or (lambda _tx, _accepted: None)
    mark = fingerprint(path, connection.name, options)
    with ledger.write() as tx:
        if twin := _find_twin(tx, connection, mark, report_dir, arrival):
            note(tx, twin)
            return twin
    kept_at = keep(path, store, mark)
    with ledger.write() as tx:
        # Somebody may have dropped the same meanwhile: a double click is one job.
        take_turns(tx, f"roster:{mark}")
        if twin := _find_twin(tx, connection, mark, report_dir, arrival):
            note(tx, twin)
            return twin
        job_id = open_job(
            tx,
            kept_at=kept_at,
            name=name,
            connection=connection,
            options=options,
            report_dir=str(report_dir or store),
            mark=mark,
            arrival=arrival,
        )
        if report_dir is None:
            jobs.change_job(tx, job_id, report_dir=own_place(store, job_id))
        note(tx, opened := Accepted(job_id=job_id, twin=False))
    return opened


def _find_twin(
    tx: Transaction, connection: Connection, mark: str, report_dir: Path | None, arrival: Arrival | None
) -> Accepted | None:
    twin = jobs.find_open_twin(tx, connection.name, mark)
    if twin is None:
        return None
    if report_dir is not None and (arrival is None or not arrival.is_by_itself):
        jobs.change_job(tx, twin.id, report_dir=str(report_dir))
    return Accepted(job_id=twin.id, twin=True)


def own_place(store: str, job_id: int) -> str:
    """Return the folder or address at which nothing but this job's reports are."""
    if is_address(store):
        return below(store, f"reports/{job_id}")
    return str(own_folder(Path(store), job_id))


def own_folder(files: Path, job_id: int) -> Path:
    """Return the folder of this machine in which nothing but this job's reports are."""
    return files.absolute() / "reports" / str(job_id)


def open_job(
    tx: Transaction,
    *,
    kept_at: str,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: str,
    mark: str = "",
    arrival: Arrival | None = None,
) -> int:
    """Open a job for a file that is where it will stay."""
    return jobs.open_job(
        tx,
        connection=connection.name,
        system=connection.system,
        roster=name,
        kept_at=kept_at,
        fingerprint=mark,
        options=asdict(options),
        report_dir=report_dir,
        **(arrival or Arrival()).values,
    )


def glance(path: Path, options: Options, *, name: str | None = None) -> None:
    """Look whether a roster can be opened and has the headings that it needs; `name` is what its sender calls it.

    Raises UnreadableRoster or UsageError that says what must be mended.
    """
    if not path.is_file():
        fingerprint(path, "", options)
    open_as(path, name or path.name, options)


def open_as(path: Path, name: str, options: Options) -> tuple[RosterFile, Headings]:
    """Open a roster as its options say and match its headings. Raises UnreadableRoster or UsageError."""
    file = open_roster(path, name=name, sheet=options.sheet, encoding=options.encoding)
    try:
        return file, match_headings(file.headings, mapping=options.mapping)
    except UnreadableRoster as error:
        raise type(error)(f"{name}: {error}") from None


def options_of(job: Job) -> Options:
    """Return the options with which a job was dropped."""
    return Options(**job.options)


def fingerprint(path: Path, connection: str, options: Options) -> str:
    """Return what is the same for the same bytes and options; raises UsageError when they cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give the roster file itself") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    digest.update(json.dumps([connection, asdict(options)], sort_keys=True).encode())
    return digest.hexdigest()
