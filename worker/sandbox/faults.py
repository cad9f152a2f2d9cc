"""Fault injection: which call, when, and which fault it meets. `fault_effects.py` makes the answers.

A rule in words is `operation:what:key=value…`, such as `register:lost-after:every=7`,
`create_candidate:reject:marker=poison` or `*:throttle:nth=5:retry-after=3`. The operation may be one of a system
only (`kmi.list_registrations`), or all of one (`kmi.*`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from worker.sandbox import hints, rule_syntax, systems
from worker.sandbox.messages import UNKNOWN, Call, Person


class Fault(StrEnum):
    """A fault that a call can meet."""

    #: 400 that names the person; nothing is done. The next five likewise.
    REJECT = "reject"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    CONFLICT = "409"
    TOO_LARGE = "413"
    UNPROCESSABLE = "422"
    #: 500 after doing the work, and without doing it; `status` for another number.
    LOST_AFTER = "lost-after"
    LOST_BEFORE = "lost-before"
    #: The work is done, and the answer held back for `seconds`.
    TIMEOUT_AFTER = "timeout-after"
    #: A gateway answers 504, and the work is done `seconds` later.
    LATE = "late"
    #: The connection is closed without a word, after doing the work, and without doing it.
    DROP_AFTER = "drop-after"
    DROP_BEFORE = "drop-before"
    #: The HTML page of a proxy; the work is done with `done=yes`.
    HTML_502 = "html-502"
    #: The array of the answer lacks its last `count` items, or comes in another order.
    SHORT = "short"
    SHUFFLED = "shuffled"
    #: The ids of the answer in another type.
    STRING_IDS = "string-ids"
    INT_IDS = "int-ids"
    FLOAT_IDS = "float-ids"
    OK = "200"
    CREATED = "201"
    #: 202 and 204 without the ids that were asked for; the work is not done with `done=no`.
    ACCEPTED = "202"
    NO_CONTENT = "204"
    #: 200 with an exception in the body, as Moodle has it; the work is done with `done=yes`.
    ERROR_200 = "error-200"
    #: The answer comes `seconds` later.
    SLOW = "slow"
    #: The call waits, its work not done, until the rules are replaced.
    HOLD = "hold"
    #: Refused as too many requests, whatever the quotas say.
    THROTTLE = "throttle"


#: Those that leave the work undone unless `done=yes`.
UNDONE = frozenset({Fault.HTML_502, Fault.ERROR_200})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; of `nth`, `every`, `first`, `after`, `p`, those that are given must all hold."""

    operation: str
    #: One that only a system has is its name.
    what: Fault | str
    #: Only calls that touch somebody whose e-mail (its local part) or external id begins so.
    marker: str | None = None
    #: The n-th such call, every n-th, the first n, all but the first n; counted among the calls that match.
    nth: int | None = None
    every: int | None = None
    first: int | None = None
    after: int | None = None
    #: With this probability, by dice that fall the same way in every run.
    p: float | None = None
    #: Up to this many times.
    times: int | None = None
    #: For `slow`, `timeout-after` and `late`.
    seconds: float = 1.0
    #: For `short`.
    count: int = 1
    #: Whether the work is done all the same.
    done: bool | None = None
    #: For `throttle`, `lost-after` and `lost-before`; the others are for `throttle`.
    status: int | None = None
    wait: float = 1.0
    retry_after: str = hints.RetryAfter.INTEGER
    headers: hints.Headers = hints.Headers.NONE
    body: hints.Body = hints.Body.AUTO

    def __str__(self) -> str:
        """Return the rule in the words of the command line."""
        given = [
            f"{each.name.replace('_', '-')}={_text(getattr(self, each.name))}"
            for each in fields(self)
            if each.name not in {"operation", "what"} and getattr(self, each.name) != each.default
        ]
        return ":".join([self.operation, self.what, *given])

    @property
    def works(self) -> bool:
        """Whether the work is done all the same."""
        return self.done if self.done is not None else self.what not in UNDONE


