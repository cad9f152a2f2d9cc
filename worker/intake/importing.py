"""The rows of a kept roster read into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import LedgerAway, NothingSent, StaleClaim, Unreachable, UnreadableRoster, UsageError
from worker.intake import storage
from worker.intake.accept import open_as, open_job, options_of
from worker.intake.rows import read_rows
from worker.ledger import importing, jobs, rows
from worker.ledger.importing import NewRow
from worker.model import Action, JobState, RowStatus

if TYPE_CHECKING:
    from worker.intake.accept import Options
    from worker.intake.headers import Headings
    from worker.intake.roster_file import RosterFile
    from worker.intake.rows import ParsedRow
    from worker.ledger.database import Transaction
    from worker.ledger.importing import Transactions
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.model import RowRules
    from worker.settings import Connection

SEVERAL = "; "
_UNREAD = (JobState.UPLOADED, JobState.VALIDATING)


def read_in(
    ledger: Ledger,
    job_id: int,
    rules: RowRules,
    *,
    owner: str,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Read the job's roster into the ledger, changing it from `uploaded` to `queued`.

    Each piece of it is written within a `turn`, which may take its time to begin.

    `owner` holds the claim on the job (`jobs.take_job`); StaleClaim when somebody else has it by now. A job that
    a person paused or cancelled meanwhile is read to its end all the same, and stays as it is. Raises NothingSent,
    the job then being `invalid`, when the file must be mended first; with `strict` so for one invalid row. Killed
    half way, it is read from the start again.
    """
    with ledger.write() as tx:
        begun = jobs.change_job(tx, job_id, only_from=_UNREAD, state=JobState.VALIDATING)
        job = _found(tx, job_id)
    if not begun:
        return
    fenced = partial(_fenced, ledger, job_id, owner)

    @contextmanager
    def in_turn() -> Iterator[Transaction]:
        with turn(), fenced() as tx:
            yield tx

    try:
        with storage.at_hand(job.kept_at) as path:
            read_rows_in(in_turn, job, rules, open_as(path, job.roster, options_of(job)))
    except Unreachable as error:
        with fenced() as tx:
            jobs.change_job(tx, job_id, only_from=_UNREAD, reason=str(error))
        raise LedgerAway(str(error)) from None
    except NothingSent as error:
        with fenced() as tx:
            importing.forget_rows(tx, job_id)
            jobs.change_job(tx, job_id, only_from=_UNREAD, state=JobState.INVALID, reason=str(error))
        raise
    with fenced() as tx:
        if not jobs.change_job(tx, job_id, only_from=_UNREAD, state=JobState.QUEUED):
            _explain_if_cancelled(tx, job_id)
    if job.options.get("strict"):
        _refuse_invalid(ledger, job_id)


@contextmanager
def _fenced(ledger: Ledger, job_id: int, owner: str) -> Iterator[Transaction]:
    """Open a transaction of somebody who still holds the claim on the job, and renew it."""
    with ledger.write() as tx:
        if not jobs.renew_job(tx, job_id, owner):
            raise StaleClaim(f"Somebody else has taken job {job_id} over")
        yield tx


def _explain_if_cancelled(tx: Transaction, job_id: int) -> None:
    if jobs.state_of(tx, job_id) is JobState.CANCELLED:
        rows.explain_rows(tx, job_id, None, rows.CANCELLED, "cancelled")


def read_rows_in(
    transaction: Transactions,
    job: Job,
    rules: RowRules,
    opened: tuple[RosterFile, Headings],
) -> None:
    """Write the rows of a job's roster, with headings and warnings, in transactions that `transaction` opens."""
    options = options_of(job)
    file, headings = opened
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
    importing.add_rows(
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


def rehearse(
    tx: Transaction,
    file: Path,
    connection: Connection,
    options: Options,
    *,
    rules: RowRules,
    name: str | None = None,
    opened: tuple[RosterFile, Headings] | None = None,
) -> Job:
    """Read a roster into a job that is rolled back with `tx`. Raises UnreadableRoster or UsageError.

    `opened` is the roster, when it was opened before: that may take longer than a transaction should.
    """
    job_id = open_job(
        tx,
        kept_at=str(file.absolute()),
        name=name or file.name,
        connection=connection,
        options=options,
        report_dir=str(file.parent),
    )
    opened = opened or open_as(file, name or file.name, options)
    read_rows_in(importing.within(tx), _found(tx, job_id), rules, opened)
    return _found(tx, job_id)


def _found(tx: Transaction, job_id: int) -> Job:
    job = jobs.find_job(tx, job_id)
    if job is None:
        raise UsageError(f"There is no job {job_id}")
    return job


def _refuse_what_cannot_be(options: Options, rules: RowRules) -> None:
    if options.update_existing and Action.UPDATE not in rules.actions:
        raise UsageError("--update-existing: this LMS offers no way to change people; leave the option out")


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
