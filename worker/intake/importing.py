"""Read the rows of a stored roster into the ledger."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import LedgerUnavailable, NothingSent, StaleClaim, Unreachable, UnreadableRoster, UsageError
from worker.intake import attempts, storage, trial
from worker.intake.accept import create_job, open_with_options
from worker.intake.options import options_of_job
from worker.intake.problems import ProblemCode, quote
from worker.intake.row_rules import check_options
from worker.intake.rows import parse_rows
from worker.intake.text import clean
from worker.ledger import importing, jobs, rows
from worker.ledger.creatable import missing_to_create
from worker.ledger.importing import NewRow
from worker.model import UNREAD, JobState, RowStatus
from worker.quantities import counted

if TYPE_CHECKING:
    from worker.intake.headers import Headings
    from worker.intake.options import Options
    from worker.intake.roster_file import RosterFile
    from worker.intake.rows import ParsedRow
    from worker.ledger.database import Transaction
    from worker.ledger.importing import OpenTransaction
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.model import RowRules
    from worker.settings import Connection

SEPARATOR = "; "
#: A job or a row, as a report has it or a spreadsheet has made of it.
_WHOLE_NUMBER = re.compile(r"([1-9]\d{0,8})(?:\.0+)?")


def import_roster(
    ledger: Ledger,
    job_id: int,
    rules: RowRules,
    *,
    owner: str,
    chunk_context: Callable[[], AbstractContextManager[None]] = nullcontext,
    in_child: bool = False,
) -> None:
    """Read the job's roster into the ledger, changing it from `uploaded` to `queued`.

    Each chunk of rows is written within a `chunk_context`, which may wait before it begins. `in_child`: a text file
    too is read in a process of its own.

    `owner` holds the claim on the job (`jobs.claim_job`); raises StaleClaim when another process has taken it over.
    A job that a person paused or cancelled meanwhile is read to its end, and its state stays as it is. Raises
    NothingSent, the job then being `invalid`, when the file must be fixed first; with `strict`, one invalid row is
    enough. If the process is killed half way, the next one reads the roster from the start, first in a child
    process: a roster that ends that too is `invalid`.
    """
    with ledger.write() as tx:
        begun = jobs.change_job(tx, job_id, only_from=UNREAD, state=JobState.VALIDATING)
        job = _get_job(tx, job_id)
        died = attempts.begin(tx, job_id) if begun else 0
    if not begun:
        return
    fenced = partial(_fenced, ledger, job_id, owner)
    chunks = itertools.count(1)

    @contextmanager
    def chunk_transaction() -> Iterator[Transaction]:
        with chunk_context(), fenced() as tx:
            yield tx
            attempts.read_chunk(tx, job_id, next(chunks))

    try:
        attempts.check(died)
        with storage.local_copy(job.stored_path) as path:
            if died:
                trial.try_reading(path, job.roster, options_of_job(job), rules)
            opened = open_with_options(path, job.roster, options_of_job(job), in_child=in_child)
            import_rows(chunk_transaction, job, rules, opened)
    except Unreachable as error:
        with fenced() as tx:
            attempts.withdraw(tx, job_id)
            jobs.change_job(tx, job_id, only_from=UNREAD, reason=str(error))
        raise LedgerUnavailable(str(error)) from None
    except NothingSent as error:
        with fenced() as tx:
            importing.delete_rows(tx, job_id)
            attempts.end(tx, job_id)
            jobs.change_job(tx, job_id, only_from=UNREAD, state=JobState.INVALID, reason=str(error))
        raise
    except StaleClaim:
        raise
    except BaseException:
        with suppress(Exception), fenced() as tx:
            attempts.withdraw(tx, job_id)
        raise
    with fenced() as tx:
        attempts.end(tx, job_id)
        if not jobs.change_job(tx, job_id, only_from=UNREAD, state=JobState.QUEUED):
            _explain_if_cancelled(tx, job_id)
    if job.options.get("strict"):
        _reject_invalid_rows(ledger, job_id)


@contextmanager
def _fenced(ledger: Ledger, job_id: int, owner: str) -> Iterator[Transaction]:
    """Open a transaction that renews the claim on the job; raise StaleClaim when the owner has lost it."""
    with ledger.write() as tx:
        if not jobs.renew_job(tx, job_id, owner):
            raise StaleClaim(f"Another process has taken over job {job_id}")
        yield tx


def _explain_if_cancelled(tx: Transaction, job_id: int) -> None:
    if jobs.state_of(tx, job_id) is JobState.CANCELLED:
        rows.explain_cancelled(tx, job_id)


def import_rows(
    transaction: OpenTransaction,
    job: Job,
    rules: RowRules,
    opened: tuple[RosterFile, Headings],
    problems: Counter[tuple[str, str | None]] | None = None,
) -> None:
    """Write the rows of a job's roster, with headings and warnings, in transactions that `transaction` opens.

    `problems` counts the rows with each problem, by its code and column.
    """
    options = options_of_job(job)
    file, headings = opened
    warnings: list[str] = []
    parsed = parse_rows(
        file,
        headings,
        rules=rules,
        set_values=options.set_values,
        course=options.course,
        start_row=options.start_row,
        max_rows=options.max_rows,
        hidden_rows=options.hidden_rows,
        warnings=warnings,
    )
    check_options(options, rules)
    inactive: Counter[str] = Counter()
    unknown = importing.add_rows(
        transaction,
        job.id,
        job.connection,
        _new_rows(
            parsed, Counter() if problems is None else problems, inactive, _places_of_fixed_row(file.headings)
        ),
        again=options.again,
        update_existing=options.update_existing,
        heading_of=headings.heading_of,
    )
    notes = [*file.notes, *_useful(headings, rules), *warnings, *map(_inactive_note, inactive, inactive.values())]
    if unknown:
        notes.append(
            f"{counted(unknown, 'row')} {'names' if unknown == 1 else 'name'} in _job and _row a row that this "
            f"connection does not have; {'it was' if unknown == 1 else 'they were'} imported as new"
        )
    with transaction() as tx:
        if not rows.count_rows(tx, job.id).total:
            raise UnreadableRoster(f"{job.roster} has headings but no rows; nothing was sent")
        if missing := missing_to_create(tx, job.id, rules.required_if_new):
            notes.append(_NOBODY_CAN_BE_CREATED.format(" and ".join(missing)))
        jobs.change_job(tx, job.id, headings=list(file.headings), columns=list(headings.columns), notes=notes)


def dry_run(
    tx: Transaction,
    file: Path,
    connection: Connection,
    options: Options,
    *,
    rules: RowRules,
    name: str | None = None,
    opened: tuple[RosterFile, Headings] | None = None,
    problems: Counter[tuple[str, str | None]] | None = None,
) -> Job:
    """Read a roster into a job that the caller rolls back with `tx`. Raises UnreadableRoster or UsageError.

    `problems` counts the rows with each problem, by its code and column. `opened` is the roster if it is already
    open: opening it may take longer than a transaction should.
    """
    job_id = create_job(
        tx,
        stored_path=str(file.absolute()),
        name=name or file.name,
        connection=connection,
        options=options,
        report_dir=str(file.parent),
    )
    opened = opened or open_with_options(file, name or file.name, options)
    import_rows(importing.inside(tx), _get_job(tx, job_id), rules, opened, problems)
    return _get_job(tx, job_id)


def _useful(headings: Headings, rules: RowRules) -> list[str]:
    """Return the warnings about headings, without those that offer a column that this LMS does not take."""
    return [each for each in headings.warnings if rules.takes(headings.offered.get(each, ""))]


def _get_job(tx: Transaction, job_id: int) -> Job:
    job = jobs.find_job(tx, job_id)
    if job is None:
        raise UsageError(f"There is no job {job_id}")
    return job


def _places_of_fixed_row(headings: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of `_job` and `_row`, which name the row of an earlier job that a row fixes."""
    names = [clean(heading).casefold() for heading in headings]
    return (names.index("_job"), names.index("_row")) if {"_job", "_row"} <= set(names) else None


