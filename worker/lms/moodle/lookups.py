"""Find out who of many candidates exists: by user name, address and ID number, hundreds in a call.

An account that lacks a capability gets an empty list, not an error. So each call asks for a user who exists as
well, and what it does not find is believed only when that one is found.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from worker.errors import AnswerLost, Refused
from worker.identity import is_other_person, traits_of
from worker.lms.contract import OTHER_PERSON, FoundPerson, LookupMiss, PersonLookup
from worker.lms.moodle.site import is_deleted, not_found
from worker.lms.moodle.values import is_user_name, spellings, user_name_of
from worker.lms.moodle.wire import CONTROL_FIELDS
from worker.lms.responses import as_id, field_of
from worker.model import Candidate, Person

if TYPE_CHECKING:
    from worker.lms.moodle.site import Site

#: Fewer are not asked for at a time, however impatient a gateway is.
MIN_VALUES = 25


@dataclass(slots=True)
class Found:
    """The users that look-ups found, by what they were looked up by."""

    by_user_name: dict[str, FoundPerson] = field(default_factory=dict)
    by_email: dict[str, list[FoundPerson]] = field(default_factory=dict)
    by_id_number: dict[str, list[FoundPerson]] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add users as the site shows them."""
        for row in rows:
            found = as_found(row)
            if found is None or found.person.candidate_id in self._ids:
                continue
            self._ids.add(found.person.candidate_id)
            who = found.person
            if who.login_name:
                self.by_user_name.setdefault(who.login_name.lower(), found)
            if who.email:
                self.by_email.setdefault(who.email.lower(), []).append(found)
            if who.external_id:
                self.by_id_number.setdefault(who.external_id.casefold(), []).append(found)


def as_found(row: Mapping[str, Any]) -> FoundPerson | None:
    """Return a user as the site shows them; None for one who was deleted, or without an ID."""
    user_id = as_id(row.get("id"))
    if user_id is None or is_deleted(row):
        return None
    # Moodle 4.3 shows the parts of a name only with moodle/site:viewfullnames; the whole has them both.
    whole = str(row.get("fullname") or "") or None
    person = Person(
        candidate_id=user_id,
        external_id=str(row["idnumber"]) if row.get("idnumber") else None,
        email=str(row["email"]) if row.get("email") else None,
        login_name=str(row["username"]) if row.get("username") else None,
        first_name=str(row.get("firstname") or "") or whole,
        last_name=str(row.get("lastname") or "") or whole,
    )
    return FoundPerson(person=person, is_suspended=row.get("suspended") is True)


def without_whole_name(result: PersonLookup) -> PersonLookup:
    """Return a match without names where the site shows only the whole one: its parts are not known."""
    if not isinstance(result, FoundPerson) or result.person.first_name != result.person.last_name:
        return result
    return replace(result, person=replace(result.person, first_name=None, last_name=None))


async def look_up(
    site: Site, candidates: Sequence[Candidate], known: Sequence[str], *, thoroughly: bool = False
) -> list[PersonLookup]:
    """Return for each candidate whom the site has, in order.

    `thoroughly`: by the address in the usual mixtures of capitals too, which takes ten times as many values.
    """
    found = Found()
    await site.known(known)
    wanted = {name: values for name, values in _values_of(candidates).items() if values}
    if thoroughly and "email" in wanted:
        wanted["email"] |= {each for who in candidates for each in spellings(who)}
    await asyncio.gather(*(_read(site, name, values, found) for name, values in wanted.items()))
    results = [without_whole_name(match(candidate, found)) for candidate in candidates]
    return _without_repeated(candidates, results)


