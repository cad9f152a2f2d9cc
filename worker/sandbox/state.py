"""All that the sandbox holds: the LMSs, their quotas, their faults and the journal, in memory. Knows no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from worker.sandbox import faults, quota, rule_syntax
from worker.sandbox.faults import FaultPlan, Rule
from worker.sandbox.journal import Journal
from worker.sandbox.kmi import Kmi
from worker.sandbox.messages import System
from worker.sandbox.moodle.options import Database, MoodleOptions, SiteState, Version
from worker.sandbox.moodle.service import Moodle
from worker.sandbox.options import EmailTaken, Lookup, Options, SeedRegistrations, Twice
from worker.sandbox.quota import Quota
from worker.sandbox.quota_enforcement import QuotaEnforcer
from worker.sandbox.tahdah import Tahdah


class SandboxState:
    """Everything that the sandbox holds; `reset` takes it back to the start."""

    def __init__(self, options: Options | None = None, clock: Callable[[], float] = time.time) -> None:
        self.options = options or Options()
        #: Seconds since the epoch.
        self.clock = clock
        #: Closes the connection of a client (host, port) without a word; the server puts it there.
        self.hang_up: Callable[[tuple[str, int]], None] = lambda _client: None
        #: Lets go of the calls that a `hold` rule holds.
        self.rules_replaced = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget everything; data, quotas and rules are again as the options have them."""
        self.started = self.clock()
        self.tahdah = Tahdah(self.options)
        self.kmi = Kmi(self.options, self.started)
        options = self.options
        self.moodle = Moodle(options.moodle, self.started)
        self.journal = Journal(self.options.journal_length)
        self.set_quotas(self.options.quotas)
        self.set_rules(self.options.rules)

    def set_quotas(self, quotas: Iterable[Quota]) -> None:
        """Replace the quotas; their figures start at zero."""
        self.quota_enforcer = QuotaEnforcer(quotas)

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Replace the rules; they count from now, and calls that were held go on."""
        self.fault_plan = FaultPlan(rules, self.options.seed)
        self.rules_replaced.set()
        self.rules_replaced = asyncio.Event()

    def credential(self, system: System, account: str) -> str:
        """Return a name for an account that tells no secret: `tahdah#1`, `kmi#2`."""
        accounts: dict[System, list[str]] = {
            System.TAHDAH: list(self.tahdah.tokens.values()),
            System.KMI: list(self.kmi.keys),
            System.MOODLE: self.moodle.tokens,
        }
        return f"{system}#{accounts[system].index(account) + 1}"


def seed_registrations(text: str) -> SeedRegistrations:
    """Read registrations that exist before the first call: `58:1-100` are the seed users 1 to 100 on course 58."""
    course, _, persons = text.partition(":")
    first, _, last = persons.partition("-")
    try:
        return SeedRegistrations(course_id=int(course), first=int(first), last=int(last or first))
    except ValueError:
        raise rule_syntax.RuleSyntaxError(f"{text!r}: say COURSE:FIRST-LAST, such as 58:1-100.") from None


_CHOICES: dict[str, rule_syntax.Reader] = {
    "lookup": Lookup,
    "email_taken": EmailTaken,
    "kmi_email_taken": EmailTaken,
    "tahdah_twice": Twice,
    "kmi_twice": Twice,
    "moodle_version": Version,
    "moodle_database": Database,
    "moodle_state": SiteState,
}
_MOODLE = "moodle_"


def make_state(
    *,
    quotas: Iterable[str] = (),
    bad_days: Iterable[str] = (),
    registered: Iterable[str] = (),
    **options: Any,
) -> SandboxState:
    """Make a state from the words of the command line; every further option is a field of `Options`.

    `quotas` as in `bucket:20/second:burst=40`, `bad_days` as in `register:lost-after:every=7`, `registered` as in
    `58:1-100`. Raise `BadWords` when one cannot be read.
    """
    for name in _CHOICES.keys() & options.keys():
        try:
            options[name] = _CHOICES[name](str(options[name]))
        except ValueError as problem:
            raise rule_syntax.RuleSyntaxError(f"{name}: {problem}.") from None
    moodle = {name.removeprefix(_MOODLE): options.pop(name) for name in list(options) if name.startswith(_MOODLE)}
    return SandboxState(
        Options(
            moodle=MoodleOptions(**moodle),
            quotas=tuple(map(quota.parse, quotas)),
            rules=tuple(map(faults.parse, bad_days)),
            seed_registrations=tuple(map(seed_registrations, registered)),
            **options,
        )
    )
