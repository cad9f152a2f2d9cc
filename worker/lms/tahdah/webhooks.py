"""Tahdah's signed webhooks (developers.tahdah.me, webhooks, 872846m0). Pure.

Documented: the headers `Webhook-Verb` and `Webhook-Signature`, and that the signature is HMAC-SHA256 of the raw
body with the signing secret, in lower-case hex. There is no time in it. **No page shows the body of Registration
Created, nor the values of the verb.** So ids are searched under the names that the API itself uses, and a body
counts only when it names one candidate and one experience without contradiction; any other body is ignored.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.lms.contract import WebhookEvent
from worker.lms.responses import as_id

SIGNATURE, VERB = "webhook-signature", "webhook-verb"
#: Name of an id, lower-case and without underscores → field of the event. The names in the API's paths and bodies.
_NAMES = {
    "candidateid": "candidate_id",
    "experienceid": "course_id",
    "learningexperienceid": "course_id",
    "legalentityid": "legal_entity_id",
    "candidateexperienceid": "registration_id",
}
#: The verb of the webhook "Registration Created", letters only.
_REGISTERED = frozenset({"registrationcreated", "registrationscreated"})
#: Maximum depth to which a body is searched for ids.
_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class TahdahWebhookReader:
    """Verifies and reads the webhooks of one account, which are signed with `secret`."""

    secret: str

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether the raw body is signed with the secret; compared in constant time."""
        wanted = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        given = headers.get(SIGNATURE, "").strip()
        return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))

    def read(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        """Return the registrations that a webhook says were created; none for a body that is not understood."""
        verb = "".join(letter for letter in headers.get(VERB, "").casefold() if letter.isalpha())
        if verb not in _REGISTERED:
            return []
        try:
            return list(dict.fromkeys(_events(json.loads(body), {}, 0)))
        except (ValueError, RecursionError):
            return []


def _events(value: Any, around: Mapping[str, frozenset[str]], depth: int) -> Iterator[WebhookEvent]:
    """Yield the event of each innermost object, with the ids of the objects around it."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _events(item, around, depth + 1)
        return
    if not isinstance(value, dict):
        return
    ids = {**around}
    lists: list[list[Any]] = []
    for name, found in _ids_of(value, lists, depth):
        ids[name] = ids.get(name, frozenset()) | {found}
    within = [notice for each in lists for notice in _events(each, ids, depth + 1)]
    yield from within
    if not within and not any(isinstance(item, dict) for each in lists for item in each):
        yield from _event_of(ids)


def _ids_of(value: Mapping[str, Any], lists: list[list[Any]], depth: int) -> Iterator[tuple[str, str]]:
    """Yield the ids of an object and of the objects within it; lists are appended to `lists`."""
    for name, part in value.items():
        meaning = _NAMES.get(str(name).casefold().replace("_", ""))
        if isinstance(part, list):
            lists.append(part)
        elif isinstance(part, dict) and depth < _MAX_DEPTH:
            yield from _ids_of(part, lists, depth + 1)
        elif meaning and (found := as_id(part)):
            yield meaning, found


def _event_of(ids: Mapping[str, frozenset[str]]) -> Iterator[WebhookEvent]:
    """Yield the registration that these ids name; nothing when an id is missing or has two values."""
    if {"candidate_id", "course_id"} <= ids.keys() and all(len(each) == 1 for each in ids.values()):
        yield WebhookEvent(**{name: next(iter(each)) for name, each in ids.items()})
