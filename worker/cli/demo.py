"""`sandbox` and `demo`: the pretend LMS on this machine, and the sample rosters run against it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import worker
from worker.bootstrap import open_services
from worker.cli import run as work
from worker.cli.main import run
from worker.errors import UsageError
from worker.sandbox import server
from worker.sandbox.rule_syntax import RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Sequence

MARK = "# Made by `roster demo`; made anew each time."
DEMO_SECONDS_QUOTA = "bucket:200/second:burst=20"


@dataclass(frozen=True, slots=True)
class Scene:
    """One roster of the demo, and what to look for."""

    file: str
    connection: str
    look_for: str


SCENES = (
    Scene("tidy.csv", "north", "twelve people, created and registered on a Tahdah experience in one call"),
    Scene("tidy.csv", "north", "the same file again: nobody is created or registered twice, no call is made"),
    Scene("messy.xlsx", "north", "a workbook as people make them: good rows go through, each bad one says why"),
    Scene("duplicates.csv", "north", "people who stand in the roster more than once are registered once"),
    Scene("kmi.csv", "kmi", "the same on KMI LMS: courses by id, by name and by external id"),
    Scene("thousand.csv", "north", "a thousand people, a rate limit nobody told Roster, a lost answer, a refusal"),
    Scene("wrong_headings.xlsx", "north", "a file that is no roster: a clear message, nothing sent"),
)
#: What goes wrong in the demo while the thousand are registered.
BAD_DAY = ("register:lost-after:nth=6", "create_candidate:reject:nth=300")


def sandbox(host: str, port: int, quotas: Sequence[str], bad_days: Sequence[str], **options: Any) -> None:
    """Serve the pretend LMS until the process is told to stop. Raises UsageError for options that cannot be."""
    try:
        world = server.make_state(quotas=quotas, bad_days=bad_days, **options)
        server.serve(host, port, world, ready=_tell_address)
    except RuleSyntaxError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(
            f"The sandbox cannot listen on {host}:{port}: {error.strerror}; try another --port"
        ) from None


def _tell_address(url: str) -> None:
    click.echo(f"The sandbox is up: {url} (its state), {url}/api/… (both LMSs). Ctrl-C ends it. In roster.toml:\n")
    click.echo(configuration(url, secrets="literal"))


def configuration(url: str, *, secrets: str) -> str:
    """Return the sandbox's connections as roster.toml has them; `secrets` is `literal`, or a folder of files."""
    token, key, secret = (
        value if secrets == "literal" else f"file:{secrets}/{value}"
        for value in ("sandbox-token", "sandbox-key", "sandbox-secret")
    )
    return f"""\
[connections.north]
system = "tahdah"
base_url = "{url}"
token = "{token}"
legal_entity_id = 42
behavior = 1
batch_size = 50

[connections.kmi]
system = "kmi"
base_url = "{url}/api/v2"
api_key = "{key}"
api_secret = "{secret}"
"""


def demo(folder: Path) -> int:
    """Run the sample rosters against a sandbox of its own and say where the reports are."""
    samples = _samples()
    folder = folder.absolute()
    _make_room(folder)
    world = server.make_state(quotas=[DEMO_SECONDS_QUOTA], bad_days=BAD_DAY)
    with server.running(world) as url:
        config = _configure(folder, url)
        for number, scene in enumerate(SCENES, start=1):
            _play(number, scene, samples / scene.file, folder, config)
    click.echo(f"\nThe reports are in {folder / 'reports'}: open one of the workbooks.")
    program, tidy = Path(sys.argv[0]), samples / SCENES[0].file
    click.echo(
        f"On the page: {program} --config {config} serve\nthen open http://127.0.0.1:8000 in a browser.\n"
        f"To go on: `{program} sandbox` in one terminal, and in another `{program} run {tidy} --to north`\n"
        "with the roster.toml that the sandbox prints."
    )
    return 0


def _samples() -> Path:
    """Return the folder of the sample rosters: in the installed package, or in the checkout."""
    installed = Path(str(resources.files(worker))) / "samples"
    return installed if installed.is_dir() else Path(worker.__file__).parent.parent / "samples"


def _play(number: int, scene: Scene, file: Path, folder: Path, config: Path) -> None:
    click.secho(f"\n{number}. roster run samples/{scene.file} --to {scene.connection}", bold=True)
    click.echo(f"   {scene.look_for}")
    services = open_services(config)
    typed = ["--to", scene.connection, "--report", str(folder / "reports"), str(file)]
    options = {**run.make_context("run", typed).params}
    for name in ("files", "dry_run"):
        del options[name]
    try:
        work.run(services, [file], options)
    finally:
        services.ledger.close()


def _make_room(folder: Path) -> None:
    """Clear what an earlier demo left; leave alone what is not its own."""
    config = folder / "roster.toml"
    if config.is_file() and config.read_text(encoding="utf-8").startswith(MARK):
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds something that no demo made; name another folder with --into")
    folder.mkdir(parents=True, exist_ok=True)


def _configure(folder: Path, url: str) -> Path:
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for value in ("sandbox-token", "sandbox-key", "sandbox-secret"):
        (secrets / value).write_text(value, encoding="utf-8")
    config = folder / "roster.toml"
    config.write_text(f"{MARK}\n{configuration(url, secrets=str(secrets))}", encoding="utf-8")
    return config
