"""Drive the pace against models of an LMS's limits in virtual time, and print what came of it.

`python -m tests.benchmarks.pace_simulation`; a part of it with words that the label holds, such as `bucket 20/s`;
with `--long` the same limits but for the short runs, for as long as a roster of some size takes: two minutes at
least.
The models know nothing of worker/pace. *Allowed* is what a client that knew everything could have had accepted in
the same time with as many calls in flight: a bucket's burst and what flowed in; a whole quota for the window in
which the run began and a proportional share of the later ones.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import lru_cache
from typing import Protocol

from worker.pace.estimator import pace
from worker.pace.hints.response import read_hints
from worker.pace.rate import Rate
from worker.pace.state import Estimate, Limits, PaceState, Quota

START = 1_700_000_000.0
#: How long a run lasts at least with `--long` (seconds).
LONG_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a limit says to a call: taken or not, the true wait, and what its headers would say."""

    taken: bool
    wait: float = 0.0
    limit: float = 0.0
    remaining: float = 0.0
    reset: float = 0.0
    window: float = 0.0
    words: str = "rate limit exceeded"


class Limit(Protocol):
    """A limit of an LMS."""

    def arrive(self, at: float) -> Verdict:
        """Judge a call that arrives."""

    def leave(self, at: float) -> None:
        """Note that a taken call is done."""

    def allowed(self, seconds: float) -> float:
        """Return how many calls it would have taken in the first so many seconds."""


@dataclass
class Bucket:
    """A token bucket, full at the start."""

    rate: float
    burst: float
    tokens: float = -1.0
    at: float = START

    def arrive(self, at: float) -> Verdict:
        if self.tokens < 0:
            self.tokens = self.burst
        self.tokens = min(self.burst, self.tokens + (at - self.at) * self.rate)
        self.at = at
        taken = self.tokens >= 1
        self.tokens -= taken
        wait = 0.0 if taken else (1 - self.tokens) / self.rate
        reset = (self.burst - self.tokens) / self.rate
        return Verdict(
            taken=taken,
            wait=wait,
            limit=self.burst,
            remaining=math.floor(self.tokens),
            reset=reset,
            window=self.burst / self.rate,
        )

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return self.burst + self.rate * seconds


@dataclass
class Window:
    """A quota per fixed window of the clock; the run begins somewhere within one."""

    quota: int
    length: float
    phase: float = 0.37
    index: int = -1
    used: int = 0

    def arrive(self, at: float) -> Verdict:
        position = (at - START) / self.length + self.phase
        if int(position) != self.index:
            self.index, self.used = int(position), 0
        wait = (self.index + 1 - position) * self.length
        taken = self.used < self.quota
        self.used += taken
        return Verdict(
            taken=taken,
            wait=wait,
            limit=self.quota,
            remaining=self.quota - self.used,
            reset=wait,
            window=self.length,
        )

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return self.quota * (1 + max(0.0, seconds / self.length + self.phase - 1))


@dataclass
class Log:
    """At most a quota in any stretch of so many seconds."""

    quota: int
    length: float
    taken: deque[float] = field(default_factory=deque)

    def arrive(self, at: float) -> Verdict:
        while self.taken and self.taken[0] <= at - self.length:
            self.taken.popleft()
        free = self.quota - len(self.taken)
        wait = 0.0 if free else self.taken[0] + self.length - at
        if free:
            self.taken.append(at)
        reset = self.taken[0] + self.length - at
        return Verdict(
            taken=free > 0, wait=wait, limit=self.quota, remaining=max(0, free - 1), reset=reset, window=self.length
        )

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return self.quota * max(1.0, seconds / self.length)


@dataclass
class Weighted:
    """Windows by the clock that count the calls of the one before, by the share of it that is not over yet."""

    quota: int
    length: float
    begun: float = 0.0
    before: int = 0
    calls: int = 0

    def arrive(self, at: float) -> Verdict:
        begun = at - at % self.length
        if begun > self.begun + self.length / 2:
            self.before = self.calls if begun - self.begun < 1.5 * self.length else 0
            self.begun, self.calls = begun, 0
        share = (at - self.begun) / self.length
        load = self.before * (1 - share) + self.calls
        taken = load + 1 <= self.quota
        self.calls += taken
        return Verdict(
            taken=taken,
            wait=0.0 if taken else min(1 - share, (load + 1 - self.quota) / max(1, self.before)) * self.length,
            limit=self.quota,
            remaining=max(0, math.floor(self.quota - load - taken)),
            reset=(1 - share) * self.length,
            window=self.length,
        )

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        first = self.length - START % self.length
        return self.quota * (1 + max(0.0, seconds - first) / self.length)


