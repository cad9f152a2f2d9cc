"""The bodies of `sandbox` and `demo`: the pretend LMS on this machine, and the sample rosters run against it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import worker
from worker import lms
from worker.bootstrap import open_services
from worker.cli.options import defaults
from worker.cli.run import run_files
from worker.errors import UsageError
from worker.sandbox import server
from worker.sandbox.configuration import configuration
from worker.sandbox.rule_syntax import RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.sandbox.state import SandboxState

#: The first line of the configuration: a folder with it may be replaced.
HEADER = "# Made by `roster demo`"
DEMO_SECONDS_QUOTA = "bucket:200/second:burst=20"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One roster of the demo, and what it shows."""

    file: str
    connection: str
    shows: str


STEPS = (
    DemoStep("tidy.csv", "north", "twelve people, created and registered on a Tahdah experience in one call"),
    DemoStep("tidy.csv", "north", "the same file again: no person is created or registered twice, no call is made"),
    DemoStep("messy.xlsx", "north", "a workbook as people make them: good rows go through, each bad one says why"),
    DemoStep("duplicates.csv", "north", "people who are in the roster more than once are registered once"),
    DemoStep("kmi.csv", "kmi", "the same on KMI LMS: courses by id, by name and by external id"),
    DemoStep("moodle.csv", "academy", "the same on Moodle: courses by short name; what it refuses is not sent"),
    DemoStep("thousand.csv", "north", "a thousand people, an unknown rate limit, a lost answer, a rejection"),
    DemoStep("wrong_headings.xlsx", "north", "a file that is not a roster: a clear message, nothing sent"),
)
#: Faults while the thousand are registered.
FAULTS = ("register:lost-after:nth=6", "create_candidate:reject:nth=300")


def run_sandbox(
    host: str, port: int, quotas: Sequence[str], bad_days: Sequence[str], settings: Sequence[str], **options: Any
) -> None:
    """Serve the pretend LMS until the process is stopped. Raises UsageError for invalid options."""
    try:
        named = dict(_pair(each) for each in settings)
        world = server.make_state(quotas=quotas, bad_days=bad_days, **options, **named)
        server.serve(host, port, world, ready=lambda url: _print_address(world, url))
    except RuleSyntaxError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(
            f"The sandbox cannot listen on {host}:{port}: {error.strerror}; try another --port"
        ) from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RuleSyntaxError(f"--option {text}: say NAME=VALUE, such as moodle_version=4.3")
    return name, value


def _print_address(world: SandboxState, url: str) -> None:
    """Print where the sandbox is: comments, then connections to all its LMSs, so that all of it is valid TOML."""
    click.echo(f"# The sandbox is up: {url} shows its state. Press Ctrl-C to stop.")
    click.echo("# Its LMSs, for roster.toml:\n")
    click.echo(configuration(world, url, systems=lms.systems()))


def run_demo(folder: Path) -> None:
    """Run the sample rosters against a sandbox of its own and say where the reports are."""
    samples = _samples()
    folder = folder.absolute()
    _clear(folder)
    world = server.make_state(quotas=[DEMO_SECONDS_QUOTA], bad_days=FAULTS)
    with server.running(world) as url:
        config = _configure(folder, world, url)
        for number, step in enumerate(STEPS, start=1):
            _run_step(number, step, samples / step.file, folder, config)
    click.echo(f"\nThe reports are in {folder / 'reports'}: open one of the workbooks.")
    program, tidy = Path(sys.argv[0]), samples / STEPS[0].file
    click.echo(
        f"For the page, run {program} --config {config} serve\nand open the address that it prints in a browser."
    )
    click.echo(
        f"Next, run `{program} sandbox > roster.toml` in one terminal, and in another, in the same folder,\n"
        f"`{program} run {tidy} --to north`."
    )


def _samples() -> Path:
    """Return the folder of the sample rosters: in the installed package, or in the checkout."""
    installed = Path(str(resources.files(worker))) / "samples"
    return installed if installed.is_dir() else Path(worker.__file__).parent.parent / "samples"


def _run_step(number: int, step: DemoStep, file: Path, folder: Path, config: Path) -> None:
    click.secho(f"\n{number}. roster run samples/{step.file} --to {step.connection}", bold=True)
    click.echo(f"   {step.shows}")
    services = open_services(config)
    options = defaults(to=step.connection, report=folder / "reports")
    try:
        run_files(services, [file], options)
    finally:
        services.ledger.close()


def _clear(folder: Path) -> None:
    """Remove the files of an earlier demo. Raises UsageError when the folder has other files."""
    config = folder / "roster.toml"
    if config.is_file() and config.read_text(encoding="utf-8").startswith(HEADER):
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} has files that no demo made; choose another folder with --into")
    folder.mkdir(parents=True, exist_ok=True)


def _configure(folder: Path, world: SandboxState, url: str) -> Path:
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)

    def keep(value: str) -> str:
        (secrets / value).write_text(value, encoding="utf-8")
        return f"file:{secrets / value}"

    config = folder / "roster.toml"
    connections = configuration(world, url, systems=lms.systems(), secret=keep)
    config.write_text(f"{HEADER}; replaced each time.\n{connections}", encoding="utf-8")
    return config
