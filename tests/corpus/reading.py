"""Read a roster as `roster check` does, in this process: the rows' codes, what would be sent, or the refusal."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from worker import lms
from worker.errors import NothingSent
from worker.intake.accept import open_with_options
from worker.intake.importing import dry_run
from worker.intake.options import Options
from worker.intake.rows import parse_rows
from worker.ledger.rows import page_of_rows
from worker.model import RowStatus
from worker.settings import Connection

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.rows import ReportedRow
    from worker.ledger.transactions import Ledger
    from worker.model import RosterRow

KMI = Connection(name="kmi", system="kmi", base_url="http://127.0.0.1:9/api/v2")
MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a roster: the exit code of `check`, each row's code (empty: it would be sent) and its values."""

    exit: int
    message: str = ""
    rows: dict[int, str] = field(default_factory=dict)
    sent: dict[int, dict[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(ledger: Ledger, path: Path, options: Options) -> Outcome:
    """Read a roster for a KMI account; what it refuses is an outcome, anything else an error of ours."""
    rules = lms.rules_of(KMI)
    try:
        opened = open_with_options(path, path.name, options)
        parsed = list(
            parse_rows(
                *opened,
                rules=rules,
                set_values=options.set_values,
                course=options.course,
                hidden_rows=options.hidden_rows,
            )
        )
        with ledger.dry_run() as tx:
            job = dry_run(tx, path, KMI, options, rules=rules, opened=opened)
            listed = page_of_rows(tx, job.id, statuses=tuple(RowStatus), limit=MOST_ROWS)
    except NothingSent as error:
        return Outcome(2, str(error))
    rows = {
        each.row: each.code or ("" if each.status is RowStatus.NOT_ATTEMPTED else each.status) for each in listed
    }
    failed = any(each.status is RowStatus.INVALID for each in listed)
    sent = {each.raw.row: _values(each.row) for each in parsed if each.row and rows.get(each.raw.row) == ""}
    return Outcome(int(failed), rows=rows, sent=sent, notes=tuple(job.notes))


def _code(row: ReportedRow) -> str:
    return row.code or ("" if row.status is RowStatus.NOT_ATTEMPTED else row.status)


def _values(row: RosterRow) -> dict[str, str]:
    candidate = {each.name: getattr(row.candidate, each.name) for each in fields(row.candidate)}
    values: dict[str, Any] = {name: value for name, value in candidate.items() if name not in {"fields", "former"}}
    values |= {f"field:{name}": value for name, value in row.candidate.fields.items()}
    values |= {"course": row.course.label if row.course else None, "score": row.score, "success": row.success}
    values |= {"registration_date": row.registration_date, "registration_external_id": row.registration_external_id}
    return {name: str(value) for name, value in values.items() if value is not None}
