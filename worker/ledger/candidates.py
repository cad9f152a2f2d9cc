"""Candidates and registrations: one record per connection, found again by any of their identifiers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from worker.ledger.database import custom_plans
from worker.ledger.schema import candidate, registration
from worker.model import CandidateState, RegistrationState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column

    from worker.ledger.database import Transaction
    from worker.model import Candidate


def hash_identifier(kind: str, value: str | None) -> str | None:
    """Return the hash of one identifier; None for none.

    `kind` is `id`, `ext`, `mail` or `login`; of a registration's external id, `registration`.
    """
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest() if value else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A candidate's identifiers, hashed: the LMS's id, the external id, the e-mail address."""

    by_id: str | None
    by_external: str | None
    by_email: str | None

    @property
    def key(self) -> str:
        """Return the first that there is: candidate_id, else external_id, else email."""
        key = self.by_id or self.by_external or self.by_email
        if key is None:
            raise ValueError("a candidate without any identifier")
        return key


def identify(candidate: Candidate) -> Identity:
    """Return a candidate's identity; e-mail addresses are trimmed and case-folded."""
    email = candidate.email.strip().casefold() if candidate.email else None
    return Identity(
        hash_identifier("id", candidate.candidate_id),
        hash_identifier("ext", candidate.external_id),
        hash_identifier("mail", email),
    )


#: States that end once a roster gives the LMS's id: a person has looked the candidate up there.
_KNOWN_BY_ID = frozenset({CandidateState.NEW, CandidateState.IN_DOUBT})
#: Values in one statement; SQLite allows 32,766.
CHUNK = 5_000


@dataclass(slots=True)
class KnownCandidate:
    """A candidate as the ledger has it, while a roster is imported."""

    id: int | None
    identity: Identity
    state: CandidateState
    lms_id: str | None
    changed: bool = False


@dataclass(slots=True)
class CandidateIndex:
    """Finds the candidate that a row names, among those of the ledger and those of the same roster.

    Two are the same when candidate_id, else external_id, else email is the same. One that has a different
    candidate_id or external_id is another person, even with the same e-mail address.
    """

    connection: str
    by_id: dict[str, KnownCandidate] = field(default_factory=dict)
    by_external: dict[str, KnownCandidate] = field(default_factory=dict)
    by_email: dict[str, list[KnownCandidate]] = field(default_factory=dict)
    new: list[KnownCandidate] = field(default_factory=list)
    _loaded_ids: set[int] = field(default_factory=set)

    def load(self, tx: Transaction, identities: Sequence[Identity]) -> None:
        """Load the candidates of the ledger that one of `identities` could be."""
        with custom_plans(tx):
            self._load(tx, candidate.c.id_key, {who.by_id for who in identities})
            self._load(tx, candidate.c.external_key, {who.by_external for who in identities})
            self._load(tx, candidate.c.email_key, {who.by_email for who in identities})

    def _load(self, tx: Transaction, column: Column[Any], keys: set[str | None]) -> None:
        """Load the candidates with one of `keys`; by one column at a time, since each has its index."""
        for chunk in chunks(sorted(key for key in keys if key)):
            of_these = select(candidate).where(candidate.c.connection == self.connection, column.in_(chunk))
            for record in tx.execute(of_these):
                if record.id not in self._loaded_ids:
                    self._loaded_ids.add(record.id)
                    who = Identity(record.id_key, record.external_key, record.email_key)
                    self._index(KnownCandidate(record.id, who, CandidateState(record.state), record.lms_id))

    def find(self, who: Identity, candidate_id: str | None) -> KnownCandidate | None:
        """Return the candidate that `who` is, a new one if there is none; None when it could be several people."""
        found = self._match(who)
        if found == []:
            state = CandidateState.KNOWN if candidate_id else CandidateState.NEW
            known = KnownCandidate(None, who, state, candidate_id)
            self.new.append(known)
            self._index(known)
            return known
        if len(found) > 1:
            return None
        return self._merge(found[0], who, candidate_id)

    def save(self, tx: Transaction) -> None:
        """Save the new candidates, and new identifiers of the others."""
        for chunk in chunks(self.new):
            records = tx.execute(
                insert(candidate).returning(candidate.c.key, candidate.c.id),
                [
                    {**_as_record(known), "connection": self.connection, "key": known.identity.key}
                    for known in chunk
                ],
            )
            ids: dict[str, int] = {record.key: record.id for record in records}
            self._loaded_ids.update(ids.values())
            for known in chunk:
                known.id = ids[known.identity.key]
        for known in [known for known in self._all() if known.changed and known not in self.new]:
            _save_identifiers(tx, known)
            known.changed = False
        self.new = []

    def _match(self, who: Identity) -> list[KnownCandidate]:
        if who.by_id and who.by_id in self.by_id:
            return [self.by_id[who.by_id]]
        if who.by_external and who.by_external in self.by_external:
            found = self.by_external[who.by_external]
            return [found] if _agree(found.identity.by_id, who.by_id) else []
        return [known for known in self.by_email.get(who.by_email or "", []) if _compatible(known.identity, who)]

    def _merge(self, known: KnownCandidate, who: Identity, candidate_id: str | None) -> KnownCandidate:
        old = known.identity
        merged = Identity(old.by_id or who.by_id, old.by_external or who.by_external, old.by_email or who.by_email)
        if merged != old:
            known.identity, known.changed = merged, True
            self._index(known)
        if candidate_id and known.lms_id is None and known.state in _KNOWN_BY_ID:
            known.lms_id, known.state, known.changed = candidate_id, CandidateState.KNOWN, True
        return known

    def _index(self, known: KnownCandidate) -> None:
        who = known.identity
        if who.by_id:
            self.by_id.setdefault(who.by_id, known)
        if who.by_external:
            self.by_external.setdefault(who.by_external, known)
        if who.by_email and known not in self.by_email.setdefault(who.by_email, []):
            self.by_email[who.by_email].append(known)

    def _all(self) -> Iterator[KnownCandidate]:
        yield from self.by_id.values()
        yield from (known for known in self.by_external.values() if not known.identity.by_id)
        for together in self.by_email.values():
            yield from (known for known in together if not known.identity.by_id and not known.identity.by_external)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _compatible(known: Identity, who: Identity) -> bool:
    return _agree(known.by_id, who.by_id) and _agree(known.by_external, who.by_external)


