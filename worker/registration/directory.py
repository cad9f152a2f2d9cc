"""Find out who exists at the LMS before anything is sent: by its list where that is cheaper than look-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import Refused
from worker.ledger import batches, people
from worker.ledger.database import now
from worker.ledger.learned_limits import LearnedLimits, save_limits
from worker.lms.contract import Enrolment, FoundPerson, LookupMiss, bulk
from worker.model import RowStatus

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction
    from worker.lms.contract import BulkConnector, PersonLookup
    from worker.registration.context import JobContext

#: People changed in the last minutes are read again, since clocks differ (seconds).
CLOCK_MARGIN_SECONDS = 300.0
#: Up to this many pages are read in any case, instead of single look-ups.
MIN_PAGES = 5
#: Maximum number of people who are looked up to choose a canary.
MAX_CANARY_LOOKUPS = 25
#: How many people who exist are named to an LMS that must prove its look-ups.
MAX_KNOWN = 5
#: Why nobody is registered who cannot sign in, unless Roster itself deactivated them.
SUSPENDED = (
    "The account of this person is suspended in the LMS, and not by this ledger of Roster; it was left so. "
    "Activate it there if they are to take the course, then run the row again"
)


async def match_people(context: JobContext) -> None:
    """Set the ids of the job's new candidates from the LMS's list of people, or require a look-up for each.

    Does nothing for an LMS without a list, and when the ledger knows every candidate of the roster. Where the LMS
    looks many people up at a time, they are looked up instead.
    """
    connector = bulk(context.connector)
    if connector is not None:
        await _look_up_people(context, connector)
        return
    unknown = await context.ledger.query(lambda tx: people.count_unknown_candidates(tx, context.job_id))
    if not unknown.total or not context.connector.rules.lists_people:
        return
    read_until = await context.ledger.run(lambda tx: people.read_until(tx, context.connection))
    if read_until is None and await _is_list_too_long(context, unknown):
        context.check_candidates_first = True
        return
    await _sync_people(context, read_until)
    await context.ledger.run_separately(lambda tx: people.match_candidates(tx, context.connection, context.job_id))


async def _look_up_people(context: JobContext, connector: BulkConnector) -> None:
    """Look up whom the job's rows name, many in a call; rows that cannot be sent are rejected."""
    unknown = await context.ledger.query(lambda tx: people.unknown_candidates(tx, context.job_id))
    unseen = await context.ledger.query(lambda tx: people.unseen_candidates(tx, context.job_id))
    if not (unknown or unseen):
        return
    known = await context.ledger.query(lambda tx: people.some_known(tx, context.connection, MAX_KNOWN))
    results = [
        *await connector.show_people([each.candidate for each in unseen], known),
        *await connector.find_people([each.candidate for each in unknown], known),
    ]
    limits = LearnedLimits(people_per_create=await connector.people_per_create(()))
    looked_up = zip([*unseen, *unknown], results, strict=True)
    matches = [match for each, result in looked_up if (match := _match_of(each, result))]

    def save(tx: Transaction) -> None:
        save_limits(tx, context.connection, limits)
        people.save_matches(tx, context.connection, context.job_id, matches)

    await context.ledger.run_separately(save)


def _match_of(who: people.UnknownCandidate, result: PersonLookup) -> people.CandidateMatch | None:
    if isinstance(result, Refused):
        status = RowStatus.REJECTED if result.code == "unknown_candidate" else RowStatus.INVALID
        return people.CandidateMatch(id=who.id, code=result.code, error=result.message, status=status)
    if not isinstance(result, FoundPerson) or (result.is_suspended and who.is_deactivated):
        # Whom Roster deactivated, it activates before they are registered.
        return None
    if not result.is_suspended:
        return people.CandidateMatch(id=who.id, person=result.person)
    return people.CandidateMatch(
        id=who.id,
        person=result.person,
        code="account_suspended",
        error=SUSPENDED,
        status=RowStatus.REJECTED,
        only_registering=True,
    )


