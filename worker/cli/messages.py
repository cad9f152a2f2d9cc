"""`roster message`: look into the outbox, and try whether messages arrive."""

from __future__ import annotations

import click

from worker.cli.options import json_option
from worker.cli.services import services_of


@click.group()
def message() -> None:
    """Messages when a job ends or needs a person."""


@message.command("list")
@click.option("--most", default=50, show_default=True, metavar="N", help="So many of the newest.")
@json_option
@click.pass_context
def list_messages(context: click.Context, *, most: int, as_json: bool) -> None:
    """List the newest messages: sent, waiting to be sent, given up.

    Example: roster message list
    """
    from worker.cli import outbox

    context.exit(outbox.list_messages(services_of(context), most, as_json=as_json))


@message.command("test")
@click.argument("receiver")
@click.pass_context
def send_test(context: click.Context, receiver: str) -> None:
    """Send a test message to a receiver of roster.toml.

    Example: roster message test office
    """
    from worker.cli import outbox

    context.exit(outbox.send_test(services_of(context), receiver))
