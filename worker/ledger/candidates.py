"""Candidates and registrations: one record per connection, found again by any of their identifiers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from worker.identity import email_key, former_email_key
from worker.ledger.chunks import chunks
from worker.ledger.database import custom_plans
from worker.ledger.other_person import (
    Mention,
    Mentions,
    OtherPerson,
    earlier_mentions,
    mentions_in_roster,
    other_person,
    with_known_rows,
)
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
    #: How ledgers before migration 0010 have the external id and the address, where that differs.
    former_external: str | None = field(default=None, compare=False)
    former_email: str | None = field(default=None, compare=False)
    #: Whether no other address has had that former key, so that it is this person's for certain.
    is_former_email_certain: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """Return the first that there is: candidate_id, else external_id, else email."""
        key = self.by_id or self.by_external or self.by_email
        if key is None:
            raise ValueError("a candidate without any identifier")
        return key


def identify(candidate: Candidate) -> Identity:
    """Return a candidate's identity; e-mail addresses as `email_key` compares them."""
    email = candidate.email
    key = hash_identifier("mail", email_key(email)) if email else None
    identity = Identity(
        hash_identifier("id", candidate.candidate_id), hash_identifier("ext", candidate.external_id), key
    )
    if not candidate.former and (email is None or email.isascii()):
        return identity
    written = candidate.former.get("email", email)
    folded = former_email_key(written) if written else None
    former = hash_identifier("mail", folded)
    return replace(
        identity,
        former_external=hash_identifier("ext", candidate.former.get("external_id")),
        former_email=former if former != key else None,
        is_former_email_certain=written is not None and folded == written.strip().lower(),
    )


#: States that end once a roster gives the LMS's id: a person has looked the candidate up there.
_KNOWN_BY_ID = frozenset({CandidateState.NEW, CandidateState.IN_DOUBT})


