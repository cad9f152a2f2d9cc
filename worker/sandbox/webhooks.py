"""Tahdah's webhook "Registration Created", sent to one address after each registration.

Documented (T-wh): the headers `Webhook-Verb` and `Webhook-Signature`; the signature is HMAC-SHA256 of the raw body
with the signing secret, as lower-case hex. **Our guess, since no page shows them**: the value of the verb, and the
body, which is an item of the answer to Create Registrations (S0) with the two ids of its path. Whether a failed one
is sent again is not documented either; here it is not.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

VERB = "RegistrationCreated"
#: Longer no receiver is waited for (seconds).
LONGEST_SECONDS = 5.0


@dataclass(slots=True)
class Announcer:
    """Tells of registrations, one after the other, from a thread of its own."""

    url: str
    secret: str
    #: What was answered, by status; 0 where nobody was there.
    answers: Counter[int] = field(default_factory=Counter)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "webhooks"))

    def tell(self, payload: dict[str, Any]) -> None:
        """Send the webhook of a registration soon, if an address is configured."""
        if self.url:
            self._thread.submit(self._send, msgspec.json.encode(payload))

    def _send(self, body: bytes) -> None:
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "Webhook-Verb": VERB, "Webhook-Signature": signature}
        request = Request(self.url, data=body, headers=headers, method="POST")  # noqa: S310 - the operator's own address
        try:
            with urlopen(request, timeout=LONGEST_SECONDS) as answer:  # noqa: S310
                self.answers[HTTPStatus(answer.status)] += 1
        except HTTPError as refused:
            refused.close()
            self.answers[refused.code] += 1
        except (URLError, OSError):
            self.answers[0] += 1
