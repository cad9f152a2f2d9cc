"""Cut a job's rows into batches: one course each, the canary of a course first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import batches
from worker.ledger.batches import PlannedBatch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection


def plan_batches(
    tx: Connection, job_id: int, *, batch_size: int, rows_per_call: int, proven: Collection[str] = ()
) -> int:
    """Put the rows that are to be sent, and are in no open batch, into batches. Return how many batches.

    A course in `proven`, on which somebody was registered before, needs no canary.
    """
    by_course: dict[str, list[int]] = {}
    for row_id, course_key in batches.rows_to_plan(tx, job_id):
        by_course.setdefault(course_key, []).append(row_id)
    planned = [
        plan
        for course_key, row_ids in by_course.items()
        for plan in cut(
            course_key, row_ids, batch_size=batch_size, rows_per_call=rows_per_call, canary=course_key not in proven
        )
    ]
    batches.save_plan(tx, job_id, planned)
    return len(planned)


def cut(
    course_key: str, row_ids: Sequence[int], *, batch_size: int, rows_per_call: int, canary: bool = True
) -> list[PlannedBatch]:
    """Return the batches of one course, the canary first.

    The canary is the odd piece: what is over when the rows are cut into whole calls. So it costs no call of its
    own; ceil(rows / rows_per_call) calls register them all.
    """
    first = canary_size(len(row_ids), rows_per_call)
    rest = row_ids[first:]
    return [
        PlannedBatch(course_key=course_key, canary=canary, row_ids=row_ids[:first]),
        *(
            PlannedBatch(course_key=course_key, canary=False, row_ids=rest[start : start + batch_size])
            for start in range(0, len(rest), batch_size)
        ),
    ]


def canary_size(rows: int, rows_per_call: int) -> int:
    """Return how many rows the first call for a course carries."""
    return rows % rows_per_call or min(rows, rows_per_call)