@dataclass(slots=True)
class KnownCandidate:
    """A candidate as the ledger has it, while a roster is imported."""

    id: int | None
    identity: Identity
    state: CandidateState
    lms_id: str | None
    changed: bool = False
    #: Whether it was found by a former key, so that its keys are replaced.
    rekeyed: bool = False
    mentions: Mentions = field(default_factory=Mentions, compare=False)


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
    _loaded: dict[int, KnownCandidate] = field(default_factory=dict)
    #: Candidates with a former key of which no row says any more whose it is.
    _unclear: set[int] = field(default_factory=set)

    def load(self, tx: Transaction, identities: Sequence[Identity]) -> None:
        """Load the candidates of the ledger that one of `identities` could be."""
        with custom_plans(tx):
            self._load(tx, candidate.c.id_key, {who.by_id for who in identities})
            self._load(tx, candidate.c.external_key, {who.by_external for who in identities})
            self._load(tx, candidate.c.external_key, {who.former_external for who in identities})
            self._load(tx, candidate.c.email_key, {who.by_email for who in identities})
            self._load_former(tx, {who.former_email for who in identities} - {None})

    def _load_former(self, tx: Transaction, keys: set[str | None]) -> None:
        if keys:
            self._load(tx, candidate.c.email_key, keys)
            held = [known.id for key in keys for known in self.by_email.get(key or "", []) if known.id is not None]
            self._unclear |= set(held) - with_known_rows(tx, held)

    def load_mentions(self, tx: Transaction, job_id: int, people: Sequence[tuple[Identity, Mention]]) -> None:
        """Load the rows that named the loaded candidates before, as far as `people` must be compared with them."""
        with custom_plans(tx):
            for known_id, mention in mentions_in_roster(tx, job_id, list(self._loaded)):
                self._loaded[known_id].mentions.in_roster.append(mention)
            for known_id, mention in earlier_mentions(tx, job_id, sorted(self._to_compare(people))):
                self._loaded[known_id].mentions.earlier.append(mention)

    def _to_compare(self, people: Sequence[tuple[Identity, Mention]]) -> set[int]:
        """Return the candidates that a row finds by an id, while its address is another one or not known."""
        found: set[int] = set()
        for who, mention in people:
            for known in self._matches(who) if mention.person.first_name or mention.person.last_name else ():
                if known.id is not None and not _same_email(known.identity, who):
                    found.add(known.id)
        return found

    def _load(self, tx: Transaction, column: Column[Any], keys: set[str | None]) -> None:
        """Load the candidates with one of `keys`; by one column at a time, since each has its index."""
        for chunk in chunks(sorted(key for key in keys if key)):
            of_these = select(candidate).where(candidate.c.connection == self.connection, column.in_(chunk))
            for record in tx.execute(of_these):
                if record.id not in self._loaded:
                    who = Identity(record.id_key, record.external_key, record.email_key)
                    known = KnownCandidate(record.id, who, CandidateState(record.state), record.lms_id)
                    self._loaded[record.id] = known
                    self._index(known)

    def find(self, who: Identity, candidate_id: str | None) -> KnownCandidate | None:
        """Return the candidate that `who` is, a new one if there is none; None when it could be several people."""
        found = self._matches(who)
        if found == []:
            state = CandidateState.KNOWN if candidate_id else CandidateState.NEW
            known = KnownCandidate(None, who, state, candidate_id)
            self.new.append(known)
            self._index(known)
            return known
        if len(found) > 1 or self._is_unclear(found[0], who):
            return None
        return self._merge(found[0], who, candidate_id)

    def other_person(self, who: Identity, mention: Mention) -> OtherPerson | None:
        """Return why the row is another person than the candidate that it finds; None when it is not."""
        found = self._matches(who)
        if len(found) != 1:
            return None
        (known,) = found
        by_id = who.by_id is not None and who.by_id == known.identity.by_id
        by_external = who.by_external is not None and known.identity.by_external in {
            who.by_external,
            who.former_external,
        }
        if (by_id or by_external) and _same_email(known.identity, who):
            return None
        column = "candidate_id" if by_id else "external_id" if by_external else "email"
        return other_person(mention, known.mentions, column)

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
            for known in chunk:
                known.id = ids[known.identity.key]
                self._loaded[known.id] = known
        for known in [known for known in self._all() if known.changed and known not in self.new]:
            _save_identifiers(tx, known)
            known.changed = False
        self.new = []

    def _matches(self, who: Identity) -> list[KnownCandidate]:
        """Return the candidates that `who` could be, else those known by a former key of theirs."""
        return self._match(who) or self._match_former(who)

    def _match_former(self, who: Identity) -> list[KnownCandidate]:
        if who.former_external and (known := self.by_external.get(who.former_external)):
            return [known] if _agree(known.identity.by_id, who.by_id) else []
        same_key = self.by_email.get(who.former_email or "", [])
        return [
            known
            for known in same_key
            if _compatible(known.identity, who) and (who.is_former_email_certain or self._is_unclear(known, who))
        ]

    def _is_unclear(self, known: KnownCandidate, who: Identity) -> bool:
        """Return whether a candidate has the address of `who`, or another one that was folded to the same key.

        A row that gives an id as well says that it means that person.
        """
        is_former = who.former_email is not None and known.identity.by_email == who.former_email
        only_email = not (who.by_id or who.by_external or who.is_former_email_certain)
        return is_former and only_email and known.id in self._unclear

    def _match(self, who: Identity) -> list[KnownCandidate]:
        if who.by_id and who.by_id in self.by_id:
            return [self.by_id[who.by_id]]
        if who.by_external and who.by_external in self.by_external:
            found = self.by_external[who.by_external]
            return [found] if _agree(found.identity.by_id, who.by_id) else []
        return [known for known in self.by_email.get(who.by_email or "", []) if _compatible(known.identity, who)]

    def _merge(self, known: KnownCandidate, who: Identity, candidate_id: str | None) -> KnownCandidate:
        old = known.identity
        merged = Identity(
            old.by_id or who.by_id,
            who.by_external if old.by_external in {None, who.former_external} else old.by_external,
            who.by_email if old.by_email in {None, who.former_email} else old.by_email,
        )
        known.rekeyed |= not (_agree(old.by_external, merged.by_external) and _agree(old.by_email, merged.by_email))
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


def _same_email(known: Identity, who: Identity) -> bool:
    return known.by_email is not None and known.by_email in {who.by_email, who.former_email}


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
    """Save identifiers that a roster gives for an existing candidate, without overwriting any but former keys."""
    who, mine = known.identity, candidate.c.id == known.id
    identifiers = {"id_key": who.by_id, "external_key": who.by_external, "email_key": who.by_email}
    values: dict[str, Any] = {
        name: func.coalesce(candidate.c[name], key) for name, key in identifiers.items() if key
    }
    if known.rekeyed:
        # Another person may have an address that was folded to the same key: it is free for them now.
        values |= {name: key for name, key in identifiers.items() if key and name != "id_key"}
        values["key"] = hash_identifier("record", str(known.id))
    tx.execute(update(candidate).where(mine).values(**values))
    if known.lms_id and known.state is CandidateState.KNOWN:
        unsettled = candidate.c.state.in_(_KNOWN_BY_ID)
        unclaimed = (candidate.c.lms_id.is_(None), candidate.c.claimed_by.is_(None))
        tx.execute(
            update(candidate)
            .where(mine, unsettled, *unclaimed)
            .values(state=CandidateState.KNOWN, lms_id=known.lms_id)
        )


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


def id_key_of(lms_id: str) -> str | None:
    """Return the hash under which a candidate is found by the id that the LMS gave."""
    return hash_identifier("id", lms_id)
