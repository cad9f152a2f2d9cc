"""The only way in: a file is fingerprinted, kept, opened as a job, and its rows are read into the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import NothingSent, UnreadableRoster, UsageError
from worker.intake.files import open_roster
from worker.intake.headers import match_headings
from worker.intake.keep import keep
from worker.intake.rows import read_rows
from worker.ledger import jobs, reading, rows
from worker.ledger.engine import take_turns
from worker.ledger.reading import NewRow
from worker.model import Action, Driver, JobState, RowStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection as Transaction

    from worker.intake.files import RosterFile
    from worker.intake.headers import Headings
    from worker.intake.rows import ParsedRow
    from worker.ledger.access import Ledger
    from worker.ledger.jobs import Job
    from worker.ledger.reading import Transactions
    from worker.model import RowRules
    from worker.settings import Connection

SEVERAL = "; "


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
    files: Path,
    report_dir: Path | None,
    arrival: Arrival | None = None,
    note: Callable[[Transaction, Accepted], None] | None = None,
) -> Accepted:
    """Keep the file and open a job `uploaded`, or return the open job that works on the same bytes already.

    Without `report_dir` the reports go to the job's own folder below `files`.
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
    kept_at = keep(path, files, mark)
    with ledger.write() as tx:
        # Somebody may have dropped the same meanwhile: a double click is one job.
        take_turns(tx, f"roster:{mark}")
        if twin := _find_twin(tx, connection, mark, report_dir, arrival):
            note(tx, twin)
            return twin
        job_id = open_job(
            tx,
            path=kept_at,
            name=name,
            connection=connection,
            options=options,
            report_dir=report_dir or files,
            mark=mark,
            arrival=arrival,
        )
        if report_dir is None:
            jobs.change_job(tx, job_id, report_dir=str(own_folder(files, job_id)))
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


def own_folder(files: Path, job_id: int) -> Path:
    """Return the folder in which nothing but this job's reports are."""
    return files.absolute() / "reports" / str(job_id)


def open_job(
    tx: Transaction,
    *,
    path: Path,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: Path,
    mark: str = "",
    arrival: Arrival | None = None,
) -> int:
    """Open a job for a file that is where it will stay."""
    return jobs.open_job(
        tx,
        connection=connection.name,
        system=connection.system,
        roster=name,
        kept_at=str(path),
        fingerprint=mark,
        options=asdict(options),
        report_dir=str(report_dir),
        **(arrival or Arrival()).values,
    )


def read_in(ledger: Ledger, job_id: int, rules: RowRules) -> None:
    """Read the job's roster into the ledger, changing it from `uploaded` to `queued`.

    Raises NothingSent, the job then being `invalid`, when the file must be mended first; with `strict` so for one
    invalid row. Killed half way, it is read from the start again.
    """
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=JobState.VALIDATING)
        job = jobs.find_job(tx, job_id)
    if job is None:
        raise UsageError(f"There is no job {job_id}")
    try:
        read_rows_in(ledger.write, job, rules)
    except NothingSent as error:
        reading.forget_rows(ledger.write, job_id)
        with ledger.write() as tx:
            jobs.change_job(tx, job_id, state=JobState.INVALID, reason=str(error))
        raise
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, only_from=(JobState.VALIDATING,), state=JobState.QUEUED)
    if job.options.get("strict"):
        _refuse_invalid(ledger, job_id)


def glance(path: Path, options: Options, *, name: str | None = None) -> None:
    """Look whether a roster can be opened and has the headings that it needs; `name` is what its sender calls it.

    Raises UnreadableRoster or UsageError that says what must be mended.
    """
    if not path.is_file():
        fingerprint(path, "", options)
    open_as(path, name or path.name, options)


def read_rows_in(
    transaction: Transactions,
    job: Job,
    rules: RowRules,
    *,
    opened: tuple[RosterFile, Headings] | None = None,
) -> None:
    """Write the rows of a job's roster, with headings and warnings, in transactions that `transaction` opens.

    `opened` is the roster, when it was opened before: that may take longer than a transaction should.
    """
    options = options_of(job)
    file, headings = opened or open_as(Path(job.kept_at), job.roster, options)
    warnings: list[str] = []
    parsed = read_rows(
        file,
        headings,
        rules=rules,
        set_values=options.set_values,
        course=options.course,
        start_row=options.start_row,
        max_rows=options.max_rows,
        warnings=warnings,
    )
    _refuse_what_cannot_be(options, rules)
    reading.add_rows(
        transaction,
        job.id,
        job.connection,
        _new_rows(parsed),
        again=options.again,
        update_existing=options.update_existing,
    )
    notes = [*file.notes, *headings.warnings, *warnings]
    with transaction() as tx:
        if not rows.tally(tx, job.id).total:
            raise UnreadableRoster(f"{job.roster} has headings and no rows below them; nothing was sent")
        jobs.change_job(tx, job.id, headings=list(file.headings), columns=list(headings.columns), notes=notes)


def _refuse_what_cannot_be(options: Options, rules: RowRules) -> None:
    if options.update_existing and Action.UPDATE not in rules.actions:
        raise UsageError("--update-existing: this LMS offers no way to change people; leave the option out")


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


def _new_rows(parsed: Iterator[ParsedRow]) -> Iterator[NewRow]:
    for each in parsed:
        yield NewRow(
            row=each.raw.row,
            cells=each.raw.cells,
            parsed=each.row,
            error=" ".join(problem.message for problem in each.problems),
            code=SEVERAL.join(dict.fromkeys(problem.code for problem in each.problems)),
            column=SEVERAL.join(dict.fromkeys(problem.column for problem in each.problems if problem.column)),
        )


def _refuse_invalid(ledger: Ledger, job_id: int) -> None:
    with ledger.write() as tx:
        count = rows.tally(tx, job_id).by_status[RowStatus.INVALID]
        if not count:
            return
        reason = f"--strict: {count} invalid rows, so nothing was sent; mend them, or leave --strict out"
        rows.explain_rows(
            tx, job_id, None, "Not sent, since --strict was given and other rows are invalid", "strict"
        )
        jobs.change_job(tx, job_id, state=JobState.INVALID, reason=reason)
    raise UnreadableRoster(reason)


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
