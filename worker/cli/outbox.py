"""`message list` and `message test`."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli import output
from worker.errors import UsageError
from worker.ledger import outbox
from worker.notifications.content import News
from worker.notifications.delivery import Undelivered
from worker.notifications.sender import deliver
from worker.reports.lines import stamp
from worker.settings import Event, read_post

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.outbox import Message


def list_messages(services: Services, most: int, *, as_json: bool) -> int:
    """Print the newest messages, newest first."""
    with services.ledger.read() as tx:
        found = outbox.newest(tx, most)
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found]))
        return output.DONE
    for each in found:
        line = (stamp(_time(each.at)), f"{each.state:<11}", f"{each.receiver:<12}", f"{each.event:<18}")
        click.echo("  ".join([*line, f"job {each.job_id}{_rest(each)}"]))
    if not found:
        click.echo("No message yet. Who is told of what stands in roster.toml under [messages.NAME]")
    return output.DONE


def send_test(services: Services, name: str) -> int:
    """Send a test message now; exit 2 when it does not arrive."""
    post = read_post(services.settings)
    known = next((each for each in post.receivers if each.casefold() == name.casefold()), None)
    if known is None:
        there = ", ".join(sorted(post.receivers)) or "none: write a table [messages.NAME]"
        raise UsageError(f"There is no receiver {name!r} in roster.toml; configured are {there}")
    try:
        deliver(post, known, News(event=Event.TEST, delivery=secrets.token_hex(16), at=datetime.now(UTC)))
    except Undelivered as failure:
        click.echo(f"{known}: the test message was not delivered: {failure}", err=True)
        return output.NOTHING_SENT
    click.echo(f"{known}: the test message was taken")
    return output.DONE


def _rest(each: Message) -> str:
    again = f"; tried again at {stamp(_time(each.not_before))}" if each.ended_at is None and each.attempts else ""
    return f"  ({each.error}{again})" if each.error else ""


def _as_json(each: Message) -> dict[str, Any]:
    return {
        "message": each.id,
        "at": stamp(_time(each.at)),
        "state": each.state,
        "receiver": each.receiver,
        "event": each.event,
        "connection": each.connection,
        "job": each.job_id,
        "attempts": each.attempts,
        "not_before": stamp(_time(each.not_before)) if each.ended_at is None else None,
        "error": each.error or None,
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
