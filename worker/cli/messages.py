"""`roster message`: list the messages of the outbox, and send a test. Imports what it needs when it is called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli import completion
from worker.cli.context import record, services_of, with_existing_ledger
from worker.cli.exit_codes import ExitCode
from worker.cli.group import CommandGroup
from worker.cli.options import json_option
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.outbox import Message


@click.group(cls=CommandGroup)
def message() -> None:
    """Messages when a job ends or needs a person."""


@message.command("list")
@click.option("--most", default=50, show_default=True, metavar="N", help="Maximum number of messages.")
@json_option
@with_existing_ledger
def list_(services: Services, *, most: int, as_json: bool) -> None:
    """List the newest messages: sent, waiting to be sent, failed.

    Example: roster message list
    """
    from worker.ledger import outbox

    with services.ledger.read() as tx:
        found = outbox.newest(tx, most)
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found]))
        return
    for each in found:
        line = (_utc(each.created_at), f"{each.state:<11}", f"{each.receiver:<12}", f"{each.event:<18}")
        click.echo("  ".join([*line, f"{each.about}{_error(each)}"]))
    if not found:
        click.echo("There are no messages yet. Configure receivers in roster.toml under [messages.NAME]")


@message.command("test")
@click.argument("receiver", shell_complete=completion.receivers)
@click.pass_context
def send_test(context: click.Context, receiver: str) -> None:
    """Send a test message to a receiver of roster.toml.

    Example: roster message test office
    """
    import secrets

    from worker.bootstrap import read_settings
    from worker.notifications.content import Notification
    from worker.notifications.delivery import DeliveryError
    from worker.notifications.sender import deliver
    from worker.settings import Event, read_message_settings

    settings = read_message_settings(read_settings(context.obj))
    known = next((each for each in settings.receivers if each.casefold() == receiver.casefold()), None)
    if known is None:
        names = ", ".join(sorted(settings.receivers))
        remedy = f"configured: {names}" if names else "none is configured; add a table [messages.NAME]"
        raise UsageError(f"There is no receiver {receiver!r} in roster.toml; {remedy}")
    record(services_of(context), "message test", detail=known)
    try:
        deliver(
            settings, known, Notification(event=Event.TEST, delivery=secrets.token_hex(16), at=datetime.now(UTC))
        )
    except DeliveryError as failure:
        click.echo(f"{known}: the test message was not delivered: {failure}", err=True)
        context.exit(ExitCode.NOTHING_SENT)
    click.echo(f"{known}: the test message was accepted")


def _error(each: Message) -> str:
    is_pending = each.ended_at is None and each.attempts
    retry = f"; next attempt at {_utc(each.not_before)}" if is_pending else ""
    return f"  ({each.error}{retry})" if each.error else ""


def _as_json(each: Message) -> dict[str, Any]:
    return {
        "message": each.id,
        "at": _utc(each.created_at),
        "state": each.state,
        "receiver": each.receiver,
        "event": each.event,
        "connection": each.connection,
        "job": each.job_id,
        "source": (each.detail or {}).get("source"),
        "attempts": each.attempts,
        "not_before": _utc(each.not_before) if each.ended_at is None else None,
        "error": each.error or None,
    }


def _utc(seconds: float) -> str:
    from worker.reports.lines import utc_text

    return utc_text(datetime.fromtimestamp(seconds, UTC))


COMMANDS = (message,)
