"""Rows of a roster that ask for the same as a row above them: found, skipped, and explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select, update

from worker.ledger.database import now
from worker.ledger.schema import job, row
from worker.model import Action, RowStatus
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Select

    from worker.ledger.database import Transaction

HeadingOf = Callable[[str], str]
#: How many columns with other values a message names, and how much of a value it quotes (characters).
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 3, 40
#: What of a parsed row is no cell of its own, or is the same in rows that repeat each other.
_NOT_COMPARED = {"row", "candidate", "course", "action", "former", "fields"}


def _repeated(job_id: int) -> Select[Any]:
    """Select the rows that ask for the same action on the same registration as a row above them, the `first`."""
    mine = select(row.c.registration_id, row.c.action, func.min(row.c.row).label("first")).where(
        row.c.job_id == job_id, row.c.registration_id.is_not(None)
    )
    first = mine.group_by(row.c.registration_id, row.c.action).having(func.count() > 1).subquery()
    same = and_(first.c.registration_id == row.c.registration_id, first.c.action == row.c.action)
    above = row.alias("above")
    repeated = (
        select(row.c.id, row.c.row, row.c.action, row.c.parsed, first.c.first, above.c.parsed.label("first_parsed"))
        .join(first, same)
        .join(above, and_(above.c.job_id == job_id, above.c.row == first.c.first))
    )
    return repeated.where(row.c.job_id == job_id, row.c.row != first.c.first)


def repeated_rows(tx: Transaction, job_id: int) -> dict[int, int | None]:
    """Return the rows that are skipped and which row each repeats; None for one that is skipped otherwise."""
    skipped = select(row.c.row).where(row.c.job_id == job_id, row.c.status == RowStatus.SKIPPED)
    repeats = {record.row: record.first for record in tx.execute(_repeated(job_id))}
    return {number: repeats.get(number) for number in tx.execute(skipped.order_by(row.c.row)).scalars()}


def skip_duplicates(tx: Transaction, job_id: int, heading_of: HeadingOf | None = None) -> None:
    """Mark rows as skipped that ask for the same action on the same registration as a row above them.

    Their message names the person, and the cells that differ from the row above, whose values are not sent.
    `heading_of` names a column as the file does; of a roster that is read already, the ledger knows it.
    """
    unsent = row.c.status.in_((RowStatus.NOT_ATTEMPTED, RowStatus.ALREADY_REGISTERED))
    records = tx.execute(_repeated(job_id).where(unsent)).all()
    heading_of = heading_of or (_headings_of(tx, job_id) if records else str)
    for record in records:
        tx.execute(
            update(row)
            .where(row.c.id == record.id)
            .values(
                status=RowStatus.SKIPPED,
                kept_status=None,
                error=_message(
                    Action(record.action),
                    record.first,
                    _cells(record.parsed),
                    _cells(record.first_parsed),
                    heading_of,
                ),
                error_code="duplicate_row",
                lms_registration_id=None,
                changed_at=now(),
            )
        )


def _headings_of(tx: Transaction, job_id: int) -> HeadingOf:
    known = tx.execute(select(job.c.headings, job.c.columns).where(job.c.id == job_id)).one()
    names = {column: heading for heading, column in zip(known.headings, known.columns, strict=False) if column}
    return lambda column: names.get(column, column)


def _message(
    action: Action, first: int, mine: Mapping[str, str], theirs: Mapping[str, str], heading_of: HeadingOf
) -> str:
    what = "person and course" if action is Action.REGISTER else "person, course and action"
    what = "person and action" if action.is_about_person else what
    differing = [column for column in {**theirs, **mine} if _differ(mine.get(column), theirs.get(column))]
    # Written as in the row above, where only the case differs: rows with one message are printed together.
    who = _person_text({column: theirs[column] if column not in differing else mine[column] for column in mine})
    message = f"Duplicate of row {first} (same {what})" + (f": {who}" if who else "")
    if not differing:
        return message
    parts = [
        f"{heading_of(column)} is {_quoted(mine.get(column))} here and {_quoted(theirs.get(column))} there"
        for column in differing[:_SHOWN_COLUMNS]
    ]
    more = len(differing) - len(parts)
    if more:
        parts.append(f"{counted(more, 'more column')} {'differs' if more == 1 else 'differ'}")
    return f"{message}. {'; '.join(parts)}"


def _person_text(cells: Mapping[str, str]) -> str:
    name = " ".join(cells[column] for column in ("first_name", "last_name") if column in cells)
    known_by = ("email", "external_id", "candidate_id", "login_name", "registration_external_id")
    address = next((cells[column] for column in known_by if column in cells), "")
    return ", ".join(_shortened(text) for text in (name, address) if text)


def _differ(mine: str | None, theirs: str | None) -> bool:
    return (mine or "").casefold() != (theirs or "").casefold()


def _quoted(value: str | None) -> str:
    return f'"{_shortened(value)}"' if value else "empty"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _cells(parsed: str | None) -> dict[str, str]:
    """Return the values of a parsed row by column, without those that are empty."""
    return dict(_values(json.loads(parsed))) if parsed else {}


def _values(parsed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    person = parsed.get("candidate") or {}
    fields = {f"field:{name}": value for name, value in (person.get("fields") or {}).items()}
    for column, value in {**person, **fields, **parsed}.items():
        if column not in _NOT_COMPARED and value not in (None, ""):
            yield column, " ".join(str(value).split())