def _values_of(candidates: Sequence[Candidate]) -> dict[str, set[str]]:
    """Return what to look up by: an ill-formed name fails the whole call.

    PostgreSQL compares an address or an ID number exactly, so that each is asked for in other letter cases too.
    """
    names = {name for who in candidates if (name := user_name_of(who)) and is_user_name(name)}
    addresses = {who.email.strip() for who in candidates if who.email and who.email.isascii()}
    numbers = {who.external_id for who in candidates if who.external_id}
    return {
        "idnumber": numbers | {case(number) for number in numbers for case in (str.lower, str.upper)},
        "email": addresses | {address.lower() for address in addresses},
        "username": names,
    }


async def _read(site: Site, name: str, values: Iterable[str], found: Found) -> None:
    proof = await site.known()
    shown = proof.value_of(name)
    waiting = sorted(values, key=str.casefold)
    # Of a value in several letter cases the site has one: the others make its answer no longer.
    cases = math.ceil(len(waiting) / len({value.casefold() for value in waiting}))
    while waiting:
        size = min(site.values_per_lookup * cases, site.api.most_items(1, besides=2))
        wanted = waiting[:size]
        asked = wanted if shown is None or shown in wanted else [*wanted, shown]
        try:
            rows = await site.by_field(name, asked)
        except AnswerLost:
            # A gateway may be too impatient for that many; a read may be repeated.
            if len(wanted) <= MIN_VALUES:
                raise
            site.values_per_lookup = max(MIN_VALUES, len(wanted) // cases // 2)
            continue
        if shown is not None and all(as_id(row.get("id")) != proof.user_id for row in rows):
            # The limit may have been lowered since it was measured; then it is measured again.
            if await site.arrives(CONTROL_FIELDS + 1 + len(asked)) or site.api.most_items(1, besides=2) >= size:
                raise not_found(name, proof)
            continue
        found.add(rows)
        waiting = waiting[size:]


def match(candidate: Candidate, found: Found) -> PersonLookup:
    """Return whom a candidate is, of the users that were found: all that it names must be the same one."""
    by_number = _with_id_number(candidate.external_id or "", found)
    by_email = found.by_email.get((candidate.email or "").strip().lower(), [])
    by_name = found.by_user_name.get((user_name_of(candidate) or "").lower())
    if len(by_number) > 1:
        return _several("ID number", by_number)
    if by_number:
        return _by_number(candidate, by_number[0], by_email, by_name)
    if len(by_email) > 1 and candidate.login_name and by_name in by_email:
        by_email = [each for each in by_email if each is by_name]
    if len(by_email) > 1:
        return _several("e-mail address", by_email)
    if by_email:
        return _by_email(candidate, by_email[0], by_name)
    return LookupMiss.ABSENT if by_name is None else _by_user_name(candidate, by_name)


def _with_id_number(wanted: str, found: Found) -> list[FoundPerson]:
    """Return the users with an ID number: those who have exactly it, else those in another letter case."""
    alike = found.by_id_number.get(wanted.casefold(), [])
    return [each for each in alike if each.person.external_id == wanted] or alike


def _is_another_number(candidate: Candidate, theirs: Person) -> bool:
    ours, known = candidate.external_id or "", theirs.external_id or ""
    return bool(ours and known) and ours.casefold() != known.casefold()


def _by_number(
    candidate: Candidate, who: FoundPerson, by_email: Sequence[FoundPerson], by_name: FoundPerson | None
) -> PersonLookup:
    others = {each.person.candidate_id: "e-mail address" for each in by_email}
    if who.person.candidate_id in others:
        others = {}
    if candidate.login_name and by_name is not None and by_name.person.candidate_id != who.person.candidate_id:
        others[by_name.person.candidate_id] = "login name"
    if others:
        return _different({who.person.candidate_id: "ID number"} | others)
    if is_other_person(traits_of(candidate), traits_of(who.person)):
        return Refused("other_person", None, OTHER_PERSON)
    return who


def _by_email(candidate: Candidate, who: FoundPerson, by_name: FoundPerson | None) -> PersonLookup:
    theirs = who.person
    if candidate.login_name and by_name is not None and by_name.person.candidate_id != theirs.candidate_id:
        return _different({theirs.candidate_id: "e-mail address", by_name.person.candidate_id: "login name"})
    if _is_another_number(candidate, theirs):
        message = (
            f"The LMS has this e-mail address for person {theirs.candidate_id}, who has another ID number; correct "
            "the ID number or the address, or give the candidate_id"
        )
        return Refused("candidate_exists", None, message)
    return who


def _by_user_name(candidate: Candidate, who: FoundPerson) -> PersonLookup:
    """Return the user who has the row's login name, or why the name made for it cannot be used."""
    if not candidate.login_name:
        made = user_name_of(candidate)
        return _taken(f"{who.person.candidate_id} has the user name {made}, made from the address")
    ours, theirs = traits_of(candidate), traits_of(who.person)
    is_named_alike = bool((ours.first_name | ours.last_name) & (theirs.first_name | theirs.last_name)) or not (
        ours.first_name or ours.last_name
    )
    if _is_another_number(candidate, who.person) or not is_named_alike:
        return _taken(f"{who.person.candidate_id}, who is somebody else, has this login name")
    return who


def _taken(by_whom: str) -> Refused:
    message = f"Person {by_whom}; give another login_name, or the candidate_id if this is the same person"
    return Refused("login_name_taken", None, message)


def _several(what: str, people: Sequence[FoundPerson]) -> Refused:
    ids = ", ".join(sorted((each.person.candidate_id for each in people), key=_as_number))
    message = f"The LMS has several people with this {what} ({ids}); give the candidate_id of the right one"
    return Refused("ambiguous_candidate", None, message)


def _different(named: Mapping[str, str]) -> Refused:
    said = ", ".join(f"the {what} person {user_id}" for user_id, what in named.items())
    message = f"The row names different people: {said}; correct it, or give the candidate_id of the right one"
    return Refused("ambiguous_candidate", None, f"{message[0].upper()}{message[1:]}")


def _as_number(user_id: str) -> tuple[int, str]:
    return len(user_id), user_id


def _without_repeated(candidates: Sequence[Candidate], results: Sequence[PersonLookup]) -> list[PersonLookup]:
    """Refuse people who do not exist and cannot all be created: of one address, or of one user name."""
    checked = list(results)
    addresses: set[str] = set()
    places: dict[str, list[int]] = {}
    for place, result in enumerate(results):
        if result is not LookupMiss.ABSENT:
            continue
        address = (candidates[place].email or "").strip().lower()
        if address and address in addresses:
            checked[place] = Refused("candidate_exists", None, _SAME_ADDRESS)
            continue
        addresses.add(address)
        if name := user_name_of(candidates[place]):
            places.setdefault(name, []).append(place)
    for name, theirs in places.items():
        if len(theirs) > 1:
            refused = Refused("login_name_taken", None, _SAME_USER_NAME.format(name))
            checked = [refused if place in theirs else result for place, result in enumerate(checked)]
    return checked


_SAME_ADDRESS = (
    "An earlier row has another person with this e-mail address, and Moodle accepts an address only once; correct "
    "it, or give the candidate_id of a person who exists"
)
_SAME_USER_NAME = "Several people of the roster would get the user name {}; give each a login_name of their own"


def match_one(candidate: Candidate, people: Sequence[FoundPerson]) -> PersonLookup:
    """Return whom a candidate is, of users with the same address."""
    found = Found(by_email={(candidate.email or "").strip().lower(): list(people)})
    return match(candidate, found)


def shows_in_any_case(body: Any, candidate: Candidate) -> list[FoundPerson]:
    """Return the users in the answer of a search who have the candidate's address, in any letter case.

    The search takes `_` and `%` for wildcards: only what is equal counts.
    """
    rows = field_of(body, "users")
    people = [found for row in rows if isinstance(row, dict) and (found := as_found(row))] if rows else []
    wanted = (candidate.email or "").strip().lower()
    return [each for each in people if (each.person.email or "").lower() == wanted]
