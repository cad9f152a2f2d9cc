"""Find out who is on the LMS before anything is sent: by one list where that is cheaper than asking one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import batches, people
from worker.ledger.database import now
from worker.lms.contract import Enrolment, Unfound

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.registration.context import Desk

#: People changed in the last minutes are read again, for clocks that differ.
MARGIN_SECONDS = 300.0
#: People on a page of a list (K-page).
PAGE = 100
#: So many pages are read in any case, before look-ups one by one are thought of.
FEW_PAGES = 5
#: So many people are asked about before the canary is left as it is.
MOST_ASKED = 25


async def find_people(desk: Desk) -> None:
    """Give the job's new candidates the ids of those whom the LMS lists; note how the others are to be found.

    Does nothing for an LMS that lists nobody, and when the ledger knows everybody on the roster.
    """
    unknown = await desk.ledger.look(lambda tx: people.unknown_candidates(tx, desk.job_id))
    if not unknown.total or not desk.connector.rules.lists_people:
        return
    read_until = await desk.ledger.run(lambda tx: people.read_until(tx, desk.connection))
    if read_until is None and await _lists_too_many(desk, unknown):
        desk.look_up_first = True
        return
    await _read(desk, read_until)
    await desk.ledger.aside(lambda tx: people.match(tx, desk.connection, desk.job_id))


async def _lists_too_many(desk: Desk, unknown: people.Unknown) -> bool:
    """Tell whether a look-up for each is cheaper than the list; only external ids can be looked up one by one."""
    if unknown.without_external_id:
        return False
    pages = max(FEW_PAGES, unknown.total)
    return await desk.connector.count_people(pages * PAGE) is True


async def _read(desk: Desk, read_until: float | None) -> None:
    """Read the list, or what changed since it was last read. It counts only once it is whole."""
    started = now() + desk.door.wire.clock_ahead
    since = read_until - MARGIN_SECONDS if read_until is not None else None
    async for page in desk.connector.list_people(since):
        if reason := desk.stopping():
            raise reason
        await desk.ledger.run(lambda tx, page=page: people.add_people(tx, desk.connection, page))  # type: ignore[misc]
    await desk.ledger.run(lambda tx: people.note_read(tx, desk.connection, started))


async def find_standing(desk: Desk, claim: Claim) -> None:
    """Read who is registered on the batch's course already, when rows of the job name people who were there before.

    Where the list is longer than the rows are many, or the course's id is not known (yet), each of those rows is
    looked up before it is sent.
    """
    key = claim.course_key
    learnt = desk.course_ids.get(key)
    if key in desk.standing or (key in desk.look_before and learnt is None):
        return
    course, known = await desk.ledger.run(lambda tx: people.known_before(tx, desk.job_id, key))
    if course is None or not known or not desk.connector.rules.lists_people:
        return
    course = people.with_id(course, learnt)
    if course.course_id is None:
        desk.look_before.add(key)
        await _let_a_newcomer_go_first(desk, claim)
        return
    standing = await desk.connector.list_registered(course, max(FEW_PAGES, known))
    if standing is not None:
        desk.standing[key] = dict(standing)
        desk.look_before.discard(key)
    else:
        desk.look_before.add(key)


async def _let_a_newcomer_go_first(desk: Desk, claim: Claim) -> None:
    """Choose a canary who surely is not on the course: the answer then tells the course's id, and so its list.

    A registration shows the course's id and name, not its external id (K-reg): of somebody with registrations
    nobody can tell whether one of them is on a course that is named by its external id.
    """
    if not claim.canary:
        return
    for row in await desk.ledger.run(
        lambda tx: people.rows_on_course(tx, claim.job_id, claim.course_key, MOST_ASKED)
    ):
        if row.lms_id is None or await _is_absent(desk, row):
            await desk.ledger.run(lambda tx, row=row: batches.go_first(tx, claim, row.id))  # type: ignore[misc]
            return


async def _is_absent(desk: Desk, row: people.RowOnCourse) -> bool:
    who = Enrolment(row_id=row.id, candidate_id=row.lms_id or "", row=row.row, key=f"roster-none-{row.id}")
    return (await desk.connector.find_registrations([who]))[row.id] is Unfound.ABSENT