@dataclass
class Both:
    """Two limits at once; an answer states the one that has the smaller share left."""

    limits: tuple[Bucket | Window | Log, ...]

    def arrive(self, at: float) -> Verdict:
        before = deepcopy(self.limits)
        verdicts = [limit.arrive(at) for limit in self.limits]
        refused = [verdict for verdict in verdicts if not verdict.taken]
        if refused:
            # A call that one of them refuses counts for none.
            self.limits = before
            return max(refused, key=lambda verdict: verdict.wait)
        return min(verdicts, key=lambda verdict: verdict.remaining / verdict.limit)

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return min(limit.allowed(seconds) for limit in self.limits)


@dataclass
class Shared:
    """A limit that others use too, with `rate` calls a second at random times."""

    limit: Bucket | Window | Log
    rate: float
    next_at: float = START
    dice: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311 (repeatable dice)

    def arrive(self, at: float) -> Verdict:
        while self.next_at <= at:
            self.limit.arrive(self.next_at)
            self.next_at += self.dice.expovariate(self.rate)
        return self.limit.arrive(at)

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return self.limit.allowed(seconds) - self.rate * seconds


@dataclass
class AtOnce:
    """At most so many calls at once."""

    most: int
    latency: float
    words: str = "Too many concurrent requests"
    out: int = 0

    def arrive(self, at: float) -> Verdict:
        taken = self.out < self.most
        self.out += taken
        return Verdict(taken=taken, wait=self.latency / 2, words=self.words)

    def leave(self, at: float) -> None:
        self.out -= 1

    def allowed(self, seconds: float) -> float:
        return self.most * seconds / self.latency


