"""What the Tab key offers: connections, jobs, schedules, accounts, receivers, saved maps and systems.

The shell calls the program for each Tab. So what is read is little, nothing is made or changed, and whatever goes
wrong offers nothing: a message would break the line that a person types.
"""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from worker.ledger.database import Transaction

    Offered = Iterable[tuple[str, str]]
    Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: Up to this many jobs are offered, the newest first.
MAX_JOBS = 50


@add_completion_class
class QuotingBash(BashComplete):
    """Bash, which enters what it is offered as it is: spaces and the like must be quoted. Zsh and fish quote it."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return the line of an item; each backslash twice, since click's script reads it without `-r`."""
        quoted = _UNSAFE.sub(r"\\\\\1", item.value)
        return f"{item.type},{quoted}"


#: What a shell would not take as part of a plain word.
_UNSAFE = re.compile(r"([^\w@%+=:,./-])")


def _completion(find: Callable[[click.Context], Offered]) -> Completion:
    """Return a completion from what it offers: values, each with a short explanation."""

    @wraps(find)
    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            offered = list(find(context))
        except Exception:  # noqa: BLE001 - a message would break the line that a person types
            return []
        return [
            # The shells are given one line for each of value and explanation.
            CompletionItem(value, help=" ".join(about.split()) or None)
            for value, about in offered
            if value.casefold().startswith(typed.casefold()) and value.isprintable()
        ]

    return complete


def _tables(context: click.Context, section: str) -> Offered:
    """Return the names of the tables in a section of roster.toml and of the environment."""
    path = context.obj or Path(os.environ.get("ROSTER_CONFIG") or "roster.toml")
    tables = tomllib.loads(path.read_text("utf-8-sig")).get(section, {}) if path.is_file() else {}
    prefix = f"ROSTER_{section.upper()}__"
    more = {name.removeprefix(prefix).partition("__")[0].lower() for name in os.environ if name.startswith(prefix)}
    found = {name: str(table.get("system", "")) for name, table in tables.items()}
    return sorted((dict.fromkeys(more - {name.lower() for name in found}, "") | found).items())


def _read(context: click.Context, read: Callable[[Transaction], Offered]) -> Offered:
    """Return what is read from the ledger; nothing when there is none, or it is of another version."""
    from worker import settings
    from worker.ledger.database import open_as_it_is
    from worker.ledger.transactions import Ledger

    engine = open_as_it_is(settings.load(context.obj).ledger)
    if engine is None:
        return []
    with closing(Ledger(engine)) as ledger, ledger.read() as tx:
        return list(read(tx))


@_completion
def connections(context: click.Context) -> Offered:
    """Offer the connections of roster.toml."""
    return _tables(context, "connections")


@_completion
def receivers(context: click.Context) -> Offered:
    """Offer the receivers of messages."""
    return _tables(context, "messages")


@_completion
def systems(_: click.Context) -> Offered:
    """Offer the systems that are supported."""
    from worker import lms

    return [(system, "") for system in lms.systems()]


@_completion
def states(_: click.Context) -> Offered:
    """Offer the states of jobs."""
    from worker.model import JobState

    return [("open", "jobs that still need somebody"), *((str(state), "") for state in JobState)]


@_completion
def jobs(context: click.Context) -> Offered:
    """Offer the newest jobs, with their rosters and states."""
    from worker.ledger import jobs as stored

    def read(tx: Transaction) -> Offered:
        return [(str(job.id), f"{job.roster}, {job.state}") for job in stored.list_jobs(tx, MAX_JOBS)]

    return _read(context, read)


@_completion
def schedules(context: click.Context) -> Offered:
    """Offer the schedules."""
    from worker.ledger import schedules as stored

    def read(tx: Transaction) -> Offered:
        return [(each.name, f"{each.cron} to {each.connection}") for each in stored.list_schedules(tx)]

    return _read(context, read)


@_completion
def accounts(context: click.Context) -> Offered:
    """Offer the accounts, with their roles."""
    from worker.ledger import accounts as stored

    return _read(context, lambda tx: [(each.name, str(each.role)) for each, _ in stored.list_accounts(tx)])


@_completion
def maps(context: click.Context) -> Offered:
    """Offer the names of saved maps."""
    from worker.ledger import key_value

    return _read(context, lambda tx: [(name.removeprefix("map:"), "") for name in key_value.keys(tx, "map:")])


def script(shell: str) -> str:
    """Return the script that teaches a shell to complete `roster`."""
    from click.shell_completion import get_completion_class

    from worker.cli.main import roster

    kind: Any = get_completion_class(shell)
    return str(kind(roster, {}, "roster", "_ROSTER_COMPLETE").source())
