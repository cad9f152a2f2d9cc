"""What commands share: the services, the connection to use, and where reports go by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.model import Actor
    from worker.settings import Connection

REPORTS = Path("reports")
#: A longer name of this machine's user is cut in the audit log.
MAX_USER = 90


def with_services(command: Callable[..., int | None]) -> Callable[..., None]:
    """Call a command with `Services`, open until it ends; it returns its exit code, or None for 0."""
    return _with_services(command, make_ledger=True)


def with_connections(command: Callable[..., int | None]) -> Callable[..., None]:
    """Call a command as `with_services` does, but make nothing when no connection is configured."""
    return _with_services(command, make_ledger=True, needs_connection=True)


def with_existing_ledger(command: Callable[..., int | None]) -> Callable[..., None]:
    """Call a command as `with_services` does, but make no ledger: without one the command has nothing to do."""
    return _with_services(command, make_ledger=False)


def _with_services(
    command: Callable[..., int | None], *, make_ledger: bool, needs_connection: bool = False
) -> Callable[..., None]:
    @click.pass_context
    @wraps(command)
    def call(context: click.Context, /, **typed: Any) -> None:
        services = services_of(context, make_ledger=make_ledger, needs_connection=needs_connection)
        context.exit(command(services, **typed) or 0)

    return call


def services_of(context: click.Context, *, make_ledger: bool = True, needs_connection: bool = False) -> Services:
    """Read the configuration and open the ledger, until the command ends. Raises SettingsError."""
    from worker.bootstrap import open_services

    services = open_services(context.obj, make_ledger=make_ledger, needs_connection=needs_connection)
    context.call_on_close(services.ledger.close)
    if services.settings.log_level:
        configure_log(services)
    return services


def configure_log(services: Services) -> None:
    """Let this command log errors alone, unless `log_level` says otherwise: its own messages say the rest."""
    from worker import logs

    logs.configure(services.settings.log, services.settings.log_level or "error")


def actor() -> Actor:
    """Return this machine's user, for the audit log."""
    import getpass

    from worker.model import Actor

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown user"
    return Actor(name=f"{name[:MAX_USER]} (cli)", address="cli")


def record(services: Services, action: str, *, job_id: int | None = None, detail: str = "") -> None:
    """Record an act of this machine's user in the audit log."""
    from worker.ledger import accounts

    with services.ledger.write() as tx:
        accounts.add_audit_entry(tx, actor=actor(), action=action, job_id=job_id, detail=detail)


def connection_of(services: Services, name: str | None) -> Connection:
    """Return the connection to use; print warnings about its configuration."""
    connection = services.connection(name)
    for warning in services.warnings(connection):
        click.echo(f"Warning: {warning}", err=True)
    return connection
