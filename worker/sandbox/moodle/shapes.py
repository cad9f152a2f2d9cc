"""The shape of each function's parameters. What does not fit is refused without saying which part."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.sandbox.moodle.errors import invalid

_USERNAME = re.compile(r"[-_.@a-z0-9]*")
_TAG = re.compile(r"<(?!\s)")
_WHOLE = re.compile(r"-?\d+")
_SAFE = re.compile(r"[a-zA-Z0-9_-]*")
_YES_NO = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Value:
    """One text; `clean` raises or returns what the function gets."""

    clean: Callable[[str], Any]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Structure:
    """Named parts; unexpected ones are refused."""

    parts: dict[str, Shape]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Several:
    """A list; PHP knows none, so the keys do not matter."""

    of: Shape
    needed: bool = True


Shape = Value | Structure | Several


def fit(shape: Shape, value: Any) -> Any:
    """Return a value in its shape; raise the refusal that names nothing."""
    if isinstance(shape, Value):
        if not isinstance(value, str):
            raise invalid()
        return shape.clean(value)
    if not isinstance(value, dict):
        raise invalid()
    if isinstance(shape, Several):
        return [fit(shape.of, each) for each in value.values()]
    if value.keys() - shape.parts.keys():
        raise invalid()
    if any(part.needed and name not in value for name, part in shape.parts.items()):
        raise invalid()
    return {name: fit(part, value[name]) for name, part in shape.parts.items() if name in value}


def raw(text: str) -> str:
    """Take any text."""
    return text


def whole(text: str) -> int:
    """Take a whole number."""
    if not _WHOLE.fullmatch(text):
        raise invalid()
    return int(text)


def yes_no(text: str) -> bool:
    """Take 1 or 0, or their words."""
    if text.lower() not in _YES_NO:
        raise invalid()
    return _YES_NO[text.lower()]


def no_tags(text: str) -> str:
    """Take a text without HTML tags; `a < b` has none."""
    if _TAG.search(text):
        raise invalid()
    return text


def trimmed(text: str) -> str:
    """Take a text without blanks around it."""
    if text != text.strip():
        raise invalid()
    return text


def safe(text: str) -> str:
    """Take letters, digits, hyphens, underscores."""
    if not _SAFE.fullmatch(text):
        raise invalid()
    return text


def plain_username(text: str) -> str:
    """Take a username as the default setting has it."""
    if not _USERNAME.fullmatch(text):
        raise invalid()
    return text


def extended_username(text: str) -> str:
    """Take a username as `extendedusernamechars` has it: no upper case, no blanks around it."""
    if text != text.lower().strip():
        raise invalid()
    return text


def _optional(clean: Callable[[str], Any]) -> Value:
    return Value(clean, needed=False)


_PAIRS = Several(Structure({"type": Value(raw), "value": Value(raw)}), needed=False)
_PROFILE: dict[str, Shape] = {
    "auth": _optional(safe),
    "idnumber": _optional(raw),
    "lang": _optional(safe),
    "calendartype": _optional(safe),
    "theme": _optional(safe),
    "timezone": _optional(raw),
    "mailformat": _optional(whole),
    "maildisplay": _optional(whole),
    "description": _optional(raw),
    "city": _optional(no_tags),
    "country": _optional(safe),
    "firstnamephonetic": _optional(no_tags),
    "lastnamephonetic": _optional(no_tags),
    "middlename": _optional(no_tags),
    "alternatename": _optional(no_tags),
    "interests": _optional(raw),
    "institution": _optional(raw),
    "department": _optional(raw),
    "phone1": _optional(no_tags),
    "phone2": _optional(no_tags),
    "address": _optional(raw),
    "preferences": _PAIRS,
    "customfields": _PAIRS,
}
_OPTIONS = Several(Structure({"name": Value(safe), "value": Value(raw)}), needed=False)


def shapes(*, extended_usernames: bool) -> dict[str, Structure]:
    """Return the shape of every function's parameters."""
    username = extended_username if extended_usernames else plain_username
    created: dict[str, Shape] = {
        **_PROFILE,
        "username": Value(username),
        "password": _optional(raw),
        "createpassword": _optional(yes_no),
        "firstname": Value(no_tags),
        "lastname": Value(no_tags),
        "email": Value(trimmed),
    }
    updated: dict[str, Shape] = {
        **_PROFILE,
        "id": Value(whole),
        "username": _optional(username),
        "suspended": _optional(yes_no),
        "password": _optional(raw),
        "firstname": _optional(no_tags),
        "lastname": _optional(no_tags),
        "email": _optional(trimmed),
        "userpicture": _optional(whole),
    }
    enrolled: dict[str, Shape] = {
        "roleid": Value(whole),
        "userid": Value(whole),
        "courseid": Value(whole),
        "timestart": _optional(whole),
        "timeend": _optional(whole),
        "suspend": _optional(whole),
    }
    unenrolled: dict[str, Shape] = {"userid": Value(whole), "courseid": Value(whole), "roleid": _optional(whole)}
    criterion = Structure({"key": Value(safe), "value": Value(raw)})
    by_course = Structure({"field": _optional(safe), "value": _optional(raw)})
    ids = Structure({"ids": Several(Value(whole), needed=False)}, needed=False)
    return {
        "core_webservice_get_site_info": Structure({"serviceshortnames": Several(Value(safe), needed=False)}),
        "core_user_create_users": Structure({"users": Several(Structure(created))}),
        "core_user_update_users": Structure({"users": Several(Structure(updated))}),
        "core_user_delete_users": Structure({"userids": Several(Value(whole))}),
        "core_user_get_users_by_field": Structure({"field": Value(safe), "values": Several(Value(raw))}),
        "core_user_get_users": Structure({"criteria": Several(criterion)}),
        "core_course_get_courses_by_field": by_course,
        "core_course_get_courses": Structure({"options": ids}),
        "enrol_manual_enrol_users": Structure({"enrolments": Several(Structure(enrolled))}),
        "enrol_manual_unenrol_users": Structure({"enrolments": Several(Structure(unenrolled))}),
        "core_enrol_get_enrolled_users": Structure({"courseid": Value(whole), "options": _OPTIONS}),
        "core_enrol_get_users_courses": Structure(
            {"userid": Value(whole), "returnusercount": _optional(yes_no)},
        ),
    }
