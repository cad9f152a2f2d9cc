"""Undo jobs: a `withdraw` for each registration that another job made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from worker.ledger import jobs
from worker.ledger.database import take_lock
from worker.ledger.relations import relate
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import registration, row
from worker.model import Action, JobState, RegistrationState, Relation, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.model import RosterRow

_COPIED = ("row", "candidate_id", "registration_id", "course_key", "lms_registration_id")


def open_undo(tx: Transaction, job: Job) -> int | None:
    """Open a job with a `withdraw` for each registration that `job` made; None when there is none left.

    One that is open already is returned as it is.
    """
    fingerprint = f"undo:{job.id}"
    take_lock(tx, fingerprint)
    if open_job := jobs.find_open_duplicate(tx, job.connection, fingerprint):
        return open_job.id
    made = (
        select(row)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job.id, row.c.status == RowStatus.REGISTERED)
        .where(registration.c.job_id == job.id, registration.c.state == RegistrationState.REGISTERED)
    )
    records = tx.execute(made.order_by(row.c.row)).mappings().all()
    if not records:
        return None
    parsed = [replace(read_row(record["parsed"]), action=Action.WITHDRAW) for record in records]
    roster = _Roster.for_undo(job, parsed)
    undo = jobs.open_job(
        tx,
        connection=job.connection,
        system=job.system,
        roster=f"undo-{job.id}-{job.roster}",
        stored_path="",
        fingerprint=fingerprint,
        options={},
        state=JobState.QUEUED,
        headings=list(roster.headings),
        columns=list(roster.columns),
        report_dir=job.report_dir,
    )
    relate(tx, undo, Relation.UNDOES, [job.id])
    values = [
        _withdrawing(undo, record, understood, roster.cells(record["cells"], understood))
        for record, understood in zip(records, parsed, strict=True)
    ]
    tx.execute(insert(row), values)
    return undo


def _withdrawing(undo: int, record: Any, understood: RosterRow, cells: Sequence[str]) -> dict[str, Any]:
    return {
        **{name: record[name] for name in _COPIED},
        "job_id": undo,
        "cells": list(cells),
        "parsed": dump_row(understood),
        "action": Action.WITHDRAW,
        "status": RowStatus.NOT_ATTEMPTED,
    }


@dataclass(frozen=True, slots=True)
class _Roster:
    """The roster of an undo job: that of the job it undoes, with the action and the course of each row.

    Its failed rows can be uploaded as they are: without the action they would register people again, and the course
    of a row may have come from an option.
    """

    headings: tuple[str, ...]
    #: What each heading is; None for a heading of the roster that is not imported.
    columns: tuple[str | None, ...]
    #: How many of them are the roster's own.
    own: int

    @classmethod
    def for_undo(cls, job: Job, rows: Iterable[RosterRow]) -> _Roster:
        """Return a job's headings, and those that these rows need besides."""
        headings, columns = tuple(job.headings), tuple(job.columns)
        needed = dict.fromkeys(column for each in rows for column, value in _values(each).items() if value)
        added = tuple(column for column in needed if column not in columns)
        return cls((*headings, *added), (*columns, *added), len(headings))

    def cells(self, own: Sequence[str], understood: RosterRow) -> list[str]:
        """Return a row's cells; those that had no heading of their own have none here."""
        values = _values(understood)
        below = [*own[: self.own], *[""] * (len(self.columns) - len(own[: self.own]))]
        named = [values.get(column or "", cell) for column, cell in zip(self.columns, below, strict=True)]
        return [*named, *own[self.own :]]


def _values(understood: RosterRow) -> dict[str, str]:
    """Return what the roster of an undo job says of a row; the course in one of its three columns."""
    course = understood.course
    named = {"course_id": "", "course_name": "", "course_external_id": ""}
    if course is not None and course.course_id is not None:
        named["course_id"] = course.course_id
    elif course is not None:
        named |= {"course_name": course.name or "", "course_external_id": course.external_id or ""}
    return {"action": Action.WITHDRAW.value, **named}
