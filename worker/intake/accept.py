"""Accept a roster: fingerprint the file, store it, and create its job. Every roster comes in this way."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import UndecidedHiddenRows, UnreadableRoster, UsageError
from worker.intake.headers import match_headings
from worker.intake.options import Options
from worker.intake.problems import quote
from worker.intake.roster_file import has_data, open_roster
from worker.intake.storage import is_address, join_address, store_roster
from worker.ledger import jobs
from worker.ledger.database import take_lock
from worker.ledger.relations import relate_repeated
from worker.model import Driver, JobState

if TYPE_CHECKING:
    from worker.intake.headers import Headings
    from worker.intake.roster_file import RosterFile
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.settings import Connection


#: How many numbers of hidden rows a message lists.
MAX_LISTED_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a roster came in, who submitted it, which process runs it, and when it starts."""

    #: `command`, `page`, `api`, `folder:NAME` or `schedule:NAME`.
    channel: str = "command"
    user: str | None = None
    driver: Driver = Driver.PROCESS
    #: Seconds since 1970; None to start now.
    start_at: float | None = None

    @property
    def is_unattended(self) -> bool:
        """Whether no person waits for it: it came from a drop folder or a schedule."""
        return self.channel.startswith(("folder:", "schedule:"))

    @property
    def job_columns(self) -> dict[str, Any]:
        """Return the values of the job's columns in the ledger."""
        later = {} if self.start_at is None else {"state": JobState.SCHEDULED, "not_before": self.start_at}
        return {"origin": self.channel, "submitted_by": self.user, "driver": self.driver, **later}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job of an accepted roster."""

    job_id: int
    #: Whether an open job had the same bytes and options already; `job_id` is then that job.
    is_duplicate: bool


def accept(
    ledger: Ledger,
    path: Path,
    *,
    name: str,
    connection: Connection,
    options: Options,
    store: str,
    report_dir: Path | None,
    origin: Origin | None = None,
    on_accepted: Callable[[Transaction, Accepted], None] | None = None,
) -> Accepted:
    """Store the file and create a job `uploaded`, or return the open job that has the same bytes and options.

    Without `report_dir` the reports go to the job's own folder in the `store`.
    `on_accepted` is called in the transaction that creates or finds the job; what it raises rolls that back. An
    unattended duplicate does not change where the reports go, since a person may wait for them there.
    Raises UsageError when there is no such file.
    """
    on_accepted = on_accepted or (lambda _tx, _accepted: None)
    digest = fingerprint(path, connection.name, options)
    with ledger.write() as tx:
        if duplicate := _find_duplicate(tx, connection, digest, report_dir, origin):
            on_accepted(tx, duplicate)
            return duplicate
    stored_path = store_roster(path, store, digest)
    with ledger.write() as tx:
        # The same roster may have been submitted meanwhile: a double click is one job.
        take_lock(tx, f"roster:{digest}")
        if duplicate := _find_duplicate(tx, connection, digest, report_dir, origin):
            on_accepted(tx, duplicate)
            return duplicate
        job_id = create_job(
            tx,
            stored_path=stored_path,
            name=name,
            connection=connection,
            options=options,
            report_dir=str(report_dir or store),
            digest=digest,
            report_key=report_key(_source_of(path, name, origin), name, options.sheet),
            origin=origin,
        )
        if report_dir is None:
            jobs.change_job(tx, job_id, report_dir=report_location(store, job_id))
        relate_repeated(tx, job_id, connection.name, digest)
        on_accepted(tx, opened := Accepted(job_id=job_id, is_duplicate=False))
    return opened


def _find_duplicate(
    tx: Transaction, connection: Connection, digest: str, report_dir: Path | None, origin: Origin | None
) -> Accepted | None:
    duplicate = jobs.find_open_duplicate(tx, connection.name, digest)
    if duplicate is None:
        return None
    if report_dir is not None and (origin is None or not origin.is_unattended):
        jobs.change_job(tx, duplicate.id, report_dir=str(report_dir))
    return Accepted(job_id=duplicate.id, is_duplicate=True)


def report_location(store: str, job_id: int) -> str:
    """Return the folder or address that contains this job's reports and nothing else."""
    if is_address(store):
        return join_address(store, f"reports/{job_id}")
    return str(report_folder(Path(store), job_id))


def report_folder(files: Path, job_id: int) -> Path:
    """Return the folder of this machine that contains this job's reports and nothing else."""
    return files.absolute() / "reports" / str(job_id)


