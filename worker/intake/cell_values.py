"""The value of a cell, by its column: what exports, word processors and spreadsheets add to ids is taken off.

`clean` takes off what nobody sees from any text. In ids and addresses more has no meaning: joiners, variation
selectors, other characters for a hyphen, an apostrophe before the value. And some values mean that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from worker.identity import name_parts, plain_identifier
from worker.intake.columns import FIELD_PREFIX, ID_COLUMNS, TEXT_COLUMNS
from worker.intake.text import clean

#: Columns in which `N/A` and the like mean that there is none.
IDENTIFIERS = frozenset({"candidate_id", "external_id", "email", "login_name", "registration_external_id"})
#: The identifiers by which ledgers know people.
IN_LEDGERS = ("candidate_id", "external_id", "email")
_APOSTROPHES = "'\u2018\u2019\u02bc`\u00b4"
_NOT_IN_WORDS = re.compile(r"[\W_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words for "none" without blanks and punctuation, in the languages of the rosters that were seen.
_NONE = _words(
    """none na null nil nan notapplicable notavailable notprovided notknown notset noid noidyet undefined unknown
    tbc tbd tba tobeconfirmed tobeallocated tobeadvised toconfirm tofollow pending awaiting awaited blank empty new
    newstarter noneyet nonegiven notyet notyetknown notyetavailable notyetissued notyetassigned notissued
    notassigned unassigned nonumber missing noemail nomail noemailaddress noaddress nologin nousername keine
    keiner unbekannt entfällt aucun aucune inconnu inconnue néant ninguno ninguna desconocido desconocida
    sindatos geen onbekend nvt nessuno nessuna sconosciuto nenhum nenhuma desconhecido brak nieznany
    ingen inget saknas yok nincs není žádný žádné нет неизвестно отсутствует немає 無 无 無し なし 没有 없음"""
)
#: Abbreviations of the same: n/a, n. v., s/n (sin número), k. A. (keine Angabe); and \N of a database.
_ABBREVIATED = re.compile(r"n[./]\s?[adv]\.?|s/[dn]|k\.\s?a\.?|\\n", re.IGNORECASE)
#: Before the @ they say that there is no address.
_NOBODY = _words(
    """none null undefined unknown noemail nomail noemailaddress noaddress nomailaddress notprovided notavailable
    notapplicable donthaveone donothave hasnoemail withoutemail missing placeholder noreply donotreply
    keine keinemail keineemail keineadresse unbekannt ohnemail sansemail sansmail aucun inconnu
    sinemail sincorreo nocorreo notiene geen geenmail geenemail onbekend nessuna nessuno semail semmail brak
    brakmaila"""
)
_ZEROS = re.compile(r"0+(?:[.,]0+)?")
_CROSSES = re.compile(r"x{2,}", re.IGNORECASE)
#: In these a question mark is no part of what is written, or only between words.
_LOST_IN: Mapping[str, re.Pattern[str]] = MappingProxyType(
    dict.fromkeys(("first_name", "last_name"), re.compile(r"[?\u00bf]"))
    | dict.fromkeys(
        ("email", "login_name", "address", "address2", "city", "state", "course_name"),
        re.compile(r"[^\W\d_][?\u00bf][^\W\d_]|(?<!\S)\?(?=[^\W\d_])|\?{2}"),
    )
)
#: Words that may be somebody's login name; as an id they mean none.
_SHORT_NAMES = frozenset({"na", "nan", "nil", "blank", "new", "ingen", "yok"})
#: No word for none is longer.
_LONGEST = max(map(len, _NONE | _NOBODY)) + 8
#: Without one of these a cell is neither a formula nor an error, and has lost no letters.
_SUSPICIOUS = re.compile("[=#:?\u00bf\ufffd\x1a]")


def read_value(column: str, cell: str) -> str:
    """Return the value of a cell: cleaned, and in ids, addresses, dates and numbers without what others added."""
    text = clean(cell)
    if not text or (text.isascii() and text[0] not in _APOSTROPHES):
        return text
    if column in TEXT_COLUMNS or column.startswith(FIELD_PREFIX):
        return text
    if text[0] in _APOSTROPHES:
        text = text[1:].rstrip(_APOSTROPHES).strip()
    return plain_identifier(text) if column in ID_COLUMNS or column == "email" else text


def means_none(column: str, value: str) -> bool:
    """Return whether the value of an identifier says that there is none: `N/A`, `NULL`, `-`, `0`, `none@…`."""
    if column == "email":
        local_part, at, domain = value.rpartition("@")
        return _is_nobody(local_part, domain) if at else _says_none(value)
    if column == "login_name" and value.lower() in _SHORT_NAMES:
        return False
    return column in IDENTIFIERS and _says_none(value)


def _says_none(value: str) -> bool:
    if len(value) > _LONGEST or value[-1] in "123456789":
        return False
    word = _NOT_IN_WORDS.sub("", value).lower()
    if not word or word in _NONE:
        return True
    return bool(_ZEROS.fullmatch(value) or _CROSSES.fullmatch(word) or _ABBREVIATED.fullmatch(value))


def _is_nobody(local_part: str, domain: str) -> bool:
    if len(local_part) > _LONGEST or local_part[-1:].isdigit():
        return False
    word = _NOT_IN_WORDS.sub("", local_part).lower()
    if word in _NOBODY or _CROSSES.fullmatch(word) or not word:
        return True
    return word in _NONE and ("/" in local_part or word == _NOT_IN_WORDS.sub("", domain.partition(".")[0]).lower())


def is_own_name(address: str, names: Mapping[str, str]) -> bool:
    """Return whether a word such as `null` is the person's name, so that their address is one."""
    parts = name_parts(address.rpartition("@")[0])
    return any(parts & name_parts(names.get(column)) for column in ("first_name", "last_name"))


def is_suspicious(cell: str) -> bool:
    """Return whether a cell may be a formula or an error, or may have lost letters."""
    return _SUSPICIOUS.search(cell) is not None


def lost_letters(column: str, cell: str) -> bool:
    """Return whether letters of a cell were lost on the way: shown as U+FFFD, the control SUB, or `?`."""
    if "\ufffd" in cell or "\x1a" in cell.rstrip():
        return True
    pattern = _LOST_IN.get(column)
    return pattern is not None and ("?" in cell or "\u00bf" in cell) and pattern.search(cell) is not None


def former_value(column: str, cell: str, value: str) -> str | None:
    """Return an identifier as Roster read the cell before ledger 0010, when that was another one."""
    if cell == value:
        return None
    former = clean(cell, unwrap=False)
    if column != "email" and former[:1] == "'" and former[1:2].isdigit():
        former = former[1:]
    return former if former != value else None
