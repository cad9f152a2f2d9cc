"""Values of a person as Moodle accepts them: user names, names, addresses, passwords. Pure, but for the passwords.

Moodle does not say which value of which record it refuses; so each is checked before it is sent.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import TYPE_CHECKING, Any

from worker.identity import without_accents
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.model import Candidate

#: Roster column → field of a user.
USER_FIELDS = {
    "first_name": "firstname",
    "last_name": "lastname",
    "email": "email",
    "external_id": "idnumber",
    "city": "city",
    "country": "country",
}
#: Maximum lengths by roster column (characters): a longer value fails the whole call.
MAX_LENGTHS = {
    "login_name": 100,
    "first_name": 100,
    "last_name": 100,
    "email": 100,
    "external_id": 255,
    "city": 120,
}
_USER_NAME = re.compile(r"[-._@a-z0-9]+")
_NOT_IN_USER_NAME = re.compile(r"[^-._@a-z0-9]")
#: What PHP takes for the beginning of a tag.
_TAG = re.compile(r"<(?!\s)")
_WITHOUT_TAGS = frozenset({"first_name", "last_name", "city"})
_PASSWORD_LENGTH = 20


def user_name_of(candidate: Candidate) -> str | None:
    """Return the user name that the row gives, else the one made from its address as Moodle itself makes it."""
    if candidate.login_name:
        return candidate.login_name
    if not candidate.email:
        return None
    return _NOT_IN_USER_NAME.sub("", candidate.email.strip().lower()) or None


def identities(candidate: Candidate) -> frozenset[str]:
    """Return what a user is found by, each with its kind, in the letter case in which the site compares it."""
    values = {
        "username": user_name_of(candidate),
        "email": candidate.email,
        "idnumber": candidate.external_id,
        "id": candidate.candidate_id,
    }
    return frozenset(f"{name} {value.strip().casefold()}" for name, value in values.items() if value)


def spellings(candidate: Candidate) -> frozenset[str]:
    """Return a candidate's address with capitals as people write them: `Ada.Ahern@Example.com`, `ada.McAhern@…`."""
    if not candidate.email or not candidate.email.isascii():
        return frozenset()
    local, _, domain = candidate.email.strip().lower().rpartition("@")
    parts = re.split(r"([._-])", local)
    names = {
        word.lower(): word for name in (candidate.first_name, candidate.last_name) for word in (name or "").split()
    }
    locals_ = {
        local,
        local.upper(),
        local.capitalize(),
        "".join(part.capitalize() for part in parts),
        "".join(names.get(part, part) for part in parts),
    }
    domains = {domain, domain.upper(), domain.capitalize()}
    return frozenset(f"{before}@{after}" for before in locals_ for after in domains)


def is_user_name(text: str) -> bool:
    """Return whether Moodle accepts a text as a user name, or as a value of a look-up for one."""
    return _USER_NAME.fullmatch(text) is not None and len(text) <= MAX_LENGTHS["login_name"]


def problem_of(column: str, value: str) -> str | None:
    """Return why Moodle refuses a value of a roster column, as a sentence; None when it does not."""
    most = MAX_LENGTHS.get(column)
    if most is not None and len(value) > most:
        return f"It has {len(value)} characters; Moodle accepts {counted(most, 'character')}."
    if column == "login_name" and not _USER_NAME.fullmatch(value):
        spelled = _spelled(value)
        remedy = f'write "{spelled}", or leave' if spelled else "leave"
        return (
            "Moodle user names have only lower-case letters a-z, digits and - _ . @; "
            f"{remedy} the cell empty to use the address."
        )
    if column == "email" and not value.isascii():
        return "Moodle accepts only plain letters in an e-mail address; write the domain in its xn-- form."
    if column in _WITHOUT_TAGS and _TAG.search(value):
        return "Moodle accepts no < in front of a letter or sign here; remove it."
    return None


def _spelled(value: str) -> str:
    """Return a user name in letters that Moodle takes; empty when one of its letters has no such spelling."""
    plain = without_accents(value.casefold())
    is_lost = any(each.isalnum() for each in _NOT_IN_USER_NAME.findall(plain))
    return "" if is_lost else _NOT_IN_USER_NAME.sub("", plain)


def user_fields(candidate: Candidate) -> dict[str, str]:
    """Return the roster's values of a user under Moodle's field names; empty cells are left out."""
    values = {field: getattr(candidate, name) for name, field in USER_FIELDS.items()}
    return {field: value.strip() for field, value in values.items() if value is not None}


def custom_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the custom profile fields of a user as Moodle takes them; empty without any."""
    items = [{"type": name, "value": value} for name, value in fields.items()]
    return {"customfields": items} if items else {}


def new_password() -> str:
    """Return a random password that meets Moodle's default policy, and most stricter ones."""
    groups = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.!+*#%")
    picked = [secrets.choice(groups[place % len(groups)]) for place in range(_PASSWORD_LENGTH)]
    return "".join(picked)