def report_key(source: str, name: str, sheet: str | None) -> str:
    """Return a hash of where a roster came from, its name and its sheet: the same one replaces its reports."""
    return hashlib.sha256(json.dumps([source, name, sheet]).encode()).hexdigest()


def _source_of(path: Path, name: str, origin: Origin | None) -> str:
    """Return the path of a roster that a command was given; empty when the file is only a copy of it."""
    given = (origin or Origin()).channel == "command" and path.name == name
    return str(path.absolute()) if given else ""


def create_job(
    tx: Transaction,
    *,
    stored_path: str,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: str,
    digest: str = "",
    report_key: str | None = None,
    origin: Origin | None = None,
) -> int:
    """Create the job of a stored file and return its id."""
    return jobs.open_job(
        tx,
        connection=connection.name,
        system=connection.system,
        roster=name,
        stored_path=stored_path,
        fingerprint=digest,
        options=asdict(options),
        report_dir=report_dir,
        report_key=report_key,
        **(origin or Origin()).job_columns,
    )


def precheck(path: Path, options: Options, *, name: str | None = None) -> None:
    """Check that a roster can be opened and has the headings that it needs; `name` is its original file name.

    Raises UnreadableRoster or UsageError that says what to fix.
    """
    if not path.is_file():
        fingerprint(path, "", options)
    open_with_options(path, name or path.name, options, in_child=True)


def open_with_options(
    path: Path, name: str, options: Options, *, in_child: bool = False
) -> tuple[RosterFile, Headings]:
    """Open a roster with its options and match its headings. Raises UnreadableRoster or UsageError."""
    file = open_file(path, name, options, in_child=in_child)
    return file, headings_of(file, options)


def headings_of(file: RosterFile, options: Options) -> Headings:
    """Match the headings of an open roster. Raises UnreadableRoster or UsageError."""
    try:
        headings = match_headings(file.headings, mapping=options.mapping)
    except UnreadableRoster as error:
        error.args = (f"{file.name}{_of_sheet(file)}: {error}{_other_sheets(file)}",)
        raise
    if hidden := [] if options.hidden_rows else hidden_rows(file, headings):
        raise UndecidedHiddenRows(f"{file.name}{_of_sheet(file)}: {_ask_about(hidden)}", len(hidden))
    return headings


def hidden_rows(file: RosterFile, headings: Headings) -> list[int]:
    """Return the numbers of the rows of the roster that are hidden in the spreadsheet."""
    if not file.has_hidden_rows:
        return []
    return [each.raw.row for each in file.records() if each.is_hidden and has_data(each, headings.used)]


def _ask_about(hidden: Sequence[int]) -> str:
    listed = ", ".join(map(str, hidden[:MAX_LISTED_ROWS])) + (", …" if len(hidden) > MAX_LISTED_ROWS else "")
    rows, them = ("1 row is", "it") if len(hidden) == 1 else (f"{len(hidden):,} rows are", "them")
    which = "row" if len(hidden) == 1 else "rows"
    return (
        f"{rows} hidden in the spreadsheet ({which} {listed}). Give --hidden-rows send to send "
        f"{them} like the others, or --hidden-rows skip to leave {them} out."
    )


def open_file(path: Path, name: str, options: Options, *, in_child: bool = False) -> RosterFile:
    """Open a roster with its options. Raises UnreadableRoster or UsageError."""
    return open_roster(
        path,
        name=name,
        sheet=options.sheet,
        encoding=options.encoding,
        heading_row=options.heading_row,
        mapping=options.mapping,
        in_child=in_child,
    )


def _of_sheet(file: RosterFile) -> str:
    return f", sheet {quote(file.sheet)}" if file.other_sheets else ""


def _other_sheets(file: RosterFile) -> str:
    if not file.other_sheets:
        return ""
    has = "This workbook also has the sheet" if len(file.other_sheets) == 1 else "This workbook also has the sheets"
    return f" {has} {', '.join(map(quote, file.other_sheets))}; choose one with --sheet NAME."


def _refuse_pipes(path: Path) -> None:
    """Raise UsageError for a pipe or a device: it can be read once at most, and perhaps without end."""
    with suppress(OSError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UsageError(
                f"{path} is a pipe or a device, not a file; send its content to standard input: "
                "`export-people | roster run -`"
            )


def fingerprint(path: Path, connection: str, options: Options) -> str:
    """Return a digest of a roster's bytes, connection and options. Raises UsageError when it cannot be read."""
    _refuse_pipes(path)
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
