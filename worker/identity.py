"""What makes two people the same: e-mail addresses compared, names compared. Pure; knows neither files nor LMSs."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import idna

#: Letters that Unicode does not take apart into a basic letter and an accent, as they are written without it.
_SPELLED = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "ł": "l", "\u0131": "i", "þ": "th", "ħ": "h"}
)
#: The other common spelling of letters with an accent: Müller is Muller and Mueller.
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_FIRST_WORD = re.compile("[ -]")
_NO_LETTER = re.compile(r"[\W\d_]+")
_APOSTROPHES = re.compile(r"['\u2018\u2019`]")
#: Parts of names that people who are not related share.
_PARTICLES = frozenset({"von", "van", "der", "den", "del", "dos", "das", "bin", "ibn", "the"})
_MIN_PART = 3
#: Hexadecimal digits of the mark of a name: too few to say which name it is, enough to say that it is another.
_MARK_DIGITS = 4
#: Ends the name of the script before a part of a name.
_AFTER_SCRIPT = ":"


#: What Unicode calls default ignorable, and blanks that are letters by name.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
#: They are shown as a hyphen; word processors put them in its place.
_HYPHENS = re.compile("[\u2010\u2011\u2212\ufe63]")


def plain_identifier(text: str) -> str:
    """Return an id or address without what nobody sees, and with one character for the hyphen."""
    return text if text.isascii() else _HYPHENS.sub("-", _INVISIBLE.sub("", text)).strip()


def email_key(address: str) -> str:
    """Return an address as it is compared: trimmed, lower-cased, the domain in its ASCII form (IDNA 2008, UTS 46).

    Lower-cased and not case-folded: `ß` and `ss` are different mailboxes and different domains.
    """
    text = address.strip()
    if text.isascii():
        return text.lower()
    local_part, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    return f"{local_part.lower()}{at}{_ascii_domain(domain)}"


@functools.lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain.lower()


def former_email_key(address: str) -> str:
    """Return an address as ledgers before migration 0010 compared it: trimmed and case-folded."""
    return address.strip().casefold()


class Named(Protocol):
    """A person with an address and a name; None where it is not known."""

    @property
    def email(self) -> str | None:
        """The e-mail address."""

    @property
    def first_name(self) -> str | None:
        """The first name."""

    @property
    def last_name(self) -> str | None:
        """The last name."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a person is compared; empty where it is not known."""

    email: str
    first_name: frozenset[str]
    last_name: frozenset[str]

    def marked(self, salt: str) -> Traits:
        """Return the same as short hashes, which show whether two names agree but not which they are.

        Tens of thousands of names share each hash, and `salt` makes them others for each person.
        """
        return Traits(self.email, _marks(self.first_name, salt), _marks(self.last_name, salt))


def traits_of(who: Named) -> Traits:
    """Return what of a person is compared."""
    return Traits(email_key(who.email) if who.email else "", name_parts(who.first_name), name_parts(who.last_name))


def _marks(parts: frozenset[str], salt: str) -> frozenset[str]:
    return frozenset(_script_prefix(part) + _mark(part, salt) for part in parts)


def _mark(part: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}:{part}".encode()).hexdigest()[:_MARK_DIGITS]


def _script_prefix(part: str) -> str:
    """Return the script before a part of a name: it is compared only with parts that have the same one."""
    script, separator, _ = part.rpartition(_AFTER_SCRIPT)
    return script + separator


@functools.lru_cache(maxsize=1024)
def name_parts(name: str | None) -> frozenset[str]:
    """Return what a name can be recognized by: the whole of it and each longer part, folded, in both spellings.

    In another script than Latin each has the name of the script before it: it is compared only with names in that
    script, since it says nothing of one in Latin letters.
    """
    lowered = unicodedata.normalize("NFC", name or "").lower()
    spellings = {without_accents(spelling.casefold()) for spelling in (lowered, lowered.translate(_SPELLED_OUT))}
    prefix = _script("".join(spellings))
    return frozenset(prefix + part for spelling in spellings for part in _parts(spelling))


def without_accents(text: str) -> str:
    """Return a lower-case text with basic letters in place of those with accents."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _script(folded: str) -> str:
    """Return the scripts of a folded name as a prefix such as `CYRILLIC:`; empty for basic Latin letters."""
    if folded.isascii():
        return ""
    letters = [letter for letter in folded if letter.isalpha()]
    if all(letter.isascii() for letter in letters):
        return ""
    names = {_FIRST_WORD.split(unicodedata.name(letter, ""))[0] for letter in letters}
    return "+".join(sorted(names)) + _AFTER_SCRIPT


def _parts(folded: str) -> Iterator[str]:
    parts = [part for part in _NO_LETTER.split(_APOSTROPHES.sub("", folded)) if part]
    if parts:
        yield "".join(parts)
    yield from (part for part in parts if len(part) >= _MIN_PART and part not in _PARTICLES)


def is_other_first_name(one: Traits, other: Traits) -> bool:
    """Return whether two people at one address have different first names; a missing name says nothing.

    `Ana` and `Ana Maria` agree, an initial agrees with its name, and so do names under each other's headings.
    """
    if names_agree(one.first_name, other.first_name) is not False:
        return False
    return not (one.first_name & other.last_name and other.first_name & one.last_name)


def names_agree(one: frozenset[str], other: frozenset[str]) -> bool | None:
    """Return whether two names agree in a part or an initial; None where one is missing or in another script."""
    if not (one and other) or {*map(_script_prefix, one)} != {*map(_script_prefix, other)}:
        return None
    return bool(one & other) or _has_initial_of(one, other) or _has_initial_of(other, one)


def _has_initial_of(short: frozenset[str], full: frozenset[str]) -> bool:
    initials = [part for part in short if len(part) == len(_script_prefix(part)) + 1]
    return any(part.startswith(initial) for initial in initials for part in full)


def is_other_person(one: Traits, other: Traits) -> bool:
    """Return whether names and address all differ, as far as both are known.

    One that agrees is enough to be the same person. At least two must differ, a name among them: a new address
    alone makes nobody another person. First and last names are compared crosswise too, since lists mix them up.
    """
    names = ((one.first_name, other.first_name), (one.last_name, other.last_name))
    known = [agrees for ours, theirs in names if (agrees := names_agree(ours, theirs)) is not None]
    known += [one.email == other.email] if one.email and other.email else []
    crossed = one.first_name & other.last_name or one.last_name & other.first_name
    return len(known) > 1 and not any(known) and not crossed
