"""Check a roster: read, validate and plan it as a job would, in a transaction that is rolled back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.intake.accept import fingerprint, open_with_options
from worker.intake.importing import SEPARATOR, dry_run
from worker.jobs import same_file
from worker.jobs.estimate import plan_of
from worker.jobs.learning import learn_limits
from worker.ledger import relations
from worker.ledger.duplicates import repeated_rows
from worker.ledger.rows import rows_with_status
from worker.model import Relation, RowStatus
from worker.reports import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.options import Options
    from worker.jobs.estimate import Plan
    from worker.jobs.same_file import SameFile
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a roster would do."""

    summary: Summary
    plan: Plan
    #: How many rows have a problem, by its code and column (None: of the row as a whole).
    problems: Mapping[tuple[str, str | None], int]
    #: The rows that are not sent because they repeat another one, or their source marks them as inactive (None).
    skipped: Mapping[int, int | None]

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON, with what would be sent; of a job that is not, number and state are None."""
        return self.summary.to_json() | {
            "job": None,
            "state": None,
            "would_send": self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0),
            "planned_calls": self.plan.calls.most,
            "planned_seconds": None if self.plan.seconds is None else round(self.plan.seconds, 3),
            "problems": [
                {"code": code, "column": column, "rows": count} for (code, column), count in self.problems.items()
            ],
            "skipped": [{"row": row, "repeats": repeats} for row, repeats in self.skipped.items()],
        }


def _show_nothing(*_: object) -> None:
    pass


def check_roster(
    services: Services,
    file: Path,
    connection: Connection,
    options: Options,
    *,
    name: str | None = None,
    in_child: bool = False,
    show: Callable[[Transaction, Job, SameFile | None], None] = _show_nothing,
) -> Checked:
    """Return what a roster would do; `name` is its original file name.

    `in_child`: the file is read in a process of its own. `show` is called with the job, before it is rolled back,
    and with the job of the same file. Raises NothingSent when the file, options or connection must be fixed.
    """
    problems: Counter[tuple[str, str | None]] = Counter()
    digest = fingerprint(file, connection.name, options)
    opened = open_with_options(file, name or file.name, options, in_child=True) if in_child else None
    rules = lms.rules_of(connection)
    learned = learn_limits(services, connection)
    with services.ledger.dry_run() as tx:
        job = dry_run(tx, file, connection, options, rules=rules, name=name, opened=opened, problems=problems)
        same = same_file.find(tx, job.connection, digest)
        if same:
            relations.relate(tx, job.id, Relation.REPEATS, [same.job_id])
        show(tx, job, same)
        _add_later_problems(tx, job, problems)
        return Checked(
            summary=gather.summarise(tx, job),
            plan=plan_of(tx, services, job.id, connection, learned=learned),
            problems=problems,
            skipped=repeated_rows(tx, job.id),
        )


def _add_later_problems(tx: Transaction, job: Job, problems: Counter[tuple[str, str | None]]) -> None:
    """Count the problems that are only found with the ledger, after a row was parsed."""
    parsed = {code for code, _ in problems}
    for row in rows_with_status(tx, job.id, RowStatus.INVALID):
        problems.update({(code, row.column or None) for code in row.code.split(SEPARATOR) if code not in parsed})
