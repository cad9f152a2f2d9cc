"""Check what a person answers for rows in doubt: the form of an id, then what the LMS shows under it. Reads only.

An LMS that cannot be asked, or does not answer, objects to nothing; the person then reads that the answer is
unchecked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker import bootstrap, lms
from worker.errors import LmsError
from worker.identity import names_agree, traits_of
from worker.intake.row_rules import id_problem
from worker.ledger import resolutions
from worker.lms.contract import LookupMiss, RemoteRecord
from worker.model import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bootstrap import Services
    from worker.jobs.resolve import Resolution
    from worker.ledger.intents import WorkItem
    from worker.lms.contract import Connector
    from worker.model import Candidate, Course, RowRules
    from worker.settings import Connection

#: How long the LMS is asked about all answers together (seconds).
MAX_SECONDS = 20.0


class Unchecked:
    """The answer is plausible, and the LMS could not be asked about it."""


UNCHECKED = Unchecked()


def check_answers(
    services: Services, job_id: int, connection_name: str, answers: Mapping[int, Resolution]
) -> dict[int, str | Unchecked]:
    """Return what is wrong with answers, by row number, or `UNCHECKED`; a row that is not in it is confirmed."""
    named = {number: answer for number, answer in answers.items() if not answer.absent}
    if not named:
        return {}
    rules = lms.rules_of(services.connection(connection_name))
    found: dict[int, str | Unchecked] = {
        number: problem for number, answer in named.items() if (problem := _form_problem(answer, rules))
    }
    found |= {
        number: UNCHECKED
        for number, answer in named.items()
        if answer.registration_id == "" and number not in found
    }
    left = {number: answer for number, answer in named.items() if number not in found}
    with services.ledger.read() as tx:
        items = {number: item for number in left if (item := resolutions.work_item(tx, job_id, number))}
    if items:
        connection = services.connection(connection_name)
        found |= asyncio.run(_ask(services, connection, {n: (item, left[n]) for n, item in items.items()}))
    return found


def _form_problem(answer: Resolution, rules: RowRules) -> str | None:
    if answer.registration_id == "" and not rules.numbers_registrations:
        return None
    written = answer.candidate_id if answer.candidate_id is not None else answer.registration_id or ""
    return id_problem(written, rules)


async def _ask(
    services: Services, connection: Connection, asked: Mapping[int, tuple[WorkItem, Resolution]]
) -> dict[int, str | Unchecked]:
    session = bootstrap.open_lms_session(services, connection)
    connector = lms.connect(connection, bootstrap.open_lms_client(session, 0))
    found: dict[int, str | Unchecked] = dict.fromkeys(asked, UNCHECKED)

    async def ask(number: int, item: WorkItem, answer: Resolution) -> None:
        objection = await _objection(connector, item, answer)
        if objection is None:
            del found[number]
        else:
            found[number] = objection

    try:
        async with asyncio.timeout(MAX_SECONDS):
            await asyncio.gather(*(ask(number, *each) for number, each in asked.items()))
    except TimeoutError:
        pass
    finally:
        await session.close()
    return found


async def _objection(connector: Connector, item: WorkItem, answer: Resolution) -> str | Unchecked | None:
    """Return why an answer cannot be right, `UNCHECKED` when the LMS does not say, or None when it confirms it."""
    try:
        if answer.candidate_id is not None:
            shown = await connector.show_candidate(answer.candidate_id)
        else:
            shown = await connector.show_registration(answer.registration_id or "", item.row.course)
    except LmsError:
        return UNCHECKED
    if shown is LookupMiss.ABSENT:
        kind = "person" if answer.candidate_id is not None else "registration"
        return f"The LMS has no {kind} with the ID {answer.candidate_id or answer.registration_id}"
    if not isinstance(shown, RemoteRecord):
        return UNCHECKED
    return person_objection(shown, item) if answer.candidate_id is not None else registration_objection(shown, item)


def registration_objection(shown: RemoteRecord, item: WorkItem) -> str | None:
    """Return why a registration cannot be that of a row: another person's, on another course, or withdrawn."""
    theirs, ours = shown.candidate_id, item.candidate.lms_id
    if theirs is not None and ours is not None and theirs != ours:
        return f"Registration {shown.lms_id} is of person {theirs} in the LMS; this row's person is {ours}"
    if item.row.course is not None and _is_another_course(shown, item.row.course):
        label = shown.course_id or shown.course_name
        return f"Registration {shown.lms_id} is on course {label}; this row's course is {item.row.course.label}"
    if shown.is_withdrawn and item.row.action is Action.REGISTER:
        return f"Registration {shown.lms_id} was withdrawn in the LMS"
    return None


def _is_another_course(shown: RemoteRecord, course: Course) -> bool:
    if course.course_id is not None:
        return shown.course_id is not None and shown.course_id != course.course_id
    names = (shown.course_name, course.name)
    return None not in names and names[0].casefold() != names[1].casefold()  # type: ignore[union-attr]


def person_objection(shown: RemoteRecord, item: WorkItem) -> str | None:
    """Return why a person cannot be that of a row: everything that both show differs."""
    compared = _compared(shown, item.row.candidate)
    if not compared or any(compared.values()):
        return None
    return f"Person {shown.lms_id} has another {' and '.join(compared)} in the LMS than this row; check the ID"


def _compared(shown: RemoteRecord, candidate: Candidate) -> dict[str, bool]:
    """Return what the LMS shows and the row gives (as a person calls it), and whether the two agree."""
    theirs, ours = traits_of(shown), traits_of(candidate)
    found: dict[str, bool] = {}
    if shown.external_id and candidate.external_id:
        found["external ID"] = shown.external_id == candidate.external_id
    if theirs.email and ours.email:
        found["e-mail address"] = theirs.email == ours.email
    all_theirs, all_ours = theirs.first_name | theirs.last_name, ours.first_name | ours.last_name
    if names_agree(all_theirs, all_ours) is not None:
        found["name"] = bool(all_theirs & all_ours)
    return found


def unchecked_note(found: Mapping[int, str | Unchecked]) -> str:
    """Return what a person must know when answers were saved that the LMS could not confirm."""
    count = sum(isinstance(each, Unchecked) for each in found.values())
    return (
        ""
        if not count
        else " The LMS could not be asked about it."
        if count == 1
        else (f" The LMS could not be asked about {count:,} of them.")
    )
