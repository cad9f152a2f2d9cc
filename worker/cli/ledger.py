"""`roster ledger`: copy the ledger, or take a restored one into use. Imports what it needs when it is called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from worker.cli.context import actor, with_existing_ledger
from worker.cli.group import CommandGroup
from worker.cli.options import json_option

if TYPE_CHECKING:
    from worker.bootstrap import Services


@click.group(cls=CommandGroup)
def ledger() -> None:
    """Copy the ledger to another database; take a restored one into use."""


@ledger.command("copy")
@click.argument("url", metavar="URL")
@json_option
@with_existing_ledger
def copy(services: Services, url: str, *, as_json: bool) -> None:
    """Copy the ledger to another database, which must be empty.

    It is how a ledger moves from SQLite to PostgreSQL. URL may be env:NAME
    or file:/path, so that no password is in the list of processes. Nothing is
    copied while a job is at work.

    Example: roster ledger copy postgresql+psycopg://roster@db/roster
    """
    from worker import control
    from worker.ledger import accounts
    from worker.ledger.copying import copy_ledger
    from worker.ledger.database import open_engine
    from worker.ledger.transactions import Ledger
    from worker.quantities import counted
    from worker.settings import read_address

    address = read_address(url)
    is_in_use = control.has_background_process(services)
    copied = copy_ledger(services.ledger, services.settings.ledger, address)
    target = Ledger(open_engine(address))
    with target.write() as tx:
        accounts.add_audit_entry(tx, actor=actor(), action="ledger copy", detail=f"from {copied.source}")
    target.close()
    if as_json:
        click.echo(json.dumps({"from": copied.source, "to": copied.target, "records": dict(copied.records)}))
    else:
        for name, count in copied.records.items():
            click.echo(f"{name:<16} {count:>12,}")
        click.echo(f"{counted(copied.total, 'record')} copied to {copied.target}; every table has as many.")
        click.echo("Set `ledger` in roster.toml to it for every process, and do not use the old ledger any more.")
    if is_in_use:
        click.echo(
            "Warning: a worker or `roster serve` used the old ledger a moment ago. Stop it: whom only one of two "
            "ledgers knows is registered twice",
            err=True,
        )


@ledger.command("restored")
@json_option
@with_existing_ledger
def restored(services: Services, *, as_json: bool) -> None:
    """Take a ledger into use that was restored from a backup.

    What it does not know as sent may have been sent after the backup: unended jobs are held, and their rows are
    looked up, or answered by a person, before anything is sent. Run it before any other process starts.

    Example: roster ledger restored
    """
    from worker.cli.restored import take_into_use

    take_into_use(services, as_json=as_json)


COMMANDS = (ledger,)