async def _is_list_too_long(context: JobContext, unknown: people.UnknownCandidates) -> bool:
    """Return whether a look-up for each is cheaper than the list; only external ids can be looked up one by one."""
    if unknown.without_external_id:
        return False
    pages = max(MIN_PAGES, unknown.total)
    return await context.connector.has_more_people_than(pages * context.connector.rules.people_per_page) is True


async def _sync_people(context: JobContext, read_until: float | None) -> None:
    """Read the list, or what changed since it was last read; it counts only once it is complete."""
    started = now() + context.client.session.clock_offset
    since = read_until - CLOCK_MARGIN_SECONDS if read_until is not None else None
    async for page in context.connector.list_people(since):
        if reason := context.stop_reason():
            raise reason
        await context.ledger.run(lambda tx, page=page: people.add_people(tx, context.connection, page))  # type: ignore[misc]
    await context.ledger.run(lambda tx: people.set_read_until(tx, context.connection, started))


async def load_existing_registrations(context: JobContext, claim: Claim) -> None:
    """Read who is registered on the batch's course already, when rows of the job name people who existed before.

    When the list has more pages than there are such rows, or the course's id is not known (yet), each of these rows
    is looked up before it is sent.
    """
    key = claim.course_key
    course_id = context.course_ids.get(key)
    connector = bulk(context.connector)
    if connector is not None:
        await _find_course(context, claim, connector)
        return
    if key in context.existing or (key in context.check_courses_first and course_id is None):
        return
    course, known = await context.ledger.run(lambda tx: people.count_known_before(tx, context.job_id, key))
    if course is None or not known or not context.connector.rules.lists_people:
        return
    course = course.with_id(course_id)
    if course.course_id is None:
        context.check_courses_first.add(key)
        await _choose_canary(context, claim)
        return
    existing = await context.connector.list_registrations(course, max(MIN_PAGES, known))
    if existing is not None:
        context.existing[key] = dict(existing)
        context.check_courses_first.discard(key)
    else:
        context.check_courses_first.add(key)


async def _find_course(context: JobContext, claim: Claim, connector: BulkConnector) -> None:
    """Find the batch's course before anybody is created for it. Raises Refused."""
    if claim.course_key in context.course_ids:
        return
    course = await context.ledger.query(lambda tx: people.course_of(tx, context.job_id, claim.course_key))
    if course is not None:
        context.course_ids[claim.course_key] = await connector.find_course(course)


async def load_course_list(context: JobContext, claim: Claim, connector: BulkConnector, *, since: float) -> None:
    """Read who is on the batch's course, once for the job in this process. Raises Refused.

    It is read again when it is older than `since`, the time of the last call for one of the batch's rows.
    """
    key = claim.course_key
    async with context.listing:
        if key not in context.existing or context.listed_at.get(key, 0.0) <= since:
            began = now()
            listed = await connector.list_course(context.course_ids[key])
            context.existing[key] = dict.fromkeys(listed.active, "")
            context.inactive[key], context.listed_at[key] = listed.inactive, began


async def _choose_canary(context: JobContext, claim: Claim) -> None:
    """Choose a canary who is certainly not on the course: the response then shows the course's id, and so its list.

    A registration shows the course's id and name, not its external id (K-reg): from a person's registrations alone
    it is unknown whether one of them is on a course that the roster names by its external id.
    """
    if not claim.canary:
        return
    for row in await context.ledger.run(
        lambda tx: people.rows_on_course(tx, claim.job_id, claim.course_key, MAX_CANARY_LOOKUPS)
    ):
        if row.lms_id is None or await _is_absent(context, row):
            await context.ledger.run(lambda tx, row=row: batches.make_canary(tx, claim, row.id))  # type: ignore[misc]
            return


async def _is_absent(context: JobContext, row: people.RowOnCourse) -> bool:
    enrolment = Enrolment(
        row_id=row.id, candidate_id=row.lms_id or "", row=row.row, idempotency_key=f"roster-none-{row.id}"
    )
    return (await context.connector.find_registrations([enrolment]))[row.id] is LookupMiss.ABSENT
