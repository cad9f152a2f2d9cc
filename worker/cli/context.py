"""What commands share: the services, the connection to use, and where reports go by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.settings import Connection

Options = ParamSpec("Options")

REPORTS = Path("reports")


def with_services(command: Callable[Concatenate[Services, Options], int | None]) -> Callable[Options, None]:
    """Call a command with `Services`, open until it ends; it returns its exit code, or None for 0."""

    @click.pass_context
    @wraps(command)
    def call(context: click.Context, /, *args: Options.args, **options: Options.kwargs) -> None:
        context.exit(command(services_of(context), *args, **options) or 0)

    return call


def services_of(context: click.Context) -> Services:
    """Read the configuration and open the ledger, until the command ends."""
    from worker.bootstrap import open_services

    services = open_services(context.obj)
    context.call_on_close(services.ledger.close)
    return services


def connection_of(services: Services, name: str | None) -> Connection:
    """Return the connection to use; print warnings about its configuration."""
    connection = services.connection(name)
    for warning in services.warnings(connection):
        click.echo(f"Warning: {warning}", err=True)
    return connection
