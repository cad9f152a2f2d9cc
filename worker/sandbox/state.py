"""All that the sandbox holds: the LMSs, their quotas, their faults and the journal, in memory. Knows no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from worker.sandbox import faults, quota, rule_syntax, systems
from worker.sandbox.faults import FaultPlan, Rule
from worker.sandbox.journal import Journal
from worker.sandbox.options import Options
from worker.sandbox.quota import Quota
from worker.sandbox.quota_enforcement import QuotaEnforcer
from worker.sandbox.systems import System


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
        given = self.options.systems
        self.systems: dict[str, System] = {
            name: system(given.get(name) or system.options_type(), self.options, self.started)
            for name, system in systems.installed().items()
        }
        #: The longest path first, since one may be within another.
        self._by_path = sorted(self.systems.values(), key=lambda each: len(each.base), reverse=True)
        self.journal = Journal(self.options.journal_length)
        self.set_quotas(self.options.quotas)
        self.set_rules(self.options.rules)

    def __getattr__(self, name: str) -> Any:
        """Return a pretend LMS by its name."""
        found = self.__dict__.get("systems", {}).get(name)
        if found is None:
            raise AttributeError(name)
        return found

    def system_at(self, path: str) -> System | None:
        """Return the pretend LMS that answers at a path."""
        return next((each for each in self._by_path if path.startswith(each.base)), None)

    def set_quotas(self, quotas: Iterable[Quota]) -> None:
        """Replace the quotas; their figures start at zero."""
        self.quota_enforcer = QuotaEnforcer(quotas)

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Replace the rules; they count from now, and calls that were held go on."""
        self.fault_plan = FaultPlan(rules, self.options.seed)
        self.rules_replaced.set()
        self.rules_replaced = asyncio.Event()

    def credential(self, system: System, account: str) -> str:
        """Return a name for an account that contains no secret, such as `kmi#2`: the second of that system."""
        return f"{system.name}#{system.credentials().index(account) + 1}"


def make_state(*, quotas: Iterable[str] = (), bad_days: Iterable[str] = (), **options: Any) -> SandboxState:
    """Make a state from the words of the command line.

    `quotas` as in `bucket:20/second:burst=40`, `bad_days` as in `register:lost-after:every=7`. Every further option
    is a field of `Options`, or one of a system with the system's name before it, such as `kmi_seed_users`. Without
    the name it is the first system's that has such an option. Raise `RuleSyntaxError` when one cannot be read.
    """
    shared = {
        name: _typed(options.pop(name), default) for name, default in _fields(Options).items() if name in options
    }
    return SandboxState(
        Options(
            quotas=tuple(map(quota.parse, quotas)),
            rules=tuple(map(faults.parse, bad_days)),
            systems=_system_options(options),
            **shared,
        )
    )


def _fields(of: type[Any]) -> dict[str, Any]:
    return {each.name: each.default for each in fields(of)}


def _system_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return an instance of each system's options."""
    chosen: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        system, of = _owner(name)
        chosen.setdefault(system.name, {})[of] = _read(system, of, value)
    return {name: systems.installed()[name].options_type(**values) for name, values in chosen.items()}


def _owner(name: str) -> tuple[type[System], str]:
    """Return the system that an option is of, and its name there."""
    installed = systems.installed()
    before, _, rest = name.partition("_")
    if before in installed and rest in _fields(installed[before].options_type):
        return installed[before], rest
    for system in installed.values():
        if name in _fields(system.options_type):
            return system, name
    known = sorted(f"{each.name}_{of}" for each in installed.values() for of in _fields(each.options_type))
    raise rule_syntax.RuleSyntaxError(f"{name!r} is no option of the sandbox. Known: {', '.join(known)}.")


def _read(system: type[System], name: str, value: Any) -> Any:
    """Return a value as the option's type has it; one that is no text already is."""
    if not isinstance(value, str):
        return tuple(map(system.readers[name], value)) if name in system.readers else value
    default = _fields(system.options_type)[name]
    try:
        if name in system.readers:
            return tuple(map(system.readers[name], value.split(",")))
        return _typed(value, default)
    except ValueError as problem:
        if isinstance(problem, rule_syntax.RuleSyntaxError):
            raise
        raise rule_syntax.RuleSyntaxError(f"{system.name}_{name}: {problem}.") from None


def _typed(value: Any, default: Any) -> Any:
    """Return a text as the type of a default has it; any other value as it is."""
    if not isinstance(value, str) or not isinstance(default, str | int | float | frozenset | tuple):
        return value
    if isinstance(default, bool):
        return rule_syntax.yes(value)
    if isinstance(default, frozenset | tuple):
        return type(default)(value.split(","))
    return type(default)(value)