def _as_record(known: KnownCandidate) -> dict[str, Any]:
    who = known.identity
    return {
        "id_key": who.by_id,
        "external_key": who.by_external,
        "email_key": who.by_email,
        "state": known.state,
        "lms_id": known.lms_id,
    }


def _save_identifiers(tx: Transaction, known: KnownCandidate) -> None:
    """Save identifiers that a roster gives for an existing candidate, without overwriting any."""
    who, mine = known.identity, candidate.c.id == known.id
    identifiers = {"id_key": who.by_id, "external_key": who.by_external, "email_key": who.by_email}
    values = {name: func.coalesce(candidate.c[name], key) for name, key in identifiers.items() if key}
    tx.execute(update(candidate).where(mine).values(**values))
    if known.lms_id and known.state is CandidateState.KNOWN:
        unsettled = candidate.c.state.in_(_KNOWN_BY_ID)
        unclaimed = (candidate.c.lms_id.is_(None), candidate.c.claimed_by.is_(None))
        tx.execute(
            update(candidate)
            .where(mine, unsettled, *unclaimed)
            .values(state=CandidateState.KNOWN, lms_id=known.lms_id)
        )


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """Yield `values` in chunks that fit into one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegistration:
    """A registration as the ledger has it, while a roster is imported."""

    id: int
    state: RegistrationState
    lms_id: str | None


def find_or_create_registrations(
    tx: Transaction, connection: str, wanted: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], KnownRegistration]:
    """Return the record of each (candidate, course key) in `wanted`, created where there is none."""
    found: dict[tuple[int, str], KnownRegistration] = {}
    for chunk in chunks(sorted({candidate_id for candidate_id, _ in wanted})):
        for record in tx.execute(select(registration).where(registration.c.candidate_id.in_(chunk))):
            found[record.candidate_id, record.course_key] = KnownRegistration(
                id=record.id, state=RegistrationState(record.state), lms_id=record.lms_id
            )
    missing = [pair for pair in dict.fromkeys(wanted) if pair not in found]
    for chunk in chunks(missing):
        new = [
            {"connection": connection, "candidate_id": who, "course_key": course, "state": RegistrationState.NEW}
            for who, course in chunk
        ]
        made = insert(registration).returning(
            registration.c.candidate_id, registration.c.course_key, registration.c.id
        )
        for who, course, record_id in tx.execute(made, new):
            found[who, course] = KnownRegistration(id=record_id, state=RegistrationState.NEW, lms_id=None)
    return found


def reopen_registrations(tx: Transaction, registration_ids: Sequence[int]) -> None:
    """Make these registrations `new` again, so that they are sent under the next number of their series."""
    for chunk in chunks(registration_ids):
        tx.execute(
            update(registration)
            .where(registration.c.id.in_(chunk))
            .values(state=RegistrationState.NEW, series=registration.c.series + 1)
        )


def id_key_of(lms_id: str) -> str | None:
    """Return the hash under which a candidate is found by the id that the LMS gave."""
    return hash_identifier("id", lms_id)
