"""The body of `doctor`: check all that jobs need; nothing is made, and nothing is sent that changes an LMS."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import click

from worker import diagnostics
from worker.bootstrap import open_services
from worker.cli.context import configure_log
from worker.cli.exit_codes import ExitCode
from worker.diagnostics import Check
from worker.errors import MissingLedger, RosterError
from worker.private_files import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from worker.bootstrap import Services


def run_doctor(config: Path | None, *, swept: bool, as_json: bool) -> ExitCode:
    """Check everything, or with `swept` the queue alone, and print the results.

    Raises SettingsError when the configuration cannot be read; as JSON that is a check that failed.
    """
    try:
        with _services(config) as (services, missing):
            checks = [diagnostics.check_sweep(services)] if swept else diagnostics.check_all(services, missing)
    except RosterError as error:
        if as_json:
            name = "ledger" if str(error).startswith("ledger") else "configuration"
            _print_json([Check(is_ok=False, text=str(error), name=name)])
        raise
    if as_json:
        _print_json(checks)
    else:
        _print_text(checks, with_labels=not swept)
    return ExitCode.DONE if all(check.is_ok for check in checks) else ExitCode.NOTHING_SENT


@contextmanager
def _services(config: Path | None) -> Iterator[tuple[Services, MissingLedger | None]]:
    """Yield the services; where there is no ledger yet, with an empty one that is removed afterwards."""
    with ExitStack() as stack:
        missing = None
        try:
            services = open_services(config, make_ledger=False)
        except MissingLedger as error:
            missing, folder = error, stack.enter_context(scratch_folder())
            services = open_services(config, ledger=f"sqlite:///{folder}/empty.db")
        stack.enter_context(closing(services.ledger))
        configure_log(services)
        yield services, missing


def _print_json(checks: Sequence[Check]) -> None:
    click.echo(json.dumps([check.to_json() for check in checks], ensure_ascii=False))


def _print_text(checks: Sequence[Check], *, with_labels: bool) -> None:
    for check in checks:
        label, colour = ("ok ", "green") if check.is_ok else ("FIX", "red")
        click.secho(f"{label}  {check.text}", fg=colour) if with_labels else click.echo(check.text)
