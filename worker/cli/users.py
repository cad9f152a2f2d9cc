"""`roster user` and `roster audit`: accounts for the page and the API, and the audit log.

Each command imports what it needs when it is called.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli import completion
from worker.cli.context import actor, with_existing_ledger, with_services
from worker.cli.group import CommandGroup
from worker.cli.options import json_option, parse_period
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.accounts import AuditEntry, Token

NAME = click.argument("name", shell_complete=completion.accounts)
ROLES = click.Choice(["viewer", "operator", "admin"])


@click.group(cls=CommandGroup)
def user() -> None:
    """Accounts for the page and the API."""


@user.command()
@click.argument("name")
@click.option("--role", type=ROLES, default="operator", show_default=True, help="What the user may do.")
@with_services
def add(services: Services, name: str, role: str) -> None:
    """Add an account.

    Its password is asked for, or read from standard input.

    Example: roster user add ana --role operator
    """
    from worker.accounts import people
    from worker.ledger import accounts
    from worker.model import Role

    with services.ledger.read() as tx:
        is_first = not accounts.any_account(tx)
    people.add(services.ledger, name=name, password=_read_password(), role=Role(role), by=actor())
    click.echo(f"{name} can sign in now. Role: {role}", err=True)
    if is_first:
        click.echo("From now on everyone must sign in: the page and the API require an account", err=True)


@user.command(name="list")
@json_option
@with_existing_ledger
def list_(services: Services, *, as_json: bool) -> None:
    """List the accounts with their roles.

    Example: roster user list
    """
    from worker.ledger import accounts

    with services.ledger.read() as tx:
        found = accounts.list_accounts(tx)
    if as_json:
        lines = [{"name": each.name, "role": each.role, "tokens": tokens} for each, tokens in found]
        click.echo(json.dumps(lines, ensure_ascii=False))
        return
    if not found:
        click.echo(
            "There are no accounts; add one with `roster user add NAME`. Until then only this machine is served"
        )
    for each, tokens in found:
        suffix = f", {tokens} token{'s' if tokens > 1 else ''}" if tokens else ""
        click.echo(f"{each.name:<24} {each.role}{suffix}")


@user.command()
@NAME
@click.option("--force", is_flag=True, help="Remove even the last account.")
@with_existing_ledger
def remove(services: Services, name: str, *, force: bool) -> None:
    """Remove an account; its sessions and tokens end at once.

    Example: roster user remove ana
    """
    from worker.accounts import people
    from worker.ledger import accounts

    people.remove(services.ledger, name, by=actor(), may_be_last=force)
    click.echo(f"{name} can no longer sign in", err=True)
    with services.ledger.read() as tx:
        if not accounts.any_account(tx):
            click.echo(
                "There is no account any more: a `roster serve` that is running refuses everyone until it is "
                "restarted, and then serves only this machine",
                err=True,
            )


@user.command()
@NAME
@click.option("--revoke-tokens", "revoke", is_flag=True, help="Revoke the API tokens of the account too.")
@with_existing_ledger
def password(services: Services, name: str, *, revoke: bool) -> None:
    """Change the password of an account; its sessions end.

    Example: roster user password ana --revoke-tokens
    """
    from worker.accounts import people

    with services.ledger.read() as tx:
        name = people.get(tx, name).name
    people.change_password(services.ledger, name, _read_password(), by=actor(), revoke=revoke)
    ended = "its sessions have ended and its tokens are revoked" if revoke else "its sessions have ended"
    click.echo(f"The password of {name} was changed; {ended}", err=True)


@user.command("sign-out")
@NAME
@with_existing_ledger
def sign_out(services: Services, name: str) -> None:
    """End all sessions of this account; its tokens stay valid.

    Example: roster user sign-out ana
    """
    from worker.accounts import people

    people.sign_out_everywhere(services.ledger, name, by=actor())
    click.echo(f"{name} is signed out everywhere", err=True)


@user.command()
@NAME
@click.argument("role", type=ROLES)
@with_existing_ledger
def role(services: Services, name: str, role: str) -> None:
    """Change the role of an account.

    Example: roster user role ana viewer
    """
    from worker.accounts import people
    from worker.model import Role

    people.change_role(services.ledger, name, Role(role), by=actor())
    click.echo(f"{name} now has the role {role}", err=True)


@user.command()
@NAME
@click.option("--name", "--label", "token_name", default="", metavar="TOKENNAME", help="What the token is for.")
@click.option(
    "--expires", metavar="PERIOD", help="How long it is valid: 90d, 12w; without it, until it is revoked."
)
@click.option("--revoke", is_flag=True, help="Revoke all tokens of the account instead.")
@with_existing_ledger
def token(services: Services, name: str, *, token_name: str, expires: str | None, revoke: bool) -> None:
    """Create an API token for this account; it is shown once.

    Example: roster user token ana --name nightly --expires 90d
    """
    from worker.accounts import people
    from worker.reports.labels import counted

    if revoke:
        count = people.revoke_tokens(services.ledger, name, by=actor())
        click.echo(f"{counted(count, 'token')} revoked", err=True)
        return
    lifetime = None if expires is None else parse_period("--expires", expires)
    if lifetime == 0:
        raise UsageError("--expires: a token must be valid for at least a day")
    click.echo(people.make_token(services.ledger, name, token_name.strip(), by=actor(), lifetime=lifetime))
    click.echo("Save it now: it is not shown again. Send it as `Authorization: Bearer TOKEN`", err=True)


@user.command()
@NAME
@json_option
@with_existing_ledger
def tokens(services: Services, name: str, *, as_json: bool) -> None:
    """List the API tokens of this account.

    Example: roster user tokens ana
    """
    from worker.accounts import people

    found = people.tokens_of(services.ledger, name)
    if as_json:
        click.echo(json.dumps([_token_as_json(each) for each in found], ensure_ascii=False))
        return
    for each in found:
        click.echo(f"{each.name:<24} {_token_dates(each)}")
    if not found:
        click.echo(f"{name} has no token; create one with `roster user token {name} --name TOKENNAME`")


def _token_dates(each: Token) -> str:
    texts = [f"created {_local(each.created_at)}"]
    if each.used_at is not None:
        texts.append(f"last used {_local(each.used_at)}")
    if each.expires_at is not None:
        texts.append(f"{'expired' if each.has_expired else 'expires'} {_local(each.expires_at)}")
    return ", ".join(texts)


def _token_as_json(each: Token) -> dict[str, object]:
    return {
        "name": each.name,
        "created_at": _utc(each.created_at),
        "used_at": _utc(each.used_at),
        "expires_at": _utc(each.expires_at),
        "expired": each.has_expired,
    }


@user.command()
@NAME
@click.argument("token_name", metavar="TOKENNAME")
@with_existing_ledger
def revoke(services: Services, name: str, token_name: str) -> None:
    """Revoke one API token of this account; the others stay valid.

    Example: roster user revoke ana nightly
    """
    from worker.accounts import people

    people.revoke_token(services.ledger, name, token_name, by=actor())
    click.echo(f"The token {token_name} of {name} is revoked", err=True)


@click.command()
@click.option("--job", type=int, metavar="JOB", shell_complete=completion.jobs, help="Only entries of this job.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Maximum number of entries."
)
@json_option
@with_existing_ledger
def audit(services: Services, *, job: int | None, limit: int, as_json: bool) -> None:
    """Show who did what, and what was refused, newest first.

    On the page, by the API and by commands.

    Example: roster audit --job 7
    """
    from worker.ledger import accounts

    with services.ledger.read() as tx:
        found = accounts.audit_entries(tx, job_id=job, most=limit)
    if as_json:
        click.echo(json.dumps([_as_json(entry) for entry in found], ensure_ascii=False))
        return
    for entry in found:
        when = _local(entry.at)
        of_job = f"job {entry.job_id}" if entry.job_id is not None else ""
        detail = f"{entry.detail} ({entry.count:,} times)".strip() if entry.count > 1 else entry.detail
        click.echo(
            f"{when}  {entry.actor:<24} {entry.address:<15} {entry.action:<16} {of_job:<10} {detail}".rstrip()
        )


def _as_json(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": _utc(entry.at),
        "who": entry.actor,
        "address": entry.address or None,
        "act": entry.action,
        "job": entry.job_id,
        "detail": entry.detail,
        "count": entry.count,
    }


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _utc(at: float | None) -> str | None:
    from worker.reports.lines import utc_text

    return None if at is None else utc_text(datetime.fromtimestamp(at, UTC))


def _read_password() -> str:
    """Ask for a password twice, hidden; without a terminal, read the first line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise UsageError("No password: type it at a terminal, or send it to standard input")
    return line.rstrip("\r\n")


COMMANDS = (user, audit)
