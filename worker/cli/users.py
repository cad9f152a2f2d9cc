"""`roster user` and `roster audit`: who may use the page and the API, and what they did."""

from __future__ import annotations

import click

from worker.cli.options import json_option
from worker.cli.services import services_of

NAME = click.argument("name")
ROLES = click.Choice(["viewer", "operator", "admin"])


@click.group()
def user() -> None:
    """Accounts of those who use the page and the API."""


@user.command()
@NAME
@click.option("--role", type=ROLES, default="operator", show_default=True, help="What they may do.")
@click.pass_context
def add(context: click.Context, name: str, role: str) -> None:
    """Add an account; its password is asked for, or read from standard input.

    Example: roster user add ana --role operator
    """
    from worker.cli import accounts

    accounts.add(services_of(context), name, role)


@user.command(name="list")
@json_option
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """List the accounts with their roles.

    Example: roster user list
    """
    from worker.cli import accounts

    accounts.show(services_of(context), as_json=as_json)


@user.command()
@NAME
@click.pass_context
def remove(context: click.Context, name: str) -> None:
    """Remove an account; its sessions and tokens end at once.

    Example: roster user remove ana
    """
    from worker.cli import accounts

    accounts.remove(services_of(context), name)


@user.command()
@NAME
@click.pass_context
def password(context: click.Context, name: str) -> None:
    """Give an account another password; its sessions end.

    Example: roster user password ana
    """
    from worker.cli import accounts

    accounts.password(services_of(context), name)


@user.command()
@NAME
@click.argument("role", type=ROLES)
@click.pass_context
def role(context: click.Context, name: str, role: str) -> None:
    """Give an account another role.

    Example: roster user role ana viewer
    """
    from worker.cli import accounts

    accounts.role(services_of(context), name, role)


@user.command()
@NAME
@click.option("--label", default="", metavar="TEXT", help="What the token is for.")
@click.option("--revoke", is_flag=True, help="Take all tokens of the account back instead.")
@click.pass_context
def token(context: click.Context, name: str, *, label: str, revoke: bool) -> None:
    """Make a token with which a program calls the API as this account; it is shown once.

    Example: roster user token ana --label nightly
    """
    from worker.cli import accounts

    accounts.token(services_of(context), name, label=label, revoke=revoke)


@click.command()
@click.option("--job", type=int, metavar="JOB", help="Of this job alone.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="So many at most.")
@json_option
@click.pass_context
def audit(context: click.Context, *, job: int | None, limit: int, as_json: bool) -> None:
    """Show who did what by page, API and `roster user`, newest first.

    Example: roster audit --job 7
    """
    from worker.cli import accounts

    accounts.audit_lines(services_of(context), job, limit, as_json=as_json)