def _fixed_row(cells: Sequence[str], places: tuple[int, int] | None) -> tuple[int, int] | None:
    if places is None or max(places) >= len(cells):
        return None
    numbers = [_WHOLE_NUMBER.fullmatch(clean(cells[place])) for place in places]
    return (int(numbers[0][1]), int(numbers[1][1])) if numbers[0] and numbers[1] else None


def _new_rows(
    parsed: Iterator[ParsedRow],
    problems: Counter[tuple[str, str | None]],
    inactive: Counter[str],
    places: tuple[int, int] | None,
) -> Iterator[NewRow]:
    """Yield the rows as the ledger takes them; count problems, and rows marked as inactive by heading."""
    for each in parsed:
        if each.problems:
            problems.update({(problem.code, problem.column) for problem in each.problems})
        shown = (each.skipped,) if each.skipped else each.problems
        if each.skipped and each.skipped.code == ProblemCode.INACTIVE_IN_SOURCE:
            inactive[each.skipped.column or ""] += 1
        yield NewRow(
            row=each.raw.row,
            cells=each.raw.cells,
            parsed=each.row,
            error=" ".join(problem.message for problem in shown),
            code=SEPARATOR.join(dict.fromkeys(problem.code for problem in shown)),
            column=SEPARATOR.join(dict.fromkeys(problem.column for problem in shown if problem.column)),
            is_skipped=bool(each.skipped),
            fixes=_fixed_row(each.raw.cells, places),
        )


_NOBODY_CAN_BE_CREATED = (
    "Nobody can be created from this roster: no row has all of what that needs ({} missing). People who are on the "
    "LMS already are registered; if it has none of them, nothing is sent."
)


def _inactive_note(heading: str, count: int) -> str:
    are, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{counted(count, 'row')} {are} skipped, since {quote(heading)} marks {them} as inactive; nobody is "
        f'withdrawn. If the column means something else: --map "{heading}=".'
    )


def _reject_invalid_rows(ledger: Ledger, job_id: int) -> None:
    with ledger.write() as tx:
        count = rows.count_rows(tx, job_id).by_status[RowStatus.INVALID]
        if not count:
            return
        invalid = f"{counted(count, 'row')} {'is' if count == 1 else 'are'} invalid"
        reason = f"--strict: {invalid}, so nothing was sent; fix the errors, or leave --strict out"
        rows.explain_rows(
            tx, job_id, None, "Not sent, because --strict was given and other rows are invalid", "strict"
        )
        jobs.change_job(tx, job_id, state=JobState.INVALID, reason=reason)
    raise UnreadableRoster(reason)