@dataclass
class NoLimit:
    """Takes everything."""

    def arrive(self, at: float) -> Verdict:
        return Verdict(taken=True)

    def leave(self, at: float) -> None:
        pass

    def allowed(self, seconds: float) -> float:
        return math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run: a limit, how it speaks, and how long or how many calls."""

    label: str
    limit: Limit
    latency: float = 0.05
    retry_after: str = "whole"
    #: How the limit is stated: "" (not at all), "ratelimit" (RateLimit-*), "x" (X-RateLimit-*, unix seconds),
    #: "refusals" (the same, on refusals only) or "policy" (RateLimit and RateLimit-Policy).
    headers: str = ""
    #: The server's clock less ours, in seconds.
    skew: float = 0.0
    max_in_flight: int = 8
    seconds: float = math.inf
    calls: float = math.inf
    rate: Rate | None = None
    found: Estimate | None = None
    quotas: tuple[Quota, ...] = ()
    seed: int = 1
    jitter: float = 0.2
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    accepted: int
    refused: int
    early: int
    seconds: float
    allowed: float
    most_in_flight: int
    found: Estimate
    sent_at: tuple[float, ...]

    @property
    def used(self) -> float:
        """Return accepted calls as a share of allowed ones."""
        return self.accepted / self.allowed

    @property
    def refusals(self) -> float:
        """Return refused calls as a share of all calls."""
        return self.refused / max(1, self.refused + self.accepted)


def stated(verdict: Verdict, form: str, now: float) -> dict[str, str]:
    """Return the headers that state a limit; `now` by the server's clock."""
    limit, left, reset = f"{verdict.limit:g}", f"{verdict.remaining:g}", math.ceil(verdict.reset)
    if not form or not verdict.limit or (form == "refusals" and verdict.taken):
        return {}
    if form == "ratelimit":
        return {"RateLimit-Limit": limit, "RateLimit-Remaining": left, "RateLimit-Reset": f"{reset}"}
    if form == "policy":
        policy = f'"default";q={limit};w={max(1, math.ceil(verdict.window))}'
        return {"RateLimit-Policy": policy, "RateLimit": f'"default";r={left};t={reset}'}
    at = str(math.ceil(now + verdict.reset))
    return {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": left, "X-RateLimit-Reset": at}


@lru_cache(maxsize=64)
def written(second: int) -> str:
    """Return an HTTP date."""
    return formatdate(second, usegmt=True)


def answer(verdict: Verdict, case: Case, at: float) -> tuple[int, dict[str, str], str]:
    """Write the verdict as an HTTP answer."""
    now = at + case.skew
    headers = {"Date": written(math.floor(now))} | stated(verdict, case.headers, now)
    if verdict.taken:
        return 200, headers, "{}"
    if case.retry_after == "whole":
        headers["Retry-After"] = str(math.ceil(verdict.wait))
    elif case.retry_after == "fraction":
        headers["Retry-After"] = f"{verdict.wait + 0.0005:.3f}"
    return 429, headers, verdict.words


def run(case: Case, watch: Callable[[PaceState, float], None] = lambda _state, _now: None) -> Result:
    """Run one case to its end in virtual time; `watch` gets the state after each answer, and the time."""
    dice = random.Random(case.seed)  # noqa: S311 (repeatable dice, no secret)
    bounds = Limits(max_in_flight=case.max_in_flight, rate=case.rate)
    state = pace.begin(bounds, case.found, case.quotas)
    serial = itertools.count()
    events: list[tuple[float, int, str, object]] = [(START, next(serial), "ask", None)]
    asked_for = START
    accepted = refused = early = most = 0
    not_before = now = START
    sent_at: list[float] = []
    latency = case.latency
    while events and now - START < case.seconds and accepted < case.calls:
        now, _, kind, data = heapq.heappop(events)
        if now - START >= case.seconds:
            break
        if kind == "arrive":
            verdict = case.limit.arrive(now)
            assert isinstance(data, tuple)
            heapq.heappush(events, (max(now, data[1]), next(serial), "answer", (data[0], verdict, now)))
            continue
        if kind == "answer":
            assert isinstance(data, tuple)
            sent, verdict, arrived = data
            if verdict.taken:
                case.limit.leave(now)
            hints = read_hints(*answer(verdict, case, arrived), now=now)
            accepted += verdict.taken
            refused += not verdict.taken
            if hints.retry_after is not None:
                not_before = max(not_before, now + hints.retry_after)
            state = pace.report(state, bounds, sent, hints, now)
            watch(state, now)
        while accepted + state.limiter.in_flight < case.calls:
            state, turn = pace.reserve(state, now)
            if turn.grant is None:
                wake = now + turn.seconds + 1e-6
                if turn.seconds and not now < asked_for <= wake:
                    asked_for = wake
                    heapq.heappush(events, (asked_for, next(serial), "ask", None))
                break
            early += now < not_before - 1e-9
            most = max(most, turn.grant.concurrency)
            sent_at.append(now)
            trip = latency * dice.uniform(1 - case.jitter, 1 + case.jitter)
            heapq.heappush(events, (now + trip * 0.4, next(serial), "arrive", (turn.grant, now + trip)))
    seconds = now - START
    served = case.max_in_flight * seconds / latency
    return Result(
        accepted=accepted,
        refused=refused,
        early=early,
        seconds=seconds,
        allowed=min(case.limit.allowed(seconds), served),
        most_in_flight=most,
        found=state.estimate,
        sent_at=tuple(sent_at),
    )


def buckets() -> Iterator[Case]:
    """Yield token buckets."""
    for rate, latency, form in itertools.product((5, 20, 50, 200), (0.02, 0.1, 0.3), ("whole", "fraction", "none")):
        for burst in (max(1, rate // 10), rate, 5 * rate):
            yield Case(
                label=f"bucket {rate}/s burst {burst}",
                limit=Bucket(rate, burst),
                latency=latency,
                retry_after=form,
                seconds=30,
                max_in_flight=32 if rate * latency > 8 else 8,
            )


def windows() -> Iterator[Case]:
    """Yield fixed windows and sliding logs, with headers and without."""
    shapes = ((20, 1, 30), (100, 10, 45), (120, 60, 240), (600, 60, 240))
    forms = ("whole", "fraction", "none")
    shown = ("", "ratelimit", "x", "refusals", "policy")
    for (quota, length, seconds), latency, form, headers in itertools.product(
        shapes, (0.02, 0.1, 0.3), forms, shown
    ):
        for kind, limit in (("window", Window(quota, length)), ("log", Log(quota, length))):
            yield Case(
                label=f"{kind} {quota} per {length} s",
                limit=limit,
                latency=latency,
                retry_after=form,
                headers=headers,
                seconds=seconds,
            )


def others() -> Iterator[Case]:
    """Yield limits of calls at once, none at all, short runs, known rates, and headers on a bucket."""
    for most, latency, form in itertools.product((3, 10), (0.02, 0.1, 0.3), ("whole", "fraction", "none")):
        for words in ("Too many concurrent requests", "slow down"):
            name = "" if "concurrent" in words else ", not said"
            yield Case(
                label=f"{most} at once{name}",
                limit=AtOnce(most, latency, words),
                latency=latency,
                retry_after=form,
                seconds=30,
                max_in_flight=16,
            )
    for rate, calls, latency, form in itertools.product(
        (20, 50), (200, 400), (0.05, 0.2), ("whole", "fraction", "none")
    ):
        for burst in (rate // 10, rate):
            yield Case(
                label=f"short: {calls} calls, bucket {rate}/s burst {burst}",
                limit=Bucket(rate, burst),
                latency=latency,
                retry_after=form,
                calls=calls,
                max_in_flight=16,
            )
    for rate, burst in ((20, 20), (50, 250), (200, 20)):
        yield Case(
            label=f"bucket {rate}/s burst {burst}",
            limit=Bucket(rate, burst),
            headers="ratelimit",
            seconds=30,
            max_in_flight=16,
        )
    for latency, in_flight in itertools.product((0.005, 0.05, 0.3), (8, 32)):
        yield Case(
            label=f"no limit, {in_flight} in flight",
            limit=NoLimit(),
            latency=latency,
            calls=1000,
            max_in_flight=in_flight,
        )
    for rate in (20, 200):
        yield Case(
            label=f"known {rate}/s, bucket burst {rate // 10}",
            limit=Bucket(rate, rate // 10),
            rate=Rate(calls=rate, per_seconds=1),
            seconds=30,
            max_in_flight=32,
        )
        yield Case(
            label=f"known {rate}/s, window",
            limit=Window(rate, 1),
            rate=Rate(calls=rate, per_seconds=1),
            seconds=30,
            max_in_flight=32,
        )
    yield Case(
        label="known 200/s, really 120/s",
        limit=Bucket(120, 12),
        rate=Rate(calls=200, per_seconds=1),
        seconds=30,
        max_in_flight=32,
    )


def line(case: Case, result: Result) -> str:
    """Return one line of the table."""
    speaks = f"{case.retry_after:8} {case.headers or '-':9}"
    mark = "" if result.used >= 0.85 and result.refusals <= 0.05 and not result.early else "  <<"
    return (
        f"{case.label:38} {case.latency * 1000:4.0f} ms {case.max_in_flight:2} {speaks} {result.seconds:6.1f} s "
        f"{result.accepted + result.refused:5} {result.used:6.1%} {result.refusals:6.1%} {result.early:2}"
        f" {result.found.rate:7.2f} {result.found.bursts:3}{mark}"
    )


def all_cases(*, long: bool) -> Iterator[Case]:
    """Yield every case; `long`: those that last, for `LONG_SECONDS` at least."""
    for case in itertools.chain(buckets(), windows(), others()):
        if not long:
            yield case
        elif math.isinf(case.calls):
            yield replace(case, seconds=max(LONG_SECONDS, case.seconds))


def main(words: str = "", *, long: bool = False) -> None:
    """Print the table."""
    write = sys.stdout.write
    write(f"{'limit':38} latency  n after    headers   seconds calls   used refused early  rate bursts\n")
    began, weak, lines = time.perf_counter(), 0, 0
    for case in all_cases(long=long):
        if words in case.label:
            text = line(case, run(case))
            weak += text.endswith("<<")
            lines += 1
            write(text + "\n")
    write(f"{lines} runs in {time.perf_counter() - began:.1f} s; {weak} below 85 % or above 5 %\n")


if __name__ == "__main__":
    main(" ".join(each for each in sys.argv[1:] if each != "--long"), long="--long" in sys.argv)
