"""Make a job ready to be sent: find its registrations and people, then divide its rows into batches. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsUnavailable, Refused, StopJob
from worker.ledger import batches, jobs
from worker.ledger.batches import BatchPlan
from worker.ledger.creatable import missing_to_create, nobody_can_be_created
from worker.ledger.rows import count_remaining, explain_rows
from worker.lms.contract import bulk
from worker.model import NOBODY_CAN_BE_CREATED, STAGES, Action
from worker.registration import directory, external_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from worker.ledger.database import Transaction
    from worker.registration.context import JobContext

#: The rows of a batch of another action than to register are looked up together, from lists where that takes fewer
#: calls: large batches are cheaper.
MIN_ACTION_BATCH = 500


def plan_batches(
    tx: Transaction,
    job_id: int,
    *,
    batch_size: int,
    proven: Collection[str] = (),
    confirms: bool = False,
) -> int:
    """Put the rows that are to be sent, and are in no open batch, into batches. Return how many batches.

    A course in `proven`, on which a person was registered before, needs no canary. Batches are in the order of the
    actions, and of each action in the order of the roster. `confirms`: what is registered on a course is compared
    with its list afterwards.
    """
    together: dict[tuple[Action, str], list[int]] = {}
    for row_id, course_key, action in batches.rows_to_plan(tx, job_id):
        together.setdefault((action, course_key), []).append(row_id)
    planned = []
    for action, course_key in sorted(together, key=lambda each: STAGES.index(each[0])):
        planned += cut_batches(
            course_key,
            together[action, course_key],
            batch_size=batch_size if action is Action.REGISTER else max(batch_size, MIN_ACTION_BATCH),
            canary=course_key not in proven,
            action=action,
        )
    batches.save_plan(tx, job_id, planned)
    if confirms:
        courses = [course_key for action, course_key in together if action is Action.REGISTER]
        batches.replace_confirmations(tx, job_id, courses)
    return len(planned)


def cut_batches(
    course_key: str,
    row_ids: Sequence[int],
    *,
    batch_size: int,
    canary: bool = True,
    action: Action = Action.REGISTER,
) -> list[BatchPlan]:
    """Return the batches of one course and action; with a `canary` the first row is a batch of its own.

    So a course that the LMS does not have costs one person, who is created and not registered.
    """
    first, rest = (row_ids[:1], row_ids[1:]) if canary else (row_ids[:0], row_ids)
    pieces = [first] if canary else []
    pieces += [rest[start : start + batch_size] for start in range(0, len(rest), batch_size)]
    return [
        BatchPlan(course_key=course_key, canary=canary and place == 0, row_ids=piece, action=action)
        for place, piece in enumerate(pieces)
    ]


async def prepare(context: JobContext, batch_size: int) -> None:
    """Find the job's registrations and people and plan its batches; may be called again at any time.

    Raises RetryLater when the LMS asks for a pause or is away, StopJob when it refuses to be read.
    """
    await update_remaining(context)
    await external_ids.resolve_external_ids(context)
    await _find_people(context)
    await _reject_if_nobody_can_be_created(context)
    await context.ledger.run_separately(lambda tx: _plan(tx, context, batch_size))
    await update_remaining(context)


async def update_remaining(context: JobContext) -> None:
    """Update how much work the job has left in its context."""
    ahead = await context.ledger.query(lambda tx: count_remaining(tx, context.job_id))
    context.rows_left = sum(ahead.rows_by_course.values()) + ahead.actions
    context.only_course = len(ahead.rows_by_course) == 1 and not ahead.actions


async def _find_people(context: JobContext) -> None:
    try:
        await directory.match_people(context)
    except AnswerLost as lost:
        raise LmsUnavailable(2.0, str(lost)) from None
    except Refused as refused:
        message = f"The LMS refused to list its people ({refused}); check what this account may do, then resume"
        raise StopJob("not_allowed", message, refused.status) from None


async def _reject_if_nobody_can_be_created(context: JobContext) -> None:
    """Raise StopJob when the list of people has none of the roster's, and none of them can be created."""
    if context.check_candidates_first:
        return
    required = context.connector.rules.required_if_new
    missing = await context.ledger.query(lambda tx: missing_to_create(tx, context.job_id, required))
    if missing:
        reason = f"Nothing was sent: {nobody_can_be_created(missing)}"
        await context.ledger.run(lambda tx: explain_rows(tx, context.job_id, None, reason, "candidate_incomplete"))
        raise StopJob(NOBODY_CAN_BE_CREATED, reason, None)


def _plan(tx: Transaction, context: JobContext, batch_size: int) -> None:
    plan_batches(
        tx,
        context.job_id,
        batch_size=batch_size,
        proven=context.breaker.proven,
        confirms=bulk(context.connector) is not None,
    )
    jobs.change_job(tx, context.job_id, planned=True)
