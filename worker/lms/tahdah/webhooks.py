"""Tahdah's signed webhooks (developers.tahdah.me, webhooks, 872846m0). Pure.

Documented: the headers `Webhook-Verb` and `Webhook-Signature`, and that the signature is HMAC-SHA256 of the raw
body with the signing secret, in lower-case hex. There is no time in it. **No page shows the body of Registration
Created, nor the values of the verb.** So ids are looked for under the names that the API itself uses, and a body
counts only when it names one candidate and one experience without contradiction; all else says nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.lms.contract import Notice
from worker.lms.responses import as_id

SIGNATURE, VERB = "webhook-signature", "webhook-verb"
#: What is read of an id's name, folded → what it is. The names of the paths and bodies of S0.
_NAMES = {
    "candidateid": "candidate_id",
    "experienceid": "course_id",
    "learningexperienceid": "course_id",
    "legalentityid": "legal_entity_id",
    "candidateexperienceid": "registration_id",
}
#: The webhook "Registration Created", however its words are joined.
_REGISTERED = frozenset({"registrationcreated", "registrationscreated"})
#: So deep ids are looked for.
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class TahdahHook:
    """What one account's webhooks say, given the secret that they are signed with."""

    secret: str

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether the raw body carries the signature of whoever has the secret; compared in constant time."""
        wanted = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        given = headers.get(SIGNATURE, "").strip()
        return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))

    def read(self, headers: Mapping[str, str], body: bytes) -> list[Notice]:
        """Return the registrations that a webhook says were created; none of a body that is not understood."""
        verb = "".join(letter for letter in headers.get(VERB, "").casefold() if letter.isalpha())
        if verb not in _REGISTERED:
            return []
        try:
            return list(dict.fromkeys(_notices(json.loads(body), {}, 0)))
        except (ValueError, RecursionError):
            return []


def _notices(value: Any, around: Mapping[str, frozenset[str]], depth: int) -> Iterator[Notice]:
    """Yield what each innermost object says, with the ids that stand around it."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _notices(item, around, depth + 1)
        return
    if not isinstance(value, dict):
        return
    ids = {**around}
    lists: list[list[Any]] = []
    for name, found in _flat(value, lists, depth):
        ids[name] = ids.get(name, frozenset()) | {found}
    within = [notice for each in lists for notice in _notices(each, ids, depth + 1)]
    yield from within
    if not within and not any(isinstance(item, dict) for each in lists for item in each):
        yield from _as_notice(ids)


def _flat(value: Mapping[str, Any], lists: list[list[Any]], depth: int) -> Iterator[tuple[str, str]]:
    """Yield the ids of an object and of the objects within it; what is a list is put aside."""
    for name, part in value.items():
        meaning = _NAMES.get(str(name).casefold().replace("_", ""))
        if isinstance(part, list):
            lists.append(part)
        elif isinstance(part, dict) and depth < _DEEPEST:
            yield from _flat(part, lists, depth + 1)
        elif meaning and (found := as_id(part)):
            yield meaning, found


def _as_notice(ids: Mapping[str, frozenset[str]]) -> Iterator[Notice]:
    """Yield the registration that these ids name; nothing when one is missing, or said in two ways."""
    if {"candidate_id", "course_id"} <= ids.keys() and all(len(each) == 1 for each in ids.values()):
        yield Notice(**{name: next(iter(each)) for name, each in ids.items()})