_READERS: dict[str, rule_syntax.Reader] = {
    **dict.fromkeys(("nth", "every", "first", "after", "times", "count", "status"), int),
    **dict.fromkeys(("p", "seconds", "wait"), float),
    "marker": str,
    "done": rule_syntax.yes,
    "retry_after": hints.retry_after_form,
    "headers": hints.Headers,
    "body": hints.Body,
}


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def parse(text: str) -> Rule:
    """Read a rule in words."""
    plain, named = rule_syntax.split(text)
    if len(plain) != 2:  # noqa: PLR2004 an operation and a fault
        raise rule_syntax.RuleSyntaxError(
            f"{text!r} is no rule; say operation:what:when, such as register:lost-after:every=7."
        )
    return _rule(plain[0], plain[1], named, text)


def from_json(value: Any) -> Rule:
    """Read a rule from JSON: the text of one, or an object with `operation`, `what` and the same keys."""
    if isinstance(value, str):
        return parse(value)
    if not isinstance(value, Mapping):
        raise rule_syntax.RuleSyntaxError(f"{value!r} is no rule; say a text or an object.")
    named = {key: each for key, each in value.items() if key not in {"operation", "what"} and each is not None}
    return _rule(str(value.get("operation", "*")), str(value.get("what")), named, str(dict(value)))


def _rule(operation: str, what: str, named: Mapping[str, Any], text: str) -> Rule:
    system, _, name = operation.rpartition(".")
    installed = systems.installed()
    meant = [installed[system]] if system in installed else list(installed.values())
    operations = {UNKNOWN, *(each for one in meant for each in one.operations)}
    if (system and system not in installed) or name not in {*operations, "*"}:
        known = ", ".join(sorted(operations))
        whole = ", ".join(f"{each}.*" for each in installed)
        raise rule_syntax.RuleSyntaxError(
            f"{text!r}: {operation!r} is no operation. Known: *, {known}; also {whole}."
        )
    own = {each for one in meant for each in one.faults}
    if what not in set(Fault) | own:
        known = ", ".join([*Fault, *sorted(own)])
        raise rule_syntax.RuleSyntaxError(f"{text!r}: {what!r} is not a known fault. Known: {known}.")
    kind = Fault(what) if what in set(Fault) else what
    return Rule(operation=operation, what=kind, **rule_syntax.read(named, _READERS, text))


class FaultPlan:
    """The rules at work: counts calls and throws the dice."""

    def __init__(self, rules: Iterable[Rule], seed: int) -> None:
        self.rules = tuple(rules)
        self.seen = [0] * len(self.rules)
        self.fired = [0] * len(self.rules)
        self._dice = random.Random(seed)  # noqa: S311 dice that fall the same way in every run

    def rules_for(self, call: Call, persons: Callable[[], list[Person]]) -> list[Rule]:
        """Return the rules that this call meets, counting it."""
        return [rule for index, rule in enumerate(self.rules) if self._meets(index, rule, call, persons)]

    def shuffle(self, items: list[Any]) -> list[Any]:
        """Return the items in another order than they had, where there are two at least."""
        turned = items[:]
        self._dice.shuffle(turned)
        return turned if turned != items else turned[1:] + turned[:1]

    def figures(self) -> list[dict[str, Any]]:
        """Return the rules and how often they were met."""
        return [
            {"rule": str(rule), "seen": seen, "fired": fired}
            for rule, seen, fired in zip(self.rules, self.seen, self.fired, strict=True)
        ]

    def _meets(self, index: int, rule: Rule, call: Call, persons: Callable[[], list[Person]]) -> bool:
        if rule.operation not in {"*", call.operation, f"{call.system}.*", f"{call.system}.{call.operation}"}:
            return False
        if rule.marker is not None and not any(marked(person, rule.marker) for person in persons()):
            return False
        self.seen[index] += 1
        meets = self._is_time(rule, self.seen[index]) and (rule.times is None or self.fired[index] < rule.times)
        self.fired[index] += meets
        return meets

    def _is_time(self, rule: Rule, count: int) -> bool:
        return (
            (rule.nth is None or count == rule.nth)
            and (rule.every is None or count % rule.every == 0)
            and (rule.first is None or count <= rule.first)
            and (rule.after is None or count > rule.after)
            and (rule.p is None or self._dice.random() < rule.p)
        )


def marked(person: Person, marker: str) -> bool:
    """Whether the local part of somebody's e-mail, or the external id, begins with the marker."""
    folded = marker.casefold()
    return person.email.casefold().startswith(folded) or person.external_id.casefold().startswith(folded)
