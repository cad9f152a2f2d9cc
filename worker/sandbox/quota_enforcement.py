"""Lets calls in or refuses them by quota, and keeps the figures: let in, refused, too early. Knows no LMS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from worker.sandbox import hints, limiters, quota
from worker.sandbox.limiters import Limiter
from worker.sandbox.messages import Answer
from worker.sandbox.quota import Kind, Quota, Share

#: A call that was on its way when the refusal was written is not early, however busy the machine; neither is one
#: that a clock rounds down.
GRACE_SECONDS = 0.3
ROUNDING_SECONDS = 0.005
#: The account of all calls together.
ALL = "all"


@dataclass(slots=True)
class Account:
    """The figures of one credential; times in seconds since the epoch."""

    accepted: int = 0
    refused: int = 0
    #: Came before the moment that a refusal had named; those among them that were refused.
    early: int = 0
    refused_early: int = 0
    first: float = 0.0
    last: float = 0.0
    in_flight: int = 0
    most_at_once: int = 0
    #: Seconds in flight of all accepted calls together.
    held: float = 0.0
    not_before: float = 0.0
    told_at: float = 0.0

    def arrive(self, at: float) -> bool:
        """Count a call that comes; True when it comes before its time."""
        self.first = self.first or at
        self.last = max(self.last, at)
        early = self.told_at + GRACE_SECONDS < at < self.not_before - ROUNDING_SECONDS
        self.early += early
        return early

    def enter(self) -> None:
        """Count a call that is let in."""
        self.accepted += 1
        self.in_flight += 1
        self.most_at_once = max(self.most_at_once, self.in_flight)

    def refuse(self, at: float, until: float | None, *, early: bool) -> None:
        """Count a call that is refused, and remember until when it must wait."""
        self.refused += 1
        self.refused_early += early
        if until is not None:
            if at >= self.not_before:
                # Later refusals of the same pause do not make it young again.
                self.told_at = at
            self.not_before = max(self.not_before, until)

    def leave(self, seconds: float) -> None:
        """Count a call that has ended."""
        self.in_flight -= 1
        self.held += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A call that was let in."""

    credential: str
    at: float
    headers: dict[bytes, bytes]
    #: It came before the moment that a refusal had named.
    early: bool


class QuotaEnforcer:
    """Enforces the quotas; a new one knows nothing of earlier calls."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self.quotas = tuple(quotas)
        self.accounts: dict[str, Account] = {ALL: Account()}
        self._limiters: dict[tuple[int, str], Limiter] = {}

    def enter(self, credential: str, at: float) -> Admission | Answer:
        """Let a call in, or refuse it with the answer."""
        whole, own = self.accounts[ALL], self.account(credential)
        whole.arrive(at)
        early = own.arrive(at)
        whole.early += early
        pairs = [(each, self._limiter(index, each, credential)) for index, each in enumerate(self.quotas)]
        for each, limiter in pairs:
            wait = limiter.wait(at)
            if wait > 0:
                answer, until = hints.refusal(each.style, wait, at)
                self.note_refusal(credential, at, until, early=early)
                self._count_refused(pairs, at)
                more = tuple(hints.rate_limit_headers(each.style.headers, limiter.standing(at), at).items())
                return replace(answer, headers=answer.headers + more)
        for _, limiter in pairs:
            limiter.take(at)
        whole.enter()
        own.enter()
        headers: dict[bytes, bytes] = {}
        for each, limiter in pairs:
            if each.style.headers is not hints.Headers.NONE:
                headers |= hints.rate_limit_headers(each.style.headers, limiter.standing(at), at)
        return Admission(credential=credential, at=at, headers=headers, early=early)

    def leave(self, passed: Admission, at: float) -> None:
        """Note that a call which was let in has ended."""
        for account in (self.accounts[ALL], self.account(passed.credential)):
            account.leave(at - passed.at)
        for index, each in enumerate(self.quotas):
            self._limiter(index, each, passed.credential).leave()

    def note_refusal(self, credential: str, at: float, until: float | None, *, early: bool) -> None:
        """Count a refusal, be it by a quota or by a fault."""
        for account in (self.accounts[ALL], self.account(credential)):
            # The wait that one credential got does not bind the others.
            account.refuse(at, until if account is not self.accounts[ALL] else None, early=early)

    def account(self, credential: str) -> Account:
        """Return the figures of a credential, made when it is new."""
        return self.accounts.setdefault(credential, Account())

    def note_throttled(self, passed: Admission, until: float | None) -> None:
        """Count a call that was let in as refused after all, by a fault."""
        for account in (self.accounts[ALL], self.account(passed.credential)):
            account.accepted -= 1
        self.note_refusal(passed.credential, passed.at, until, early=passed.early)

    def figures(self) -> dict[str, Any]:
        """Return the figures for the state page: per credential, and of all together."""
        return {
            "definition": [str(each) for each in self.quotas],
            "accounts": {name: self._account_figures(name, account) for name, account in self.accounts.items()},
        }

    def _account_figures(self, name: str, account: Account) -> dict[str, Any]:
        calls, seconds = account.accepted + account.refused, account.last - account.first
        held = account.held / account.accepted if account.accepted else 0.0
        quotas = [each for each in self.quotas if name != ALL or each.share is Share.GLOBAL]
        limits = [quota.allowed(each, account.first, account.last, held) for each in quotas] if calls else []
        known = [limit for limit in limits if limit is not None]
        steady = [each.calls / each.seconds * seconds for each in quotas if each.kind is not Kind.AT_ONCE]
        most = min(known, default=None)
        return {
            "accepted": account.accepted,
            "refused": account.refused,
            "early": account.early,
            "refused_early": account.refused_early,
            "share_refused": account.refused / calls if calls else 0.0,
            "first": account.first,
            "last": account.last,
            "seconds": seconds,
            "most_at_once": account.most_at_once,
            "allowed": most,
            "allowed_steady": min(steady, default=None),
            "used": account.accepted / most if most else None,
        }

    def _limiter(self, index: int, each: Quota, credential: str) -> Limiter:
        key = (index, credential if each.share is Share.CREDENTIAL else ALL)
        found = self._limiters.get(key)
        if found is None:
            found = self._limiters[key] = limiters.limiter(each)
        return found

    @staticmethod
    def _count_refused(pairs: list[tuple[Quota, Limiter]], at: float) -> None:
        for each, limiter in pairs:
            if each.counts_refused and each.kind is not Kind.AT_ONCE:
                limiter.take(at)
