"""Who is who: the hashes by which the ledger knows a candidate again, on every run and after a purge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.model import Candidate


def hashed(kind: str, value: str | None) -> str | None:
    """Return the hash of one identifier; None for none.

    `kind` is `id`, `ext`, `mail` or `login`; of a registration's external id, `registration`.
    """
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest() if value else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A candidate's identifiers, hashed: the LMS's id, the external id, the e-mail address."""

    by_id: str | None
    by_external: str | None
    by_email: str | None

    @property
    def key(self) -> str:
        """Return the first that there is: candidate_id, else external_id, else email (contract §4)."""
        key = self.by_id or self.by_external or self.by_email
        if key is None:
            raise ValueError("a candidate without any identifier")
        return key


def identify(candidate: Candidate) -> Identity:
    """Return a candidate's identity; e-mail addresses are trimmed and case-folded."""
    email = candidate.email.strip().casefold() if candidate.email else None
    return Identity(
        hashed("id", candidate.candidate_id), hashed("ext", candidate.external_id), hashed("mail", email)
    )
