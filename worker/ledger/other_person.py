"""Recognize a row whose identifiers find a record, but whose names and address are another person's.

The rows that named the record before are compared: those of the same roster, and those of earlier jobs, as long as
they are not purged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import select

from worker.identity import Traits, is_other_first_name, is_other_person, traits_of
from worker.ledger.chunks import chunks
from worker.ledger.schema import row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msgspec.json import Decoder

    from worker.identity import Named
    from worker.ledger.database import Transaction


@dataclass(slots=True)
class _Candidate:
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None


@dataclass(slots=True)
class _Row:
    candidate: _Candidate


@cache
def _decoder() -> Decoder[_Row]:
    """Return the reader of `parsed`, loaded on first use: commands that import nobody save 20 ms."""
    from msgspec.json import Decoder  # noqa: PLC0415

    return Decoder(_Row)


@dataclass(frozen=True, slots=True)
class Mention:
    """A row that names a person; of an earlier job, if `job_id` is given."""

    person: Named
    row: int
    job_id: int | None = None

    @property
    def traits(self) -> Traits:
        """Return what of the person is compared."""
        return traits_of(self.person)


@dataclass(slots=True)
class Mentions:
    """The rows that named one record before."""

    in_roster: list[Mention] = field(default_factory=list)
    earlier: list[Mention] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OtherPerson:
    """Why a row is another person than the record that `column` finds: the row that named it."""

    column: str
    named_by: Mention

    @property
    def message(self) -> str:
        """Return the problem as a sentence."""
        earlier = self.named_by
        where = f"row {earlier.row}" if earlier.job_id is None else f"row {earlier.row} of job {earlier.job_id}"
        if self.column == "email":
            return (
                f"This e-mail address is also in {where}, with another first name; two people at one address need "
                "an external_id each"
            )
        return (
            f"This {self.column} is also in {where}, where the names and the e-mail address are other ones; "
            f"correct the {self.column}, or the names and the address if this is the same person"
        )


def other_person(mention: Mention, mentions: Mentions, column: str) -> OtherPerson | None:
    """Return why a row names another person than the rows before it; None when it does not, or they do not say.

    `column` is the one that they share. One that shares only the e-mail address is compared within its roster, by
    the first name.
    """
    if column == "email":
        named, is_other = mentions.in_roster, is_other_first_name
    else:
        named, is_other = [*mentions.in_roster, *mentions.earlier], is_other_person
    if not named:
        return None
    ours = mention.traits
    others = [each for each in named if is_other(ours, each.traits)]
    return OtherPerson(column, others[0]) if len(others) == len(named) else None


def mentions_in_roster(tx: Transaction, job_id: int, candidate_ids: Sequence[int]) -> Iterator[tuple[int, Mention]]:
    """Yield the rows of a job that name one of these candidates, with the candidate's id."""
    for chunk in chunks(candidate_ids):
        named = select(row.c.candidate_id, row.c.row, row.c.parsed).where(
            row.c.job_id == job_id, row.c.candidate_id.in_(chunk), row.c.parsed.is_not(None)
        )
        for record in tx.execute(named.order_by(row.c.row)):
            yield record.candidate_id, Mention(_person(record.parsed), record.row)


def earlier_mentions(tx: Transaction, job_id: int, candidate_ids: Sequence[int]) -> Iterator[tuple[int, Mention]]:
    """Yield the rows of other jobs that name one of these candidates, the newest first."""
    for chunk in chunks(candidate_ids):
        named = select(row.c.candidate_id, row.c.row, row.c.job_id, row.c.parsed).where(
            row.c.job_id != job_id, row.c.candidate_id.in_(chunk), row.c.parsed.is_not(None)
        )
        for record in tx.execute(named.order_by(row.c.id.desc())):
            person = _person(record.parsed)
            yield record.candidate_id, Mention(person, record.row, record.job_id)


def _person(parsed: str) -> _Candidate:
    return _decoder().decode(parsed).candidate


def with_known_rows(tx: Transaction, candidate_ids: Sequence[int]) -> set[int]:
    """Return which of these candidates have a row that still says who they are."""
    return {
        candidate_id
        for chunk in chunks(candidate_ids)
        for candidate_id in tx.execute(
            select(row.c.candidate_id).distinct().where(row.c.candidate_id.in_(chunk), row.c.parsed.is_not(None))
        ).scalars()
    }
