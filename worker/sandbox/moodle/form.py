"""Form fields as PHP reads them: nested names, the last of two wins, and no more than the server's limit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from worker.sandbox.messages import Request, header

#: What PHP makes of a list and of a structure alike; the keys are texts.
Fields = dict[str, Any]

_KEY = re.compile(r"\[([^\]]*)\]")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a request, the three control fields apart."""

    token: str = ""
    function: str = ""
    as_xml: bool = True
    fields: Fields = field(default_factory=dict)


def read(request: Request, most: int, longest: int) -> Form:
    """Read a request; PHP keeps nothing of a body longer than `longest` bytes, and `most` + 1 of the fields."""
    fields: Fields = {}
    _add(fields, request.query, most)
    body = request.body if len(request.body) <= longest else b""
    if header(request.headers, b"content-type").split(";")[0].strip().lower() == _FORM:
        _add(fields, body.decode("latin-1"), most)
    control = {name: fields.pop(name, "") for name in ("wstoken", "wsfunction", "moodlewsrestformat")}
    texts = {name: value if isinstance(value, str) else "" for name, value in control.items()}
    return Form(
        token=texts["wstoken"],
        function=texts["wsfunction"],
        as_xml=texts["moodlewsrestformat"] != "json",
        fields=fields,
    )


def _add(fields: Fields, text: str, most: int) -> None:
    pairs = [pair for pair in text.split("&") if pair]
    for pair in pairs[: most + 1]:
        name, _, value = pair.partition("=")
        _put(fields, _text(name), _text(value))


def _text(quoted: str) -> str:
    # Bytes that are not UTF-8 are left out, as Moodle does.
    return unquote_to_bytes(quoted.replace("+", " ")).decode("utf-8", "ignore")


def _put(fields: Fields, name: str, value: str) -> None:
    first, opened, rest = name.partition("[")
    keys = _KEY.findall(opened + rest) if opened and "]" in rest else []
    place, key = fields, first.lstrip().replace(" ", "_").replace(".", "_")
    for following in keys:
        inner = place.get(key)
        if not isinstance(inner, dict):
            inner = place[key] = {}
        place, key = inner, following or _next_number(inner)
    if key:
        place[key] = value


def _next_number(place: Fields) -> str:
    return str(max((int(key) for key in place if key.isdecimal()), default=-1) + 1)
