"""`user …` and `audit`: make and change accounts, and show what was done."""

from __future__ import annotations

import getpass
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.accounts import people
from worker.errors import UsageError
from worker.ledger import accounts
from worker.model import Role

if TYPE_CHECKING:
    from worker.bootstrap import Services


def add(services: Services, name: str, role: str) -> None:
    """Add an account."""
    with services.ledger.read() as tx:
        first = not accounts.any_account(tx)
    people.add(services.ledger, name=name, password=_password(), role=Role(role), by=_who())
    click.echo(f"{name} may sign in now, as {role}", err=True)
    if first:
        click.echo("From now on everybody has to: page and API are closed to those without an account", err=True)


def show(services: Services, *, as_json: bool) -> None:
    """Print the accounts."""
    with services.ledger.read() as tx:
        found = accounts.list_accounts(tx)
    if as_json:
        lines = [{"name": each.name, "role": each.role, "tokens": tokens} for each, tokens in found]
        click.echo(json.dumps(lines, ensure_ascii=False))
        return
    if not found:
        click.echo(
            "There are no accounts; `roster user add NAME` makes one. Until then only this machine is served"
        )
    for each, tokens in found:
        told = f", {tokens} token{'s' if tokens > 1 else ''}" if tokens else ""
        click.echo(f"{each.name:<24} {each.role}{told}")


def remove(services: Services, name: str) -> None:
    """Remove an account."""
    people.remove(services.ledger, name, by=_who())
    click.echo(f"{name} may no longer sign in", err=True)


def password(services: Services, name: str) -> None:
    """Change a password."""
    with services.ledger.read() as tx:
        people.get(tx, name)
    people.change_password(services.ledger, name, _password(), by=_who())
    click.echo(f"The password of {name} is changed; its sessions are ended", err=True)


def role(services: Services, name: str, wanted: str) -> None:
    """Change a role."""
    people.change_role(services.ledger, name, Role(wanted), by=_who())
    click.echo(f"{name} is {wanted} now", err=True)


def token(services: Services, name: str, *, label: str, revoke: bool) -> None:
    """Make a token and print it, or take all back."""
    if revoke:
        click.echo(f"{people.revoke_tokens(services.ledger, name, by=_who())} tokens revoked", err=True)
        return
    click.echo(people.make_token(services.ledger, name, label[:100], by=_who()))
    click.echo("Keep it now: it is not shown again. Send it as `Authorization: Bearer TOKEN`", err=True)


def audit_lines(services: Services, job_id: int | None, most: int, *, as_json: bool) -> None:
    """Print the newest lines of the audit."""
    with services.ledger.read() as tx:
        found = accounts.lines(tx, job_id=job_id, most=most)
    if as_json:
        click.echo(json.dumps([_as_json(line) for line in found], ensure_ascii=False))
        return
    for line in found:
        when = datetime.fromtimestamp(line.at).astimezone()
        job = f"job {line.job_id}" if line.job_id is not None else ""
        click.echo(f"{when:%Y-%m-%d %H:%M:%S}  {line.who:<24} {line.act:<16} {job:<10} {line.detail}".rstrip())


def _as_json(line: accounts.Line) -> dict[str, object]:
    at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"at": at, "who": line.who, "act": line.act, "job": line.job_id, "detail": line.detail}


def _password() -> str:
    """Ask for a password twice, unseen; where there is no terminal, take the first line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise UsageError("No password: type it at a terminal, or send it to standard input")
    return line.rstrip("\r\n")


def _who() -> str:
    """Return who types the command, as this machine calls them."""
    try:
        return f"{getpass.getuser()} (command)"[:100]
    except (KeyError, OSError):
        return "(command)"
