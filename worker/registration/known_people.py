"""Compare rows with what is known of their people: bring some up to date, and say what was left as it is.

Without `--update-existing` nobody's data changes, save that of a person whom an earlier job of this ledger created
and nobody has registered yet: a correction of their row must arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.identity import email_key, traits_of
from worker.ledger import known_data
from worker.ledger.candidates import hash_identifier
from worker.model import Action
from worker.registration.update_existing import update_people

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.ledger.known_data import KnownData, ListedPerson
    from worker.model import Candidate
    from worker.registration.context import JobContext

#: The values of a candidate that can differ, with what a person calls them.
_COMPARED = {
    "email": "e-mail address",
    "first_name": "first name",
    "last_name": "last name",
    "login_name": "login name",
    "date_of_birth": "date of birth",
    "address": "address",
    "address2": "second address line",
    "city": "city",
    "state": "state",
    "zip": "postcode",
    "country": "country",
    "expiration_date": "account expiry date",
}


async def compare_known_people(
    context: JobContext, claim: Claim, ready: Sequence[tuple[WorkItem, str]]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Update or note what differs; return the rows to register, and the error that blocks others."""
    before = [pair for pair in ready if pair[0].candidate.id not in context.created]
    if not before:
        return list(ready), None
    ids = [work.candidate.id for work, _ in before]
    known = await context.ledger.query(lambda tx: known_data.known_data(tx, ids))
    stale, notes = [], {}
    for pair in before:
        work, data = pair[0], known.get(pair[0].candidate.id)
        if data is None:
            continue
        if _is_to_be_updated(context, claim, data):
            stale.append(pair)
        elif note := difference_note(work.row.candidate, data):
            notes[work.row_id] = note
    if notes:
        await context.ledger.run(lambda tx: known_data.add_notes(tx, notes))
    if not stale:
        return list(ready), None
    updated, error = await update_people(context, claim, stale)
    done = {work.row_id for work, _ in updated}
    waiting = {work.row_id for work, _ in stale} - done
    return [pair for pair in ready if pair[0].row_id not in waiting], error


def _is_to_be_updated(context: JobContext, claim: Claim, data: KnownData) -> bool:
    """Return whether an earlier job created the person, nobody registered them, and the LMS can be corrected."""
    ours = data.created_by is not None and data.created_by != claim.job_id
    return ours and not data.is_registered and Action.UPDATE in context.connector.rules.actions


def difference_note(ours: Candidate, known: KnownData) -> str:
    """Return a sentence when a row differs from what is known of its person; an empty cell differs from nothing."""
    if known.listed is not None:
        differing = list(_from_list(ours, known.listed))
        said = "When this person was last read, the LMS had another {}; it was not changed."
    else:
        differing = list(_from_created(ours, known.created)) if known.created is not None else []
        said = "Roster created this person with another {}; it was not changed in the LMS."
    values = " and ".join(filter(None, (", ".join(differing[:-1]), *differing[-1:])))
    return said.format(values) if differing else ""


def _from_created(ours: Candidate, created: Candidate) -> Iterator[str]:
    for name, label in _COMPARED.items():
        wanted, have = getattr(ours, name), getattr(created, name)
        if wanted is None:
            continue
        same = email_key(wanted) == email_key(have or "") if name == "email" else wanted == have
        if not same:
            yield label
    if any(dict(created.fields).get(field) != value for field, value in dict(ours.fields).items()):
        yield "custom field"


def _from_list(ours: Candidate, listed: ListedPerson) -> Iterator[str]:
    marked, theirs = traits_of(ours).marked(listed.lms_id), listed.traits
    if ours.email and theirs.email and hash_identifier("mail", email_key(ours.email)) != theirs.email:
        yield _COMPARED["email"]
    for name in ("first_name", "last_name"):
        wanted, have = getattr(marked, name), getattr(theirs, name)
        if wanted and have and wanted != have:
            yield _COMPARED[name]
    if ours.login_name and listed.login_key and hash_identifier("login", ours.login_name) != listed.login_key:
        yield _COMPARED["login_name"]
