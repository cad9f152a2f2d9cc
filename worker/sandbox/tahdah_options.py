"""What the pretend Tahdah is like: its accounts, and the choices that the documentation leaves open.

The pages of the documentation are abbreviated: S0, T-cand (docs/sandbox.md). Every default that no page gives is an
assumption and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.sandbox.choices import EmailTaken, Twice


class Lookup(StrEnum):
    """What GET on Tahdah's registrations path does; S0 only says that some such call exists."""

    ON = "on"
    NOT_FOUND = "404"
    NOT_ALLOWED = "405"


@dataclass(frozen=True, slots=True, kw_only=True)
class TahdahOptions:
    """Everything that may be chosen; frozen, so that a reset finds the same state again."""

    #: The bearer token; `more_tokens` are further accounts with a quota of their own.
    token: str = "sandbox-token"  # noqa: S105 the sandbox's token opens nothing
    more_tokens: tuple[str, ...] = ()
    #: Experiences by legal entity.
    legal_entities: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: {42: (58, 59, 60)})
    #: What the page calls the experiences; no call shows it.
    names: Mapping[int, str] = field(
        default_factory=lambda: {58: "Fire Safety", 59: "First Aid", 60: "Manual Handling"}
    )
    #: The last segments of the path that exist, `registrations` (S0) and `learners` (S1).
    registration_paths: frozenset[str] = frozenset({"registrations", "learners"})
    #: Whether registrations can be listed.
    lookup: Lookup = Lookup.ON
    #: The most candidates in one call; the true number is unknown.
    max_batch: int = 500
    #: The name of the id in the answer to Create Candidate, which no page gives (T-cand).
    candidate_id_field: str = "candidateId"
    #: A known e-mail, somebody registered twice.
    email_taken: EmailTaken = EmailTaken.NEW
    twice: Twice = Twice.CONFLICT
    #: Where a webhook reports each registration ("": nowhere), and the secret that it is signed with.
    webhook: str = ""
    webhook_secret: str = "wh_sandbox"  # noqa: S105 the sandbox's secret opens nothing
