"""The commands around jobs: `serve`, `doctor`, `init`, `sandbox`, `demo`.

Each imports what it needs when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import completion
from worker.cli.context import with_services
from worker.cli.options import json_option

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.web.serve import ServerInfo


@click.command()
@click.option("--host", metavar="ADDRESS", help="Default: [serve] of roster.toml, 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="Default: [serve] of roster.toml, 8000.")
@with_services
def serve(services: Services, *, host: str | None, port: int | None) -> None:
    """Serve the page and the API; without a broker, run the jobs too.

    Example: roster serve
    """
    from worker.web.serve import serve

    serve(services, host, port, on_start=_print_address)


def _print_address(server: ServerInfo) -> None:
    if server.token:
        note = "There is no account: only this machine is served, to those who have the token in this address."
        click.echo(f"{note} Add an account: `roster user add NAME --role admin`", err=True)
    if server.warning:
        click.echo(f"Warning: {server.warning}", err=True)
    click.echo(f"Roster is at {server.address} (press Ctrl-C to stop)", err=True)


@click.command()
@click.option("--swept", is_flag=True, help="Check only whether the queue works; call no LMS.")
@json_option
@click.pass_context
def doctor(context: click.Context, *, swept: bool, as_json: bool) -> None:
    """Check configuration, ledger, broker and connections.

    Each LMS gets one harmless call.

    Example: roster doctor
    """
    from worker.cli.doctor import run_doctor

    context.exit(run_doctor(context.obj, swept=swept, as_json=as_json))


@click.command()
@click.option(
    "--system",
    metavar="SYSTEM",
    shell_complete=completion.systems,
    help="The LMS of the first connection: tahdah, kmi …",
)
@click.option("--yes", is_flag=True, help="Ask nothing; take the defaults.")
@click.option("--force", is_flag=True, help="Replace a roster.toml that is there.")
@click.pass_context
def init(context: click.Context, /, **options: Any) -> None:
    """Write a commented roster.toml, by asking.

    Secrets stay out of it: it names environment variables or files that have them.

    Example: roster init
    """
    from worker.cli.init import run_init

    run_init(context.obj, **options)


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
@click.option("--seed-users", default=0, metavar="N", help="KMI: number of people at the start.")
@click.option("--latency", default=0.0, metavar="SECONDS", help="How long every response takes.")
@click.option("--lag", default=0.0, metavar="SECONDS", help="New records appear in look-ups only after this.")
@click.option("--update-empties", is_flag=True, help="KMI: an update empties the fields that it leaves out.")
@click.option(
    "--lookup", type=click.Choice(["on", "404", "405"]), default="on", help="Tahdah: GET on registrations."
)
@click.option("--webhook", default="", metavar="URL", help="Tahdah: report each registration to this address.")
@click.option("--webhook-secret", default="wh_sandbox", show_default=True, help="Signs what --webhook sends.")
@click.option("--max-batch", default=500, metavar="N", help="Tahdah: maximum number of candidates in one call.")
@click.option(
    "--option",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="moodle_version=4.3 …; repeatable.",
)
@click.option("--seed", default=1, metavar="N", help="The random seed of p= rules.")
def sandbox(**options: Any) -> None:
    """Run a pretend LMS on this machine, for all systems.

    With quotas and faults on request.

    Example: roster sandbox --quota bucket:20/second --bad-day register:lost-after:every=7
    """
    from worker.cli.demo import run_sandbox

    run_sandbox(**options)


@click.command()
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("roster-demo"),
    metavar="DIR",
    help="The folder for the demo and its reports; default: ./roster-demo.",
)
def demo(into: Path) -> None:
    """Run the sample rosters against a pretend LMS.

    Says where the reports are.

    Example: roster demo
    """
    from worker.cli.demo import run_demo

    run_demo(into)


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_(shell: str) -> None:
    """Print the script that completes commands at the Tab key.

    Connections, jobs and schedules are completed too.

    Example: roster completion bash >> ~/.bashrc
    """
    from worker.cli.completion import script

    click.echo(script(shell))


COMMANDS = (completion_, serve, doctor, init, sandbox, demo)
