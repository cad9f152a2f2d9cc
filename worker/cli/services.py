"""The commands around the jobs: serve, doctor, sandbox, demo; each imports what it needs when called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from worker.bootstrap import Services


def services_of(context: click.Context) -> Services:
    """Read the configuration and open the ledger, until the command ends."""
    from worker.bootstrap import open_services

    services = open_services(context.obj)
    context.call_on_close(services.ledger.close)
    return services


@click.command()
@click.option("--host", metavar="ADDRESS", help="Default: [serve] of roster.toml, 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="Default: [serve] of roster.toml, 8000.")
@click.pass_context
def serve(context: click.Context, *, host: str | None, port: int | None) -> None:
    """Serve the page and the API; without a broker, work the jobs too.

    Example: roster serve
    """
    from worker.web.serve import ServerInfo, serve

    def report(server: ServerInfo) -> None:
        if not server.has_accounts:
            note = "There is no account: only this machine is served, without sign-in."
            click.echo(f"{note} Add an account: `roster user add NAME --role admin`", err=True)
        click.echo(f"Roster is at {server.url} (press Ctrl-C to stop)", err=True)
        if server.warning:
            click.echo(f"Warning: {server.warning}", err=True)

    serve(services_of(context), host, port, on_start=report)


@click.command()
@click.option("--swept", is_flag=True, help="Only whether the queue is at work; no call to an LMS.")
@click.pass_context
def doctor(context: click.Context, *, swept: bool) -> None:
    """Check configuration, ledger, broker and connections, with one harmless call to each LMS.

    Example: roster doctor
    """
    from worker import diagnostics

    context.exit((diagnostics.swept if swept else diagnostics.doctor)(services_of(context)))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8089, show_default=True, type=int)
@click.option(
    "--quota", "quotas", multiple=True, metavar="QUOTA", help="bucket:20/second, window:100/60s, at-once:4."
)
@click.option(
    "--bad-day", "bad_days", multiple=True, metavar="RULE", help="register:lost-after:every=7 …; repeatable."
)
@click.option("--registered", multiple=True, metavar="COURSE:FROM-TO", help="KMI: who is registered at the start.")
@click.option("--seed-users", default=0, metavar="N", help="KMI: people who are there at the start.")
@click.option("--latency", default=0.0, metavar="SECONDS", help="How long every answer takes.")
@click.option("--lag", default=0.0, metavar="SECONDS", help="New things appear in look-ups only after this.")
@click.option("--update-empties", is_flag=True, help="KMI: an update empties the fields that it leaves out.")
@click.option(
    "--lookup", type=click.Choice(["on", "404", "405"]), default="on", help="Tahdah: GET on registrations."
)
@click.option("--webhook", default="", metavar="URL", help="Tahdah: tell of each registration there.")
@click.option("--webhook-secret", default="wh_sandbox", show_default=True, help="Signs what --webhook tells.")
@click.option("--max-batch", default=500, metavar="N", help="Tahdah: the most candidates in one call.")
@click.option("--seed", default=1, metavar="N", help="Of the dice that p= rules throw.")
def sandbox(**options: Any) -> None:
    """Pretend to be an LMS (Tahdah and KMI) on this machine, with quotas and bad days on request.

    Example: roster sandbox --quota bucket:20/second --bad-day register:lost-after:every=7
    """
    from worker.cli import demo as pretend

    pretend.sandbox(**options)


@click.command()
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("roster-demo"),
    metavar="DIR",
    help="Where the demo works and leaves its reports; default ./roster-demo.",
)
@click.pass_context
def demo(context: click.Context, into: Path) -> None:
    """Run the sample rosters against a pretend LMS and say where the reports are.

    Example: roster demo
    """
    from worker.cli import demo as pretend

    context.exit(pretend.demo(into))
