"""Claims on people: no two calls at once create the same person, under whichever names two rows have them.

Nor do two calls at once carry one person in the same kind of write: their id at the LMS is claimed for it.

A candidate is one record by its candidate_id, external id or address. Two records may be one person at the LMS: of
one address with two external ids, or of one login name with two addresses. So a batch claims all that a person is
found by while it creates them. A dead batch's claims are free; that of a creation in doubt says so to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, exists, insert, select, update

from worker.ledger.candidates import hash_identifier
from worker.ledger.chunks import chunks
from worker.ledger.database import take_lock
from worker.ledger.schema import batch, candidate, person_claim
from worker.ledger.transactions import Write
from worker.model import CandidateState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedPeople:
    """The candidates whose people a batch has claimed now; it tries again later to claim the others."""

    candidate_ids: frozenset[int]
    #: Those of them who may be on their way to the LMS in another call, whose answer was lost.
    in_doubt: frozenset[int]


def claim_people(
    tx: Transaction, claim: Claim, connection: str, wanted: Mapping[int, Iterable[str]]
) -> ClaimedPeople:
    """Claim, for each candidate, all that they are found by, or nothing; `wanted` has texts by candidate."""
    take_lock(tx, f"person_claims:{connection}")
    keys = {
        each: sorted({hash_identifier("claim", text) or "" for text in texts}) for each, texts in wanted.items()
    }
    held = _held(tx, connection, sorted({key for mine in keys.values() for key in mine}))
    claimed: set[int] = set()
    in_doubt: set[int] = set()
    for candidate_id, mine in keys.items():
        others = [held[key] for key in mine if key in held and held[key].candidate_id != candidate_id]
        if any(other.is_claimed for other in others):
            continue
        claimed.add(candidate_id)
        in_doubt |= {candidate_id} if any(other.is_in_doubt for other in others) else set()
        held |= {key: _Held(candidate_id=candidate_id, claimed_by=claim.token, is_in_doubt=False) for key in mine}
    _save(tx, claim, connection, {key: each for each in claimed for key in keys[each]})
    return ClaimedPeople(candidate_ids=frozenset(claimed), in_doubt=frozenset(in_doubt))


def claim_for_write(
    tx: Transaction, claim: Claim, connection: str, kind: str, people: Mapping[int, str]
) -> frozenset[int]:
    """Claim people for one kind of write, all or none; return the candidates for whom another call holds some.

    `people` has the LMS's ids by candidate. Two records may be one person at the LMS.
    """
    take_lock(tx, f"person_claims:{connection}")
    owners = {hash_identifier("claim", f"{kind} {lms_id}") or "": each for each, lms_id in people.items()}
    held = _held(tx, connection, sorted(owners)).values()
    others = [
        each
        for each in held
        if each.is_claimed and not (each.claimed_by == claim.token and each.candidate_id in people)
    ]
    if not others:
        _save(tx, claim, connection, owners)
    return frozenset(each.candidate_id for each in others)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    candidate_id: int
    claimed_by: str | None
    is_in_doubt: bool

    @property
    def is_claimed(self) -> bool:
        return self.claimed_by is not None


def _held(tx: Transaction, connection: str, keys: Sequence[str]) -> dict[str, _Held]:
    found = {}
    for chunk in chunks(keys):
        query = (
            select(person_claim.c.key, person_claim.c.candidate_id, person_claim.c.claimed_by, candidate.c.state)
            .outerjoin(candidate, candidate.c.id == person_claim.c.candidate_id)
            .where(person_claim.c.connection == connection, person_claim.c.key.in_(chunk))
        )
        for record in tx.execute(query):
            found[record.key] = _Held(
                candidate_id=record.candidate_id,
                claimed_by=record.claimed_by,
                is_in_doubt=record.state == CandidateState.IN_DOUBT,
            )
    running = _running(tx, {each.claimed_by for each in found.values() if each.claimed_by})
    return {
        key: each if each.claimed_by in running else replace(each, claimed_by=None) for key, each in found.items()
    }


def _running(tx: Transaction, tokens: Iterable[str]) -> frozenset[str]:
    """Return those of these claims whose batch has not been released, or taken over, since."""
    epochs = dict(token.split(":") for token in tokens)
    query = select(batch.c.id, batch.c.epoch).where(
        batch.c.id.in_([int(each) for each in epochs]), batch.c.owner.is_not(None)
    )
    return frozenset(f"{record.id}:{record.epoch}" for record in tx.execute(query)) if epochs else frozenset()


def _save(tx: Transaction, claim: Claim, connection: str, owners: Mapping[str, int]) -> None:
    for chunk in chunks(sorted(owners)):
        mine = person_claim.c.key.in_(chunk)
        tx.execute(delete(person_claim).where(person_claim.c.connection == connection, mine))
        tx.execute(
            insert(person_claim),
            [
                {"connection": connection, "key": key, "candidate_id": owners[key], "claimed_by": claim.token}
                for key in chunk
            ],
        )


_RELEASE = delete(person_claim).where(
    person_claim.c.claimed_by == bindparam("b_token"), person_claim.c.candidate_id == bindparam("b_candidate")
)


def people_released(claim: Claim, candidate_ids: Iterable[int]) -> tuple[Write, ...]:
    """Release the claims on candidates who were created or refused, or whom a call has carried."""
    return tuple(
        Write(_RELEASE, {"b_token": claim.token, "b_candidate": each}, order=(each,))
        for each in sorted(candidate_ids)
    )


_MINE = person_claim.c.claimed_by == bindparam("b_token")
_IN_DOUBT = exists().where(
    candidate.c.id == person_claim.c.candidate_id, candidate.c.state == CandidateState.IN_DOUBT
)
#: Of a batch that ends, or whose process died: a creation in doubt leaves its claims without an owner.
RELEASE_ALL = (
    delete(person_claim).where(_MINE, ~_IN_DOUBT),
    update(person_claim).where(_MINE).values(claimed_by=None),
)
